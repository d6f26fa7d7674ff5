"""Signals for tests, made from nothing but a seed: s16le mono PCM at 8 kHz unless said otherwise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]


def pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def tone(hz: float, ms: int, rate: int = 8000, amplitude: float = 8000.0) -> bytes:
    return pcm(amplitude * np.sin(2 * np.pi * hz * np.arange(ms * rate // 1000) / rate))


def noise(ms: int, dbfs: float, seed: int = 1) -> bytes:
    """White, with this RMS level."""
    return pcm(np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), ms * 8))


def voice(ms: int, dbfs: float = -20.0, pitch_hz: float = 120.0, rate: int = 8000) -> bytes:
    """Vowels at five syllables a second: harmonics under three formants, with a pitch that moves a little."""
    time = np.arange(ms * rate // 1000) / rate
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 2.3 * time))) / rate
    formants = ((700, 130, 1.0), (1220, 70, 0.5), (2600, 160, 0.25))
    wave = np.zeros(len(time))
    for n in range(1, int(3600 / pitch_hz)):
        strength = sum(gain / (1 + ((n * pitch_hz - hz) / width) ** 2) for hz, width, gain in formants)
        wave += strength * np.sin(n * phase)
    wave *= 0.55 + 0.45 * np.sin(2 * np.pi * 5 * time)
    return pcm(wave * 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(wave**2)))


def frames(pcm: bytes, size: int = 320) -> list[bytes]:
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def rms(values: Samples) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def distance(one: bytes, other: bytes) -> float:
    """Of two frames, in dB: the mean difference in 16 bands that grow wider as the ear's do, down to -70 dBFS or so."""
    edges = np.round(np.geomspace(2, len(one) // 4, 17)).astype(int)
    levels = []
    for frame in (one, other):
        power = np.abs(np.fft.rfft(samples(frame) * np.hanning(len(frame) // 2))) ** 2
        bands = np.array([power[low : high + 1].sum() for low, high in pairwise(edges)])
        levels.append(10 * np.log10(bands + 1e5))
    return float(np.abs(levels[0] - levels[1]).mean())
