"""Call events into rows: idempotent, few statements, and nothing in an event can stop the others.

A batch becomes one upsert per call and one insert per event.  The call's row
remembers the last event it has seen, so that older ones coming again change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Float, Integer, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from smartalex.interfaces import CallEvent
from smartalex.store.schema import call, call_event

TEXT_LIMIT = 1000
_INTEGER_LIMIT = 2**63

_json = json.JSONEncoder(separators=(",", ":"), default=str).encode  # made once: json.dumps would make one a call


def _text(value: Any) -> str:
    """At most TEXT_LIMIT characters, none that a database would refuse."""
    text = value if isinstance(value, str) else _json(value)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text[:TEXT_LIMIT].replace("\0", "")


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) < _INTEGER_LIMIT else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _converter(column: Any) -> Callable[[Any], Any]:
    if column.name == "rtp":
        return _json
    if isinstance(column.type, Integer):
        return _integer
    return _float if isinstance(column.type, Float) else _text


CONVERTERS = {column.name: _converter(column) for column in call.columns if column.name not in ("id", "last_seq")}
"""Columns that an event may set -> how its value is made fit for the database."""


def apply(connection: Connection, events: Sequence[CallEvent]) -> None:
    """Insert the events that are new and bring their calls' rows up to date; `events` of a call must be in order."""
    if not events:
        return
    dialect = connection.dialect.name
    _run(connection, _insert_events(dialect), [_event_row(event) for event in events])
    for columns, rows in _call_rows(events).items():
        _run(connection, _upsert_calls(dialect, columns), rows)


def _run(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    """Straight to the driver: our values are ready for it, which saves a fifth."""
    compiled = _compiled(statement, connection.dialect)
    names = compiled.positiontup
    connection.exec_driver_sql(str(compiled), [tuple(row[name] for name in names) for row in rows] if names else rows)


@lru_cache(maxsize=256)
def _compiled(statement: Any, dialect: Dialect) -> Any:
    return statement.compile(dialect=dialect)


def _event_row(event: CallEvent) -> dict[str, Any]:
    return {
        "call": event.call,
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "data": _json(event.data) if event.data else "{}",
    }


def _call_rows(events: Sequence[CallEvent]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """One row a call, its events merged; grouped by the columns they set, because a statement goes with those."""
    merged: dict[str, dict[str, Any]] = {}
    for event in events:
        row = merged.get(event.call)
        if row is None:
            row = merged[event.call] = {"id": event.call, "started_at": event.at}
        row["last_seq"] = event.seq
        for name, value in event.fields.items():
            convert = CONVERTERS.get(name)
            if convert is not None:
                row[name] = convert(value) if value is not None else None
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in merged.values():
        groups.setdefault(tuple(sorted(row)), []).append(row)
    return groups


@lru_cache(maxsize=8)
def _insert_events(dialect: str) -> Any:
    return _dialect_insert(dialect)(call_event).on_conflict_do_nothing()


@lru_cache(maxsize=256)
def _upsert_calls(dialect: str, columns: tuple[str, ...]) -> Any:
    statement = _dialect_insert(dialect)(call).values({name: bindparam(name) for name in columns})
    changes = {name: statement.excluded[name] for name in columns if name not in ("id", "started_at")}
    return statement.on_conflict_do_update(
        index_elements=[call.c.id], set_=changes, where=call.c.last_seq < statement.excluded.last_seq
    )


def _dialect_insert(dialect: str) -> Any:
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


# ---------------------------------------------------------------------- calls that were cut

INTERRUPTED: Mapping[str, str] = {"disposition": "interrupted", "cause": "the service stopped during the call"}


def interrupt_open(connection: Connection, now: float) -> int:
    """Mark every call without an end: it ended no earlier than its last event, and nobody knows more."""
    count = 0
    query = select(call.c.id, call.c.last_seq, call.c.answered_at, func.max(call_event.c.at).label("seen_at"))
    query = query.join(call_event, call_event.c.call == call.c.id).where(call.c.ended_at.is_(None)).group_by(call.c.id)
    for cut in connection.execute(query).all():
        seq, talked_s = cut.last_seq + 1, max(0.0, cut.seen_at - (cut.answered_at or cut.seen_at))
        connection.execute(
            update(call).where(call.c.id == cut.id).values(ended_at=cut.seen_at, duration_s=talked_s, last_seq=seq, **INTERRUPTED)
        )
        story = {
            "call": cut.id,
            "seq": seq,
            "at": now,
            "kind": "interrupted",
            "data": _json({"cause": INTERRUPTED["cause"]}),
        }
        connection.execute(insert(call_event), story)
        count += 1
    return count
