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

CODECS: dict[str, Callable[[], ICodec]] = {"PCMU": PCMU, "PCMA": PCMA}
LATCH_S = 5.0
SAMPLES = 160

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
    """Counted over the leg's life; times are seconds since it was opened, None when nothing came."""

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


@implementer(IAudioOut)
class Leg:
    """Made by `MediaPlane.open`.  `user` belongs to whoever opened it; `receive` False saves decoding what nobody hears."""

    __slots__ = (
        "_codec", "_concealer", "_dtmf_in", "_dtmf_out", "_dtmf_pt", "_dtmf_ts", "_latch_until", "_loop", "_loop_at", "_now",
        "_opened", "_partial", "_paused", "_pt", "_queue", "_random_ts", "_remote", "_remote_host", "_seq", "_sending", "_socket",
        "_source", "_transit", "closed", "concealed", "first_at", "jitter", "jitter_samples", "last_at", "local_port", "lost_base",
        "malformed", "on_closed", "packets_received", "packets_sent", "played_frames", "receive", "slot", "ssrc", "strangers",
        "symmetric", "user", "__weakref__",
    )  # fmt: skip

    rate = 8000

    def __init__(self, sock: socket.socket, port: int, random: Callable[[int], int], now: Callable[[], float]) -> None:
        self._socket = sock
        self.local_port = port
        self._now = now
        self._opened = now()
        self._codec: ICodec = PCMU()
        self._concealer = Concealer()
        self._dtmf_in = dtmf.DtmfReceiver()
        self._dtmf_out: deque[tuple[bytes, bool]] = deque()
        self._dtmf_pt = -1
        self._dtmf_ts = 0
        self._latch_until = 0.0
        self._loop: list[bytes] = []
        self._loop_at = 0
        self._partial = b""
        self._paused = False
        self._pt = 0
        self._queue: deque[bytes] = deque()
        self._random_ts = random(32)
        self._remote: tuple[str, int] | None = None
        self._remote_host = ""
        self._seq = random(16)
        self._sending = False
        self._source = -1
        self._transit: int | None = None
        self.ssrc = random(32)
        self.jitter = JitterBuffer()
        self.jitter_samples = 0.0
        self.first_at = self.last_at = 0.0
        self.packets_sent = self.packets_received = self.played_frames = 0
        self.concealed = self.lost_base = self.malformed = self.strangers = 0
        self.receive = True
        self.symmetric = True
        self.closed = False
        self.slot = 0
        self.user: Any = None
        self.on_closed: Callable[[Leg], None] = lambda leg: None

    # ------------------------------------------------------------------ verbs

    def set_remote(self, address: str, port: int, params: MediaParams) -> None:
        """Send there from now on; the source of what we hear may be learned once again (symmetric RTP)."""
        if params.codec not in CODECS:
            raise LocalError(f"no codec {params.codec}")
        if params.codec != self._codec.name:
            self._codec = CODECS[params.codec]()
            self._queue.clear()
        self._pt = params.payload_type
        self._dtmf_pt = -1 if params.dtmf_payload_type is None else params.dtmf_payload_type
        if (address, port) != self._remote:
            self._remote = (address, port)
            self._remote_host = address
            self._source = -1
            self._latch_until = self._now() + LATCH_S
        self._sending = params.send

    def play(self, pcm: bytes) -> None:
        size = SAMPLES * 2
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
            self._loop, self._loop_at = frames, 0
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
        """RFC 4733 events with 100 ms between digits; nothing when the peer did not offer them."""
        if self._dtmf_pt < 0:
            return
        for digit in digits:
            self._dtmf_out.extend(dtmf.packets(digit, ms))
            self._dtmf_out.extend([(b"", False)] * 5)

    def stats(self) -> LegStats:
        received = self.packets_received
        lost = max(0, self.jitter.missing)
        loss_pct = 100 * lost / max(1, received + lost)
        delay_ms = self.jitter.depth * FRAME_MS + 50
        since = self._opened
        return LegStats(
            self.packets_sent, received, lost, self.jitter.late, self.concealed, self.strangers, self.malformed,
            round(self.jitter_samples / 8, 2), round(self.first_at - since, 3) if received else None,
            round(self.last_at - since, 3) if received else None, self.played_ms,
            round(mos(r_factor(loss_pct, delay_ms, self._codec.name)), 2),
        )  # fmt: skip

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.flush()
            self.on_closed(self)

    # ------------------------------------------------------------------ called by the plane

    def received(self, buffer: memoryview, size: int, source: tuple[str, int]) -> tuple[str, int] | None:
        """One datagram; returns a completed key press (digit, ms)."""
        bounds = payload_bounds(buffer, size)
        if bounds is None or self._remote is None:
            self.malformed += 1
            return None
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        kind = second & 0x7F
        if source != self._remote and not self._latch(source, kind):
            self.strangers += 1
            return None
        if ssrc != self._source:
            self._source = ssrc
            self.jitter.reset()
            self._transit = None
        now = self._now()
        self.packets_received += 1
        self.last_at = now
        if self.packets_received == 1:
            self.first_at = now
        if kind == self._dtmf_pt:
            return self._dtmf_in.packet(bytes(buffer[bounds[0] : bounds[1]]), timestamp)
        if kind != self._pt:
            return None
        transit = int(now * 8000) - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit) & 0xFFFFFFFF
            if difference < 80_000:
                self.jitter_samples += (difference - self.jitter_samples) / 16
        self._transit = transit
        if self.receive:
            self._push(sequence, bytes(buffer[bounds[0] : bounds[1]]))
        return None

    def _push(self, sequence: int, payload: bytes) -> None:
        self.jitter.push(sequence, payload)

    def _latch(self, source: tuple[str, int], kind: int) -> bool:
        """Take a source other than the signalled one, once, early, and only for what was agreed."""
        if not self.symmetric or self._now() > self._latch_until or kind not in (self._pt, self._dtmf_pt):
            return False
        self._remote = source
        self._latch_until = 0.0
        return True

    def hear(self) -> tuple[bytes, int]:
        """The next 20 ms of the caller and its flags."""
        payload = self.jitter.pop()
        if payload is not None:
            pcm = self._codec.decode(payload)
            if len(pcm) != SAMPLES * 2:
                pcm = (pcm + bytes(SAMPLES * 2))[: SAMPLES * 2]
            return self._concealer.good(pcm), 0
        if self.jitter.playing:
            self.concealed += 1
            return self._concealer.lost(SAMPLES * 2), CONCEALED
        return SILENCE, NOTHING

    def send(self) -> None:
        """One packet: a key press, queued audio, or silence; nothing while held."""
        if not self._sending:
            return
        timestamp = self._random_ts
        self._random_ts = timestamp + SAMPLES & 0xFFFFFFFF
        kind, marker = self._pt, 0
        if self._dtmf_out:
            payload, first = self._dtmf_out.popleft()
            if payload:
                if first:
                    self._dtmf_ts = timestamp
                kind, marker, timestamp = self._dtmf_pt, 0x80 if first else 0, self._dtmf_ts
            else:
                payload = SILENT[self._codec.name]
        else:
            payload = self._next_frame()
        sequence = self._seq
        self._seq = sequence + 1 & 0xFFFF
        try:
            self._socket.sendto(HEADER.pack(0x80, kind | marker, sequence, timestamp, self.ssrc) + payload, self._remote)  # type: ignore[arg-type]
        except OSError:
            return  # a full buffer or an unreachable host: the next frame tries again
        self.packets_sent += 1

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
        return SILENT[self._codec.name]

    def _pad(self) -> None:
        """Fill the last frame with silence so that its samples are played."""
        if self._partial:
            self.play(bytes(SAMPLES * 2 - len(self._partial)))


SILENCE = bytes(SAMPLES * 2)
SILENT = {name: make().encode(SILENCE) for name, make in CODECS.items()}
assert HEADER_BYTES == HEADER.size


def _frames_of(clip: Clip, codec: ICodec) -> list[bytes]:
    """The clip's payloads in this codec, made once."""
    known = _encoded.setdefault(clip, {})
    if codec.name not in known:
        size = SAMPLES * 2
        pcm = clip.pcm + bytes(-len(clip.pcm) % size)
        known[codec.name] = [codec.encode(pcm[start : start + size]) for start in range(0, len(pcm), size)]
    return known[codec.name]
