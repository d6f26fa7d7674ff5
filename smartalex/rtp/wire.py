"""A leg's UDP socket as its hot path uses it: in C where that was built (etc/compile.py), else in Python."""

from __future__ import annotations

import socket
from struct import Struct
from typing import Any, Protocol

try:
    from smartalex.rtp import _wire
except ImportError:
    _wire = None  # type: ignore[assignment]

LONGEST = 2048
"""Octets; a longer datagram is read as an empty one."""

SO_TIMESTAMPNS = 35  # Linux; the socket module has no name for it
_TIMESPEC = Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)

Datagram = tuple[bytes, Any, float]


class Wire(Protocol):
    """What goes wrong on the network is never raised: it is nothing read, and False for what was not sent."""

    def read(self) -> Datagram | None:
        """The next datagram, the address it is from, and when the kernel had it (Unix seconds, 0 where that is not known)."""

    def send(self, data: bytes, address: Any) -> bool:
        """Whether the system took it."""

    def close(self) -> None:
        """Before the socket is: what is read or sent after it must not meet another one of the same number."""


class PlainWire:
    __slots__ = ("_socket",)

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def read(self) -> Datagram | None:
        try:
            data, ancillary, flags, address = self._socket.recvmsg(LONGEST, _ANCILLARY)
        except OSError:
            return None
        if flags & socket.MSG_TRUNC:
            data = b""
        if not ancillary:
            return data, address, 0.0
        seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
        return data, address, seconds + nanoseconds / 1e9

    def send(self, data: bytes, address: Any) -> bool:
        try:
            self._socket.sendto(data, address)
        except (OSError, OverflowError, TypeError):  # a full buffer, nobody there; no port, or an address of another family
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def of(sock: socket.socket) -> Wire:
    return PlainWire(sock) if _wire is None else _wire.Wire(sock.fileno())


def stamp(sock: socket.socket) -> None:
    """Have the kernel note when each packet arrived."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        pass  # arrivals are then known to a tick only
