"""What one leg sends: playing, key presses, and the numbers of the packets (RFC 3550, RFC 4733)."""

from __future__ import annotations

from collections.abc import Callable

from smartalex.interfaces import ICodec
from smartalex.media.frame import FRAME_MS
from smartalex.rtp.keys import KeyPresses
from smartalex.rtp.packet import HEADER
from smartalex.rtp.playback import Playback
from smartalex.rtp.rtcp import SenderInfo


class Sender:
    """Sans-IO: `packet` gives what is to go out each 20 ms, and `more` whether there is another for the same tick.

    Packets of 10 ms go out in pairs; those of 30 ms leave 20 and 40 ms apart.
    """

    __slots__ = (
        "_before", "_clock", "_codec", "_keys", "_keys_clock", "_keys_pt", "_keys_ts", "_marker", "_ms", "_sequence", "_step",
        "_timestamp", "_wait_ms", "more", "octets", "packets", "payload_type", "playback", "sending", "ssrc",
    )  # fmt: skip

    def __init__(self, codec: ICodec, random: Callable[[int], int]) -> None:
        self.ssrc = random(32)
        self.sending = self.more = False
        self.packets = self.octets = 0
        self._before = 0, 0  # packets and octets of the sources that we were
        self._sequence, self._timestamp, self._marker = random(15), random(32), 0  # no wrap at once (RFC 3711 3.3.1)
        self.payload_type, self._keys_pt, self._keys_clock, self._keys_ts = 0, -1, 8000, 0
        self._keys = KeyPresses()
        self._wait_ms = 0  # until the next packet is due
        self._codec, self._ms = codec, FRAME_MS
        self._step = codec.clock * FRAME_MS // 1000
        self.playback = Playback(codec, FRAME_MS)

    # ------------------------------------------------------------------ what signalling says

    def configure(self, payload_type: int, keys_payload_type: int | None, *, send: bool, keys_clock: int = 8000) -> None:
        """`send` False while the peer holds us: then time goes on and nothing is sent."""
        self.payload_type, self._keys_clock = payload_type, keys_clock
        self._keys_pt = -1 if keys_payload_type is None else keys_payload_type
        if self._keys_pt < 0:
            self._keys.clear()
        if send and not self.sending:
            self._marker = 0x80  # the first packet after a gap (RFC 3551 4.1)
        self.sending = send

    def change(self, codec: ICodec, packet_ms: int) -> None:
        """Another codec, or packets of another length: the longest that the codec can make of `packet_ms`."""
        packet_ms = max((ms for ms in codec.packet_ms if ms <= packet_ms), default=codec.packet_ms[0])
        if codec is self._codec and packet_ms == self._ms:
            return
        self._codec, self._ms, self._wait_ms = codec, packet_ms, 0
        self._step = codec.clock * packet_ms // 1000
        self.playback.change(codec, packet_ms)

    def renew(self, random: Callable[[int], int]) -> None:
        """Go on as another source."""
        self.ssrc, self._sequence, self._marker = random(32), random(15), 0x80
        self._before = self.packets, self.octets

    def send_dtmf(self, digits: str, ms: int) -> None:
        if self._keys_pt >= 0:
            self._keys.press(digits, ms)

    # ------------------------------------------------------------------ called by the leg

    def packet(self) -> bytes | None:
        """What is due now, None when nothing is, or while held."""
        if self._ms != FRAME_MS and not self._due():
            return None
        timestamp = self._timestamp
        self._timestamp = timestamp + self._step & 0xFFFFFFFF
        if not self.sending:
            return self.packet() if self.more else None
        kind = self.payload_type | self._marker
        self._marker = 0
        if self._keys.pending:
            kind, timestamp, payload = self._key(kind, timestamp)
        else:
            payload = self.playback.next()
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        return HEADER.pack(0x80, kind, sequence, timestamp, self.ssrc) + payload

    def skip(self, frames: int) -> None:
        """So many ticks will not take place: time goes on, nothing is sent."""
        early_ms = self._wait_ms - frames * FRAME_MS
        missed = max(0, -(early_ms // self._ms))
        self._wait_ms = early_ms + missed * self._ms
        self._timestamp = self._timestamp + missed * self._step & 0xFFFFFFFF
        self._marker = 0x80

    def info(self, until_s: float = 0.0) -> SenderInfo:
        """For an RTCP sender report, `until_s` before the next tick; `ntp` is left open."""
        ahead_s = until_s + max(0, self._wait_ms) // FRAME_MS * FRAME_MS / 1000
        timestamp = self._timestamp - int(ahead_s * self._codec.clock) & 0xFFFFFFFF
        packets, octets = self._before
        return SenderInfo(0, timestamp, self.packets - packets, self.octets - octets)

    def _due(self) -> bool:
        """Whether a packet is to go in this tick, and whether another one after it."""
        if not self.more:
            self._wait_ms -= FRAME_MS
        self.more = False
        if self._wait_ms >= 0:
            return False
        self._wait_ms += self._ms
        self.more = self._wait_ms < 0
        return True

    def _key(self, kind: int, timestamp: int) -> tuple[int, int, bytes]:
        """The next packet of a key press; silence between two."""
        keys = self._keys
        first = keys.beginning
        event = keys.next(self._ms, self._keys_clock)
        if event is None:
            return kind, timestamp, self.playback.silence()
        if first:
            self._keys_ts = timestamp
        payload, units = event
        since = units * self._codec.clock // self._keys_clock
        return self._keys_pt | (0x80 if first else 0), self._keys_ts + since & 0xFFFFFFFF, payload
