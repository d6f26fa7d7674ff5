"""Is this speech?  One decision per 20 ms frame."""

from __future__ import annotations

import webrtcvad

from smartalex.media.level import dbfs

_MODE = 2  # 3 drops telephone speech
_QUIETEST_DBFS = -55.0
_ABOVE_FLOOR_DB = 8.0
_LOWEST_FLOOR_DBFS = -75.0
_FALL = 0.3
_RISE_DB_NOISE = 0.3
_RISE_DB_SPEECH = 0.03


class Vad:
    """The WebRTC detector, and a noise floor above which speech has to stand.

    The floor falls fast in every gap between words and rises slowly (15 dB/s
    in noise, 1.5 dB/s in what sounds like speech), so that steady noise that
    fools the detector is not taken for speech for ever.
    """

    __slots__ = ("_detector", "_floor_dbfs", "_rate")

    def __init__(self, rate: int = 8000) -> None:
        """`rate` is 8000, 16000, 32000 or 48000 Hz."""
        self._detector = webrtcvad.Vad(_MODE)
        self._rate = rate
        self._floor_dbfs = _LOWEST_FLOOR_DBFS

    def speech(self, frame: bytes) -> bool:
        """`frame` is one 20 ms frame of s16le PCM; anything else is a ValueError."""
        if len(frame) * 25 != self._rate:
            raise ValueError("not a 20 ms frame")
        voiced = bool(self._detector.is_speech(frame, self._rate))
        level = dbfs(frame)
        self._follow(level, voiced)
        return voiced and level > max(_QUIETEST_DBFS, self._floor_dbfs + _ABOVE_FLOOR_DB)

    def _follow(self, level: float, voiced: bool) -> None:
        floor = self._floor_dbfs
        if level < floor:
            floor += (level - floor) * _FALL
        else:
            floor = min(level, floor + (_RISE_DB_SPEECH if voiced else _RISE_DB_NOISE))
        self._floor_dbfs = max(_LOWEST_FLOOR_DBFS, floor)
