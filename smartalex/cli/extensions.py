"""`smartalex extensions`: the directory, the only place transfer targets come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import click

from smartalex.cli import extensions_csv as table
from smartalex.cli.state import (
    columns,
    confirmed,
    json_option,
    opened,
    settle,
    show_json,
    state_options,
    unknown,
    workspace_of,
    yes_option,
)
from smartalex.errors import ConfigurationError
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.workspace import Tenancy, Workspace

workspace_option = click.option("--workspace", metavar="NAME", help="Whose directory, where there are several workspaces.")


@click.group(invoke_without_command=True)
@state_options
@json_option
@workspace_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the people and departments callers can be transferred to, or add, import and remove them.

    \b
      smartalex extensions import staff.csv --replace
      smartalex extensions add 301 "Sarah Mitchell" --department billing --alias sally
    """
    if context.invoked_subcommand is None:
        show_all(state, config, workspace, as_json)


@command.command("list")
@workspace_option
@state_options
@json_option
def listing(state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the directory, as the command alone does."""
    show_all(state, config, workspace, as_json)


def show_all(state: str | None, config: str | None, workspace: str | None, as_json: bool) -> None:
    directory = workspace_of(opened(state, config).repository.tenancy(), workspace).directory
    rows = [_described(extension, directory) for extension in directory.extensions]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("the directory is empty; fill it with: smartalex extensions import FILE.csv")
    else:
        for line in columns([HEAD, *(_line(row) for row in rows)]):
            click.echo(line)


HEAD = ("NUMBER", "NAME", "KIND", "DEPARTMENT", "KEY", "AVAILABLE", "WARM", "ALIASES")


def _described(extension: Extension, directory: Directory) -> dict[str, Any]:
    row = attrs.asdict(extension, filter=attrs.filters.exclude("id"))
    return {**row, "operator": extension.id == directory.operator}


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    name = row["name"] + (" (operator)" if row["operator"] else "")
    return (
        row["number"], name, row["kind"], row["department"], row["digit"], row["availability"] or "always",
        "yes" if row["warm_transfer"] else "no", "; ".join(row["aliases"]),
    )  # fmt: skip


@command.command()
@click.argument("number")
@click.argument("name")
@click.option("--department", default="", metavar="NAME", help="Where a person works.")
@click.option("--alias", multiple=True, metavar="TEXT", help="Something else callers say; repeatable.")
@click.option(
    "--kind", type=click.Choice(table.KINDS), default="person", show_default=True, help="A department is a ring group or queue."
)
@click.option("--digit", default="", metavar="D", help="The key that stands for it.")
@click.option("--pronunciation", default="", metavar="TEXT", help="How the name sounds, in plain letters.")
@click.option(
    "--availability",
    default="",
    metavar="HOURS",
    help='When callers may be put through: "Mo-Fr 08:00-17:00", or off (default always).',
)
@click.option("--warm-transfer", is_flag=True, help="They may be called and told who is there before callers are put through.")
@click.option("--operator", is_flag=True, help="It is who 'operator' means.")
@workspace_option
@state_options
@json_option
def add(
    number: str,
    name: str,
    *,
    alias: tuple[str, ...],
    operator: bool,
    warm_transfer: bool,
    workspace: str | None,
    state: str | None,
    config: str | None,
    as_json: bool,
    **cells: str,
) -> None:
    """Add one entry; a NUMBER that is in the directory already is described anew.

    \b
      smartalex extensions add 301 "Sarah Mitchell" --department billing --alias sally
      smartalex extensions add 600 Reception --kind department --digit 0 --operator
    """
    warm = "yes" if warm_transfer else "no"
    row = {"number": number, "display_name": name, "aliases": ";".join(alias), "warm_transfer": warm, **cells}
    for column, problem in table.wrong(row):
        raise click.UsageError(f"{column.replace('display_name', 'name')}: {problem}")
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = workspace_of(tenancy, workspace)
    listed = table.Listed((table.extension(row),), FIELDS)
    directory, added, _ = merge(owner.directory, listed, _ids(tenancy), replace=False)
    found = next(e for e in directory.extensions if e.number == number)
    if operator:
        directory = Directory(directory.extensions, found.id)
    here.repository.put_directory(owner.id, directory)
    settle(here)
    if as_json:
        show_json(_described(found, directory))
    else:
        click.echo(f"{found.number} {found.name} is {'in the directory' if added else 'changed'}")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE.csv")
@click.option("--replace", is_flag=True, help="The file is the whole directory: take out what it does not hold.")
@workspace_option
@yes_option
@state_options
@json_option
def load(
    file: Path, *, replace: bool, workspace: str | None, yes: bool, state: str | None, config: str | None, as_json: bool
) -> None:
    """Add and change entries from a file, all of them or, when a line is wrong, none; up to 500 rows.

    What the file does not speak of stays as it is known.

    The first line names the columns: number, display_name, and any of department, aliases (separated by ;),
    kind (person or department), digit, pronunciation, warm_transfer (yes or no), availability (such as
    "Mo-Fr 08:00-17:00", or off).

    \b
      smartalex extensions import staff.csv

    \b
      number,display_name,department,aliases
      301,Sarah Mitchell,billing,sally;miss mitchell
    """
    try:
        found = table.read(file.read_text(encoding="utf-8"))
    except (ConfigurationError, UnicodeDecodeError) as error:
        raise click.ClickException(
            "\n".join(f"{file}: {line}" for line in str(error).splitlines()) + "\nnothing was imported"
        ) from None
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = workspace_of(tenancy, workspace)
    directory, added, changed = merge(owner.directory, found, _ids(tenancy), replace=replace)
    removed = len(owner.directory.extensions) + len(added) - len(directory.extensions)
    if removed:
        confirmed(f"take {removed} entries out of the directory that {file} does not hold", yes)
    here.repository.put_directory(owner.id, directory)
    settle(here)
    counts = {"added": len(added), "changed": len(changed), "removed": removed, "entries": len(directory.extensions)}
    if as_json:
        show_json(counts)
    else:
        click.echo("{added} added, {changed} changed, {removed} removed; the directory has {entries} entries".format(**counts))


@command.command("set")
@click.argument("who", metavar="NUMBER|NAME")
@click.option("--number", metavar="NUMBER", help="Another number.")
@click.option("--name", "display_name", metavar="NAME", help="Another name.")
@click.option("--department", metavar="NAME", help="Where a person works.")
@click.option("--alias", multiple=True, metavar="TEXT", help="Something else callers say, besides what is known; repeatable.")
@click.option("--no-aliases", is_flag=True, help="Forget every --alias.")
@click.option("--kind", type=click.Choice(table.KINDS), help="A department is a ring group or queue.")
@click.option("--digit", metavar="D", help='The key that stands for it; "" for none.')
@click.option("--pronunciation", metavar="TEXT", help="How the name sounds, in plain letters.")
@click.option(
    "--availability", metavar="HOURS", help='When callers may be put through: "Mo-Fr 08:00-17:00", off, or "" for always.'
)
@click.option("--warm-transfer/--no-warm-transfer", default=None, help="They may be called and told who is there before.")
@click.option("--operator/--no-operator", default=None, help="It is who 'operator' means.")
@workspace_option
@state_options
@json_option
def change(
    who: str,
    *,
    alias: tuple[str, ...],
    no_aliases: bool,
    warm_transfer: bool | None,
    operator: bool | None,
    workspace: str | None,
    state: str | None,
    config: str | None,
    as_json: bool,
    **cells: str | None,
) -> None:
    """Change one entry; what is not given stays.

    \b
      smartalex extensions set 301 --availability "Mo-Fr 08:00-17:00"
      smartalex extensions set "Sarah Mitchell" --alias sally --no-warm-transfer
    """
    said = {column: value for column, value in cells.items() if value is not None}
    if not said and not alias and not no_aliases and warm_transfer is operator is None:
        raise click.UsageError("say what to change; see: smartalex extensions set --help")
    here = opened(state, config)
    owner = workspace_of(here.repository.tenancy(), workspace)
    old = _named(owner, who)
    aliases = dict.fromkeys((*(() if no_aliases else old.aliases), *alias))
    known = {"number": old.number, "display_name": old.name, "department": old.department, "kind": old.kind,
             "digit": old.digit, "pronunciation": old.pronunciation, "availability": old.availability}  # fmt: skip
    row = {**known, **said, "aliases": ";".join(aliases)}
    for column, problem in table.wrong(row):
        raise click.UsageError(f"{column.replace('display_name', 'name')}: {problem}")
    warm = old.warm_transfer if warm_transfer is None else warm_transfer
    new = attrs.evolve(table.extension(row), id=old.id, warm_transfer=warm)
    directory = with_entry(owner.directory, old, new)
    if operator is not None and operator != (directory.operator == new.id):
        directory = Directory(directory.extensions, new.id if operator else None)
    here.repository.put_directory(owner.id, directory)
    settle(here)
    if as_json:
        show_json(_described(new, directory))
    else:
        click.echo(f"{new.number} {new.name} is changed")


def with_entry(directory: Directory, old: Extension, new: Extension) -> Directory:
    """The directory with the new in the place of the old; a key goes to the one that wants it now."""
    others = [e for e in directory.extensions if e.id != old.id]
    if any(other.number == new.number for other in others):
        raise click.ClickException(f"{new.number} is somebody else's number already")
    entries = (
        new if e.id == old.id else attrs.evolve(e, digit="") if new.digit and e.digit == new.digit else e
        for e in directory.extensions
    )
    return Directory(entries, directory.operator)


@command.command()
@click.argument("who", metavar="NUMBER|NAME")
@workspace_option
@yes_option
@state_options
@json_option
def remove(who: str, *, workspace: str | None, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Take one entry out, by its number or its whole name.

    \b
      smartalex extensions remove 301 --yes
    """
    here = opened(state, config)
    owner = workspace_of(here.repository.tenancy(), workspace)
    found = _named(owner, who)
    confirmed(f"take {found.number} {found.name} out of the directory", yes)
    left = tuple(e for e in owner.directory.extensions if e is not found)
    operator = None if owner.directory.operator == found.id else owner.directory.operator
    here.repository.put_directory(owner.id, Directory(left, operator))
    settle(here)
    if as_json:
        show_json({"removed": found.number, "name": found.name})
    else:
        click.echo(
            f"{found.number} {found.name} is taken out"
            + ("; there is no operator now" if operator != owner.directory.operator else "")
        )


def _named(owner: Workspace, who: str) -> Extension:
    entries = owner.directory.extensions
    found = [e for e in entries if e.number == who] or [e for e in entries if e.name.lower() == who.lower()]
    if len(found) > 1:
        raise click.UsageError(f"several are named {who!r}; give the number: {', '.join(e.number for e in found)}")
    if not found:
        raise unknown(
            "extension", who, {e.name for e in entries} | {e.number for e in entries}, "smartalex extensions add NUMBER NAME"
        )
    return found[0]


FIELDS = tuple(field.name for field in attrs.fields(Extension) if field.name != "id")


def merge(
    directory: Directory, new: table.Listed, taken: Iterable[str], *, replace: bool
) -> tuple[Directory, list[Extension], list[Extension]]:
    """(directory, added, changed): entries are the same when their number is.  A key goes to the newest entry that wants it.

    `taken` are the ids of all workspaces' extensions.
    """
    before = {e.number: e for e in directory.extensions}
    ids = set(taken)
    entries = {} if replace else dict(before)
    added: list[Extension] = []
    changed: list[Extension] = []
    for extension in new.extensions:
        old = before.get(extension.number)
        now = attrs.evolve(old or extension, **{field: getattr(extension, field) for field in new.fields})
        now = now if old else attrs.evolve(now, id=_new_id(extension.name, ids))
        ids.add(now.id)
        if old != now:
            (changed if old else added).append(now)
        if now.digit:
            entries = {n: attrs.evolve(e, digit="") if e.digit == now.digit else e for n, e in entries.items()}
        entries[now.number] = now
    operator = directory.operator if directory.operator in {e.id for e in entries.values()} else None
    return Directory(tuple(entries.values()), operator), added, changed


def _ids(tenancy: Tenancy) -> Iterable[str]:
    return (e.id for w in tenancy.workspaces.values() for e in w.directory.extensions)


def _new_id(name: str, taken: set[str]) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "extension"
    return next(i for i in (stem, *(f"{stem}-{n}" for n in range(2, len(taken) + 3))) if i not in taken)
