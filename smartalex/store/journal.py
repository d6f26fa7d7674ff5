"""Records on disk first: one line an event, in files that are deleted when the database has what they hold.

What waits for the database is a queue in the order of writing.  Its first `in_memory` events are kept as they are; what is
beyond them, and what earlier runs left, is stretches of files, read again when their turn comes.  So the database may be away
for as long as the disk has room, and the disk be full for as long as memory has.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import IO

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.interfaces import CallEvent, IRecordSink
from smartalex.store.engine import to_json

IN_MEMORY = 20_000
"""Events; a hundred busy calls for a minute, some 20 MB."""

COMPLAIN_S = 60.0
BLOCK = 1 << 20


@attrs.define
class Stretch:
    """Lines of a file, `count` of them, from one offset to another."""

    path: Path
    start: int
    end: int
    count: int

    def read(self, limit: int) -> tuple[list[CallEvent], Stretch | None]:
        """The first events, and what is left of the stretch; lines that are torn are passed over."""
        events, lines = [], 0
        if not self.path.exists():
            return [], None
        with self.path.open("rb") as file:
            file.seek(self.start)
            while lines < limit and file.tell() < self.end and (line := file.readline(self.end - file.tell())):
                lines += 1
                event = _event(line)
                if event is not None:
                    events.append(event)
            position = file.tell()
        left = Stretch(self.path, position, self.end, max(0, self.count - lines)) if position < self.end and lines else None
        return events, left


@attrs.define
class _File:
    path: Path
    last: int | None = None  # how many events had been queued when it was closed


@implementer(IRecordSink)
class Journal:
    """Append-only files; one `write` per event puts it into the page cache, which outlives our death.

    `run` marks the calls of this run of the service; `lost` counts events for which neither disk nor memory had room.
    """

    log = Logger()

    def __init__(self, folder: Path, run: str = "", now: Callable[[], float] = monotonic, in_memory: int = IN_MEMORY) -> None:
        self.run = run
        self.lost = 0
        self.wake: Callable[[], None] = lambda: None
        self.folder, self._now, self._in_memory = folder, now, in_memory
        self._queue: deque[CallEvent | Stretch] = deque()
        self._memory = 0
        self._queued = self._settled = 0
        self._file = -1
        self._number = 0
        self._size = 0
        self._torn = b""
        self._files: deque[_File] = deque()
        self._complained_at: float | None = None

    # ------------------------------------------------------------------ files

    def start(self) -> None:
        """Queue what earlier runs left, and begin a file of our own."""
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            self._number = max(self._number, int(path.stem.partition("-")[2]))
            with path.open("rb") as file:
                stretch = Stretch(path, 0, path.stat().st_size, _lines(file))
            if stretch.count:
                self._push(stretch, stretch.count)
            self._files.append(_File(path, self._queued))
        self.rotate()

    def rotate(self) -> None:
        """The next event goes into a new file; without room for one, into the old."""
        path = self.folder / f"journal-{self._number + 1:08d}.jsonl"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            self._complain(error)
            return
        self.close()
        if self._files and self._files[-1].last is None:
            self._files[-1].last = self._queued
        self._files.append(_File(path))
        self._file, self._size, self._torn = file, 0, b""
        self._number += 1
        self._tidy()

    def _tidy(self) -> None:
        """Delete files whose events are all in the database."""
        while self._files and self._files[0].last is not None and self._files[0].last <= self._settled:
            self._files.popleft().path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.path.stat().st_size for file in self._files if file.path.exists())

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # ------------------------------------------------------------------ writing

    def record(self, event: CallEvent) -> None:
        if event.seq == 0:
            fields = {**event.fields, "run": self.run}
            event = CallEvent(event.call, 0, event.at, event.kind, fields, event.data)
        start = self._write(event)
        if self._memory < self._in_memory:
            self._memory += 1
            self._push(event, 1)
        elif start >= 0:
            self._prolong(start)
        else:
            self.lost += 1
        self.wake()

    def _write(self, event: CallEvent) -> int:
        """Where it stands in the file, or -1 when it could not be written."""
        if self._file < 0:
            self.rotate()
        row = (event.call, event.seq, event.at, event.kind, dict(event.fields), dict(event.data))
        line = self._torn + to_json(row) + b"\n"
        try:
            count = os.write(self._file, line)
        except OSError as error:
            self._complain(error)
            return -1
        start = self._size + len(self._torn)
        self._size += count
        self._torn = b"" if count == len(line) else b"\n"
        if self._torn:
            return -1
        self._complained_at = None
        return start

    def _prolong(self, start: int) -> None:
        """The event that was just written is not kept in memory."""
        last, path = self._queue[-1] if self._queue else None, self._files[-1].path
        if isinstance(last, Stretch) and (last.path, last.end) == (path, start):
            last.end = self._size
            last.count += 1
            self._queued += 1
        else:
            self._push(Stretch(path, start, self._size, 1), 1)

    def _push(self, item: CallEvent | Stretch, count: int) -> None:
        self._queue.append(item)
        self._queued += count

    def _complain(self, error: OSError) -> None:
        now = self._now()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_S:
            self._complained_at = now
            self.log.error(
                "records cannot be written to the journal ({error}); {waiting} wait in memory, {lost} are lost",
                error=error, waiting=self._memory, lost=self.lost,
            )  # fmt: skip

    # ------------------------------------------------------------------ the queue

    def __len__(self) -> int:
        """Events that wait for the database."""
        return self._queued - self._settled

    def first(self, limit: int) -> list[CallEvent] | Stretch | None:
        """What is to go to the database next: some events, or a stretch to be read."""
        if not self._queue:
            return None
        head = self._queue[0]
        if isinstance(head, Stretch):
            return attrs.evolve(head)
        events: list[CallEvent] = []
        for item in islice(self._queue, limit):
            if isinstance(item, Stretch):
                break
            events.append(item)
        return events

    def settled(self, taken: list[CallEvent] | Stretch, left: Stretch | None = None) -> int:
        """The database has what `first` gave, of a stretch but what is `left`; returns how many events that was."""
        if isinstance(taken, Stretch):
            count = self._read(taken, left)
        else:
            count = len(taken)
            self._memory -= count
            for _ in range(count):
                self._queue.popleft()
        self._settled += count
        self._tidy()
        return count

    def _read(self, taken: Stretch, left: Stretch | None) -> int:
        """The stretch may have become longer meanwhile."""
        stretch = self._queue[0]
        assert isinstance(stretch, Stretch)
        count = taken.count - (left.count if left is not None else 0)
        stretch.start = left.start if left is not None else taken.end
        stretch.count -= count
        if stretch.start >= stretch.end:
            count += stretch.count
            self._queue.popleft()
        return count


def _event(line: bytes) -> CallEvent | None:
    try:
        return CallEvent(*json.loads(line))
    except (ValueError, TypeError):
        return None


def _lines(file: IO[bytes]) -> int:
    return sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))


def leftovers(folder: Path) -> list[CallEvent]:
    """Every event in the files of a folder, as a start would apply them."""
    found: list[CallEvent] = []
    for path in sorted(folder.glob("journal-*.jsonl")):
        found += Stretch(path, 0, path.stat().st_size, 0).read(1 << 62)[0]
    return found
