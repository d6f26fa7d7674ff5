"""SIP's timer values (RFC 3261 table 4) and one queue of timers for everything in the stack."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from smartalex.interfaces import ICounters

T1 = 0.5
"""Estimate of the round trip, in seconds; every retransmission starts from it."""
T2 = 4.0
"""Longest interval between retransmissions of a non-INVITE request and of a response to INVITE."""
T4 = 5.0
"""Longest time a message stays in the network."""
TIMEOUT = 64 * T1
"""How long a transaction waits for its peer (timers B, F, H), for stragglers (J, L, M), and a 2xx for its ACK."""
TIMER_D = 32.0
"""How long a client keeps answering retransmitted final responses to INVITE over UDP."""


class Timer:
    """One pending call; cancelling only forgets it, the queue drops the empty entry when its time comes."""

    __slots__ = ("_args", "_call")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._call: Callable[..., object] | None = call
        self._args = args

    @property
    def active(self) -> bool:
        return self._call is not None

    def cancel(self) -> None:
        """Harmless when it was called or cancelled already."""
        self._call, self._args = None, ()

    def fire(self) -> None:
        call, args = self._call, self._args
        self._call, self._args = None, ()
        if call is not None:
            call(*args)


class TimerQueue:
    """Many timers over one delayed call of the clock; due timers run in the order of their times.

    A call that raises is logged and counted, and the others still run.
    """

    log = Logger()

    __slots__ = ("_clock", "_counters", "_heap", "_next", "_order", "_running")

    def __init__(self, clock: IReactorTime, counters: ICounters | None = None) -> None:
        self._clock = clock
        self._counters = counters
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._next: IDelayedCall | None = None
        self._running = False

    def __len__(self) -> int:
        """Timers that will still fire."""
        return sum(timer.active for _, _, timer in self._heap)

    def now(self) -> float:
        return self._clock.seconds()

    def call_later(self, seconds: float, call: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(call, args)
        when = self._clock.seconds() + seconds
        heap = self._heap
        heappush(heap, (when, next(self._order), timer))
        if heap[0][2] is timer and not self._running:
            self._schedule(seconds)
        return timer

    def stop(self) -> None:
        """Forget every timer."""
        self._heap.clear()
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _schedule(self, seconds: float) -> None:
        if self._next is not None and self._next.active():
            self._next.reset(seconds)
        else:
            self._next = self._clock.callLater(seconds, self._wake)

    def _wake(self) -> None:
        self._next = None
        now = self._clock.seconds()
        heap = self._heap
        self._running = True  # one re-schedule at the end is enough, whatever the calls start
        try:
            while heap and (heap[0][0] <= now or not heap[0][2].active):
                self._fire(heappop(heap)[2])
        finally:
            self._running = False
        if heap:
            self._schedule(max(0.0, heap[0][0] - now))

    def _fire(self, timer: Timer) -> None:
        try:
            timer.fire()
        except Exception:
            self.log.failure("a SIP timer failed")
            if self._counters is not None:
                self._counters.count("sip.fault", "timer")
