"""Sounds that need no recording: tones, beeps, keys; and silence around phrases.  s16le mono PCM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smartalex.media.frame import Clip

RAMP_MS = 5
"""Rise and fall of every tone, so that it does not click."""

_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
DTMF_HZ = {key: (_ROWS[i // 4], _COLUMNS[i % 4]) for i, key in enumerate("123A456B789C*0#D")}


def silence(ms: int, rate: int = 8000) -> bytes:
    return bytes(2 * (ms * rate // 1000))


def noise(ms: int, rate: int = 8000, level_dbfs: float = -50.0) -> bytes:
    """White noise, always the same."""
    count = ms * rate // 1000
    waves = np.random.default_rng(1).normal(0.0, 32768 * 10 ** (level_dbfs / 20), count)
    return np.clip(np.rint(waves), -32768, 32767).astype("<i2").tobytes()


def sine(hz: float, ms: int, rate: int = 8000, level_dbfs: float = -18.0) -> bytes:
    """One tone, as loud (RMS) as `level_dbfs`, at most -3."""
    return chord((hz,), ms, rate, level_dbfs)


def chord(frequencies: tuple[float, ...], ms: int, rate: int = 8000, level_dbfs: float = -18.0) -> bytes:
    """Several tones of equal strength together; `level_dbfs` is the RMS of the sum."""
    time = np.arange(ms * rate // 1000) / rate
    waves = sum((np.sin(2 * np.pi * hz * time) for hz in frequencies), np.zeros(len(time)))
    amplitude = 32768 * 10 ** (level_dbfs / 20) * (2 / len(frequencies)) ** 0.5
    return np.clip(np.rint(_ramped(waves * amplitude, rate)), -32768, 32767).astype("<i2").tobytes()


def dtmf(key: str, ms: int = 100, rate: int = 8000, level_dbfs: float = -12.0) -> bytes:
    """The two tones of a key (ITU-T Q.23); KeyError for what is no key of 0-9 * # A-D."""
    return chord(DTMF_HZ[key], ms, rate, level_dbfs)


def beep(ms: int = 250, rate: int = 8000, hz: float = 1000.0) -> Clip:
    """What is heard before a message is recorded."""
    return Clip(sine(hz, ms, rate) + silence(60, rate), rate)


def spaced(clip: Clip, period_ms: int) -> Clip:
    """`clip` followed by silence so that, looped, it begins every `period_ms`: "please hold" at calm intervals."""
    return Clip(clip.pcm + silence(max(0, period_ms - clip.duration_ms), clip.rate), clip.rate, clip.text)


def _ramped(wave: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    length = min(RAMP_MS * rate // 1000, len(wave) // 2)
    if length:
        ramp = (1 - np.cos(np.pi * np.arange(length) / length)) / 2
        wave[:length] *= ramp
        wave[-length:] *= ramp[::-1]
    return wave
