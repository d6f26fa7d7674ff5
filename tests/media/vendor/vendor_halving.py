"""The vendor's code: imports nothing of SmartAlex but its interfaces."""

from __future__ import annotations

import numpy as np
from zope.interface import implementer

from smartalex.interfaces import (
    IAudioFilter,
    IAudioFilterFactory,
    IRecording,
    IRecordingSink,
    IVoiceDetector,
    IVoiceDetectorFactory,
)


@implementer(IAudioFilter)
class Half:
    delay_ms = 0
    wants_played = True

    def __init__(self, divisor: float) -> None:
        self.divisor = divisor
        self.played = b""

    def process(self, heard: bytes, played: bytes) -> bytes:
        self.played += played
        return (np.frombuffer(heard, "<i2") / self.divisor).astype("<i2").tobytes()


@implementer(IAudioFilterFactory)
class Halving:
    def __init__(self, by: str = "2") -> None:
        self.divisor = float(by)

    def filter(self, rate: int) -> Half:
        return Half(self.divisor)


@implementer(IVoiceDetectorFactory, IVoiceDetector)
class Parrot:
    def detector(self, rate: int) -> Parrot:
        return self

    def speech(self, frame: bytes) -> bool:
        return True


@implementer(IRecordingSink, IRecording)
class Shelf:
    name = "memory"

    def open(self, call_id: str, rate: int) -> Shelf:
        return self

    def write(self, stereo: bytes) -> None:
        pass

    def close(self) -> None:
        pass
