"""What keeps a leg's packets from others: keys that signalling has brought (SDES), or that a handshake brings (DTLS-SRTP)."""

from __future__ import annotations

from collections.abc import Callable

from smartalex.errors import LocalError
from smartalex.rtp.dtls import Address, DtlsPeer, Handshake, is_dtls
from smartalex.rtp.receiver import Receiver
from smartalex.rtp.reports import RtcpSession
from smartalex.rtp.sender import Sender
from smartalex.rtp.srtp import Srtp, SrtpKeys

CONTROL = range(192, 224)
"""The second octet of RTCP where it shares a port with RTP (RFC 5761 4)."""

Wanted = SrtpKeys | DtlsPeer
Shake = Callable[[DtlsPeer, Address], Handshake]


class Protection:
    """From its making on nothing leaves the leg, or is heard, that SRTP has not vouched for.

    `on_keys(suite, why)`: packets are protected by this suite from now on; or, with "", they never will be, and why.
    """

    __slots__ = ("_handshake", "_parts", "_random", "_send", "_shake", "on_keys", "srtp")

    def __init__(
        self,
        parts: tuple[Sender, Receiver, RtcpSession],
        random: Callable[[int], int],
        send: Callable[[bytes, Address], object],
        shake: Shake | None,
    ) -> None:
        self.srtp = Srtp()
        self._parts = parts
        self._random = random
        self._send = send
        self._shake = shake
        self._handshake: Handshake | None = None
        self.on_keys: Callable[[str, str], None] = lambda suite, why: None

    def control(self, report: bytes, *, shared: bool) -> bytes | None:
        """RTCP as it may leave; by a port that it does not share with RTP not with a handshake's keys: they are for that one
        (RFC 5764 4.1)."""
        return None if self.by_handshake and not shared else self.srtp.protect_control(report)

    @property
    def by_handshake(self) -> bool:
        return self._handshake is not None

    def demand(self, wanted: Wanted, signalled: Address) -> None:
        """What signalling says, at the start or later; what was in use goes on until there is something new."""
        if isinstance(wanted, SrtpKeys):
            self._stop_handshake()
            self._use(wanted)
        elif self._handshake is None or not self._handshake.serves(wanted, signalled):
            self._begin(wanted, signalled)

    def received(self, buffer: memoryview, size: int, address: Address) -> bytes | None:
        """The RTP or RTCP packet in a datagram, None for what goes no further."""
        if self._handshake is not None and size and is_dtls(buffer[0]):
            if not self._handshake.received(bytes(buffer[:size]), address):
                self._parts[1].strangers += 1
            return None
        if size > 1 and buffer[1] in CONTROL:
            return self.srtp.unprotect_control(bytes(buffer[:size]))
        return self.srtp.unprotect(buffer, size)

    def stop(self) -> None:
        self._stop_handshake()
        self.on_keys = lambda suite, why: None

    def _begin(self, peer: DtlsPeer, signalled: Address) -> None:
        if self._shake is None:
            raise LocalError("no certificate for DTLS")
        self._stop_handshake()
        self._handshake = handshake = self._shake(peer, signalled)
        handshake.symmetric = self._parts[1].symmetric
        handshake.send, handshake.done, handshake.failed = self._sent, self._shaken, self._failed
        handshake.start()

    def _stop_handshake(self) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.stop()

    def _sent(self, data: bytes, address: Address) -> None:
        try:
            self._send(data, address)
        except OSError:
            pass  # it comes again when its time is up

    def _shaken(self, keys: SrtpKeys, address: Address) -> None:
        self._parts[1].remote = address
        self._use(keys)

    def _failed(self, why: str) -> None:
        self.on_keys("", why)

    def _use(self, keys: SrtpKeys) -> None:
        sender, receiver, rtcp = self._parts
        source = receiver.source
        if self.srtp.use(keys, (source.ssrc, source.highest) if source else None):
            sender.renew(self._random)
            rtcp.ssrc = sender.ssrc
        self.on_keys(keys.suite, "")
