"""What keeps a leg's packets from others: keys that signalling has brought (SDES), or that a handshake brings (DTLS-SRTP)."""

from __future__ import annotations

import socket
from collections.abc import Callable

from smartalex.errors import LocalError
from smartalex.rtp.dtls import Address, DtlsPeer, Handshake, is_dtls
from smartalex.rtp.receiver import Receiver
from smartalex.rtp.rtcp import KINDS
from smartalex.rtp.srtp import Srtp, SrtpKeys

Wanted = SrtpKeys | DtlsPeer
Send = Callable[[bytes, Address], None]
Shake = Callable[[DtlsPeer, Address], Handshake]


class Protection:
    """From its making on nothing leaves the leg, or is heard, that SRTP has not vouched for.

    `renew` makes us another source.  `on_keys(suite, why)`: packets are protected by this suite from now on; or, with "", they
    never will be, and why.  `srtp` is for RTP, `reports` for RTCP: another one only where it has a port, and so a handshake, of
    its own (RFC 5764 4.1).
    """

    __slots__ = ("_control", "_handshake", "_receiver", "_renew", "_send", "_send_beside", "_shake", "on_keys", "reports", "srtp")

    def __init__(self, receiver: Receiver, renew: Callable[[], None], send: tuple[Send, Send], shake: Shake | None) -> None:
        """`send` is by the socket of RTP, and by that of RTCP."""
        self.srtp = self.reports = Srtp()
        self._receiver = receiver
        self._renew = renew
        self._send, self._send_beside = send
        self._shake = shake
        self._handshake: Handshake | None = None
        self._control: Handshake | None = None
        self.on_keys: Callable[[str, str], None] = _nothing

    # ------------------------------------------------------------------ what signalling says

    @property
    def by_handshake(self) -> bool:
        return self._handshake is not None

    def demand(self, wanted: Wanted, signalled: Address, control: Address | None = None) -> None:
        """At the start or later; what was in use goes on until there is something new.

        `signalled` is where the peer has its RTP, `control` its RTCP, None for the same port.
        """
        if isinstance(wanted, SrtpKeys):
            self._stop_handshakes()
            self.reports = self.srtp
            self._use(wanted)
            return
        if self._handshake is None or not self._handshake.serves(wanted, signalled):
            self._handshake = self._begun(self._handshake, wanted, signalled)
            self._handshake.send, self._handshake.done, self._handshake.failed = self._send, self._shaken, self._failed
            self._handshake.start()
        self._demand_control(wanted, control)

    def _demand_control(self, wanted: DtlsPeer, control: Address | None) -> None:
        """Reports alone never fail a call, nor does it wait for them."""
        if control is None:
            if self._control is not None:
                self._control.stop()
            self._control, self.reports = None, self.srtp
        elif self._control is None or not self._control.serves(wanted, control):
            self._control = self._begun(self._control, wanted, control)
            self.reports = Srtp() if self.reports is self.srtp else self.reports
            self._control.send, self._control.done = self._send_beside, self._control_shaken
            self._control.start()

    def _begun(self, before: Handshake | None, peer: DtlsPeer, signalled: Address) -> Handshake:
        if self._shake is None:
            raise LocalError("no certificate for DTLS")
        if before is not None:
            before.stop()
        handshake = self._shake(peer, signalled)
        handshake.symmetric = self._receiver.symmetric
        return handshake

    def stop(self) -> None:
        self._stop_handshakes()
        self._renew = self.on_keys = _nothing

    def _stop_handshakes(self) -> None:
        for one in (self._handshake, self._control):
            if one is not None:
                one.stop()
        self._handshake = self._control = None

    # ------------------------------------------------------------------ what comes

    def received(self, buffer: memoryview, size: int, address: Address) -> bytes | None:
        """The RTP or RTCP packet in a datagram, None for what goes no further."""
        if self._handshake is not None and size and is_dtls(buffer[0]):
            if not self._handshake.received(bytes(buffer[:size]), address):
                self._receiver.strangers += 1
            return None
        if size > 1 and buffer[1] in KINDS:
            return self.srtp.unprotect_control(bytes(buffer[:size]))
        return self.srtp.unprotect(buffer, size)

    def control_received(self, data: bytes, address: Address) -> bytes | None:
        """The same for the port of RTCP."""
        if self._control is not None and data and is_dtls(data[0]):
            self._control.received(data, address)
            return None
        return self.reports.unprotect_control(data)

    # ------------------------------------------------------------------ what handshakes come to

    def _shaken(self, keys: SrtpKeys, address: Address) -> None:
        self._receiver.remote = address
        self._use(keys)

    def _control_shaken(self, keys: SrtpKeys, address: Address) -> None:
        self.reports.use(keys)

    def _failed(self, why: str) -> None:
        self.on_keys("", why)

    def _use(self, keys: SrtpKeys) -> None:
        source = self._receiver.source
        if self.srtp.use(keys, (source.ssrc, source.highest) if source else None):
            self._renew()
        self.on_keys(keys.suite, "")


def quietly(sock: socket.socket) -> Send:
    """To be called for what is said again when it is lost."""

    def send(data: bytes, address: Address) -> None:
        try:
            sock.sendto(data, address)
        except (OSError, TypeError):  # an address of another family
            pass

    return send


def _nothing(*_: object) -> None:
    pass
