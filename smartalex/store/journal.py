"""The record sink: one line to the operating system, in one write, before anything else happens.

So the death of this process, however sudden, loses nothing that was recorded.
`writer.JournalWriter` moves the lines to the database.
"""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path

import attrs
from zope.interface import implementer

from smartalex.counters import Counters
from smartalex.interfaces import CallEvent, ICounters, IRecordSink

FILE_BYTES = 1 << 20
LINE_BYTES = 1 << 16
BACKLOG = 10_000
"""Lines kept in memory while the disk takes none; beyond it the oldest go, counted."""

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def encode(event: CallEvent) -> bytes:
    """One line of the journal; ValueError, TypeError or RecursionError for what is not data."""
    line = _encode((event.call, event.seq, event.at, event.kind, event.fields, event.data)) + "\n"
    if len(line) > LINE_BYTES:
        raise ValueError("too long for a record")
    return line.encode("ascii")


def decode(line: bytes) -> CallEvent | None:
    """None for what is not a whole line: the torn end of a file, or damage."""
    try:
        call, seq, at, kind, fields, data = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    sound = isinstance(call, str) and type(seq) is int and isinstance(at, (int, float)) and isinstance(kind, str)
    return CallEvent(call, seq, at, kind, fields, data) if sound and isinstance(fields, dict) and isinstance(data, dict) else None


@implementer(IRecordSink)
class Journal:
    """Files of lines in `directory`, one of them being written.

    A new process begins a new file, so that what an earlier one was writing
    when it died stays as it was.
    """

    def __init__(self, directory: Path | str, counters: ICounters | None = None) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._counters: ICounters = counters or Counters()
        self._backlog: deque[bytes] = deque()
        self._number = max(self.numbers(), default=0)
        self._fd = -1
        self._torn = False
        self.rotate()

    @property
    def end(self) -> tuple[int, int]:
        """(number of the file being written, bytes in it); files of lower number change no more."""
        return self._number, self._size

    def numbers(self) -> list[int]:
        """Of the files that exist, oldest first."""
        return sorted(int(path.stem) for path in self.directory.glob("*.jsonl") if path.stem.isdecimal())

    def path(self, number: int) -> Path:
        return self.directory / f"{number:012}.jsonl"

    def record(self, event: CallEvent) -> None:
        """About 10 us.  While the disk is full lines wait in memory, in order."""
        try:
            line = encode(event)
        except (ValueError, TypeError, RecursionError):
            self._counters.count("store.event_unreadable")
            line = encode(attrs.evolve(event, fields={}, data={}))
        if self._backlog or not self._write(line):
            self._wait(line)
            self.drain()

    def drain(self) -> None:
        """Try again to write what waits."""
        while self._backlog and self._write(self._backlog[0]):
            self._backlog.popleft()

    def rotate(self) -> None:
        """Go on in a new file; OSError leaves everything as it was."""
        fd = os.open(self.path(self._number + 1), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size, self._torn = fd, 0, False
        self._number += 1

    def close(self) -> None:
        """What comes afterwards is counted as lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: bytes) -> bool:
        whole = b"\n" + line if self._torn else line  # never glue a line to the stump of one that did not fit
        try:
            written = os.write(self._fd, whole)
        except OSError:
            return False
        self._size += written
        self._torn = written < len(whole)
        if self._size >= FILE_BYTES and not self._torn:
            self._rotate_if_possible()
        return not self._torn

    def _rotate_if_possible(self) -> None:
        try:
            self.rotate()
        except OSError:
            self._counters.count("store.journal_full")

    def _wait(self, line: bytes) -> None:
        self._counters.count("store.journal_full")
        if len(self._backlog) >= BACKLOG:
            self._backlog.popleft()
            self._counters.count("store.event_lost")
        self._backlog.append(line)
