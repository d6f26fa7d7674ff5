"""Reading what tenants own: all of it, or what was changed since, in bites that a platform with calls does not notice.

Rows come straight from the driver, in portions; after each there is a `pause`.  Python runs one thread at a time, and while
this one computes, each packet that the media plane sends waits for its turn: a bite is about a millisecond, the rests are longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs
import orjson
from sqlalchemy import JSON, Boolean, ColumnElement, Engine, Select, Text, cast, select
from sqlalchemy.engine import Connection

from smartalex.store import schema
from smartalex.tenants import hours
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Routes
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

PORTION = 50
"""Rows between two looks at the clock."""

WHOLE = "all"
"""The kind of a change that does not say what it was."""

Pause = Callable[[], None]


class Rests:
    """A pause that sleeps `times` as long as its thread computed, whenever that was `bite_s` or more.

    For one thread, which need not be the one that makes it: counting begins with the first call.
    """

    def __init__(self, bite_s: float = 0.0005, times: float = 4.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self._bite_s, self._times, self._sleep = bite_s, times, sleep
        self._since: float | None = None

    def __call__(self) -> None:
        used = 0.0 if self._since is None else time.thread_time() - self._since
        if used >= self._bite_s:
            self._sleep(min(used * self._times, 0.1))
        if self._since is None or used >= self._bite_s:
            self._since = time.thread_time()


def at_once() -> None:
    """The pause of those who have nobody to wait for."""


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one moment of the database, however many statements look."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
            yield connection
            connection.exec_driver_sql("ROLLBACK")
        else:
            yield connection.execution_options(isolation_level="REPEATABLE READ")


def revision(connection: Connection) -> int:
    return int(connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "revision")).scalar() or 0)


def read(engine: Engine, known: Tenancy | None = None, pause: Pause = at_once) -> Tenancy:
    """The picture at the newest revision; of what has not changed since `known` it holds the very same values."""
    with snapshot(engine) as connection:
        reader = _Reader(connection, pause)
        newest = revision(connection)
        found = changes(connection, known.revision if known else None, newest)
        return reader.whole(newest) if known is None or found is None else reader.after(known, newest, found)


def changes(connection: Connection, since: int | None, newest: int) -> dict[str, set[str]] | None:
    """Kind -> keys, of what was changed after one revision up to another; None when not all of it is written down."""
    if since is None:
        return None
    table = schema.tenant_change
    rows = connection.execute(select(table).where(table.c.revision > since)).all()
    if len(rows) != newest - since or any(row.kind == WHOLE for row in rows):
        return None
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.kind, set()).add(row.key)
    return found


class _Reader:
    def __init__(self, connection: Connection, pause: Pause) -> None:
        self._connection = connection
        self._pause = pause
        self._same: dict[str, str] = {}

    def whole(self, newest: int) -> Tenancy:
        directories = self._directories()
        trunks = {row[0]: trunk_of(row) for row in self._rows(TRUNKS)}
        workspaces = {row[0]: self._workspace(row, directories) for row in self._rows(_WORKSPACES)}
        return Tenancy(newest, workspaces, trunks, self._routes(), {row[0]: agent_of(row) for row in self._rows(_AGENTS)})

    def after(self, known: Tenancy, newest: int, changes: Mapping[str, set[str]]) -> Tenancy:
        """Each kind of change names what is to be read anew; what is not found any more is gone."""
        of = lambda kind: changes.get(kind, set())  # noqa: E731
        trunks, agents = dict(known.trunks), dict(known.agents)
        routes, workspaces = dict(known.routes), dict(known.workspaces)
        _put(trunks, of("trunk"), ((row[0], trunk_of(row)) for row in self._some(TRUNKS, schema.trunk.c.id, of("trunk"))))
        _put(agents, of("agent"), ((row[0], agent_of(row)) for row in self._some(_AGENTS, schema.agent.c.id, of("agent"))))
        for trunk_id in of("trunk") | of("dids"):
            _put(routes, {trunk_id}, self._routes(schema.did.c.trunk == trunk_id).items())
        for workspace_id in of("workspace") | of("directory"):
            old = known.workspaces.get(workspace_id)
            fresh = old is None or workspace_id in of("directory")
            directories = self._directories(schema.extension.c.workspace == workspace_id) if fresh else {}
            rows = list(self._some(_WORKSPACES, schema.workspace.c.id, {workspace_id}))
            _put(
                workspaces, {workspace_id}, ((row[0], self._workspace(row, directories, None if fresh else old)) for row in rows)
            )
        return Tenancy(newest, workspaces, trunks, routes, agents)

    def _rows(self, query: Select[Any]) -> Iterator[tuple[Any, ...]]:
        """As the driver gives them: lists are JSON, truth may be 0 and 1."""
        cursor = self._connection.execute(query).cursor
        assert cursor is not None
        while rows := cursor.fetchmany(PORTION):
            yield from rows
            self._pause()
        cursor.close()

    def _some(self, query: Select[Any], column: ColumnElement[str], keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        for key in sorted(keys):
            yield from self._rows(query.where(column == key))

    def _routes(self, which: ColumnElement[bool] | None = None) -> dict[str, Routes]:
        """Most rows are a number, a trunk and an agent; the ids are kept once, and the rest only where there is any."""
        found: dict[str, Routes] = {}
        same = self._same
        for row in self._rows(_DIDS if which is None else _DIDS.where(which)):
            number, trunk, agent, *rest = row
            routes = found.get(trunk)
            if routes is None:
                routes = found[trunk] = Routes()
            ids = same.setdefault(trunk, trunk), same.setdefault(agent, agent)
            if any(rest):
                hours.open_at(rest[0], rest[1] or "UTC", (), 0.0)  # reads the time zone's file before a call has to
            routes.add((number, *ids, *rest) if any(rest) else (number, *ids))
        return found

    def _directories(self, which: ColumnElement[bool] | None = None) -> dict[str, Callable[[], Iterable[Extension]]]:
        """Packed by workspace: a twentieth of what values would take, until somebody calls there."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        packed: dict[str, list[bytes]] = {}
        for workspace, *row in self._rows(_EXTENSIONS if which is None else _EXTENSIONS.where(which)):
            rows = found.setdefault(workspace, [])
            rows.append(tuple(row))
            if len(rows) >= PORTION:
                packed.setdefault(workspace, []).append(orjson.dumps(rows))
                rows.clear()
        for workspace, rows in found.items():
            packed.setdefault(workspace, []).append(orjson.dumps(rows))
            self._pause()
        return {workspace: partial(_extensions, tuple(parts)) for workspace, parts in packed.items()}

    def _workspace(
        self,
        row: tuple[Any, ...],
        directories: Mapping[str, Callable[[], Iterable[Extension]]],
        old: Workspace | None = None,
    ) -> Workspace:
        key, name, operator, *rest = row
        directory = old.directory if old is not None else Directory.later(directories.get(key, tuple), operator)
        return Workspace(key, name, directory, *rest)


def _put(values: dict[str, Any], keys: Iterable[str], found: Iterable[tuple[str, Any]]) -> None:
    for key in keys:
        values.pop(key, None)
    values.update(found)


def _extensions(parts: tuple[bytes, ...]) -> Iterator[Extension]:
    for part in parts:
        for key, number, name, kind, department, aliases, digit, pronunciation, warm, availability in orjson.loads(part):
            said = tuple(orjson.loads(aliases)) if aliases != "[]" else ()
            yield Extension(key, number, name, kind, department, said, digit, pronunciation, bool(warm), availability)


def _select(table: Any, columns: Iterable[str]) -> Select[Any]:
    """Lists as the text they are stored as: neither driver nor SQLAlchemy is to take them apart."""
    wanted = (table.c[name] for name in columns)
    return select(*(cast(column, Text) if isinstance(column.type, JSON) else column for column in wanted))


def _columns(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a value are the columns of its table, in order."""
    return tuple({"workspace_id": "workspace"}.get(field.name, field.name) for field in attrs.fields(kind))


def _maker(table: Any, kind: type[Any]) -> Callable[[tuple[Any, ...]], Any]:
    """Makes the value of a row of `_select`."""
    columns = [table.c[name] for name in _columns(kind)]
    lists = [at for at, column in enumerate(columns) if isinstance(column.type, JSON)]
    truths = [at for at, column in enumerate(columns) if isinstance(column.type, Boolean)]

    def make(row: tuple[Any, ...]) -> Any:
        values = list(row)
        for at in lists:
            values[at] = () if values[at] == "[]" else tuple(orjson.loads(values[at]))
        for at in truths:
            values[at] = bool(values[at])
        return kind(*values)

    return make


trunk_of: Callable[[tuple[Any, ...]], Trunk] = _maker(schema.trunk, Trunk)
agent_of: Callable[[tuple[Any, ...]], Agent] = _maker(schema.agent, Agent)

TRUNKS = _select(schema.trunk, _columns(Trunk))
_AGENTS = _select(schema.agent, _columns(Agent))
_WORKSPACES = _select(
    schema.workspace, ("id", "name", "operator", "max_calls", "max_duration_s", "call_forwarding_number", "timezone", "holidays")
)
_DIDS = _select(schema.did, ("number", "trunk", "agent", "hours", "timezone", "holidays", "closed_agent"))
_EXTENSIONS = _select(schema.extension, ("workspace", "id", "number", "name", "kind", "department", "aliases", "digit",
                                         "pronunciation", "warm_transfer", "availability"))  # fmt: skip
