"""Which packets of those that arrive at a leg are the caller's (RFC 3550 8.2, A.1), and what they carry."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from smartalex.rtp import dtmf
from smartalex.rtp.hearing import Hearing
from smartalex.rtp.packet import HEADER, HEADER_BYTES, payload_bounds
from smartalex.rtp.rtcp import KINDS
from smartalex.rtp.source import BAD, RESTARTED, Source

LATCH_S = 5.0
BITS_NEAR = {4: 8, 6: 64}
UNSPECIFIED = ("0.0.0.0", "::")
Address = tuple[str, int] | tuple[str, int, int, int]

Presses = tuple[dtmf.Press, ...]


def _never(ssrc: int, address: Address) -> bool:
    return False


class Receiver:
    """Sans-IO: `received` takes one datagram; audio goes on to `hearing`, key presses that are complete are returned.

    `strangers` came from elsewhere than the peer, `malformed` is no RTP, `loops` are packets of our own that came back.
    `control` takes RTCP where it shares the port (RFC 5761); `looped(ssrc, address)` says whether a new source is we ourselves.
    `neighbour` is the host that signals: a peer behind a NAT may be near there, or near where it says it is, and nowhere else
    (near is the same IPv4 /24 or IPv6 /64: hosts of several addresses, pools of a NAT).
    Another source of the peer has to send two packets in a row, with none of the old one between (RFC 3550 A.1).
    """

    __slots__ = (
        "_candidate", "_clock", "_dtmf", "_dtmf_pt", "_latch_until", "_lost_before", "_noise_pt", "_now", "_pt", "_signalled",
        "control", "enabled", "first_at", "hearing", "last_at", "looped", "loops", "malformed", "neighbour", "packets", "remote",
        "source", "strangers", "symmetric", "unprotect",
    )  # fmt: skip

    def __init__(self, hearing: Hearing, now: Callable[[], float]) -> None:
        self.hearing = hearing
        self._now = now
        self._pt, self._dtmf_pt, self._noise_pt, self._clock = 0, -1, -1, 8000
        self._signalled: Address | None = None
        self._latch_until = 0.0
        self._dtmf = dtmf.DtmfReceiver()
        self._lost_before = 0
        self._candidate = -1, -1, -1  # SSRC, the next sequence number, packets of the source in use until then
        self.neighbour = ""
        self.remote: Address | None = None
        self.source: Source | None = None
        self.first_at = self.last_at = 0.0
        self.packets = self.malformed = self.strangers = self.loops = 0
        self.symmetric = self.enabled = True
        self.unprotect: Callable[[memoryview, int, Address], bytes | None] | None = None
        self.control: Callable[[bytes, Address, float], None] | None = None
        self.looped: Callable[[int, Address], bool] = _never

    def configure(
        self, payload_type: int, dtmf_payload_type: int | None, dtmf_clock: int = 8000, noise_payload_type: int | None = None
    ) -> None:
        self._pt = payload_type
        self._dtmf_pt = -1 if dtmf_payload_type is None else dtmf_payload_type
        self._noise_pt = -1 if noise_payload_type is None else noise_payload_type
        self._dtmf.clock = dtmf_clock

    def change(self, clock: int) -> None:
        """The RTP clock of the codec, in Hz."""
        self._clock = clock
        if self.source is not None:
            self.source.change(clock)

    def expect(self, address: str, port: int) -> Presses:
        """Where the peer is, as signalling has it; another address than before means a new source, to be learned again.

        The unspecified address (hold in the style of RFC 2543) says nothing about where the peer is, and changes nothing.
        """
        signalled: Address = (address, port, 0, 0) if ":" in address else (address, port)
        if signalled == self._signalled or address in UNSPECIFIED:
            return ()
        self._signalled = self.remote = signalled
        self._latch_until = self._now() + LATCH_S
        return self._forget_source()

    def received(self, buffer: memoryview | bytes, size: int, address: Address, arrival: float) -> Presses:
        """One datagram, the first `size` bytes of `buffer`; `arrival` is seconds of any even clock."""
        if self.unprotect is not None:
            plain = self.unprotect(memoryview(buffer), size, address)
            if plain is None:
                return ()
            buffer, size = plain, len(plain)
        if size > 1 and buffer[1] in KINDS and self.control is not None:
            self.control(bytes(buffer[:size]), address, arrival)
            return ()
        if size >= HEADER_BYTES and buffer[0] == 0x80:
            start, end = HEADER_BYTES, size
        else:
            bounds = payload_bounds(buffer, size)
            if bounds is None:
                self.malformed += 1
                return ()
            start, end = bounds
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        kind = second & 0x7F
        if address != self.remote and not self._latch(address, kind):
            self.strangers += 1
            return ()
        source = self.source
        pressed: Presses = ()
        if source is None or source.ssrc != ssrc:
            if self.looped(ssrc, address):
                self.loops += 1
                return ()
            if source is not None and not self._proved(ssrc, sequence, source):
                return ()
            source, pressed = self._new_source(ssrc, sequence)
        self.last_at = self._now()
        self.packets += 1
        state = source.packet(sequence)
        if state == RESTARTED:
            self.hearing.reset()
        if kind == self._pt:
            if state != BAD:
                source.arrived(timestamp, arrival)
                if self.enabled:
                    self.hearing.push(timestamp, bytes(buffer[start:end]), source.jitter, sequence)
        elif kind == self._noise_pt:
            self.hearing.noise(buffer[start] & 0x7F if end > start else 127, sequence)
        elif kind == self._dtmf_pt:
            self.hearing.jitter.silent(sequence)
            return pressed + self._dtmf.packet(bytes(buffer[start:end]), timestamp)
        return pressed

    def tick(self) -> Presses:
        """Each 20 ms: a key press whose end was lost comes to its end."""
        return self._dtmf.tick() if self._dtmf.pressing else ()

    def close(self) -> None:
        """Keep no way back to the leg."""
        self.control, self.looped = None, _never

    @property
    def latched(self) -> bool:
        """Whether the peer is elsewhere than signalling says."""
        return self.remote != self._signalled

    @property
    def lost(self) -> int:
        return max(0, self._lost_before + (self.source.lost if self.source else 0))

    def _latch(self, address: Address, kind: int) -> bool:
        """Take a source other than the signalled one, once, early, before any other, and only for what was agreed."""
        if not self.symmetric or self._now() > self._latch_until or kind not in (self._pt, self._dtmf_pt):
            return False
        if self._signalled is None or not (_near(address[0], self._signalled[0]) or _near(address[0], self.neighbour)):
            return False
        self.remote = address
        return True

    def _proved(self, ssrc: int, sequence: int, source: Source) -> bool:
        """Whether this is the second packet in a row of another source than the one in use."""
        found = self._candidate == (ssrc, sequence, source.received)
        self._candidate = ssrc, sequence + 1 & 0xFFFF, source.received
        return found

    def _new_source(self, ssrc: int, sequence: int) -> tuple[Source, Presses]:
        if not self.packets:
            self.first_at = self._now()
        pressed = self._forget_source()
        self._latch_until = 0.0
        self.source = source = Source(ssrc, sequence, self._clock)
        return source, pressed

    def _forget_source(self) -> Presses:
        if self.source is not None:
            self._lost_before += self.source.lost
            self.source = None
        self.hearing.reset()
        return self._dtmf.restart()


def _near(host: str, other: str) -> bool:
    if not other or host == other:
        return bool(other)
    try:
        one, two = ip_address(host.partition("%")[0]), ip_address(other.partition("%")[0])
    except ValueError:  # a name
        return False
    return one.version == two.version and int(one) >> BITS_NEAR[one.version] == int(two) >> BITS_NEAR[one.version]
