"""Moves the journal's lines to the database, a batch a tenth of a second, off the reactor's thread.

A file that is wholly moved is deleted; what a dead process left is moved at
the next start.  A line may be moved twice: the repository knows what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time
from typing import Any

from sqlalchemy.exc import DatabaseError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from smartalex.counters import Counters
from smartalex.interfaces import CallEvent, ICounters
from smartalex.store.journal import Journal, decode, encode
from smartalex.store.repository import Repository

FLUSH_S = 0.1
RETRY_LIMIT_S = 5.0
LOG_EVERY_S = 60.0
STOP_TRIES = 3
BATCH_BYTES = 1 << 18
"""More than any line."""


class JournalWriter:
    """`clock` is the reactor: IReactorTime and IReactorFromThreads.  `wall` gives Unix seconds."""

    log = Logger()

    def __init__(
        self, journal: Journal, repository: Repository, pool: ThreadPool, clock: Any,
        *, counters: ICounters | None = None, wall: Callable[[], float] = time,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._repository = repository
        self._pool = pool
        self._clock = clock
        self._counters: ICounters = counters or Counters()
        self._wall = wall
        self._position = (min(journal.numbers()), 0)
        self._delay_s = FLUSH_S
        self._timer: IDelayedCall | None = None
        self._moving = False
        self._waiting: list[Deferred[None]] = []
        self._logged_at = -LOG_EVERY_S
        self._stopping = False

    @property
    def behind(self) -> bool:
        """Whether something recorded is not in the database yet."""
        return self._position != self._journal.end

    def replay(self) -> int:
        """Before the first call, blocking: move what an earlier process left, and close the calls it was cut from.

        Returns how many calls were cut.  Raises what the database raises.
        """
        self._move()
        return self._repository.interrupt_open_calls(self._wall())

    def start(self) -> None:
        self._timer = self._clock.callLater(self._delay_s, self._tick)

    def flush(self) -> Deferred[None]:
        """Move what is there now; never fails, failures are counted and logged."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        if not self._moving:
            self._moving = True
            moved = deferToThreadPool(self._clock, self._pool, self._move)
            moved.addCallbacks(self._moved, self._failed).addBoth(self._tell)
        return done

    def stop(self) -> Deferred[None]:
        """Move the rest and close the journal.  What the database does not take stays in the files for the next start."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for _ in range(STOP_TRIES):
            self._journal.drain()
            await self.flush()
            if not self.behind:
                break
        self._journal.close()
        if not self.behind:
            self._journal.path(self._position[0]).unlink(missing_ok=True)

    # ------------------------------------------------------------------ on the reactor's thread

    def _tick(self) -> None:
        self._timer = None
        self._journal.drain()
        if self.behind:
            self.flush().addCallback(lambda _: None if self._stopping else self.start())
        else:
            self.start()

    def _moved(self, _: None) -> None:
        self._delay_s = FLUSH_S

    def _failed(self, failure: Failure) -> None:
        self._counters.count("store.flush_failed")
        self._delay_s = min(RETRY_LIMIT_S, self._delay_s * 2)
        now = self._clock.seconds()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            self.log.failure("records wait in the journal: the database does not take them", failure)

    def _tell(self, _: object) -> None:
        self._moving = False
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    # ------------------------------------------------------------------ in a thread, one at a time

    def _move(self) -> None:
        while self._move_batch():
            pass

    def _move_batch(self) -> bool:
        """False when everything was moved.  A batch that fails is read again."""
        number, offset = self._position
        newest, _ = self._journal.end  # asked before reading: a file that is not the newest now has all its lines
        data = self._read(number, offset)
        whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == BATCH_BYTES else 0)
        if whole:
            self._apply([event for line in data[:whole].splitlines() if (event := decode(line)) is not None])
            self._position = (number, offset + whole)
        elif number < newest:
            self._position = (min(n for n in self._journal.numbers() if n > number), 0)
            self._journal.path(number).unlink(missing_ok=True)
        return bool(whole) or number < newest

    def _read(self, number: int, offset: int) -> bytes:
        try:
            with self._journal.path(number).open("rb") as file:
                file.seek(offset)
                return file.read(BATCH_BYTES)
        except FileNotFoundError:
            return b""

    def _apply(self, events: Sequence[CallEvent]) -> None:
        try:
            self._repository.apply(events)
        except Exception as error:
            if _may_pass(error):
                raise
            self._apply_singly(events)

    def _apply_singly(self, events: Sequence[CallEvent]) -> None:
        """The database refuses something in this batch for good: set just that aside."""
        for event in events:
            try:
                self._repository.apply([event])
            except Exception as error:
                if _may_pass(error):
                    raise
                self._counters.count("store.event_rejected")
                self.log.error(
                    "the database refuses event {seq} of call {call}: {error}", seq=event.seq, call=event.call, error=error
                )
                with (self._journal.directory / "rejected").open("ab") as file:
                    file.write(encode(event))


def _may_pass(error: Exception) -> bool:
    """Whether the database, not the event, is at fault: locked, gone, full, damaged."""
    database = isinstance(error, (OperationalError, InternalError, NoConnection)) or type(error) in (
        DatabaseError,
        SQLAlchemyError,
    )
    return database or isinstance(error, OSError)
