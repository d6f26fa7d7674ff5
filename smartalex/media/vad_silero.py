"""Silero's network as a voice detector, by onnxruntime, for all calls together.

The ONNX file is not part of this package: model= names it (silero_vad.onnx of version 5 or later, MIT licence).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from zope.interface import implementer

from smartalex.interfaces import IVoiceDetector, IVoiceDetectorFactory

WINDOW_MS, CONTEXT_MS = 32, 4
INPUTS = {"input", "state", "sr"}
STATE = (2, 128)

MOST_AT_ONCE = 256
RELEASE_BELOW = 0.15
"""Speech goes on until the probability is so much below the threshold."""

Samples = NDArray[np.float32]


@implementer(IVoiceDetectorFactory)
class SileroVad:
    """`threshold` is the probability from which on it is speech."""

    def __init__(self, model: str = "", threshold: str = "0.5") -> None:
        if not Path(model).is_file():
            raise ValueError(f"model={model} is no file; it has to name Silero's silero_vad.onnx")
        self.threshold = float(threshold)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # threads that spin would take calls' time
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has exceptions of its own for each fault
            raise ValueError(f"{model} is no model: {error}") from error
        names = {item.name for item in self._session.get_inputs()}
        if names != INPUTS:
            raise ValueError(
                f"{model} takes {', '.join(sorted(names))}, not {', '.join(sorted(INPUTS))}; version 5 or later is needed"
            )
        self._batches: dict[int, Batch] = {}

    def detector(self, rate: int) -> Silero:
        if rate not in (8000, 16000):
            raise ValueError(f"{rate} Hz; Silero takes 8000 or 16000")
        batch = self._batches.setdefault(rate, Batch(self._session, rate))
        return Silero(rate, self.threshold, batch)


@implementer(IVoiceDetector)
class Silero:
    """Decides by windows of 32 ms.  One that is complete is looked at with the next frame, those of other calls along with it."""

    __slots__ = ("_batch", "_frame", "_heard", "_threshold", "_window", "context", "probability", "speaking", "state", "waiting")

    def __init__(self, rate: int, threshold: float, batch: Batch) -> None:
        self._batch, self._threshold = batch, threshold
        self._frame = rate // 25
        self._window = rate * WINDOW_MS // 500
        self._heard = b""
        self.waiting = self.speaking = False
        self.probability = 0.0
        self.context: Samples = np.zeros(rate * CONTEXT_MS // 1000, np.float32)
        self.state: Samples = np.zeros(STATE, np.float32)

    def speech(self, frame: bytes) -> bool:
        """`frame` is one 20 ms frame of s16le PCM; anything else is a ValueError."""
        if len(frame) != self._frame:
            raise ValueError("not a 20 ms frame")
        if self.waiting:
            self._batch.run()
        heard = self._heard + frame
        if len(heard) >= self._window:
            self._batch.add(self, heard[: self._window])
            heard = heard[self._window :]
        self._heard = heard
        return self.speaking

    def learn(self, probability: float) -> None:
        self.waiting = False
        self.probability = probability
        self.speaking = probability >= self._threshold - (RELEASE_BELOW if self.speaking else 0.0)


class Batch:
    """Windows of several calls that wait to be looked at."""

    def __init__(self, session: onnxruntime.InferenceSession, rate: int) -> None:
        self._session = session
        self._rate = np.array(rate, np.int64)
        self._waiting: list[tuple[Silero, bytes]] = []

    def add(self, detector: Silero, window: bytes) -> None:
        detector.waiting = True
        self._waiting.append((detector, window))
        if len(self._waiting) >= MOST_AT_ONCE:
            self.run()

    def run(self) -> None:
        """All that wait, in one go."""
        detectors = [detector for detector, _ in self._waiting]
        heard = np.frombuffer(b"".join(window for _, window in self._waiting), "<i2").astype(np.float32) / 32768
        self._waiting.clear()
        windows: Samples = np.concatenate(
            (np.stack([detector.context for detector in detectors]), heard.reshape(len(detectors), -1)), axis=1
        )
        states = np.stack([detector.state for detector in detectors], axis=1)
        found, after = self._session.run(None, {"input": windows, "state": states, "sr": self._rate})
        kept = len(detectors[0].context)
        for n, (detector, probability) in enumerate(zip(detectors, found.reshape(-1).tolist(), strict=True)):
            detector.state, detector.context = after[:, n], windows[n, -kept:]
            detector.learn(probability)
