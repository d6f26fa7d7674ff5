"""A call as a stereo WAV: left what the caller said, right what was heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smartalex.media.wav import WavWriter


class Recorder:
    """Takes both directions frame by frame, so that they stay aligned; the file is valid whenever the process ends."""

    def __init__(self, path: str | Path, rate: int) -> None:
        self._wav = WavWriter(path, rate, 2)

    def frame(self, said: bytes, heard: bytes) -> None:
        """s16le mono of the same length, from the same 20 ms."""
        both = np.empty(len(heard), dtype="<i2")
        both[0::2] = np.frombuffer(said, "<i2")
        both[1::2] = np.frombuffer(heard, "<i2")
        self._wav.write(both.tobytes())

    def close(self) -> None:
        self._wav.close()
