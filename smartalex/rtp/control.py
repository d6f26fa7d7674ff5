"""RTCP of one leg: its socket, and a report every five seconds or so (RFC 3550 section 6)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from zope.interface import implementer

from smartalex.rtp.leg import Address, Leg
from smartalex.rtp.monitor import metrics
from smartalex.rtp.protection import quietly
from smartalex.rtp.rtcp import Compound, Schedule, parse

READ_S = 0.5
"""The first reports come later; a call that is over by then costs the reactor nothing."""

MOST_WAITED_S = 1.0
"""A datagram that seems to be older bears no stamp of the kernel's, or its clock was set."""


@implementer(IReadDescriptor)
class Control:
    """Reports go to the port above the peer's RTP, to the one that SDP names, or from RTP's port to RTP's where both share it.

    Where the peer's own come from another port of the same host, that is where ours go; after that no other is listened to.
    `until_s(leg)` are the seconds until its next tick; `wall()` is the kernel's clock, in seconds, by which packets are stamped.
    """

    __slots__ = (
        "_alarm", "_clock", "_learned", "_leg", "_now", "_random", "_reactor", "_reading", "_schedule", "_socket", "until_s",
        "wall",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917
        self,
        leg: Leg,
        sock: socket.socket,
        reactor: Any,
        clock: IReactorTime,
        random: Callable[[int], int],
        now: Callable[[], float],
    ) -> None:
        self._leg = leg
        self._socket = sock
        leg.send_beside = quietly(sock)
        self._reactor, self._clock = reactor, clock
        self._reading = False
        self._random = random
        self._now = now
        self._learned: tuple[Address, bool, Address] | None = None  # of which RTP address, sharing its port or not
        self._alarm: IDelayedCall | None = None
        self._schedule = Schedule(now())
        self.until_s: Callable[[Leg], float] = lambda leg: 0.0
        self.wall: Callable[[], float] = lambda: 0.0

    def start(self) -> None:
        """When the leg knows its peer; `begin` is to follow."""
        if self._leg.protection is not None:
            self._read()  # a handshake waits for us

    def begin(self) -> None:
        """READ_S after `start`."""
        self._read()
        self._alarm = self._clock.callLater(max(0.0, self._schedule.first_s(self._draw()) - READ_S), self._due)

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            self._reactor.addReader(self)

    def close(self) -> None:
        """Say goodbye, if anything was ever said."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)
        self.leave()
        self._socket.close()

    def leave(self) -> None:
        """BYE of the source that we are until now."""
        if self._leg.sender.packets:
            self._send(bye=True)

    def _due(self) -> None:
        now = self._now()
        wait_s = self._schedule.wait_s(now, self._draw())
        if not wait_s:
            self._send()
            wait_s = self._schedule.sent(now, self._draw())
        self._alarm = self._clock.callLater(wait_s, self._due)

    def _draw(self) -> float:
        return self._random(32) / (1 << 32)

    # ------------------------------------------------------------------ out

    def _send(self, *, bye: bool = False) -> None:
        leg, remote = self._leg, self._leg.receiver.remote
        if remote is None:
            return
        now, source = self._now(), leg.receiver.source
        heard = None if source is None else metrics(leg, source)
        report = leg.rtcp.report(now, source, leg.sender.info(self.until_s(leg)), heard, bye=bye)
        data = report if leg.protection is None else leg.protection.reports.protect_control(report)
        try:
            if data is not None and leg.mux:
                leg.send_control(data)
            elif data is not None:
                self._socket.sendto(data, self._destination(remote))
        except (OSError, TypeError):
            pass  # unreachable just now, or of another family; the next report tries again

    def _destination(self, remote: Address) -> Address:
        learned, signalled = self._learned, self._leg.control_address
        if learned is not None and learned[:2] == (remote, False):
            return learned[2]
        if signalled is not None and not self._leg.receiver.latched:
            return signalled
        return (remote[0], min(remote[1] + 1, 65535), *remote[2:])

    # ------------------------------------------------------------------ in

    def received(self, data: bytes, address: Address, arrival: float = 0.0) -> None:
        """One datagram in plain; `arrival` is when the kernel had it, where that is known."""
        leg, receiver = self._leg, self._leg.receiver
        if not self._expected(address):
            receiver.strangers += 1
            return
        found = parse(data)
        if found is None:
            receiver.malformed += 1
        elif self._is_ours(found, address):
            receiver.loops += 1
        else:
            if receiver.remote is not None:
                self._learned = receiver.remote, leg.mux, address
            leg.rtcp.received(found, self._now() - self._waited_s(arrival))

    def _expected(self, address: Address) -> bool:
        """The peer's host, and from there the one port that it has kept to since it is there."""
        remote, learned = self._leg.receiver.remote, self._learned
        if remote is None or (address[0] != remote[0] and address != self._leg.control_address):
            return False
        return learned is None or learned[:2] != (remote, self._leg.mux) or learned[2] == address

    def _waited_s(self, arrival: float) -> float:
        """What comes by RTP's port is read by the tick: that is no part of the round trip."""
        waited_s = self.wall() - arrival
        return waited_s if 0 < waited_s < MOST_WAITED_S else 0.0

    def _is_ours(self, found: Compound, address: Address) -> bool:
        """What we have sent ourselves (RFC 3550 8.2); who has chosen the same SSRC by chance has another name."""
        ssrc, name = self._leg.rtcp.ssrc, self._leg.rtcp.cname.encode()
        return any(named == name for _, named in found.names) or (ssrc in found.senders and self._leg.looped(ssrc, address))

    # ------------------------------------------------------------------ IReadDescriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "rtcp"

    def doRead(self) -> None:
        try:
            data, address = self._socket.recvfrom(2048)
        except OSError:
            return
        protection = self._leg.protection
        plain = data if protection is None else protection.control_received(data, address)
        if plain is not None:
            self.received(plain, address)

    def connectionLost(self, reason: Any = None) -> None:
        """The reactor drops its readers when it stops."""
