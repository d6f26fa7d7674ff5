"""From payloads as they arrive to one frame of PCM each 20 ms: jitter buffer, decoder, concealment."""

from __future__ import annotations

from smartalex.interfaces import ICodec
from smartalex.media.conceal import Concealer
from smartalex.media.frame import FRAME_MS
from smartalex.rtp.jitter import JitterBuffer

NOTHING, CONCEALED = 1, 2
"""Flags of a frame handed to the sink: nothing was there (silence), or it stands for a lost one."""


class Hearing:
    """Sans-IO: `push` what the receiver lets through, `hear` one frame at `codec.rate` each 20 ms."""

    __slots__ = ("_codec", "_concealer", "_packet_bytes", "_rest", "_silence", "_size", "concealed", "jitter")

    def __init__(self, codec: ICodec) -> None:
        self.jitter = JitterBuffer()
        self.concealed = 0
        self.change(codec)

    def change(self, codec: ICodec) -> None:
        """Another codec from the next packet on."""
        self._codec = codec
        self._size = self._packet_bytes = codec.rate * FRAME_MS // 500
        self._silence = bytes(self._size)
        self._concealer = Concealer(codec.rate)
        self._rest = b""
        self.jitter.reset()

    def reset(self) -> None:
        """A new source, or a sender that has begun anew."""
        self.jitter.reset()

    def push(self, sequence: int, timestamp: int, payload: bytes) -> None:
        """`sequence` and `timestamp` as in the header."""
        self.jitter.push(sequence, payload)

    def hear(self) -> tuple[bytes, int]:
        """The next 20 ms and its flags."""
        if not self._rest:
            payload = self.jitter.pop()
            if payload is not None:
                pcm = self._codec.decode(payload)
                if len(pcm) == self._size:
                    return self._concealer.good(pcm), 0
                self._packet_bytes = len(pcm)
                return self._gather(self._concealer.good(pcm))
            if not self.jitter.playing and self._concealer.silent:
                return self._silence, NOTHING
            return self._gather(self._stand_in(self._size), CONCEALED)
        return self._gather(self._rest)

    def _gather(self, pcm: bytes, flags: int = 0) -> tuple[bytes, int]:
        """A frame from packets that are shorter or longer than one, or from what stands for them."""
        while len(pcm) < self._size:
            payload = self.jitter.pop()
            if payload is not None:
                heard = self._codec.decode(payload)
                self._packet_bytes = len(heard)
                pcm += self._concealer.good(heard)
            else:
                pcm += self._stand_in(self._size - len(pcm))
                flags = CONCEALED
        self._rest = pcm[self._size :]
        return pcm[: self._size], flags

    def _stand_in(self, size: int) -> bytes:
        """For a lost packet as long as the last one; while nothing comes at all, `size` bytes that fade."""
        if self.jitter.playing:
            self.concealed += 1
            size = max(size, self._packet_bytes)
        return self._concealer.lost(size)
