"""The delayed calls of one conversation, so that none outlives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Timers:
    """Each action is a border: what it raises is logged and goes no further."""

    log = Logger()

    __slots__ = ("_calls", "_clock", "_closed")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: set[IDelayedCall] = set()
        self._closed = False

    def later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> IDelayedCall | None:
        """None after `close`."""
        if self._closed:
            return None

        def run() -> None:
            self._calls.discard(call)
            try:
                action(*arguments)
            except Exception:
                self.log.failure("a timer of a conversation failed")

        call = self._clock.callLater(seconds, run)
        self._calls.add(call)
        return call

    def cancel(self, call: IDelayedCall | None) -> None:
        if call in self._calls:
            self._calls.discard(call)
            call.cancel()

    def close(self) -> None:
        self._closed = True
        for call in self._calls:
            call.cancel()
        self._calls.clear()
