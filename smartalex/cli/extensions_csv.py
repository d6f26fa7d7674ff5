"""The directory as a CSV file (pure): rows in, extensions out, and every mistake with its line and column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping

import attrs

from smartalex.errors import ConfigurationError
from smartalex.tenants import hours
from smartalex.tenants.directory import Extension

MAX_ROWS = 500
REQUIRED = ("number", "display_name")
OPTIONAL = ("department", "aliases", "kind", "digit", "pronunciation", "warm_transfer", "availability")

KINDS = ("person", "department")
TRUTHS = {"": False, "no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}


@attrs.frozen
class Listed:
    """Extensions without ids, and which of their fields the file speaks of: of those that are known, the others stay."""

    extensions: tuple[Extension, ...]
    fields: tuple[str, ...]


def read(text: str) -> Listed:
    """Raises ConfigurationError naming every mistake, one a line."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ConfigurationError(f"line {reader.line_num}: {error}") from None
    problems = _header(names)
    problems += [f"line {line}: more cells than columns; quote text that holds a comma" for line, row in rows if None in row]
    if len(rows) > MAX_ROWS:
        problems.append(f"{len(rows)} rows: at most {MAX_ROWS} in one import; split the file")
    if problems:
        raise ConfigurationError("\n".join(problems))
    found = [(line, _cells(names, row)) for line, row in rows]
    for line, cells in found:
        problems += [f"line {line}, column {column}: {problem}" for column, problem in wrong(cells)]
    problems += _repeated(found)
    if problems:
        raise ConfigurationError("\n".join(problems))
    fields = tuple("name" if name == "display_name" else name for name in names)
    return Listed(tuple(extension(cells) for _, cells in found), fields)


def wrong(cells: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """(column, what is wrong with it) of one row."""
    number, kind, digit = cells["number"], cells.get("kind", ""), cells.get("digit", "")
    if not re.fullmatch(r"\+?[0-9A-Za-z*._-]{1,32}", number):
        yield "number", f"{number!r} cannot be dialled; write digits such as 301"
    if not re.search(r"[^\W\d_]", cells["display_name"]):
        yield "display_name", f"{cells['display_name']!r} is no name; callers say it"
    if kind and kind.lower() not in KINDS:
        yield "kind", f"{kind!r} is neither person nor department"
    if digit and not re.fullmatch(r"[0-9]", digit):
        yield "digit", f"{digit!r} is no key; write one of 0 to 9"
    if cells.get("warm_transfer", "").lower() not in TRUTHS:
        yield "warm_transfer", f"{cells['warm_transfer']!r} is neither yes nor no"
    try:
        if cells.get("availability"):
            hours.parse(cells["availability"])
    except ConfigurationError as error:
        yield "availability", str(error)
    for column, value in cells.items():
        if len(value) > 200 or not value.isprintable():
            yield column, "at most 200 printable characters"


def extension(cells: Mapping[str, str]) -> Extension:
    """One row as an Extension; its id is given by `merge`."""
    aliases = tuple(dict.fromkeys(alias.strip() for alias in cells.get("aliases", "").split(";") if alias.strip()))
    kind = cells.get("kind", "").lower() or "person"
    return Extension(
        "",
        cells["number"],
        cells["display_name"],
        kind,
        cells.get("department", "").lower(),
        aliases,
        cells.get("digit", ""),
        cells.get("pronunciation", ""),
        TRUTHS[cells.get("warm_transfer", "").lower()],
        cells.get("availability", ""),
    )


def _header(names: list[str]) -> list[str]:
    known = ", ".join(REQUIRED + OPTIONAL)
    problems = [
        f"line 1: column {name} is missing; the first line names the columns: {known}" for name in REQUIRED if name not in names
    ]
    foreign = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    problems += [f"line 1: there is no column {name!r}; there are: {known}" for name in foreign]
    return problems + [f"line 1: column {name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]


def _cells(names: list[str], row: Mapping[str | None, object]) -> dict[str, str]:
    values = [str(value or "").strip() for key, value in row.items() if key is not None]
    return dict(zip(names, values, strict=False))


def _repeated(found: list[tuple[int, dict[str, str]]]) -> list[str]:
    problems = []
    for column in ("number", "digit"):
        first: dict[str, int] = {}
        for line, cells in found:
            value = cells.get(column, "")
            if value and first.setdefault(value, line) != line:
                problems.append(f"line {line}, column {column}: {value!r} stands in line {first[value]} already")
    return problems
