"""Records on disk first: one line per event, moved to the database in batches."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.interfaces import CallEvent, ICounters, IRecordSink
from smartalex.store.engine import to_json
from smartalex.store.records import Records

FLUSH_S = 0.1
BATCH = 2000


@implementer(IRecordSink)
class Journal:
    """An append-only file; one `write` per event puts it into the page cache, which outlives our death."""

    log = Logger()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._number = 0
        self._torn = b""
        self._complained = False
        self.pending: list[CallEvent] = []
        self.wake: Callable[[], None] = lambda: None

    def leftovers(self) -> list[CallEvent]:
        """Events of earlier runs that may not have reached the database; a torn last line is passed over."""
        events = []
        for path in sorted(self._folder.glob("journal-*.jsonl")):
            self._number = max(self._number, int(path.stem.partition("-")[2]))
            for line in path.read_bytes().splitlines():
                try:
                    events.append(CallEvent(*json.loads(line)))
                except (ValueError, TypeError):
                    continue
        return events

    def start(self) -> None:
        """Begin a new file; those before it are deleted (their events are in the database by now)."""
        old = list(self._folder.glob("journal-*.jsonl"))
        self._number += 1
        path = self._folder / f"journal-{self._number:08d}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        for stale in old:
            stale.unlink()

    def record(self, event: CallEvent) -> None:
        row = (event.call, event.seq, event.at, event.kind, dict(event.fields), dict(event.data))
        line = self._torn + to_json(row) + b"\n"
        try:
            self._torn = b"" if os.write(self._file, line) == len(line) else b"\n"
            self._complained = False
        except OSError as error:
            if not self._complained:  # once, not for every event while a disk is full
                self.log.error("records cannot be written to the journal: {error}", error=error)
            self._complained = True
        self.pending.append(event)
        self.wake()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


Defer = Callable[..., Deferred[Any]]


@attrs.define
class JournalWriter:
    """Moves events to the database, `FLUSH_S` after the first of a batch; while it fails they wait on disk and here."""

    journal: Journal
    records: Records
    defer: Defer  # runs a function in the store's thread pool
    clock: IReactorTime
    counters: ICounters
    rotate_after: int = 50_000
    _alarm: IDelayedCall | None = None
    _busy: Deferred[None] | None = None
    _delay: float = FLUSH_S
    _applied: int = 0

    log = Logger()

    def replay(self, now: float) -> int:
        """At start, before any call: apply what was left, mark what was cut; returns how many were cut."""
        events = self.journal.leftovers()
        for start in range(0, len(events), BATCH):
            self.records.apply(events[start : start + BATCH])
        cut = self.records.interrupt_open_calls(now)
        self.journal.start()
        self.journal.wake = self._wake
        return cut

    def _wake(self) -> None:
        if self._alarm is None and self._busy is None:
            self._alarm = self.clock.callLater(self._delay, self._flush)

    def _flush(self) -> None:
        self._alarm = None
        batch = self.journal.pending[:BATCH]
        if not batch:
            return
        self._busy = Deferred()
        self.defer(self.records.apply, batch).addCallbacks(self._written, self._failed, callbackArgs=(len(batch),))

    def _written(self, _: Any, count: int) -> None:
        del self.journal.pending[:count]
        if self._delay > FLUSH_S:
            self.log.info("the database takes records again")
        self._delay = FLUSH_S
        self._applied += count
        if not self.journal.pending and self._applied >= self.rotate_after:
            self._applied = 0
            self.journal.start()
        self._done()

    def _failed(self, failure: Failure) -> None:
        self.counters.count("store.flush_failed")
        if self._delay == FLUSH_S:
            self.log.error("records wait on disk, the database does not take them: {error}", error=failure.value)
        self._delay = min(self._delay * 2, 5.0)
        self._done()

    def _done(self) -> None:
        busy, self._busy = self._busy, None
        if self.journal.pending:
            self._wake()
        if busy is not None:
            busy.callback(None)

    def stop(self) -> Deferred[None]:
        """Write what is pending, once more, and close; what cannot be written stays in the journal."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        waiting = self._busy if self._busy is not None else succeed(None)
        return waiting.addCallback(lambda _: self._last())

    def _last(self) -> Deferred[None] | None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        pending = list(self.journal.pending)
        if not pending:
            self.journal.close()
            return None
        return self.defer(self.records.apply, pending).addErrback(lambda _: None).addCallback(lambda _: self.journal.close())
