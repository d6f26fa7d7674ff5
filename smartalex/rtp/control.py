"""RTCP of one leg: its socket, and a report every five seconds or so (RFC 3550 section 6)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from zope.interface import implementer

from smartalex.rtp.leg import Address, Leg
from smartalex.rtp.rtcp import interval_s


@implementer(IReadDescriptor)
class Control:
    """Reports go to the port above the peer's RTP, or to where its own come from; only the leg's peer is listened to."""

    __slots__ = ("_alarm", "_learned", "_leg", "_now", "_random", "_reactor", "_socket")

    def __init__(
        self, leg: Leg, sock: socket.socket, reactor: Any, random: Callable[[int], int], now: Callable[[], float]
    ) -> None:
        self._leg = leg
        self._socket = sock
        self._reactor = reactor
        self._random = random
        self._now = now
        self._learned: Address | None = None
        self._alarm: IDelayedCall | None = None

    def start(self) -> None:
        """When the leg knows its peer."""
        self._reactor.addReader(self)
        self._schedule(initial=True)

    def close(self) -> None:
        """Say goodbye, if anything was ever said."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
            self._reactor.removeReader(self)
            if self._leg.sender.packets:
                self._send(bye=True)
        self._socket.close()

    def _schedule(self, *, initial: bool = False) -> None:
        delay_s = interval_s(self._random(32) / (1 << 32), initial=initial)
        self._alarm = self._reactor.callLater(delay_s, self._report)

    def _report(self) -> None:
        self._send()
        self._schedule()

    def _send(self, *, bye: bool = False) -> None:
        leg, remote = self._leg, self._leg.receiver.remote
        if remote is None:
            return
        report = leg.rtcp.report(self._now(), leg.receiver.source, leg.sender.info(), bye=bye)
        data = report if leg.protection is None else leg.protection.control(report)
        try:
            if data is not None:
                self._socket.sendto(data, self._destination(remote))
        except OSError:
            pass  # unreachable just now; the next report tries again

    def _destination(self, remote: Address) -> Address:
        learned = self._learned
        if learned is not None and learned[0] == remote[0]:
            return learned
        return (remote[0], min(remote[1] + 1, 65535), *remote[2:])

    # ------------------------------------------------------------------ IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtcp"

    def doRead(self) -> None:
        data: bytes | None
        try:
            data, address = self._socket.recvfrom(2048)
        except OSError:
            return
        leg, receiver = self._leg, self._leg.receiver
        if leg.protection is not None:
            data = leg.protection.srtp.unprotect_control(data)
            if data is None:
                return
        if receiver.remote is None or address[0] != receiver.remote[0]:
            receiver.strangers += 1
        elif leg.rtcp.received(data, self._now()) is None:
            receiver.malformed += 1
        else:
            self._learned = address

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""
