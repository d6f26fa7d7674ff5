"""Who changed what of what tenants own, and when: one line for each thing that is new, other than before, or gone.

Passwords and keys are in none of these tables, and so in no line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs
from sqlalchemy import Column, Engine, Table, insert, select
from sqlalchemy.engine import Connection, RowMapping

from smartalex.store import schema

Rows = dict[tuple[str, ...], dict[str, Any]]
"""By table and primary key."""

_WITH_TRUNK = ((schema.trunk, schema.trunk.c.id), (schema.did, schema.did.c.trunk))
_OF_WORKSPACE = (
    (schema.trunk, schema.trunk.c.workspace), (schema.agent, schema.agent.c.workspace),
    (schema.extension, schema.extension.c.workspace), (schema.workspace, schema.workspace.c.id),
)  # fmt: skip

SCOPES: Mapping[str, tuple[tuple[Table, Column[Any]], ...]] = {
    "trunk": _WITH_TRUNK,
    "dids": _WITH_TRUNK[1:],
    "agent": ((schema.agent, schema.agent.c.id),),
    "workspace": _OF_WORKSPACE[3:],
    "directory": _OF_WORKSPACE[2:],
    "tenant": _OF_WORKSPACE,
}
"""What a change of each kind may touch, and the column that says whether it is of the same key."""

NAMES = {"did": "number", "extension": "number"}
"""What a row is called by; `name` where nothing is said."""


@attrs.frozen
class Author:
    """`who` is the login of the person, `via` the command they gave, without its arguments."""

    who: str = ""
    via: str = ""
    wall: Callable[[], float] = time.time


def rows(connection: Connection, kind: str, key: str) -> Rows:
    """What there is now of what such a change may touch."""
    found: Rows = {}
    for table, column in SCOPES.get(kind, ()):
        for row in connection.execute(select(table).where(column == key)).mappings():
            found[_place(table, row)] = dict(row)
    if kind == "tenant":
        numbers = select(schema.did).join(schema.trunk).where(schema.trunk.c.workspace == key)
        found.update({_place(schema.did, row): dict(row) for row in connection.execute(numbers).mappings()})
    return found


def _place(table: Table, row: RowMapping) -> tuple[str, ...]:
    return (table.name, *(str(row[column.name]) for column in table.primary_key))


def differences(before: Rows, after: Rows) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(kind, name, action, data): the whole row for what is new or gone, [old, new] by field for what has changed."""
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        name = str((new or old or {}).get(NAMES.get(place[0], "name"), ""))
        if old is None and new is not None:
            yield place[0], name, "added", new
        elif new is None and old is not None:
            yield place[0], name, "removed", old
        elif old is not None and new is not None and old != new:
            yield place[0], name, "changed", {field: [old[field], new[field]] for field in new if old[field] != new[field]}


def write(connection: Connection, author: Author, lines: Iterable[tuple[str, str, str, dict[str, Any]]]) -> None:
    table, at = schema.audit, author.wall()
    found = [
        {"at": at, "who": author.who, "via": author.via, "kind": kind, "name": name, "action": action, "data": data}
        for kind, name, action, data in lines
    ]
    if found:
        connection.execute(insert(table), found)


def read(engine: Engine, limit: int = 50, *, kind: str = "", name: str = "", since: float = 0.0) -> list[dict[str, Any]]:
    """Newest first; `kind` and `name` choose, `since` is Unix seconds."""
    table = schema.audit
    query = select(table).where(table.c.at >= since).order_by(table.c.id.desc()).limit(limit)
    if kind:
        query = query.where(table.c.kind == kind)
    if name:
        query = query.where(table.c.name == name)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
