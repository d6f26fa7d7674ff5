"""What wakes the plane: the reactor's timers, which count milliseconds, or one of the kernel's (Linux), which does not."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

_MONOTONIC, _NONBLOCK = 1, os.O_NONBLOCK | os.O_CLOEXEC


class Alarm(Protocol):
    """Calls `ring` once for each `set`, of which the last one counts."""

    def set(self, wait_s: float) -> None: ...

    def close(self) -> None: ...


class ReactorAlarm:
    def __init__(self, reactor: Any, ring: Callable[[], None]) -> None:
        self._reactor, self._ring = reactor, ring
        self._call: IDelayedCall | None = None

    def set(self, wait_s: float) -> None:
        self.close()
        # Whole milliseconds: event loops count in them, and uvloop would go round and round for the fraction.
        self._call = self._reactor.callLater(max(0.0, round(wait_s, 3)), self._ringing)

    def close(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _ringing(self) -> None:
        self._call = None
        self._ring()


class _Timer(ctypes.Structure):
    _fields_ = [("every_s", ctypes.c_long), ("every_ns", ctypes.c_long), ("s", ctypes.c_long), ("ns", ctypes.c_long)]


@implementer(IReadDescriptor)
class KernelAlarm:
    """Raises OSError where there is no such thing."""

    def __init__(self, reactor: Any, ring: Callable[[], None]) -> None:
        try:
            library = ctypes.CDLL(None)
            self._settime = library.timerfd_settime
            self._fd: int = library.timerfd_create(_MONOTONIC, _NONBLOCK)
        except AttributeError:
            raise OSError("no timerfd") from None
        if self._fd < 0:
            raise OSError("no timerfd")
        self._timer = _Timer()
        self._at = ctypes.byref(self._timer)
        self._reactor, self._ring = reactor, ring
        reactor.addReader(self)

    def set(self, wait_s: float) -> None:
        wait_ns = max(1, int(wait_s * 1e9))
        self._timer.s, self._timer.ns = divmod(wait_ns, 1_000_000_000)
        self._settime(self._fd, 0, self._at, None)

    def close(self) -> None:
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1

    # ------------------------------------------------------------------ IReadDescriptor

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "rtp"

    def doRead(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew since
        self._ring()

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""


def alarm(reactor: Any, ring: Callable[[], None], *, exact: bool) -> Alarm:
    """The kernel's where that is wanted and can be had."""
    if exact:
        try:
            return KernelAlarm(reactor, ring)
        except OSError:
            pass
    return ReactorAlarm(reactor, ring)
