"""The receiving socket of one leg: read by the reactor as packets arrive, or by the tick."""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from smartalex.rtp.control import Control
from smartalex.rtp.leg import Leg

MOST_READS = 16
"""Packets of one leg in one tick; a flood beyond that is left to the kernel to drop."""

SO_TIMESTAMPNS = 35  # Linux; the socket module has no name for it
_TIMESPEC = Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)


class Shared:
    """What the readers of one plane have in common: a buffer for one datagram at a time, the clock, and where faults go."""

    __slots__ = ("buffer", "buffers", "fault", "now", "view")

    def __init__(self, now: Callable[[], float], fault: Callable[[str], None]) -> None:
        self.now, self.fault = now, fault
        self.buffer = bytearray(2048)
        self.buffers = [self.buffer]
        self.view = memoryview(self.buffer)


@implementer(IReadDescriptor)
class Reader:
    __slots__ = ("_leg", "_shared", "_socket", "control")

    def __init__(self, leg: Leg, sock: socket.socket, control: Control, shared: Shared) -> None:
        self.control = control
        self._leg = leg
        self._socket = sock
        self._shared = shared

    def close(self) -> None:
        self.control.close()
        self._socket.close()

    # ------------------------------------------------------------------ by the tick

    def stamp(self) -> None:
        """Have the kernel note when each packet arrived: `poll` comes up to a tick later."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        except OSError:
            pass  # the jitter is then known to 20 ms only

    def poll(self) -> None:
        """Take in what has arrived."""
        read, shared = self._socket.recvmsg_into, self._shared
        for _ in range(MOST_READS):
            try:
                size, ancillary, _flags, address = read(shared.buffers, _ANCILLARY)
            except OSError:
                return
            if ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                self._take(size, address, seconds + nanoseconds / 1e9)
            else:
                self._take(size, address, shared.now())

    def _take(self, size: int, address: Any, arrival: float) -> None:
        try:
            self._leg.received(self._shared.view, size, address, arrival)
        except Exception:
            self._shared.fault("a packet could not be taken in")

    # ------------------------------------------------------------------ by the reactor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtp"

    def doRead(self) -> None:
        """One packet a wake-up."""
        try:
            size, address = self._socket.recvfrom_into(self._shared.buffer)
        except OSError:
            return
        self._take(size, address, self._shared.now())

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""
