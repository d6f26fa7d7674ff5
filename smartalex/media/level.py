"""How loud s16le PCM is, in dB relative to full scale."""

from __future__ import annotations

import numpy as np

FLOOR_DBFS = -96.0
"""What digital silence, and no audio at all, count as."""


def dbfs(pcm: bytes) -> float:
    """RMS level; a full-scale square wave is 0, a full-scale sine -3."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return max(FLOOR_DBFS, 10 * float(np.log10(power / 32768**2))) if power > 0 else FLOOR_DBFS


def peak_dbfs(pcm: bytes) -> float:
    """Level of the largest sample."""
    peak = int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0))
    return max(FLOOR_DBFS, 20 * float(np.log10(peak / 32768))) if peak else FLOOR_DBFS


def amplified(pcm: bytes, gain_db: float) -> bytes:
    """The same, louder or softer; what does not fit is clipped."""
    samples = np.frombuffer(pcm, "<i2") * np.float64(10 ** (gain_db / 20))
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
