"""Reads and writes of the database, as values.  Synchronous: callers on the reactor use a thread.

What tenants own is read and written as one Tenancy; every change raises the revision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import attrs
from sqlalchemy import Connection, Engine, RowMapping, Table, and_, delete, func, insert, or_, select, update

from smartalex.errors import LocalError
from smartalex.interfaces import CallEvent, ISecretStore
from smartalex.store import records, schema
from smartalex.store.engine import reading, writing
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

T = TypeVar("T")


@attrs.frozen
class CallRow:
    """A call's record; `events` are filled by `Repository.call` only.  Times are Unix seconds."""

    id: str
    sip_call_id: str | None
    direction: str | None
    workspace: str | None
    trunk: str | None
    did: str | None
    agent: str | None
    caller: str | None
    caller_name: str | None
    source: str | None
    transport: str | None
    user_agent: str | None
    codec: str | None
    started_at: float
    answered_at: float | None
    ended_at: float | None
    duration_s: float | None
    disposition: str | None
    status: int | None
    cause: str | None
    detail: str | None
    transferred_to: str | None
    rtp: Mapping[str, Any] | None
    flagged: str | None
    events: tuple[CallEvent, ...] = ()


@attrs.frozen
class Message:
    """A message a caller left; `file` is its name in the messages folder."""

    id: str
    call: str
    at: float
    caller: str
    for_id: str
    for_name: str
    duration_ms: int
    file: str


def credential_name(trunk_id: str) -> str:
    """Where the vault keeps the HA1s of a trunk."""
    return f"trunk/{trunk_id}/digest"


class Repository:
    """`vault` is needed by `credentials` only."""

    def __init__(self, engine: Engine, vault: ISecretStore | None = None) -> None:
        self._engine = engine
        self._vault = vault

    # ------------------------------------------------------------------ tenants

    def revision(self) -> int:
        """Cheap: one row.  Changes whenever `tenancy` or `credentials` would."""
        with self._engine.connect() as connection:
            return _revision(connection)

    def tenancy(self) -> Tenancy:
        with reading(self._engine) as connection:
            return Tenancy(
                revision=_revision(connection),
                workspaces={w.id: w for w in _workspaces(connection)},
                trunks={t.id: t for t in _values(connection, schema.trunk, Trunk)},
                dids=tuple(_values(connection, schema.did, Did)),
                agents={a.id: a for a in _values(connection, schema.agent, Agent)},
            )

    def replace_tenancy(self, tenancy: Tenancy) -> None:
        """Make the database hold exactly this (its `revision` is ignored), in one transaction."""
        with writing(self._engine) as connection:
            for table in (schema.did, schema.extension, schema.agent, schema.trunk, schema.workspace):
                connection.execute(delete(table))
            _insert(connection, schema.workspace, [_workspace_row(w) for w in tenancy.workspaces.values()])
            _insert(connection, schema.extension, [row for w in tenancy.workspaces.values() for row in _extension_rows(w)])
            _insert(connection, schema.trunk, [_row(t) for t in tenancy.trunks.values()])
            _insert(connection, schema.agent, [_row(a) for a in tenancy.agents.values()])
            _insert(connection, schema.did, [_row(d) for d in tenancy.dids])
            _changed(connection)

    def find_trunk(self, name: str) -> Trunk:
        """By id or by name; LookupError when there is none."""
        for trunk in self.tenancy().trunks.values():
            if name in (trunk.id, trunk.name):
                return trunk
        raise LookupError(name)

    def set_username(self, trunk_id: str, username: str) -> None:
        """Also after a new password alone, so that a running service reads its credentials again."""
        with writing(self._engine) as connection:
            connection.execute(update(schema.trunk).where(schema.trunk.c.id == trunk_id).values(username=username))
            _changed(connection)

    def credentials(self) -> dict[str, tuple[str, dict[str, str]]]:
        """username -> (trunk id, HA1 by algorithm); raises LocalError when a secret cannot be opened."""
        found = {}
        for trunk in self.tenancy().trunks.values():
            kept = self._kept(trunk)
            if kept:
                found[trunk.username] = (trunk.id, dict(kept["ha1s"]))
        return found

    def realms(self) -> dict[str, str]:
        """trunk id -> the realm its credentials were issued for."""
        kept = {trunk.id: self._kept(trunk) for trunk in self.tenancy().trunks.values()}
        return {trunk_id: str(value["realm"]) for trunk_id, value in kept.items() if value}

    def _kept(self, trunk: Trunk) -> dict[str, Any]:
        if self._vault is None:
            raise LocalError("this repository was opened without the vault")
        try:
            kept: dict[str, Any] = json.loads(self._vault.get(credential_name(trunk.id))) if trunk.username else {}
        except KeyError:
            return {}
        return kept

    # ------------------------------------------------------------------ calls

    def apply(self, events: Sequence[CallEvent]) -> None:
        """Keep these events, in order, in one transaction; what was applied before is left alone."""
        with writing(self._engine) as connection:
            records.apply(connection, events)

    def interrupt_open_calls(self, now: float) -> int:
        """Close the records of calls that the end of an earlier process cut; returns how many."""
        with writing(self._engine) as connection:
            return records.interrupt_open(connection, now)

    def calls(self, limit: int | None = None, refused: bool = False, since: float | None = None) -> list[CallRow]:
        """Newest first: the calls that were let in, or with `refused` only those that were not."""
        table = schema.call
        is_refused = table.c.disposition == "refused"
        query = select(table).where(is_refused if refused else or_(table.c.disposition.is_(None), ~is_refused))
        if since is not None:
            query = query.where(table.c.started_at >= since)
        with self._engine.connect() as connection:
            return [_call_row(row) for row in connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()]

    def refused_count(self) -> int:
        query = select(func.count()).where(schema.call.c.disposition == "refused")
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def call(self, key: str) -> CallRow | None:
        """By id, by the beginning of one, or by SIP Call-ID, with its events; LocalError when `key` fits several."""
        with reading(self._engine) as connection:
            row = _one_call(connection, key)
            return attrs.evolve(_call_row(row), events=_events(connection, row["id"])) if row else None

    # ------------------------------------------------------------------ messages

    def add_message(self, message: Message) -> None:
        with writing(self._engine) as connection:
            connection.execute(insert(schema.message), attrs.asdict(message))

    def messages(self, limit: int | None = None) -> list[Message]:
        """Newest first."""
        query = select(schema.message).order_by(schema.message.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [Message(**row) for row in connection.execute(query).mappings()]

    def message(self, key: str) -> Message | None:
        """By id or the beginning of one; LocalError when `key` fits several."""
        query = select(schema.message).where(_begins(schema.message.c.id, key)).limit(2)
        with self._engine.connect() as connection:
            row = _only(key, connection.execute(query).mappings().all())
        return Message(**row) if row else None


# ---------------------------------------------------------------------- tenants to rows and back


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(schema.meta.c.revision)).scalar_one())


def _changed(connection: Connection) -> None:
    """Say that what tenants own is not what it was."""
    connection.execute(update(schema.meta).values(revision=schema.meta.c.revision + 1))


def _row(value: Any) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in attrs.asdict(value, recurse=False).items()}


def _value(kind: type[T], row: Mapping[Any, Any]) -> T:
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()})


def _values(connection: Connection, table: Table, kind: type[T]) -> list[T]:
    return [_value(kind, row) for row in connection.execute(select(table)).mappings()]


def _workspace_row(workspace: Workspace) -> dict[str, Any]:
    return {"id": workspace.id, "name": workspace.name, "operator": workspace.directory.operator}


def _extension_rows(workspace: Workspace) -> list[dict[str, Any]]:
    extensions = enumerate(workspace.directory.extensions)
    return [{"workspace_id": workspace.id, "position": position, **_row(extension)} for position, extension in extensions]


def _workspaces(connection: Connection) -> list[Workspace]:
    directories: dict[str, list[Extension]] = {}
    for row in connection.execute(select(schema.extension).order_by(schema.extension.c.position)).mappings():
        own = {name: value for name, value in row.items() if name not in ("workspace_id", "position")}
        directories.setdefault(row["workspace_id"], []).append(_value(Extension, own))
    rows = connection.execute(select(schema.workspace)).mappings().all()
    return [Workspace(r["id"], r["name"], Directory(tuple(directories.get(r["id"], ())), r["operator"])) for r in rows]


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


# ---------------------------------------------------------------------- calls


def _call_row(row: RowMapping) -> CallRow:
    columns = {name: value for name, value in row.items() if name not in ("last_seq", "rtp")}
    return CallRow(rtp=json.loads(row["rtp"]) if row["rtp"] else None, **columns)


def _one_call(connection: Connection, key: str) -> RowMapping | None:
    table = schema.call
    by_id = connection.execute(select(table).where(_begins(table.c.id, key)).limit(2)).mappings().all()
    if by_id:
        return _only(key, by_id)
    # A caller may send the same Call-ID again and be refused for it: the newest is meant.
    query = select(table).where(table.c.sip_call_id == key).order_by(table.c.id.desc()).limit(1)
    return connection.execute(query).mappings().first()


def _begins(column: Any, key: str) -> Any:
    """Ids are upper case; people may type them as they like."""
    return or_(*(and_(column >= prefix, column < prefix + "\U0010ffff") for prefix in {key, key.upper()}))


def _only(key: str, rows: Sequence[RowMapping]) -> RowMapping | None:
    exact = [row for row in rows if row["id"] in (key, key.upper())]
    if exact:
        return exact[0]
    if len(rows) > 1:
        raise LocalError(f"{key} is the beginning of several ids; write more of it")
    return rows[0] if rows else None


def _events(connection: Connection, call_id: str) -> tuple[CallEvent, ...]:
    table = schema.call_event
    rows = connection.execute(select(table).where(table.c.call == call_id).order_by(table.c.seq))
    return tuple(CallEvent(row.call, row.seq, row.at, row.kind, {}, json.loads(row.data)) for row in rows)
