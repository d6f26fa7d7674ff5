"""From the journal to the database, in batches; while the database does not take them, they wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any

import attrs
from sqlalchemy.exc import DataError, IntegrityError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.interfaces import CallEvent, ICounters
from smartalex.store.engine import to_json, unreachable, what_it_said
from smartalex.store.journal import Journal, Stretch
from smartalex.store.records import Records

FLUSH_S = 0.1
BATCH = 2000
SLOWEST_S = 5.0
AT_START_S = 1.0
"""How long a start spends on what earlier runs left; the rest is written beside the calls."""

REFUSED = "refused.jsonl"
"""Where what the database will never take is kept, in the journal's folder."""

Defer = Callable[..., Deferred[Any]]
Taken = tuple[list[CallEvent] | Stretch, Stretch | None, int]
"""What was done, what is left of it, how many calls' events were refused."""


@attrs.define
class JournalWriter:
    """Moves events `FLUSH_S` after the first of a batch, one batch at a time.

    `caught_up` is called once, in the store's threads: when everything that earlier runs left is in the database.
    """

    journal: Journal
    records: Records
    defer: Defer  # runs a function in the store's thread pool
    clock: IReactorTime
    counters: ICounters
    caught_up: Callable[[], object] = lambda: None
    rotate_after: int = 50_000
    _alarm: IDelayedCall | None = None
    _busy: Deferred[None] | None = None
    _delay: float = FLUSH_S
    _applied: int = 0
    _left_behind: int = 0  # events of earlier runs that are not written yet; -1 when `caught_up` was called

    log = Logger()

    def start(self, budget_s: float = AT_START_S) -> None:
        """Before any call, on the caller's own thread: what earlier runs left, as far as time and the database allow.

        A budget of 0 leaves everything for later, for a database that is known to be away.
        """
        self.journal.start()
        self.journal.wake = self._wake
        self._left_behind = len(self.journal)
        if budget_s:
            self._catch_up(monotonic() + budget_s)
        if self._left_behind >= 0:
            self._wake()

    def _catch_up(self, until: float) -> None:
        try:
            while monotonic() < until and (first := self.journal.first(BATCH)) is not None:
                self._settle(self._write(first))
            if not len(self.journal):
                self._finish()
        except Exception as error:
            if not unreachable(error):
                raise
            self._slow_down(error)

    def _finish(self) -> None:
        if self._left_behind >= 0:
            self.caught_up()
            self._left_behind = -1

    # ------------------------------------------------------------------ beside the calls

    def _wake(self) -> None:
        if self._alarm is None and self._busy is None:
            self._alarm = self.clock.callLater(self._delay, self._flush)

    def _flush(self) -> None:
        self._alarm = None
        first = self.journal.first(BATCH)
        if first is None and self._left_behind < 0:
            return
        self._busy = Deferred()
        job = self.defer(self._write, first) if first is not None else self.defer(self._finish)
        job.addCallbacks(self._written, self._failed)

    def _write(self, first: list[CallEvent] | Stretch) -> Taken:
        """In the store's threads."""
        events, left = first.read(BATCH) if isinstance(first, Stretch) else (first, None)
        if self._left_behind == 0:
            self._finish()
        refused = 0
        try:
            self.records.apply(events)
        except NEVER:
            refused = self._one_by_one(events)
        return first, left, refused

    def _one_by_one(self, events: Sequence[CallEvent]) -> int:
        """Something in there can never be stored: it is to keep nothing else waiting."""
        refused = 0
        for _, story in groupby(sorted(events, key=_CALL), _CALL):
            mine = list(story)
            try:
                self.records.apply(mine)
            except NEVER as error:
                refused += 1
                self._set_aside(mine, error)
        return refused

    def _set_aside(self, events: Sequence[CallEvent], error: Exception) -> None:
        path = self.journal.folder / REFUSED
        with path.open("ab") as file:
            file.writelines(
                to_json((*attrs.astuple(event)[:4], dict(event.fields), dict(event.data))) + b"\n" for event in events
            )
        self.log.error("the database refuses records of call {call}: {error}; they are in {path}",
                       call=events[0].call, error=what_it_said(error), path=path)  # fmt: skip

    def _settle(self, taken: Taken) -> None:
        first, left, refused = taken
        count = self.journal.settled(first, left)
        if refused:
            self.counters.count("store.record_refused", amount=refused)
        if self._left_behind > 0:
            self._left_behind = max(0, self._left_behind - count)
        self._applied += count

    def _written(self, taken: Taken | None) -> None:
        if taken is not None:
            self._settle(taken)
        if self._delay > FLUSH_S:
            self.log.info("the database takes records again")
        self._delay = FLUSH_S
        if self._applied >= self.rotate_after:
            self._applied = 0
            self.journal.rotate()
        self._done()

    def _failed(self, failure: Failure) -> None:
        self._slow_down(failure.value)
        self._done()

    def _slow_down(self, error: BaseException | None) -> None:
        self.counters.count("store.flush_failed")
        if self._delay == FLUSH_S:
            self.log.error("records wait on disk, the database does not take them: {error}", error=what_it_said(error))
        self._delay = min(self._delay * 2, SLOWEST_S)

    def _done(self) -> None:
        busy, self._busy = self._busy, None
        if len(self.journal) or self._left_behind == 0:
            self._wake()
        if busy is not None:
            busy.callback(None)

    # ------------------------------------------------------------------ stopping

    def stop(self) -> Deferred[None]:
        """Write what is pending, once more, and close; what cannot be written stays in the journal."""
        waiting = self._busy if self._busy is not None else succeed(None)
        return waiting.addCallback(lambda _: self._last())

    def _last(self) -> Deferred[None]:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        first = self.journal.first(BATCH)
        if first is None or self._delay > FLUSH_S:
            self.journal.close()
            return succeed(None)
        last = self.defer(self._write, first).addCallback(self._settle)
        last.addCallbacks(lambda _: self._last(), lambda _: self.journal.close())
        return last


NEVER = (DataError, IntegrityError, OverflowError)
"""What no waiting will change."""

_CALL = attrgetter("call")
