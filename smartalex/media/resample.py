"""Another sampling rate, by band-limited interpolation; s16le mono PCM in and out."""

from __future__ import annotations

import numpy as np
import samplerate
from numpy.typing import NDArray

_CONVERTER = "sinc_fastest"


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """A whole clip at once; the result has exactly the same duration, rounded to a sample."""
    if from_hz == to_hz or not pcm:
        return pcm
    stream = Resampler(from_hz, to_hz)
    out = stream.process(pcm) + stream.finish()
    wanted = 2 * round(len(pcm) // 2 * to_hz / from_hz)
    return out[:wanted].ljust(wanted, b"\0")


class Resampler:
    """A stream: `process` holds back a few milliseconds until it has seen what follows them.

    Costs about 30 us for 20 ms: long audio belongs off the reactor thread.
    """

    __slots__ = ("_converter", "_odd", "_ratio")

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._ratio = to_hz / from_hz
        self._converter = samplerate.Resampler(_CONVERTER, channels=1) if from_hz != to_hz else None
        self._odd = b""

    def process(self, pcm: bytes) -> bytes:
        """PCM of any length, even half a sample; returns what is ready."""
        pcm = self._odd + pcm
        whole = len(pcm) & ~1
        pcm, self._odd = pcm[:whole], pcm[whole:]
        if self._converter is None:
            return pcm
        return self._convert(np.frombuffer(pcm, "<i2"), last=False)

    def finish(self) -> bytes:
        """The rest of the stream; afterwards the object begins a new one."""
        self._odd = b""
        if self._converter is None:
            return b""
        rest = self._convert(np.zeros(0, "<i2"), last=True)
        self._converter.reset()
        return rest

    def _convert(self, samples: NDArray[np.int16], last: bool) -> bytes:
        assert self._converter is not None
        out = self._converter.process(samples.astype(np.float32), self._ratio, last)
        return np.clip(np.rint(out), -32768, 32767).astype("<i2").tobytes()
