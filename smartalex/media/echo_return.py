"""Our own voice on its way back: how late it comes and how much softer, from what was played and what was heard meanwhile.

Loudness in steps of 10 ms is compared at every delay up to 600 ms.  Echo goes up and down as what was played does; another
voice does so by chance only, and not for seconds.  That finds what came back through a loudspeaker and a mobile network as well.
Where the line itself sends it back the very waves are alike, and half a second is enough.
"""

from __future__ import annotations

from math import log10

import attrs
import numpy as np
from numpy.typing import NDArray

STEP_MS = 10
MOST_DELAY_MS = 600
LAGS = MOST_DELAY_MS // STEP_MS + 1

KEPT = 0.75
"""Of what was known, for each second more: about four seconds count."""

LIKENESS = ((2.0, 0.9), (3.0, 0.8), (3.5, 0.7))
"""Correlation that makes it an echo, by the seconds that were compared; unrelated voices came to 0.56 in four seconds at most."""

UNLIKENESS = 0.5
"""Below it, for three seconds in a row, there is no echo any more."""

SEEN, UNSEEN = 2, 3
"""Seconds in a row, at the same delay to 20 ms, that it is, or is not, to be seen in."""

WAVES_ALIKE = 0.75
"""Correlation of the waves of half a second that makes it an echo, if two looks earlier it was one at the same delay.

Of unrelated voices one look in 750 comes that far, but no two of 34,000 did so 160 ms apart.
"""

WAVES_HZ = 4000
SILENT_RMS = 30.0
"""What is played softer than this (-61 dBFS) teaches nothing."""

LEAST_LOSS_DB, MOST_LOSS_DB = -10.0, 60.0


@attrs.frozen
class EchoReturn:
    """`delay_ms` from sending to hearing it, to 10 ms; `loss_db` how much softer it comes back."""

    delay_ms: int
    loss_db: float


class EchoMeter:
    """`compare` for each second in which something was played, 0.1 ms each; `pause` for each other one.

    `glimpse`, 0.3 ms, every 80 ms where there is no time for that: somebody seems to talk while something is played.
    """

    __slots__ = (
        "_before",
        "_candidate",
        "_count",
        "_far",
        "_glimpses",
        "_gone",
        "_near",
        "_products",
        "_runs",
        "_seconds",
        "found",
    )

    def __init__(self) -> None:
        self.found: EchoReturn | None = None
        self._before = _NOTHING  # loudness of what was played before
        self._count = self._seconds = 0.0
        self._near = np.zeros(2)  # sums over what was heard: of it, and of its square
        self._far = np.zeros((2, LAGS))
        self._products = np.zeros(LAGS)
        self._candidate = -1
        self._runs = self._gone = 0
        self._glimpses = -1, -1  # delays of the last two looks

    def compare(self, played: bytes, heard: bytes, rate: int) -> None:
        """s16le PCM of the same second, or of any other time of 600 ms at least."""
        far = np.concatenate((self._before, loudness(played, rate)))
        near = loudness(heard, rate)
        self._before = far[len(near) :]
        if float(far.max()) >= SILENT_RMS:
            self._add(far, near)
            self._judge()

    def glimpse(self, played: bytes, heard: bytes, rate: int) -> None:
        """`heard` is the last half second or so, `played` ends with it and began 600 ms before it."""
        far, near = waves(played, rate), waves(heard, rate)
        lags = len(far) - len(near)
        floor = len(near) * SILENT_RMS**2
        sums = np.concatenate(([0.0], np.cumsum(far * far, dtype=np.float64)))
        energies, energy = sums[len(near) :] - sums[: lags + 1], float(near @ near)
        if energy < floor or float(energies.max()) < floor:
            return
        size = 1 << (len(far) - 1).bit_length()
        products = np.fft.irfft(np.fft.rfft(far, size) * np.fft.rfft(near, size).conj(), size)[: lags + 1]
        likeness = np.abs(products) / np.sqrt((energies + floor) * energy)
        best = int(likeness.argmax())
        delay_ms = round((lags - best) * 1000 / WAVES_HZ / STEP_MS) * STEP_MS if likeness[best] >= WAVES_ALIKE else -1
        earlier, self._glimpses = self._glimpses[0], (self._glimpses[1], delay_ms)
        if delay_ms >= 0 and abs(delay_ms - earlier) <= STEP_MS:
            self._find(delay_ms, abs(float(products[best])) / float(energies[best]))

    def pause(self) -> None:
        """600 ms or more in which nothing was played."""
        self._before = _NOTHING

    def _add(self, far: NDArray[np.float32], near: NDArray[np.float32]) -> None:
        """Entry 0 of what is kept by lag is for the longest delay."""
        count = len(near)
        sums = np.concatenate(([0.0], np.cumsum(far, dtype=np.float64)))
        squares = np.concatenate(([0.0], np.cumsum(far * far, dtype=np.float64)))
        self._count = self._count * KEPT + count
        self._seconds = self._seconds * KEPT + count * STEP_MS / 1000
        self._near = self._near * KEPT + (float(near.sum()), float(near @ near))
        self._far = self._far * KEPT + (sums[count:] - sums[:-count], squares[count:] - squares[:-count])
        self._products = self._products * KEPT + np.correlate(far, near, "valid")

    def _judge(self) -> None:
        n, (near, near2), (far, far2) = self._count, self._near, self._far
        together = self._products - far * near / n
        spread = np.maximum(far2 - far * far / n, 1.0)
        likeness = together / np.sqrt(spread * max(near2 - near * near / n, 1.0))
        best = int(likeness.argmax())
        wanted = next((least for seconds, least in reversed(LIKENESS) if self._seconds >= seconds), 2.0)
        if likeness[best] < wanted:
            self._missed(float(likeness[best]))
            return
        self._runs = self._runs + 1 if abs(best - self._candidate) <= 2 else 1
        self._candidate, self._gone = best, 0
        if self._runs >= SEEN or self.found is not None:
            self._find((LAGS - 1 - best) * STEP_MS, float(together[best] / spread[best]))

    def _find(self, delay_ms: int, gain: float) -> None:
        loss_db = -20 * log10(max(1e-3, gain))
        self._gone = 0
        self.found = EchoReturn(delay_ms, round(min(MOST_LOSS_DB, max(LEAST_LOSS_DB, loss_db)), 1))

    def _missed(self, likeness: float) -> None:
        self._runs = 0
        self._gone = self._gone + 1 if likeness < UNLIKENESS else 0
        if self._gone >= UNSEEN:
            self.found = None


def waves(pcm: bytes, rate: int) -> NDArray[np.float32]:
    """At 4 kHz, the mean of the samples that become one."""
    step = rate // WAVES_HZ
    return np.frombuffer(pcm, "<i2", len(pcm) // 2 // step * step).astype(np.float32).reshape(-1, step).mean(axis=1)


_NOTHING = np.zeros(LAGS - 1, np.float32)


def loudness(pcm: bytes, rate: int) -> NDArray[np.float32]:
    """RMS of each whole 10 ms."""
    size = rate * STEP_MS // 1000
    steps = np.frombuffer(pcm, "<i2", len(pcm) // 2 // size * size).astype(np.float32).reshape(-1, size)
    return np.sqrt(np.vecdot(steps, steps) / size)
