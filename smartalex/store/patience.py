"""No thread waits for a server for ever: a connection whose server does not answer is cut.

A server's own time-outs help as long as it works; one that is stopped, or behind a network that drops packets, says nothing at
all.  So each wait for it has an end here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Thread
from time import monotonic
from typing import Any

import attrs
from sqlalchemy import Connection, Engine, event

PATIENT = "patient"
"""The key of a connection's info that says its statements may take as long as they like."""


@attrs.define
class _Line:
    """One connection; our own descriptor of its socket, for its number may be somebody else's by the time we cut it."""

    socket: socket.socket
    until: float | None = None  # monotonic; None while nobody waits


class Patience:
    """Watches the connections of an engine; `limit_s` is how long one may take to answer."""

    def __init__(self, engine: Engine, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lines: dict[int, _Line] = {}
        self._condition = Condition()
        self._thread: Thread | None = None
        for name in ("checkout", "checkin", "reset", "close", "close_detached"):
            event.listen(engine, name, getattr(self, f"_{name}"))
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "before_cursor_execute", self._asks)
        event.listen(engine, "after_cursor_execute", self._answered)
        for name in ("commit", "rollback"):
            event.listen(engine, name, self._ends)

    # ------------------------------------------------------------------ the pool's events

    def _connected(self, raw: Any, record: Any) -> None:
        line = _Line(socket.socket(fileno=os.dup(raw.fileno())), monotonic() + self._limit_s)
        with self._condition:
            self._lines[id(raw)] = line
            if self._thread is None:
                self._thread = Thread(target=self._watch, name="store-patience", daemon=True)
                self._thread.start()

    def _checkout(self, raw: Any, record: Any, proxy: Any) -> None:
        self._rest(raw)

    def _checkin(self, raw: Any, record: Any) -> None:
        self._rest(raw)

    def _reset(self, raw: Any, record: Any, state: Any) -> None:
        self._wait(raw)

    def _close(self, raw: Any, record: Any) -> None:
        self._close_detached(raw)

    def _close_detached(self, raw: Any) -> None:
        with self._condition:
            line = self._lines.pop(id(raw), None)
            self._condition.notify()
        if line is not None:
            line.socket.close()

    # ------------------------------------------------------------------ what is asked of the server

    def _asks(self, connection: Connection, *_: Any) -> None:
        if not connection.info.get(PATIENT):
            self._wait(connection.connection.dbapi_connection)

    def _answered(self, connection: Connection, *_: Any) -> None:
        self._rest(connection.connection.dbapi_connection)

    def _ends(self, connection: Connection) -> None:
        if not connection.invalidated:
            self._wait(connection.connection.dbapi_connection)

    def _wait(self, raw: Any) -> None:
        line = self._lines.get(id(raw))
        if line is not None:
            line.until = monotonic() + self._limit_s

    def _rest(self, raw: Any) -> None:
        line = self._lines.get(id(raw))
        if line is not None:
            line.until = None

    # ------------------------------------------------------------------ the watching thread

    def _watch(self) -> None:
        with self._condition:
            while self._lines:
                self._condition.wait(min(1.0, self._limit_s / 4))
                now = monotonic()
                for line in self._lines.values():
                    if line.until is not None and line.until < now:
                        line.until = None
                        _cut(line.socket)
            self._thread = None


def _cut(line: socket.socket) -> None:
    """Whoever waits for it finds it closed by the other end."""
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is already


@contextmanager
def without_limit(connection: Connection) -> Iterator[None]:
    """For migrations, which may take as long as they need."""
    connection.info[PATIENT] = True
    try:
        yield
    finally:
        connection.info.pop(PATIENT, None)
