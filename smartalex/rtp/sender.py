"""What one leg sends: the queue of encoded frames, key presses, and the numbers of the packets (RFC 3550, RFC 4733)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from smartalex.errors import LocalError
from smartalex.interfaces import ICodec
from smartalex.media.frame import FRAME_MS, Clip
from smartalex.rtp import dtmf
from smartalex.rtp.packet import HEADER
from smartalex.rtp.rtcp import SenderInfo

GAP = (b"", False)
"""A frame between two key presses."""

_encoded: WeakKeyDictionary[Clip, dict[str, list[bytes]]] = WeakKeyDictionary()


class Sender:
    """Sans-IO: `packet` gives what is to go out each 20 ms; `sent` counts it."""

    __slots__ = (
        "_clip", "_codec", "_dtmf_out", "_dtmf_pt", "_dtmf_ts", "_loop", "_loop_at", "_marker", "_partial", "_paused", "_pt",
        "_queue", "_sequence", "_silent", "_size", "_step", "_timestamp", "octets", "packets", "played_frames", "sending", "ssrc",
    )  # fmt: skip

    def __init__(self, codec: ICodec, random: Callable[[int], int]) -> None:
        self.ssrc = random(32)
        self.sending = False
        self.packets = self.octets = self.played_frames = 0
        self._sequence, self._timestamp, self._marker = random(16), random(32), 0
        self._pt, self._dtmf_pt, self._dtmf_ts = 0, -1, 0
        self._queue: deque[bytes] = deque()
        self._partial = b""
        self._paused = False
        self._clip: Clip | None = None
        self._loop: list[bytes] = []
        self._loop_at = 0
        self._dtmf_out: deque[tuple[bytes, bool]] = deque()
        self._use(codec)

    def _use(self, codec: ICodec) -> None:
        self._codec = codec
        self._size = codec.rate * FRAME_MS // 500
        self._step = codec.clock * FRAME_MS // 1000
        self._silent = codec.encode(bytes(self._size))

    # ------------------------------------------------------------------ what signalling says

    def configure(self, payload_type: int, dtmf_payload_type: int | None, *, send: bool) -> None:
        """`send` False while the peer holds us: then time goes on and nothing is sent."""
        self._pt = payload_type
        self._dtmf_pt = -1 if dtmf_payload_type is None else dtmf_payload_type
        if self._dtmf_pt < 0:
            self._dtmf_out.clear()
        if send and not self.sending:
            self._marker = 0x80  # the first packet after a gap (RFC 3551 4.1)
        self.sending = send

    def change_codec(self, codec: ICodec) -> None:
        """What is queued is encoded anew."""
        before = self._codec
        self._use(codec)
        self._queue = deque(codec.encode(before.decode(payload)) for payload in self._queue)
        if self._loop and self._clip is not None:
            self._loop = frames_of(self._clip, codec)

    # ------------------------------------------------------------------ the verbs of IAudioOut

    def play(self, pcm: bytes) -> None:
        size = self._size
        data = self._partial + pcm
        whole = len(data) - len(data) % size
        encode = self._codec.encode
        for start in range(0, whole, size):
            self._queue.append(encode(data[start : start + size]))
        self._partial = data[whole:]

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        if clip.rate != self._codec.rate:
            raise LocalError(f"a clip of {clip.rate} Hz on a leg of {self._codec.rate} Hz")
        frames = frames_of(clip, self._codec)
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
    def queued_ms(self) -> int:
        return len(self._queue) * FRAME_MS + len(self._partial) * FRAME_MS // self._size

    def send_dtmf(self, digits: str, ms: int) -> None:
        if self._dtmf_pt < 0:
            return
        for digit in digits:
            self._dtmf_out.extend(dtmf.packets(digit, ms))
            self._dtmf_out.extend([GAP] * (dtmf.GAP_MS // FRAME_MS))

    # ------------------------------------------------------------------ called by the leg

    def packet(self) -> bytes | None:
        """The next 20 ms, None while held."""
        timestamp = self._timestamp
        self._timestamp = timestamp + self._step & 0xFFFFFFFF
        if not self.sending:
            return None
        kind = self._pt | self._marker
        self._marker = 0
        if self._dtmf_out:
            payload, first = self._dtmf_out.popleft()
            if payload:
                if first:
                    self._dtmf_ts = timestamp
                kind, timestamp = self._dtmf_pt | (0x80 if first else 0), self._dtmf_ts
            else:
                payload = self._silent
        elif self._queue and not self._paused:
            self.played_frames += 1
            payload = self._queue.popleft()
        else:
            payload = self._next_frame()
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        return HEADER.pack(0x80, kind, sequence, timestamp, self.ssrc) + payload

    def skip(self, frames: int) -> None:
        """So many ticks will not take place: time goes on, nothing is sent."""
        self._timestamp = self._timestamp + frames * self._step & 0xFFFFFFFF
        self._marker = 0x80

    def info(self) -> SenderInfo:
        """For an RTCP sender report; `ntp` is left open."""
        return SenderInfo(0, self._timestamp, self.packets, self.octets)

    def _next_frame(self) -> bytes:
        if not self._paused:
            if self._partial:
                self._pad()
                self.played_frames += 1
                return self._queue.popleft()
            if self._loop:
                self.played_frames += 1
                self._loop_at = (self._loop_at + 1) % len(self._loop)
                return self._loop[self._loop_at - 1]
        return self._silent

    def _pad(self) -> None:
        """Fill the last frame with silence so that its samples are played."""
        if self._partial:
            self.play(bytes(self._size - len(self._partial)))


def frames_of(clip: Clip, codec: ICodec) -> list[bytes]:
    """The clip's payloads in this codec, made once."""
    known = _encoded.setdefault(clip, {})
    if codec.name not in known:
        size = codec.rate * FRAME_MS // 500
        pcm = clip.pcm + bytes(-len(clip.pcm) % size)
        known[codec.name] = [codec.encode(pcm[start : start + size]) for start in range(0, len(pcm), size)]
    return known[codec.name]
