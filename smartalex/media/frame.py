"""Audio as it moves inside the house: formats, and clips rendered ahead of time."""

from __future__ import annotations

import attrs

FRAME_MS = 20
"""Milliseconds of audio in one frame, everywhere."""

PACKET_MS = (10, 20, 30, 40, 50, 60)
"""Milliseconds of audio in one packet, as peers may want them."""


@attrs.frozen
class AudioFormat:
    """`encoding` is "pcm16" (little-endian mono), "pcmu" or "pcma"; `rate` in Hz."""

    encoding: str
    rate: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one 20 ms frame: 320 for pcm16 at 8 kHz, 160 for G.711."""
        samples = self.rate * FRAME_MS // 1000
        return samples * 2 if self.encoding == "pcm16" else samples


PCM8K = AudioFormat("pcm16", 8000)
PCM16K = AudioFormat("pcm16", 16000)


@attrs.frozen(eq=False, weakref_slot=True)
class Clip:
    """Speech or sound that is ready to play: s16le mono PCM at `rate` Hz, and the words it says.

    `text` is empty for tones and music. A clip is shared by all calls; the
    media plane keeps its encoded form per codec.
    """

    pcm: bytes = attrs.field(repr=False)
    rate: int = 8000
    text: str = ""

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) * 500 // self.rate
