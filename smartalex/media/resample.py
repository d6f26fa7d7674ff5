"""Another sampling rate, by band-limited interpolation; s16le mono PCM in and out.

Between 8 and 16 kHz, and 24 and 48, a half-band filter does it in a third of the time that libsamplerate takes for any ratio.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import samplerate
from numpy.typing import NDArray

_CONVERTER = "sinc_fastest"

Samples = NDArray[np.float32]


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """A whole clip at once; the result has exactly the same duration, rounded to a sample.

    0.2 ms for a second of audio between 8 and 16 kHz, 1 ms otherwise.
    """
    if from_hz == to_hz or not pcm:
        return pcm
    stream = Resampler(from_hz, to_hz)
    out = stream.process(pcm) + stream.finish()
    wanted = 2 * round(len(pcm) // 2 * to_hz / from_hz)
    return out[:wanted].ljust(wanted, b"\0")


class Resampler:
    """A stream: `process` holds back a few milliseconds until it has seen what follows them.

    Costs 10 us for 20 ms between 8 and 16 kHz, about 30 us otherwise: long audio belongs off the reactor thread.
    """

    __slots__ = ("_converter", "_odd")

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._converter: _Converter | None = None
        if to_hz == 2 * from_hz:
            self._converter = _Doubler()
        elif from_hz == 2 * to_hz:
            self._converter = _Halver()
        elif from_hz != to_hz:
            self._converter = _AnyRatio(to_hz / from_hz)
        self._odd = b""

    def process(self, pcm: bytes) -> bytes:
        """PCM of any length, even half a sample; returns what is ready."""
        if self._odd or len(pcm) & 1:
            pcm = self._odd + pcm
            whole = len(pcm) & ~1
            pcm, self._odd = pcm[:whole], pcm[whole:]
        if self._converter is None or not pcm:
            return pcm
        return _pcm(self._converter.process(np.frombuffer(pcm, "<i2").astype(np.float32)))

    def finish(self) -> bytes:
        """The rest of the stream; afterwards the object begins a new one."""
        self._odd = b""
        return _pcm(self._converter.finish()) if self._converter is not None else b""


class Frames:
    """20 ms frames at `rate` from 20 ms frames at any: their length tells at which, and it may change in mid-stream."""

    __slots__ = ("_resampler", "_rest", "_size", "_taken", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._size = self._taken = rate // 25
        self._resampler: Resampler | None = None
        self._rest = b""

    def of(self, pcm: bytes) -> tuple[bytes, ...]:
        """None, one or two; a few milliseconds are held back where there is something to convert."""
        if len(pcm) != self._taken:
            self._taken = len(pcm)
            self._resampler = Resampler(len(pcm) * 25, self.rate) if len(pcm) != self._size else None
            self._rest = b""
        if self._resampler is None:
            return (pcm,)
        data, size = self._rest + self._resampler.process(pcm), self._size
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        return tuple(data[at : at + size] for at in range(0, whole, size))


class _Converter(Protocol):
    def process(self, samples: Samples) -> Samples: ...
    def finish(self) -> Samples: ...


class _AnyRatio:
    __slots__ = ("_converter", "_ratio")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._converter = samplerate.Resampler(_CONVERTER, channels=1)

    def process(self, samples: Samples) -> Samples:
        made: Samples = self._converter.process(samples, self._ratio, False)
        return made

    def finish(self) -> Samples:
        rest: Samples = self._converter.process(np.zeros(0, np.float32), self._ratio, True)
        self._converter.reset()
        return rest


_HALF = 24
"""Taps on either side of the middle, odd ones only: a half-band filter has no others."""


def _half_band() -> Samples:
    """The odd taps of a windowed sinc at half of the band; together they have gain 1."""
    odd = np.arange(-2 * _HALF + 1, 2 * _HALF, 2)
    taps = np.sinc(odd / 2) * np.kaiser(4 * _HALF + 1, 7.0)[odd + 2 * _HALF]
    return np.asarray(taps / taps.sum(), np.float32)


_TAPS = _half_band()
_PAST = len(_TAPS) - 1


class _Doubler:
    """Every sample, and between two of them what the filter says."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past: Samples = np.zeros(_HALF - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        known = np.concatenate((self._past, samples))
        self._past = known[-_PAST:]
        count = len(known) - _PAST
        if count <= 0:
            return np.zeros(0, np.float32)
        made = np.empty(2 * count, np.float32)
        made[0::2] = known[_HALF - 1 : _HALF - 1 + count]
        made[1::2] = np.convolve(known, _TAPS, "valid")
        return made

    def finish(self) -> Samples:
        rest = self.process(np.zeros(_HALF, np.float32))
        self._past = np.zeros(_HALF - 1, np.float32)
        return rest


class _Halver:
    """Half of every second sample, and half of what the filter says of its neighbours."""

    __slots__ = ("_past",)

    def __init__(self) -> None:
        self._past: Samples = np.zeros(2 * _HALF - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        known = np.concatenate((self._past, samples))
        count = (len(known) - 2 * _PAST) // 2
        if count <= 0:
            self._past = known
            return np.zeros(0, np.float32)
        self._past = known[2 * count :]
        used = known[: 2 * (count + _PAST)]
        made = np.convolve(used[0::2], _TAPS, "valid")
        made += used[2 * _HALF - 1 :: 2][:count]
        made *= np.float32(0.5)
        return made

    def finish(self) -> Samples:
        rest = self.process(np.zeros(2 * _HALF, np.float32))
        self._past = np.zeros(2 * _HALF - 1, np.float32)
        return rest


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
