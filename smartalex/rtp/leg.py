"""One call's media: what it sends each 20 ms, what it has received, and what was counted on the way."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import attrs
from zope.interface import implementer

from smartalex.errors import LocalError
from smartalex.interfaces import IAudioOut, ICodec
from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.conceal import Concealer
from smartalex.media.frame import FRAME_MS, Clip
from smartalex.rtp import dtmf
from smartalex.rtp.jitter import JitterBuffer
from smartalex.rtp.packet import HEADER, HEADER_BYTES, payload_bounds
from smartalex.rtp.quality import mos, r_factor
from smartalex.rtp.rtcp import RtcpSession, SenderInfo
from smartalex.rtp.source import BAD, RESTARTED, Source

CODECS: dict[str, Callable[[], ICodec]] = {"PCMU": PCMU, "PCMA": PCMA}
LATCH_S = 5.0
SAMPLES = 160
FRAME_BYTES = 2 * SAMPLES
GAP = (b"", False)
"""A frame between two key presses."""

NETWORK_MS = 30
"""Taken for the way through the network as long as no RTCP has told."""

UNSPECIFIED = ("0.0.0.0", "::")
Address = tuple[str, int] | tuple[str, int, int, int]

NOTHING, CONCEALED = 1, 2
"""Flags of a frame handed to the sink: nothing was there (silence), or it stands for a lost one."""

_encoded: WeakKeyDictionary[Clip, dict[str, list[bytes]]] = WeakKeyDictionary()


@attrs.frozen
class MediaParams:
    """What signalling has agreed; `send` False while the peer holds us."""

    codec: str = "PCMU"
    payload_type: int = 0
    dtmf_payload_type: int | None = None
    ptime_ms: int = FRAME_MS
    send: bool = True


@attrs.frozen
class LegStats:
    """Counted over the leg's life; times are seconds since it was opened.  None: nothing came, or nobody told.

    `lost` never arrived, `late` arrived too late; `remote_*` is how the peer receives us (RTCP), its loss
    over the last reporting interval.
    """

    packets_sent: int
    packets_received: int
    lost: int
    late: int
    concealed: int
    strangers: int
    malformed: int
    jitter_ms: float
    first_packet_s: float | None
    last_packet_s: float | None
    played_ms: int
    mos: float
    remote_lost: int | None = None
    remote_loss_pct: float | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None


@implementer(IAudioOut)
class Leg:
    """Made by `MediaPlane.open`.  `user` belongs to whoever opened it; `receive` False saves decoding what nobody hears."""

    __slots__ = (
        "__weakref__", "_clip", "_codec", "_concealer", "_dtmf_in", "_dtmf_out", "_dtmf_pt", "_dtmf_ts", "_latch_until",
        "_loop", "_loop_at", "_lost_before", "_marker", "_now", "_opened", "_packet_bytes", "_partial", "_paused", "_pt",
        "_queue", "_rest", "_sending", "_seq", "_signalled", "_silent", "_socket", "_started", "_timestamp", "closed",
        "concealed", "first_at", "jitter", "last_at", "local_port", "malformed", "octets_sent", "on_closed", "on_pressed",
        "on_started", "packets_received", "packets_sent", "played_frames", "poll", "receive", "remote", "rtcp", "slot", "source",
        "ssrc", "strangers", "symmetric", "user",
    )  # fmt: skip

    rate = 8000

    def __init__(self, sock: socket.socket, port: int, random: Callable[[int], int], now: Callable[[], float]) -> None:
        self._socket = sock
        self.local_port = port
        self._now = now
        self._opened = now()
        self._codec: ICodec = PCMU()
        self._silent = SILENT["PCMU"]
        self._pt = 0
        self._dtmf_pt = -1
        # what is sent
        self._signalled: Address | None = None
        self.remote: Address | None = None
        self._sending = self._started = self._paused = False
        self._seq, self._timestamp, self._marker = random(16), random(32), 0
        self.ssrc = random(32)
        self._queue: deque[bytes] = deque()
        self._partial = b""
        self._clip: Clip | None = None
        self._loop: list[bytes] = []
        self._loop_at = 0
        self._dtmf_out: deque[tuple[bytes, bool]] = deque()
        self._dtmf_ts = 0
        # what is received
        self._latch_until = 0.0
        self.source: Source | None = None
        self.jitter = JitterBuffer()
        self._concealer = Concealer()
        self._dtmf_in = dtmf.DtmfReceiver()
        self._rest = b""
        self._packet_bytes = FRAME_BYTES
        self._lost_before = 0
        self.rtcp = RtcpSession(self.ssrc, f"{random(96):024x}")  # a name of its own for each call (RFC 7022)
        self.first_at = self.last_at = 0.0
        self.packets_sent = self.octets_sent = self.packets_received = self.played_frames = 0
        self.concealed = self.malformed = self.strangers = 0
        self.receive = True
        self.symmetric = True
        self.closed = False
        self.slot = 0
        self.user: Any = None
        self.poll: Callable[[], None] = lambda: None
        self.on_started: Callable[[Leg], None] = lambda leg: None
        self.on_closed: Callable[[Leg], None] = lambda leg: None
        self.on_pressed: Callable[[Leg, str, int], None] = lambda leg, digit, ms: None

    # ------------------------------------------------------------------ verbs

    def set_remote(self, address: str, port: int, params: MediaParams) -> None:
        """Send there from now on.  Another address than before means a new source, to be learned again (symmetric RTP).

        The unspecified address (hold in the style of RFC 2543) says nothing about where the peer is, and changes nothing.
        """
        if params.codec not in CODECS:
            raise LocalError(f"no codec {params.codec}")
        if params.codec != self._codec.name:
            self._change_codec(CODECS[params.codec]())
        self._pt = params.payload_type
        self._dtmf_pt = -1 if params.dtmf_payload_type is None else params.dtmf_payload_type
        if self._dtmf_pt < 0:
            self._dtmf_out.clear()
        signalled: Address = (address, port, 0, 0) if ":" in address else (address, port)
        if signalled != self._signalled and address not in UNSPECIFIED:
            self._signalled = self.remote = signalled
            self._forget_source()
            self._latch_until = self._now() + LATCH_S
        if params.send and not self._sending:
            self._marker = 0x80  # the first packet after a gap (RFC 3551 4.1)
        self._sending = params.send and self.remote is not None and not self.closed
        if not self._started and not self.closed:
            self._started = True
            self.on_started(self)

    def _change_codec(self, codec: ICodec) -> None:
        before, self._codec = self._codec, codec
        self._silent = SILENT[codec.name]
        self._queue = deque(codec.encode(before.decode(payload)) for payload in self._queue)
        if self._loop and self._clip is not None:
            self._loop = _frames_of(self._clip, codec)
        self.jitter.reset()
        self._rest = b""

    def play(self, pcm: bytes) -> None:
        size = FRAME_BYTES
        data = self._partial + pcm
        whole = len(data) - len(data) % size
        encode = self._codec.encode
        for start in range(0, whole, size):
            self._queue.append(encode(data[start : start + size]))
        self._partial = data[whole:]

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        if clip.rate != self.rate:
            raise LocalError(f"a clip of {clip.rate} Hz on a leg of {self.rate} Hz")
        frames = _frames_of(clip, self._codec)
        if loop:
            self._clip, self._loop, self._loop_at = clip, frames, 0
        else:
            self._pad()
            self._queue.extend(frames)

    def flush(self) -> int:
        dropped = self.queued_ms
        self._queue.clear()
        self._partial = b""
        self._loop = []
        self._paused = False
        return dropped

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    @property
    def played_ms(self) -> int:
        return self.played_frames * FRAME_MS

    @property
    def queued_ms(self) -> int:
        return len(self._queue) * FRAME_MS + len(self._partial) // 16

    def send_dtmf(self, digits: str, ms: int = 160) -> None:
        """RFC 4733 events with 100 ms between digits; nothing when the peer did not offer them.

        ValueError for what is no key of 0-9 * # A-D.
        """
        if self._dtmf_pt < 0:
            return
        for digit in digits:
            self._dtmf_out.extend(dtmf.packets(digit, ms))
            self._dtmf_out.extend([GAP] * (dtmf.GAP_MS // FRAME_MS))

    def stats(self) -> LegStats:
        received, source, rtcp, since = self.packets_received, self.source, self.rtcp, self._opened
        lost = max(0, self._lost_before + (source.lost if source else 0))
        missed = max(lost, self.concealed)
        network_ms = NETWORK_MS if rtcp.rtt_ms is None else rtcp.rtt_ms / 2
        delay_ms = network_ms + (1 + self.jitter.depth) * FRAME_MS
        return LegStats(
            self.packets_sent, received, lost, self.jitter.late, self.concealed, self.strangers, self.malformed,
            round(source.jitter / 8, 2) if source else 0.0, round(self.first_at - since, 3) if received else None,
            round(self.last_at - since, 3) if received else None, self.played_ms,
            round(mos(r_factor(100 * missed / max(1, received + missed), delay_ms, self._codec.name)), 2),
            rtcp.remote_lost, _rounded(rtcp.remote_loss_pct), _rounded(rtcp.remote_jitter_ms), _rounded(rtcp.rtt_ms),
        )  # fmt: skip

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._sending = False
            self.flush()
            self.on_closed(self)

    # ------------------------------------------------------------------ called by the plane

    def sent(self) -> SenderInfo:
        """For an RTCP sender report; `ntp` is left open."""
        return SenderInfo(0, self._timestamp, self.packets_sent, self.octets_sent)

    def received(self, buffer: memoryview, size: int, address: Address, arrival: float) -> None:
        """One datagram, the first `size` bytes of `buffer`; `arrival` is seconds of any even clock."""
        if size >= HEADER_BYTES and buffer[0] == 0x80:
            start, end = HEADER_BYTES, size
        else:
            bounds = payload_bounds(buffer, size)
            if bounds is None:
                self.malformed += 1
                return
            start, end = bounds
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        kind = second & 0x7F
        if address != self.remote and not self._latch(address, kind):
            self.strangers += 1
            return
        self.last_at = self._now()
        self.packets_received += 1
        source = self.source
        if source is None or source.ssrc != ssrc:
            source = self._new_source(ssrc, sequence)
        state = source.packet(sequence)
        if state == RESTARTED:
            self.jitter.reset()
        if kind == self._pt:
            if state != BAD:
                source.arrived(timestamp, int(arrival * 8000))
                if self.receive:
                    self.jitter.push(sequence, bytes(buffer[start:end]))
        elif kind == self._dtmf_pt:
            self._pressed(self._dtmf_in.packet(bytes(buffer[start:end]), timestamp))

    def _latch(self, address: Address, kind: int) -> bool:
        """Take a source other than the signalled one, once, early, before any other, and only for what was agreed."""
        if not self.symmetric or self._now() > self._latch_until or kind not in (self._pt, self._dtmf_pt):
            return False
        self.remote = address
        return True

    def _new_source(self, ssrc: int, sequence: int) -> Source:
        if self.packets_received == 1:
            self.first_at = self.last_at
        self._forget_source()
        self._latch_until = 0.0
        self.source = Source(ssrc, sequence)
        return self.source

    def _forget_source(self) -> None:
        if self.source is not None:
            self._lost_before += self.source.lost
            self.source = None
        self.jitter.reset()
        self._pressed(self._dtmf_in.restart())

    def _pressed(self, press: tuple[str, int] | None) -> None:
        if press is not None:
            self.on_pressed(self, *press)

    def tick(self) -> None:
        """Once in 20 ms: one packet goes out; a key press whose end was lost comes to its end."""
        if self._sending:
            self._send()
        else:
            self._timestamp = self._timestamp + SAMPLES & 0xFFFFFFFF
        if self._dtmf_in.pressing:
            self._pressed(self._dtmf_in.tick())

    def skip(self, frames: int) -> None:
        """So many ticks will not take place: time goes on, nothing is sent."""
        self._timestamp = self._timestamp + frames * SAMPLES & 0xFFFFFFFF
        self._marker = 0x80

    def hear(self) -> tuple[bytes, int]:
        """The next 20 ms of the caller and its flags."""
        if not self._rest:
            payload = self.jitter.pop()
            if payload is not None:
                pcm = self._codec.decode(payload)
                if len(pcm) == FRAME_BYTES:
                    return self._concealer.good(pcm), 0
                self._packet_bytes = len(pcm)
                return self._gather(self._concealer.good(pcm))
            if not self.jitter.playing and self._concealer.silent:
                return SILENCE, NOTHING
            return self._gather(self._stand_in(FRAME_BYTES), CONCEALED)
        return self._gather(self._rest)

    def _gather(self, pcm: bytes, flags: int = 0) -> tuple[bytes, int]:
        """A frame from packets that are shorter or longer than one, or from what stands for them."""
        while len(pcm) < FRAME_BYTES:
            payload = self.jitter.pop()
            if payload is not None:
                heard = self._codec.decode(payload)
                self._packet_bytes = len(heard)
                pcm += self._concealer.good(heard)
            else:
                pcm += self._stand_in(FRAME_BYTES - len(pcm))
                flags = CONCEALED
        self._rest = pcm[FRAME_BYTES:]
        return pcm[:FRAME_BYTES], flags

    def _stand_in(self, size: int) -> bytes:
        """For a lost packet as long as the last one; while nothing comes at all, `size` bytes that fade."""
        if self.jitter.playing:
            self.concealed += 1
            size = max(size, self._packet_bytes)
        return self._concealer.lost(size)

    def _send(self) -> None:
        timestamp, kind = self._timestamp, self._pt | self._marker
        self._timestamp = timestamp + SAMPLES & 0xFFFFFFFF
        self._marker = 0
        if self._dtmf_out:
            payload, first = self._dtmf_out.popleft()
            if payload:
                if first:
                    self._dtmf_ts = timestamp
                kind, timestamp = self._dtmf_pt | (0x80 if first else 0), self._dtmf_ts
            else:
                payload = self._silent
        else:
            payload = self._next_frame()
        sequence = self._seq
        self._seq = sequence + 1 & 0xFFFF
        try:
            self._socket.sendto(HEADER.pack(0x80, kind, sequence, timestamp, self.ssrc) + payload, self.remote)  # type: ignore[arg-type]
        except OSError:
            return  # a full buffer or an unreachable host: the next frame tries again
        self.packets_sent += 1
        self.octets_sent += len(payload)

    def _next_frame(self) -> bytes:
        if not self._paused:
            if self._queue:
                self.played_frames += 1
                return self._queue.popleft()
            if self._partial:
                self._pad()
                return self._next_frame()
            if self._loop:
                self.played_frames += 1
                self._loop_at = (self._loop_at + 1) % len(self._loop)
                return self._loop[self._loop_at - 1]
        return self._silent

    def _pad(self) -> None:
        """Fill the last frame with silence so that its samples are played."""
        if self._partial:
            self.play(bytes(FRAME_BYTES - len(self._partial)))


SILENCE = bytes(FRAME_BYTES)
SILENT = {name: make().encode(SILENCE) for name, make in CODECS.items()}
assert HEADER_BYTES == HEADER.size


def _frames_of(clip: Clip, codec: ICodec) -> list[bytes]:
    """The clip's payloads in this codec, made once."""
    known = _encoded.setdefault(clip, {})
    if codec.name not in known:
        size = FRAME_BYTES
        pcm = clip.pcm + bytes(-len(clip.pcm) % size)
        known[codec.name] = [codec.encode(pcm[start : start + size]) for start in range(0, len(pcm), size)]
    return known[codec.name]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
