"""The receiving socket of one leg: read by the tick, or by the reactor as packets arrive."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import classImplements

from smartalex.rtp.control import Control
from smartalex.rtp.leg import Leg
from smartalex.rtp.wire import Datagram

MOST_READS: Final = 64
"""Packets of one leg in one tick (3,200 a second); a flood beyond that is left to the kernel to drop."""

STEADY_MS: Final = 4.0
"""A source whose jitter (RFC 3550 6.4.1) is less is expected to bring one packet in a tick once it has SETTLED."""

SETTLED: Final = 8
LOOK_EVERY: Final = 8
"""Ticks.  A look for a second packet, where there is none, costs as much as all that is done with the first one."""


class Reader:
    __slots__ = ("_alone", "_fault", "_leg", "_now", "_socket", "_wire", "control")

    def __init__(
        self, leg: Leg, sock: socket.socket, control: Control, now: Callable[[], float], fault: Callable[[str], None]
    ) -> None:
        """`fault` is told, where an exception was caught, what could not be done."""
        self.control = control
        self._leg, self._wire, self._socket = leg, leg.wire, sock
        self._now, self._fault = now, fault
        self._alone = 0  # ticks in a row with one packet, as far as was looked

    def close(self) -> None:
        self.control.close()
        self._wire.close()
        self._socket.close()

    # ------------------------------------------------------------------ by the tick

    def poll(self) -> None:
        """Take in what has arrived."""
        read, receiver = self._wire.read, self._leg.receiver
        found = read()
        if found is None:
            self._alone = 0
            return
        before = receiver.packets
        self._take(found)
        self._alone = alone = self._alone + 1
        if alone > SETTLED and alone % LOOK_EVERY and receiver.packets != before and self._steady():
            return
        for _ in range(MOST_READS - 1):
            found = read()
            if found is None:
                return
            self._alone = 0
            self._take(found)

    def _steady(self) -> bool:
        source = self._leg.receiver.source
        return source is not None and source.jitter * 1000 < STEADY_MS * source.clock

    def _take(self, found: Datagram) -> None:
        data, address, arrival = found
        try:
            self._leg.received(data, len(data), address, arrival or self._now())
        except Exception:
            self._fault("a packet could not be taken in")

    # ------------------------------------------------------------------ by the reactor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtp"

    def doRead(self) -> None:
        """One packet a wake-up."""
        found = self._wire.read()
        if found is not None:
            self._take(found)

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""


classImplements(Reader, IReadDescriptor)
