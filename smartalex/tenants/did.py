"""DIDs: the called number (or SIP user) that leads to an agent; the longest that fits counts."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs


def dates(given: str | Iterable[str]) -> tuple[str, ...]:
    """As the store writes them, spaces in between, or one by one."""
    return tuple(given.split() if isinstance(given, str) else given)


@attrs.frozen
class Did:
    """`number` as it stands in the Request-URI's user part, such as '+27215550100' or 'alex'.

    One that ends in a star ("+2721555*") stands for every number that begins so, "*" for whatever no other fits.

    Outside of `hours` (see `tenants.hours`, "" for always) its calls go to `closed_agent_id`.  `timezone`
    ("Africa/Johannesburg") and `holidays` are the workspace's where they are empty.
    """

    number: str
    trunk_id: str
    agent_id: str
    hours: str = ""
    timezone: str = ""
    holidays: tuple[str, ...] = attrs.field(default=(), converter=dates)
    closed_agent_id: str = ""


class Routes:
    """The DIDs of one trunk, to be looked up at a cost that does not depend on how many they are.

    They are kept as rows, the arguments of `Did`, and become values when somebody asks: rows of text cost the collector nothing.
    """

    __slots__ = ("_default", "_exact", "_lengths", "_prefixes")

    def __init__(self, rows: Iterable[tuple[Any, ...]] = ()) -> None:
        self._exact: dict[str, tuple[Any, ...]] = {}
        self._prefixes: dict[str, tuple[Any, ...]] = {}
        self._default: tuple[Any, ...] | None = None
        self._lengths: tuple[int, ...] = ()
        for row in rows:
            self.add(row)

    def add(self, row: tuple[Any, ...]) -> None:
        """While they are put together; nothing is taken away and nothing is added once they are in use."""
        number = row[0].lower()
        if not number.endswith("*"):
            self._exact[number] = row
        elif number == "*":
            self._default = row
        else:
            self._prefixes[number[:-1]] = row
            self._lengths = tuple(sorted({*self._lengths, len(number) - 1}, reverse=True))

    def __len__(self) -> int:
        return len(self._exact) + len(self._prefixes) + (self._default is not None)

    def __iter__(self) -> Iterator[Did]:
        """Numbers first, then prefixes, then the default."""
        for rows in (self._exact, self._prefixes):
            for row in rows.values():
                yield Did(*row)
        if self._default is not None:
            yield Did(*self._default)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Routes) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<Routes: {len(self)}>"

    def written(self, number: str) -> Did | None:
        """The Did that is written exactly so, stars included (case counts not for names)."""
        number = number.lower()
        row = self._default if number == "*" else self._exact.get(number) or self._prefixes.get(number.removesuffix("*"))
        return Did(*row) if row is not None and row[0].lower() == number else None

    def find(self, called: str) -> Did | None:
        """Where a call to this number leads: the number itself before the longest prefix before the default."""
        number = called.lower()
        row = self._exact.get(number) or self._longest(number) or self._default
        return Did(*row) if row is not None else None

    def _longest(self, number: str) -> tuple[Any, ...] | None:
        for length in self._lengths:
            row = self._prefixes.get(number[:length])
            if row is not None and len(number) >= length:
                return row
        return None

    def near(self, number: str) -> str | None:
        """A number of these that is nearly that, or else any, for telling an operator what would have worked."""
        for candidate in _variants(number.lower()):
            row = self._exact.get(candidate)
            if row is not None:
                return str(row[0])
        return next((did.number for did in self), None)


def routed(dids: Iterable[Did] | Mapping[str, Routes]) -> Mapping[str, Routes]:
    """By the id of the trunk."""
    if isinstance(dids, Mapping):
        return dids
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for did in dids:
        rows.setdefault(did.trunk_id, []).append(attrs.astuple(did, recurse=False))
    return {trunk: Routes(mine) for trunk, mine in rows.items()}


DIGITS, LETTERS = "9876543210", string.ascii_lowercase
LONGEST = 20


def _variants(number: str) -> Iterator[str]:
    """The same digits in another notation; then one character wrong, missing or too many, the last ones first."""
    digits = number.lstrip("+0")
    if digits:
        yield from (f"{before}{digits}" for before in ("+", "", "00", "0", "+0", "+00"))
    if not 0 < len(number) <= LONGEST:
        return
    alphabet = DIGITS if number.lstrip("+").isdigit() else LETTERS
    for at in range(len(number), -1, -1):
        begin, end = number[:at], number[at:]
        yield begin + end[1:]
        yield from (begin + other + end[1:] for other in alphabet)
        yield from (begin + other + end for other in alphabet)
