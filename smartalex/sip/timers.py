"""SIP's timer values (RFC 3261 17.1.1.1) and one heap for all of them."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import ceil
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

T1 = 0.5
T2 = 4.0
T4 = 5.0
TIMEOUT = 64 * T1
"""Timers B, F, H, J (unreliable), L, M, and how long a 2xx waits for its ACK."""


class Timer:
    """One pending call; `cancel` is one assignment, the heap forgets it when its time comes."""

    __slots__ = ("args", "at", "call")

    def __init__(self, at: float, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        self.call: Callable[..., object] | None = call
        self.args = args

    def cancel(self) -> None:
        self.call = None
        self.args = ()

    def active(self) -> bool:
        return self.call is not None

    def __lt__(self, other: Timer) -> bool:
        return self.at < other.at


SWEEP = 4096

LONG_S, GRID = 2.0, 32
"""What waits so long may wait for the next thirty-second part of a second: one wake-up serves all that come in it."""


class TimerQueue:
    """Thousands of timers a second on a single DelayedCall; as a clock it is what calls and conversations are given.

    Those of two seconds and more may be 31 ms late, so that several share a wake-up.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._heap: list[Timer] = []
        self._alarm: IDelayedCall | None = None
        self._alarm_at = 0.0
        self._sweep_at = SWEEP

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        at = self._clock.seconds() + seconds
        if seconds >= LONG_S:
            at = ceil(at * GRID) / GRID
        timer = Timer(at, call, args)
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        heappush(self._heap, timer)
        if self._alarm is None or timer.at < self._alarm_at:
            self._set_alarm(timer.at)
        return timer

    callLater = call_later

    def seconds(self) -> float:
        return self._clock.seconds()

    def _sweep(self) -> None:
        """Forget what was cancelled long before its time."""
        self._heap = [timer for timer in self._heap if timer.call is not None]
        heapify(self._heap)
        self._sweep_at = max(SWEEP, 2 * len(self._heap))

    def pending(self) -> int:
        """Timers that have neither run nor been cancelled."""
        return sum(timer.call is not None for timer in self._heap)

    def stop(self) -> None:
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.seconds()
        while self._heap and self._heap[0].at <= now:
            timer = heappop(self._heap)
            if timer.call is not None:
                call, args = timer.call, timer.args
                timer.cancel()
                try:
                    call(*args)
                except Exception:
                    self.log.failure("a SIP timer failed")
        heap = self._heap
        while heap and heap[0].call is None:
            heappop(heap)
        if heap and (self._alarm is None or heap[0].at < self._alarm_at):
            self._set_alarm(heap[0].at)
