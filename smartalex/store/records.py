"""Records of calls and messages in the database.  Synchronous: callers go through a thread pool."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from smartalex.interfaces import CallEvent
from smartalex.store import schema
from smartalex.store.engine import upsert
from smartalex.tenants.trunk import IN_CLEAR

MOST_REMEMBERED = 10_000

_UNKNOWN = {c.name: None if c.nullable else "" for c in schema.call.columns if not c.primary_key}
"""A call's row of which nothing is known yet."""

BESIDE = -1
"""The number of an event that is no part of its call's story: the row of a message, in its fields."""

TRACE = "sip"
"""The kind of event that holds a call's SIP messages: long, and read only by `trace`."""


class Records:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._last: OrderedDict[str, int] = OrderedDict()  # the newest event of calls that were written of late

    def apply(self, events: Sequence[CallEvent]) -> None:
        """Write events in one transaction; those written before are passed over."""
        if not events:
            return
        try:
            last = self._apply(events, self._last)
        except IntegrityError:  # some call is not as new as its first event looks
            last = self._apply(events, None)
        self._last.update(last)
        for call in last:
            self._last.move_to_end(call)
        while len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)

    def _apply(self, events: Sequence[CallEvent], last: Mapping[str, int] | None) -> dict[str, int]:
        """With `last` a call is not looked up that is in it, or begins with these events.  The newest of each call."""
        with self.engine.begin() as connection:
            story = [event for event in events if event.seq != BESIDE]
            known = self._known(connection, story, last)
            new = []
            for event in story:
                if event.seq > known.get(event.call, -1):
                    known[event.call] = event.seq
                    new.append(event)
            if new:
                _write(connection, new)
            for event in events:
                if event.seq == BESIDE:
                    connection.execute(upsert(connection, schema.message).on_conflict_do_nothing(), dict(event.fields))
        return known

    def _known(self, connection: Connection, events: Sequence[CallEvent], last: Mapping[str, int] | None) -> dict[str, int]:
        """The newest event of each of these calls that is in the database."""
        calls = {event.call for event in events}
        known: dict[str, int] = {}
        if last is not None:
            calls -= {event.call for event in events if event.seq == 0}
            known = {call: last[call] for call in calls if call in last}
            calls -= known.keys()
        ids, table = sorted(calls), schema.call_event
        for start in range(0, len(ids), 500):
            chunk = ids[start : start + 500]
            rows = connection.execute(
                select(table.c.call, func.max(table.c.seq)).where(table.c.call.in_(chunk)).group_by(table.c.call)
            )
            known.update({call: seq for call, seq in rows})
        return known

    def calls(self, limit: int = 50, *, refused: bool = False) -> list[dict[str, Any]]:
        """Newest first."""
        query = select(schema.call).order_by(schema.call.c.started_at.desc(), schema.call.c.id.desc()).limit(limit)
        if refused:
            query = query.where(schema.call.c.disposition == "refused")
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def call(self, prefix: str) -> dict[str, Any] | None:
        """The call whose id, or SIP Call-ID, this is or begins with; its events under 'events'."""
        events = schema.call_event
        with self.engine.connect() as connection:
            row = _call_row(connection, prefix)
            if row is None:
                return None
            mine = (events.c.call == row["id"]) & (events.c.kind != TRACE)
            story = connection.execute(select(events).where(mine).order_by(events.c.seq)).mappings()
            return {**row, "events": [{"at": e["at"], "kind": e["kind"], **e["data"]} for e in story]}

    def trace(self, prefix: str) -> dict[str, Any] | None:
        """The call as `call` finds it; under 'trace' its SIP messages as they were recorded, or None."""
        events = schema.call_event
        with self.engine.connect() as connection:
            row = _call_row(connection, prefix)
            if row is None:
                return None
            mine = (events.c.call == row["id"]) & (events.c.kind == TRACE)
            return {**row, "trace": connection.execute(select(events.c.data).where(mine)).scalars().first()}

    def story_since(self, sip_call_id: str, since: float, seq: int) -> list[dict[str, Any]]:
        """Events beyond number `seq` of a call that began after `since` (Unix seconds), for following it while it lasts."""
        calls, events = schema.call, schema.call_event
        mine = select(calls.c.id).where((calls.c.started_at >= since) & (calls.c.sip_call_id == sip_call_id))
        new = events.c.call.in_(mine) & (events.c.seq > seq) & (events.c.kind != TRACE)
        query = select(events).where(new).order_by(events.c.seq)
        with self.engine.connect() as connection:
            return [
                {"call": e["call"], "seq": e["seq"], "kind": e["kind"], **e["data"]} for e in connection.execute(query).mappings()
            ]

    def messages(self, limit: int = 50) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.message).order_by(schema.message.c.at.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def in_progress(self) -> dict[str, int]:
        """Calls that have not ended, by trunk name."""
        table = schema.call
        query = select(table.c.trunk, func.count()).where(table.c.ended_at.is_(None)).group_by(table.c.trunk)
        with self.engine.connect() as connection:
            return {trunk: count for trunk, count in connection.execute(query)}

    def keys_in_clear(self) -> set[str]:
        """Trunks of which some of the last thousand calls had their SRTP keys in signalling that anybody could read."""
        last = select(schema.call.c.trunk, schema.call.c.secured).order_by(schema.call.c.started_at.desc()).limit(1000).subquery()
        query = select(last.c.trunk).where(last.c.secured.endswith(IN_CLEAR)).distinct()
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())


def _call_row(connection: Connection, prefix: str) -> Any:
    table = schema.call
    match = table.c.id.startswith(prefix.upper(), autoescape=True) | (table.c.sip_call_id == prefix)
    return connection.execute(select(table).where(match).order_by(table.c.id.desc()).limit(1)).mappings().first()


def _write(connection: Connection, events: Sequence[CallEvent]) -> None:
    """Every event is a line of its call's story; what they say of one call's row is written at once."""
    story = [{"call": e.call, "seq": e.seq, "at": e.at, "kind": e.kind, "data": e.data} for e in events]
    connection.execute(insert(schema.call_event), story)
    opened: dict[str, dict[str, Any]] = {}
    changed: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.seq == 0:
            opened[event.call] = {**_UNKNOWN, "id": event.call}
        row = opened[event.call] if event.call in opened else changed.setdefault(event.call, {})
        row.update((key, storable(value)) for key, value in event.fields.items() if key in _UNKNOWN)
    if opened:
        connection.execute(insert(schema.call), list(opened.values()))
    for call, row in changed.items():
        if row:
            connection.execute(update(schema.call).where(schema.call.c.id == call).values(**row))


def storable(value: Any) -> Any:
    """Text that came from header bytes which were no UTF-8, or holds a NUL, has no place in a database."""
    if value is None or isinstance(value, (int, float, dict, list)):
        return value
    return str(value).replace("\0", "").encode("utf-8", "replace").decode()
