"""Key presses heard as tones (ITU-T Q.23, Q.24), for peers that send them in the audio.

Every 10 ms the last 20 ms are looked at.  They are of a key where one row and one column have nearly all the power, are alike
in strength, steady, and at their frequencies to 2.5 %.  Speech is all of that at once for less time than a press lasts.
"""

from __future__ import annotations

from cmath import phase
from math import pi, sin

import numpy as np

from smartalex.media.tone import DTMF_HZ

ROWS = (697.0, 770.0, 852.0, 941.0)
COLUMNS = (1209.0, 1336.0, 1477.0, 1633.0)
HZ = ROWS + COLUMNS
KEYS = {(ROWS.index(row), 4 + COLUMNS.index(column)): key for key, (row, column) in DTMF_HZ.items()}

HOP_MS = 10
FAINTEST_RMS = 500.0
"""Of one tone: -30 dBm0, where a sine of full scale is +3.14 dBm0; -25 have to be heard."""

PURE, PURER = 0.65, 0.85
"""The two tones' part of all the power: always, and at least once in a press."""

TWIST = 10 ** (-11 / 10), 10 ** (6 / 10)
"""Power of the column over that of the row; Q.24 has -8 to +4 dB."""

STEADY = 10 ** (5 / 10)
"""Most change of a tone's power within 10 ms."""

MOST_OFF = 0.025
"""Of a frequency: 1.5 % have to be taken, 3.5 % not."""

HITS, MISSES = 2, 4
"""Looks in a row with the key, or without it, that begin and end a press: 40 ms of tone do, 40 ms of pause, and 10 ms do not."""

STANDS_OUT = 0.25 / 2
"""Part of the power of 10 ms (where the tone may begin) that a row and a column have, below which no look is taken."""

Press = tuple[str, int]
"""A key and the milliseconds it was held."""


class ToneDetector:
    """Give it one 20 ms frame of s16le after the other; it costs about 11 us for each, 4 where there is silence."""

    __slots__ = ("_before", "_candidate", "_hits", "_key", "_misses", "_ms", "_purest", "_purity", "_samples", "_turn", "_waves")

    def __init__(self, rate: int = 8000) -> None:
        """`rate` is a multiple of 100 Hz, and at least 8000."""
        self._samples = count = rate * HOP_MS // 1000
        angle = 2 * pi * np.outer(np.arange(count) / rate, HZ)
        self._waves = np.concatenate((np.cos(angle), -np.sin(angle)), axis=1).astype(np.float32)
        self._turn = [complex(z) for z in np.exp(2j * pi * np.array(HZ) * HOP_MS / 1000)]
        self._before: tuple[_Half, _Half] = _QUIET, _QUIET
        self._candidate = self._key = ""
        self._hits = self._misses = self._ms = 0
        self._purity = self._purest = 0.0

    def hear(self, frame: bytes) -> tuple[Press, ...]:
        """The presses that have just ended, mostly none."""
        halves = np.frombuffer(frame, "<i2").astype(np.float32).reshape(2, self._samples)
        energies = np.vecdot(halves, halves).tolist()
        if max(energies) < self._samples * FAINTEST_RMS**2:
            self._before = _QUIET, _QUIET
            return self._step("") + self._step("")
        found: tuple[Press, ...] = ()
        for energy, waves in zip(energies, (halves @ self._waves).tolist(), strict=True):
            found += self._step(self._look(_Half(energy, waves, self._samples)))
        return found

    def _look(self, half: _Half) -> str:
        """The key in the last 20 ms, '' for none."""
        (first, second), self._before = self._before, (self._before[1], half)
        count = 2 * self._samples
        energy = second.energy + half.energy
        pair = half.pair if half.energy > second.energy else second.pair
        if energy < 2 * count * FAINTEST_RMS**2 * PURE or pair is None:
            return ""
        row, column = (self._tone(n, first, second, half) for n in pair)
        self._purity = (row + column) / energy
        if self._purity < PURE or min(row, column) < count * FAINTEST_RMS**2 or not TWIST[0] <= column / row <= TWIST[1]:
            return ""
        return KEYS[pair]

    def _tone(self, n: int, first: _Half, second: _Half, third: _Half) -> float:
        """Its energy in the last 20 ms; 0 where that of the first 20 ms is another, or it is off its frequency."""
        turn = self._turn[n]
        before, now = first.at(n) * turn + second.at(n), second.at(n) * turn + third.at(n)
        power, was = abs(now) ** 2, abs(before) ** 2
        if not was / STEADY < power < was * STEADY:
            return 0.0
        off_hz = phase(now * (before * turn).conjugate()) / (2 * pi * HOP_MS / 1000)
        if abs(off_hz) > MOST_OFF * HZ[n]:
            return 0.0
        lost = pi * off_hz * 2 * HOP_MS / 1000  # the look is narrow: it sees less of a tone beside the frequency
        return power / self._samples / ((sin(lost) / lost) ** 2 if lost else 1.0)

    def _step(self, key: str) -> tuple[Press, ...]:
        if key and key == self._key:
            self._ms += HOP_MS * (1 + self._misses)
            self._misses, self._candidate = 0, ""
            return ()
        begins = self._begins(key)
        self._misses += 1
        ended: tuple[Press, ...] = ()
        if self._key and (begins or self._misses >= MISSES):
            ended = ((self._key, self._ms),)
            self._key = ""
        if begins:
            self._key, self._ms, self._misses, self._candidate = key, (HITS + 2) * HOP_MS, 0, ""
        return ended

    def _begins(self, key: str) -> bool:
        same = key != "" and key == self._candidate
        self._hits = self._hits + 1 if same else 1
        self._purest = max(self._purest, self._purity) if same else self._purity
        self._candidate = key
        return key != "" and self._hits >= HITS and self._purest >= PURER


class _Half:
    """10 ms: its energy, and its correlation with each frequency; `pair` are the row and the column that stand out."""

    __slots__ = ("_waves", "energy", "pair")

    def __init__(self, energy: float, waves: list[float], samples: int) -> None:
        self.energy, self._waves = energy, waves
        powers = [waves[n] * waves[n] + waves[n + 8] * waves[n + 8] for n in range(8)]
        row, column = max(powers[:4]), max(powers[4:])
        stands_out = row + column > energy * samples * STANDS_OUT
        self.pair = (powers.index(row), powers.index(column, 4)) if stands_out else None

    def at(self, n: int) -> complex:
        return complex(self._waves[n], self._waves[n + 8])


_QUIET = _Half(0.0, [0.0] * 16, 80)
