"""The media plane: two sockets for each leg, and one shared 20 ms tick in phase slots."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from smartalex.errors import ResourcesExhausted
from smartalex.interfaces import ICounters, IMediaSink
from smartalex.rtp.alarm import Alarm, alarm
from smartalex.rtp.control import READ_S, Control
from smartalex.rtp.dtls import Handshake, Identity
from smartalex.rtp.leg import CONCEALED, NOTHING, Leg, LegStats, MediaParams
from smartalex.rtp.reader import Reader
from smartalex.rtp.reports import NTP_EPOCH_S
from smartalex.rtp.wire import stamp

__all__ = ["CONCEALED", "NOTHING", "Leg", "LegStats", "MediaParams", "MediaPlane", "PlaneOptions", "TickStats"]

TICK_S = 0.02
STALL_S = 0.2
"""After a stall of up to so long every frame is still sent; after a longer one the lost time is let go."""

EARLY_S: Final = 0.0006
"""A timer that fires so much too early, having been rounded, counts as on time."""

SPARE = 4
"""So many legs more than twice its share a slot takes for the sake of their first packet: its next one is 4 ms later."""

BIND_ATTEMPTS = 100
_BUCKET_S, _BUCKETS = 0.00025, 200


@attrs.frozen
class PlaneOptions:
    """`ports` is the inclusive range; even ports carry RTP, the odd one above RTCP.

    `polled`: the tick reads each leg's packets just before it needs them.  Otherwise the reactor does as they
    arrive, which costs a wake-up for each and gains nothing that is heard.  `exact`: by a timer of the kernel's, if it has one.
    """

    address: str = "0.0.0.0"
    ports: tuple[int, int] = (10000, 60000)
    slots: int = 5
    quarantine_s: float = 30.0
    symmetric: bool = True
    polled: bool = True
    address_ipv6: str = ""
    exact: bool = False


@attrs.frozen
class TickStats:
    """How late the ticks were since the start, to 0.25 ms; `late` by more than one slot."""

    ticks: int
    late: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def _nothing(*_: Any) -> None:
    pass


class MediaPlane:
    """Open legs on it; what they hear goes to `sink` in batches."""

    log = Logger()

    def __init__(  # noqa: PLR0917
        self,
        reactor: Any,
        options: PlaneOptions,
        sink: IMediaSink,
        counters: ICounters,
        random: Callable[[int], int],
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sink = sink
        self.counters = counters
        self.identity: Identity | None = None  # without one no leg can do DTLS-SRTP
        self._reactor = reactor
        self.clock: IReactorTime = reactor  # for what need not be exact
        self._options = options
        self._random = random
        self._now, self._wall = now, wall
        self._step = TICK_S / options.slots
        low, high = options.ports
        low += low % 2
        ports = list(range(low, high, 2))
        start = random(32) % max(1, len(ports))
        self._free = deque(ports[start:] + ports[:start])
        self._resting: deque[tuple[float, int]] = deque()
        self._slots: list[list[Leg]] = [[] for _ in range(options.slots)]
        self._readers: dict[Leg, Reader] = {}
        self._beginning: dict[Leg, float] = {}  # whose RTCP is to begin, and when, the first one first
        self._alarm: Alarm | None = None
        self._slot = self._woken = 0  # the next one, and the one that the alarm is set for
        self._due = self._wake = 0.0
        self._lateness = [0] * _BUCKETS
        self.on_tick: Callable[[float], None] = lambda late_s: None  # each tick, with how late it is
        self.ticks = self.late_ticks = 0
        self.worst_late_s = 0.0

    def __len__(self) -> int:
        return len(self._readers)

    def start(self) -> None:
        self._due = self._now() + self._step
        self._alarm = alarm(self._reactor, self._tick, exact=self._options.exact)
        self._schedule(self._alarm)

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None
        for leg in list(self._readers):
            leg.close()

    def open(self, receive: bool = True, *, ipv6: bool = False) -> Leg:
        """A leg on a pair of ports of its own; raises ResourcesExhausted."""
        options = self._options
        port, sock, rtcp = self._bind(options.address_ipv6 or options.address if ipv6 else options.address)
        leg = Leg(sock, port, self._random, self._now)
        leg.receive, leg.receiver.symmetric = receive, self._options.symmetric
        if self.identity is not None:
            leg.shake = partial(Handshake, self._reactor, self.identity.context)
        leg.on_started, leg.on_closed, leg.on_pressed = self._started, self._closed, self.sink.on_dtmf
        self._enter(leg, min(self._coming(self._woken), key=lambda n: len(self._slots[n])))
        leg.rtcp.epoch = NTP_EPOCH_S + self._wall() - self._now()
        control = Control(leg, rtcp, self._reactor, self.clock, self._random, self._now)
        control.until_s, control.wall = self._until_s, self._wall
        leg.on_control, leg.on_renewing = control.received, control.leave
        reader = self._readers[leg] = Reader(leg, sock, control, self._now, self.fault)
        if self._options.polled:
            leg.poll = reader.poll
            stamp(sock)  # it is read up to a tick later
        else:
            self._reactor.addReader(reader)
        return leg

    def capacity(self) -> int:
        """How many legs there could be now: those that are, and those that there are ports for."""
        self._end_quarantine()
        return len(self._readers) + len(self._free)

    def tick_stats(self) -> TickStats:
        return TickStats(self.ticks, self.late_ticks, self._quantile_ms(0.5), self._quantile_ms(0.99), self.worst_late_s * 1000)

    def fault(self, what: str) -> None:
        """To be called where an exception was caught."""
        self.counters.count("rtp.fault")
        self.log.failure("{what}", what=what)

    # ------------------------------------------------------------------ legs

    def _bind(self, address: str) -> tuple[int, socket.socket, socket.socket]:
        self._end_quarantine()
        for _ in range(min(BIND_ATTEMPTS, len(self._free))):
            port = self._free.popleft()
            try:
                return port, *self._pair(address, port)
            except OSError:
                self._free.append(port)  # somebody else's
        low, high = self._options.ports
        raise ResourcesExhausted(f"no RTP port is free in {low}-{high} ({len(self)} in use, {len(self._resting)} resting)")

    def _pair(self, address: str, port: int) -> tuple[socket.socket, socket.socket]:
        rtp = self._socket(address, port)
        try:
            return rtp, self._socket(address, port + 1)
        except OSError:
            rtp.close()
            raise

    def _socket(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def _enter(self, leg: Leg, slot: int) -> None:
        leg.slot = slot
        late = not self._slots[slot] and slot != self._woken
        self._slots[slot] = [*self._slots[slot], leg]
        if late and self._alarm is not None:
            self._schedule(self._alarm)

    def _leave(self, leg: Leg) -> None:
        # A new list: the tick may be walking over the old one.
        self._slots[leg.slot] = [other for other in self._slots[leg.slot] if other is not leg]

    def _started(self, leg: Leg) -> None:
        """It may send: move it to the slot that comes first, unless that is much fuller than others."""
        self._leave(leg)
        self._skip_empty()
        sizes = [len(legs) for legs in self._slots]
        most = 2 * len(self._readers) // len(sizes) + SPARE
        self._enter(leg, next(n for n in self._coming(self._slot) if sizes[n] < most))
        self._readers[leg].control.start()
        self._beginning[leg] = self._now() + READ_S

    def _until_s(self, leg: Leg) -> float:
        """Its next tick."""
        return self._due + (leg.slot - self._slot) % len(self._slots) * self._step - self._now()

    def _skip_empty(self) -> None:
        """Over the slots whose time has come since the last tick: it slept because nobody was in them."""
        now = self._now()
        while self._due <= now and not self._slots[self._slot]:
            self._slot = (self._slot + 1) % len(self._slots)
            self._due += self._step

    def _coming(self, first: int) -> list[int]:
        count = len(self._slots)
        return [(first + n) % count for n in range(count)]

    def _closed(self, leg: Leg) -> None:
        self._leave(leg)
        reader = self._readers.pop(leg)
        self._beginning.pop(leg, None)
        if not self._options.polled:
            self._reactor.removeReader(reader)
        reader.close()
        leg.poll, leg.on_control, leg.on_renewing = _nothing, _nothing, _nothing  # they lead back to the leg
        if leg.receiver.strangers:
            self.counters.count("rtp.stranger", amount=leg.receiver.strangers)
        if leg.receiver.malformed:
            self.counters.count("rtp.malformed", amount=leg.receiver.malformed)
        self._resting.append((self._now() + self._options.quarantine_s, leg.local_port))

    def _end_quarantine(self) -> None:
        now = self._now()
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])

    # ------------------------------------------------------------------ the tick

    def _schedule(self, alarm: Alarm) -> None:
        """Wake for the next slot that holds a leg, or after a round of empty ones."""
        slots, slot, due = self._slots, self._slot, self._due
        for _ in range(len(slots) - 1):
            if slots[slot]:
                break
            slot = (slot + 1) % len(slots)
            due += self._step
        self._wake, self._woken = due, slot
        alarm.set(due - self._now())

    def _tick(self) -> None:
        """One slot, or as many as are due; the schedule is absolute, so that nothing drifts."""
        late = self._now() - self._wake
        self.ticks += 1
        self._lateness[min(_BUCKETS - 1, max(0, int(late / _BUCKET_S)))] += 1
        self.worst_late_s = max(self.worst_late_s, late)
        self.on_tick(late)
        if late > self._step:
            self.late_ticks += 1
            if late > STALL_S:
                self._let_go(int(late / TICK_S))
        if self._beginning:
            self._begin_control()
        while self._due <= self._now() + EARLY_S:
            legs = self._slots[self._slot]
            self._slot = (self._slot + 1) % len(self._slots)
            self._due += self._step
            self._run_slot(legs)
        if self._alarm is not None:  # not stopped meanwhile
            self._schedule(self._alarm)

    def _begin_control(self) -> None:
        now, beginning = self._now(), self._beginning
        while beginning:
            leg, at = next(iter(beginning.items()))
            if at > now:
                return
            del beginning[leg]
            self._readers[leg].control.begin()

    def _let_go(self, frames: int) -> None:
        self._due += frames * TICK_S
        for leg in self._readers:
            leg.sender.skip(frames)

    def _run_slot(self, legs: list[Leg]) -> None:
        """One kind of work for all of them, then the next: the processor goes through each in one go."""
        batch = []
        if self._options.polled:
            for leg in legs:
                try:
                    leg.poll()
                except Exception:
                    self.fault("a leg could not read")
        for leg in legs:
            try:
                leg.tick()
            except Exception:
                self.fault("a leg could not send")
        for leg in legs:
            if leg.receiver.enabled:
                try:
                    pcm, flags = leg.hear()
                except Exception:
                    self.fault("a leg could not hear")
                else:
                    batch.append((leg, pcm, flags))
        if batch:
            try:
                self.sink.on_frames(batch)
            except Exception:
                self.fault("the media sink failed")

    def _quantile_ms(self, part: float) -> float:
        wanted, seen = part * self.ticks, 0
        for bucket, count in enumerate(self._lateness):
            seen += count
            if seen >= wanted:
                return (bucket + 1) * _BUCKET_S * 1000
        return 0.0
