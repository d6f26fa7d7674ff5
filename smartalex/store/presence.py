"""Which node has which calls, so that nobody marks the calls of a node that is alive.

Each start of a node is a run; calls say theirs.  A run is heard of every `SEEN_S` seconds.  Open calls of earlier runs of a node
are marked when it starts again; those of other nodes when they have not been heard of for `dead_after_s`, by whoever comes first.
Times are the database's: nodes need not agree on theirs.
"""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import Column, ColumnElement, Connection, Engine, Float, cast, delete, extract, func, select, update

from smartalex.store import schema
from smartalex.store.engine import upsert

SEEN_S = 10.0
KEPT_S = 86_400.0
"""How long a run that ended without a word is remembered."""


@attrs.define
class Presence:
    """A run is NODE.TOKEN: the first part is the same after a restart.  Synchronous: for the store's threads."""

    engine: Engine
    run: str
    dead_after_s: float
    _since: float | None = None  # monotonic: since when the database has been there for us without a break

    def begin(self, now: float) -> int:
        """We are here, and what earlier runs of ours left open is over; `now` is Unix seconds.  Returns how many calls."""
        with self.engine.begin() as connection:
            self._seen(connection)
            cut = _interrupt(connection, self._earlier(schema.call.c.run) | (schema.call.c.run == ""), now)
            connection.execute(delete(schema.run).where(self._earlier(schema.run.c.id)))
        return cut

    def _earlier(self, run: Column[str]) -> ColumnElement[bool]:
        return run.startswith(self.run.partition(".")[0] + ".", autoescape=True) & (run != self.run)

    def seen(self, wall: float, now: float) -> int:
        """To be called every SEEN_S with Unix and monotonic seconds; returns how many calls of dead nodes were marked.

        Others are only given up when the database was there all that time: after an outage of its own nobody has been heard of.
        """
        try:
            with self.engine.begin() as connection:
                self._seen(connection)
        except BaseException:
            self._since = None
            raise
        if self._since is None:
            self._since = now
        return self._bury(wall) if now - self._since > self.dead_after_s else 0

    def end(self) -> None:
        """A stop in good order: no call is left."""
        with self.engine.begin() as connection:
            connection.execute(delete(schema.run).where(schema.run.c.id == self.run))

    def _seen(self, connection: Connection) -> None:
        here = upsert(connection, schema.run).values(id=self.run, seen_at=_clock())
        connection.execute(here.on_conflict_do_update(index_elements=["id"], set_={"seen_at": _clock()}))

    def _bury(self, wall: float) -> int:
        runs, calls = schema.run, schema.call
        with self.engine.begin() as connection:
            alive = select(runs.c.id).where(runs.c.seen_at >= _clock() - self.dead_after_s)
            dead = calls.c.run.not_in(alive) & (calls.c.run != self.run) & (calls.c.started_at < wall - self.dead_after_s)
            cut = _interrupt(connection, dead, wall)
            connection.execute(delete(runs).where(runs.c.seen_at < _clock() - KEPT_S))
        return cut


def _interrupt(connection: Connection, which: ColumnElement[bool], now: float) -> int:
    ended = {"ended_at": now, "disposition": "interrupted", "cause": "the service stopped"}
    return connection.execute(update(schema.call).where(schema.call.c.ended_at.is_(None) & which).values(ended)).rowcount


def _clock() -> Any:
    return cast(extract("epoch", func.current_timestamp()), Float)
