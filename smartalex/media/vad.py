"""Is this speech?  One decision per 20 ms frame."""

from __future__ import annotations

import warnings
from math import log10

import webrtcvad
from zope.interface import implementer

from smartalex.interfaces import IVoiceDetector, IVoiceDetectorFactory
from smartalex.media.level import FLOOR_DBFS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.13 on it is the package audioop-lts
    from audioop import rms, tomono

_MODE = 2  # 3 drops telephone speech
_QUIETEST_DBFS = -55.0
_LOWEST_FLOOR_DBFS = -80.0
_ABOVE_FLOOR_DB = 4.0
_FALL = 0.1
_RISE_DB_NOISE = 0.3
_RISE_DB_SPEECH = 0.1
_PEAK_FALLS_DB = 0.2
_NOISY_DB = 25.0
_BURST, _HANGOVER = 3, 8


class Floor:
    """A noise floor above which speech has to stand in the band up to 1 kHz, where voices are strong.

    It falls in every gap between words and rises slowly (15 dB/s in noise, 5 dB/s in what sounds like speech), so that steady
    noise and a room full of voices are not taken for speech for ever.  Where speech stands less than 25 dB above it, its soft
    parts drown in it: then it counts for 160 ms more.
    """

    __slots__ = ("_burst", "_halvings", "_level", "_more", "_peak", "dbfs")

    def __init__(self, rate: int) -> None:
        self.dbfs = self._peak = self._level = _LOWEST_FLOOR_DBFS
        self._halvings = (rate // 2000).bit_length() - 1
        self._burst = self._more = 0

    def above(self, frame: bytes) -> float:
        """How many dB this frame stands above it."""
        for _ in range(self._halvings):
            frame = tomono(frame, 2, 0.5, 0.5)  # each two samples to one: half the band
        self._level = level = _dbfs(frame)
        self._peak = max(level, self._peak - _PEAK_FALLS_DB)
        return level - self.dbfs

    def decide(self, frame: bytes, voiced: bool) -> bool:
        """After `above` of the same frame, which may be `voiced`."""
        level, floor = self._level, self.dbfs
        if level < floor:
            floor += (level - floor) * _FALL
        else:
            floor = min(level, floor + (_RISE_DB_SPEECH if voiced else _RISE_DB_NOISE))
        self.dbfs = floor = max(_LOWEST_FLOOR_DBFS, floor)
        if voiced and level > floor + _ABOVE_FLOOR_DB and _dbfs(frame) > _QUIETEST_DBFS:
            self._burst += 1
            if self._burst >= _BURST:
                self._more = _HANGOVER if self._peak - floor < _NOISY_DB else 0
            return True
        self._burst = 0
        self._more -= self._more > 0
        return self._more > 0


def _dbfs(frame: bytes) -> float:
    loudness = rms(frame, 2)
    return 20 * log10(loudness / 32768) if loudness else FLOOR_DBFS


@implementer(IVoiceDetector)
class Vad:
    """The WebRTC detector over the floor; 3 us a frame."""

    __slots__ = ("_detector", "_floor", "_rate")

    def __init__(self, rate: int = 8000) -> None:
        """`rate` is 8000, 16000, 32000 or 48000 Hz."""
        self._detector = webrtcvad.Vad(_MODE)
        self._rate = rate
        self._floor = Floor(rate)

    def speech(self, frame: bytes) -> bool:
        """`frame` is one 20 ms frame of s16le PCM; anything else is a ValueError."""
        if len(frame) * 25 != self._rate:
            raise ValueError("not a 20 ms frame")
        self._floor.above(frame)
        return self._floor.decide(frame, self._detector.is_speech(frame, self._rate))


@implementer(IVoiceDetector)
class Energy:
    """What stands clearly above the floor, whatever it is; 2 us a frame."""

    __slots__ = ("_floor", "_rate")

    def __init__(self, rate: int = 8000) -> None:
        self._rate = rate
        self._floor = Floor(rate)

    def speech(self, frame: bytes) -> bool:
        """`frame` is one 20 ms frame of s16le PCM; anything else is a ValueError."""
        if len(frame) * 25 != self._rate:
            raise ValueError("not a 20 ms frame")
        return self._floor.decide(frame, self._floor.above(frame) > _ABOVE_FLOOR_DB)


@implementer(IVoiceDetectorFactory)
class WebrtcVad:
    def detector(self, rate: int) -> Vad:
        return Vad(rate)


@implementer(IVoiceDetectorFactory)
class EnergyVad:
    def detector(self, rate: int) -> Energy:
        return Energy(rate)
