"""The media plane: a socket per leg with its own reader, and one shared 20 ms tick in phase slots."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import ResourcesExhausted
from smartalex.interfaces import ICounters, IMediaSink
from smartalex.rtp.leg import CONCEALED, NOTHING, Leg, LegStats, MediaParams

__all__ = ["CONCEALED", "NOTHING", "Leg", "LegStats", "MediaParams", "MediaPlane", "PlaneOptions"]

TICK_S = 0.02


@attrs.frozen
class PlaneOptions:
    """`ports` is the inclusive range; even ports carry RTP, the odd one above is kept for RTCP."""

    address: str = "0.0.0.0"
    ports: tuple[int, int] = (10000, 60000)
    slots: int = 5
    quarantine_s: float = 30.0
    symmetric: bool = True


@implementer(IReadDescriptor)
class Reader:
    """One `recvfrom_into` a wake-up, into a buffer that all share."""

    __slots__ = ("_buffer", "_counters", "_sink", "_socket", "_view", "leg", "rtcp")

    def __init__(self, leg: Leg, sock: socket.socket, rtcp: socket.socket, plane: MediaPlane) -> None:
        self.leg = leg
        self.rtcp = rtcp
        self._socket = sock
        self._buffer, self._view = plane.buffer, plane.view
        self._sink, self._counters = plane.sink, plane.counters

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtp"

    def doRead(self) -> None:
        try:
            size, source = self._socket.recvfrom_into(self._buffer)
        except OSError:
            return
        pressed = self.leg.received(self._view, size, source)
        if pressed is not None:
            self._sink.on_dtmf(self.leg, *pressed)

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""


class MediaPlane:
    """Open legs on it; what they hear goes to `sink` in batches."""

    log = Logger()

    def __init__(
        self, reactor: Any, options: PlaneOptions, sink: IMediaSink, counters: ICounters, random: Callable[[int], int], now: Callable[[], float] = time.monotonic
    ) -> None:
        self.sink = sink
        self.counters = counters
        self.buffer = bytearray(2048)
        self.view = memoryview(self.buffer)
        self._reactor = reactor
        self._options = options
        self._random = random
        self._now = now
        low, high = options.ports
        low += low % 2
        ports = list(range(low, high, 2))
        start = random(32) % max(1, len(ports))
        self._free = deque(ports[start:] + ports[:start])
        self._resting: deque[tuple[float, int]] = deque()
        self._slots: list[list[Leg]] = [[] for _ in range(options.slots)]
        self._readers: dict[Leg, Reader] = {}
        self._alarm: IDelayedCall | None = None
        self._slot = 0
        self._due = 0.0
        self.ticks = self.late_ticks = 0
        self.worst_late_s = 0.0

    def __len__(self) -> int:
        return len(self._readers)

    def start(self) -> None:
        self._due = self._now() + TICK_S / self._options.slots
        self._schedule()

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for leg in list(self._readers):
            leg.close()

    def open(self, receive: bool = True) -> Leg:
        """A leg on a port of its own; raises ResourcesExhausted."""
        port, sock, rtcp = self._bind()
        leg = Leg(sock, port, self._random, self._now)
        leg.receive, leg.symmetric, leg.on_closed = receive, self._options.symmetric, self._closed
        leg.slot = min(range(len(self._slots)), key=lambda n: len(self._slots[n]))
        self._slots[leg.slot].append(leg)
        reader = self._readers[leg] = Reader(leg, sock, rtcp, self)
        self._reactor.addReader(reader)
        return leg

    def _bind(self) -> tuple[int, socket.socket, socket.socket]:
        self._end_quarantine()
        for _ in range(min(100, len(self._free))):
            port = self._free.popleft()
            try:
                return port, self._socket(port), self._socket(port + 1)
            except OSError:
                self._free.append(port)  # somebody else's
        raise ResourcesExhausted("no RTP port is free")

    def _socket(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._options.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind((self._options.address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _closed(self, leg: Leg) -> None:
        self._slots[leg.slot].remove(leg)
        reader = self._readers.pop(leg)
        self._reactor.removeReader(reader)
        leg._socket.close()
        reader.rtcp.close()
        if leg.strangers:
            self.counters.count("rtp.stranger", amount=leg.strangers)
        if leg.malformed:
            self.counters.count("rtp.malformed", amount=leg.malformed)
        self._resting.append((self._now() + self._options.quarantine_s, leg.local_port))

    def _end_quarantine(self) -> None:
        now = self._now()
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])

    # ------------------------------------------------------------------ the tick

    def _schedule(self) -> None:
        self._alarm = self._reactor.callLater(max(0.0, self._due - self._now()), self._tick)

    def _tick(self) -> None:
        """One slot, or as many as are due; after a long stall the lost time is let go."""
        step = TICK_S / self._options.slots
        late = self._now() - self._due
        self.ticks += 1
        if late > step:
            self.late_ticks += 1
            self.worst_late_s = max(self.worst_late_s, late)
        if late > 0.2:
            self._due += late - late % step
        while self._due <= self._now():
            self._run_slot(self._slots[self._slot])
            self._slot = (self._slot + 1) % len(self._slots)
            self._due += step
        self._schedule()

    def _run_slot(self, legs: list[Leg]) -> None:
        batch = []
        for leg in legs:
            leg.send()
            if leg.receive:
                pcm, flags = leg.hear()
                batch.append((leg, pcm, flags))
        if batch:
            try:
                self.sink.on_frames(batch)
            except Exception:
                self.counters.count("rtp.fault")
                self.log.failure("the media sink failed")
