"""Concealing lost frames: the last pitch period goes on, fading to silence within 60 ms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

HOLD_MS, FADE_MS = 10, 50
"""At full strength for so long, then down to silence over so much more (as G.711 Appendix I has it)."""

_HISTORY = 3  # frames
_LOWEST_HZ, _HIGHEST_HZ = 66, 200
_COMPARED_S = 0.02
_JOINT_S = 0.004


class Concealer:
    """Give it what was received (`good`); ask it for what was not (`lost`).  Frames are s16le PCM of 20 ms."""

    __slots__ = ("_cycle", "_gone", "_history", "_joint", "_peak", "_rate", "_step")

    def __init__(self, rate: int = 8000) -> None:
        self._rate = rate
        self._joint = int(_JOINT_S * rate)
        self._history: list[bytes] = []
        self._cycle = np.zeros(1, np.float32)
        self._step = self._peak = 0.0
        self._gone = 0

    @property
    def silent(self) -> bool:
        """True when the next lost frame will be silence."""
        return not self._history or self._gone * 1000 >= (HOLD_MS + FADE_MS) * self._rate

    def good(self, pcm: bytes) -> bytes:
        """The frame, blended with what stood for the lost ones before it."""
        if self._gone:
            pcm = self._blended(pcm)
            self._gone = 0
        self._remember(pcm)
        return pcm

    def lost(self, size: int) -> bytes:
        """`size` bytes in place of a missing frame."""
        if not self._history:
            return bytes(size)
        if not self._gone:
            self._begin()
        made = bytes(size) if self.silent else _pcm(self._going_on(size // 2))
        self._gone += size // 2
        self._remember(made)
        return made

    def _remember(self, pcm: bytes) -> None:
        if not pcm:
            return
        history = self._history
        history.append(pcm)
        if len(history) > _HISTORY:
            del history[0]

    def _begin(self) -> None:
        """Make the last pitch period a cycle whose end leads into its beginning."""
        past = _samples(b"".join(self._history))
        period = self._period(past)
        cycle = past[-period:].copy()
        joint = min(self._joint, period, len(past) - period)
        if joint:
            weight = np.arange(1, joint + 1, dtype=np.float32) / joint
            cycle[-joint:] += (past[-period - joint : len(past) - period] - cycle[-joint:]) * weight
        self._step = float(past[-1] - cycle[-1])
        self._peak = float(np.abs(past).max())
        self._cycle = cycle

    def _period(self, past: Samples) -> int:
        """In samples: the shift under which the end of `past` resembles itself most."""
        longest, shortest = self._rate // _LOWEST_HZ, self._rate // _HIGHEST_HZ
        compared = min(int(_COMPARED_S * self._rate), len(past) - longest)
        if compared < shortest:
            return min(len(past), longest)
        searched = past[-compared - longest : len(past) - shortest]
        power = np.concatenate(([0.0], np.cumsum(searched.astype(np.float64) ** 2)))
        energy = power[compared:] - power[: len(power) - compared]
        likeness = np.correlate(searched, past[-compared:], "valid") / np.sqrt(energy + 1.0)
        return longest - int(likeness.argmax())

    def _going_on(self, count: int) -> Samples:
        """The next samples of the cycle, without moving on."""
        at = self._gone + np.arange(count)
        made = self._cycle[at % len(self._cycle)]
        if not self._gone:  # where the signal broke off is not quite where the cycle begins
            joint = min(self._joint, count)
            made[:joint] += np.linspace(self._step, 0, joint, endpoint=False, dtype=np.float32)
            np.clip(made, -self._peak, self._peak, out=made)
        return made * np.clip((HOLD_MS + FADE_MS - at * (1000 / self._rate)) / FADE_MS, 0, 1).astype(np.float32)

    def _blended(self, pcm: bytes) -> bytes:
        heard = _samples(pcm)
        joint = min(self._joint, len(heard))
        weight = np.arange(1, joint + 1, dtype=np.float32) / (joint + 1)
        heard[:joint] = heard[:joint] * weight + self._going_on(joint) * (1 - weight)
        return _pcm(heard)


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32)


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
