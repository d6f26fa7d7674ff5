"""Speech a little longer or shorter without a change of pitch: one period of it more, or one less (as WSOLA does)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.13 on it is the package audioop-lts
    from audioop import rms

Samples = NDArray[np.float32]

SHORTEST_MS, LONGEST_MS = 2.5, 15.0
"""Of what is put in or taken out at once."""

JOINT_MS = 10.0
ALIKE, ALIKE_ENOUGH, ANYHOW, NEVER = 0.85, 0.5, -1.0, 2.0
"""How well (correlation) two stretches must match to be joined: speech, speech when time presses, what is between words."""

QUIET_RMS = 60.0
"""What is softer (-55 dBFS) may be cut anywhere."""

BETWEEN_WORDS, FORGETTING, CLOSURE_FRAMES = 0.1, 0.998, 10
"""A pause is so much softer than the loudest lately (a factor a frame), and longer than what is silent within words."""


def shorter(pcm: bytes, rate: int, most: int, alike: float = ALIKE) -> tuple[bytes, int]:
    """`pcm` with at most `most` samples less, near its beginning, and how many; 0 where nothing fits.  Wants 25 ms."""
    samples = _samples(pcm)
    joint = int(JOINT_MS * rate / 1000)
    longest = min(most, int(LONGEST_MS * rate / 1000), len(samples) - joint)
    lag = _lag(samples[:joint], samples[: joint + longest], rate, alike)
    if not lag:
        return pcm, 0
    return _pcm(_faded(samples[:joint], samples[lag : lag + joint])) + pcm[2 * (lag + joint) :], lag


def longer(before: bytes, pcm: bytes, rate: int, most: int, alike: float = ALIKE) -> tuple[bytes, int]:
    """`pcm` with at most `most` samples more, and how many; 0 where nothing fits.  `before` is what was heard last, 20 ms."""
    samples = _samples(before + pcm)
    joint = int(JOINT_MS * rate / 1000)
    at = len(samples) - joint
    longest = min(most, int(LONGEST_MS * rate / 1000), at)
    lag = _lag(samples[::-1][:joint], samples[::-1][: joint + longest], rate, alike)
    if not lag:
        return pcm, 0
    back = samples[at - lag : at - lag + joint]
    again = _pcm(_faded(samples[at:], back)) + _pcm(samples[at - lag + joint :])
    return pcm[: 2 * (at - len(before) // 2)] + again, lag


class Pauses:
    """Tells what is between words from speech, by what it has been shown so far."""

    __slots__ = ("_loudest", "_quiet")

    def __init__(self) -> None:
        self._loudest = 0.0
        self._quiet = 0

    def at(self, pcm: bytes) -> bool:
        level = rms(pcm, 2)
        self._loudest = max(level, self._loudest * FORGETTING)
        self._quiet = self._quiet + 1 if level < max(QUIET_RMS, self._loudest * BETWEEN_WORDS) else 0
        return self._quiet > CLOSURE_FRAMES


def _lag(start: Samples, searched: Samples, rate: int, enough: float) -> int:
    """The shift under which `searched` resembles `start` most, 0 when it does not enough."""
    shortest = int(SHORTEST_MS * rate / 1000)
    count = len(searched) - len(start)
    if count < shortest:
        return 0
    if _rms(searched) < QUIET_RMS:
        return count
    window = searched[shortest:]
    power = np.concatenate(([0.0], np.cumsum(window.astype(np.float64) ** 2)))
    energy = power[len(start) :] - power[: len(power) - len(start)]
    alike = np.correlate(window, start, "valid") / np.sqrt((energy + 1.0) * (float(np.dot(start, start)) + 1.0))
    best = int(alike.argmax())
    return shortest + best if alike[best] >= enough else 0


def _faded(one: Samples, other: Samples) -> Samples:
    """From the first into the second."""
    weight = np.arange(1, len(one) + 1, dtype=np.float32) / (len(one) + 1)
    return (one * (1 - weight) + other * weight).astype(np.float32)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.dot(samples, samples) / max(1, len(samples))))


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32)


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
