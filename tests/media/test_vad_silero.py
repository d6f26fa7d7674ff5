"""Loading and feeding a network of Silero's shape: the models here are made for the test and know nothing of speech."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import TestCase, skipUnless

import numpy as np
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IVoiceDetector, IVoiceDetectorFactory
from smartalex.media.seams import voice_detectors
from tests.media.sounds import frames, noise, pcm

READY = find_spec("onnxruntime") is not None and find_spec("onnx") is not None


def model(folder: str, output: str, inputs: tuple[str, ...] = ("input", "state", "sr")) -> str:
    """`output` 'loudness': a probability by the mean of |input|; 'count': how many windows a call has had, in hundredths;
    'context': the first sample of the window.  The state counts up by one, for each call of a batch by itself."""
    from onnx import TensorProto, checker, helper, save  # noqa: PLC0415

    kinds = {"input": (TensorProto.FLOAT, ["N", "W"]), "state": (TensorProto.FLOAT, [2, "N", 128]), "sr": (TensorProto.INT64, [])}
    nodes = [
        helper.make_node("Abs", ["input"], ["absolute"]),
        helper.make_node("ReduceMean", ["absolute"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "steep"], ["loudness"]),
        helper.make_node("Slice", ["state", "origin", "one_each", "axes"], ["layer"]),
        helper.make_node("Squeeze", ["layer", "first_axis"], ["counted"]),
        helper.make_node("Mul", ["counted", "hundredth"], ["count"]),
        helper.make_node("Slice", ["input", "zero", "one", "second_axis"], ["context"]),
        helper.make_node("Identity", [output], ["output"]),
        helper.make_node("Add", ["state", "unit"], ["stateN"]),
    ]
    constants = {
        "steep": np.array(10.0, np.float32), "hundredth": np.array(0.01, np.float32), "unit": np.array(1.0, np.float32),
        "origin": np.array([0, 0]), "one_each": np.array([1, 1]), "axes": np.array([0, 2]), "first_axis": np.array([0]),
        "zero": np.array([0]), "one": np.array([1]), "second_axis": np.array([1]),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info(name, *kinds[name]) for name in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1]),
         helper.make_tensor_value_info("stateN", TensorProto.FLOAT, [2, "N", 128])],
        [helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, value.reshape(-1))
         for name, value in constants.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = str(Path(folder) / f"{output}{len(inputs)}.onnx")
    if len(inputs) == len(kinds):
        checker.check_model(made)
    save(made, path)
    return path


@skipUnless(READY, "pip install onnxruntime onnx")
class Silero(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def factory(self, output: str = "loudness", more: str = "") -> Any:
        return voice_detectors(f"silero:model={model(self.folder, output)}{more}")

    def test_as_a_plugin(self) -> None:
        factory = self.factory()
        verifyObject(IVoiceDetectorFactory, factory)
        verifyObject(IVoiceDetector, factory.detector(8000))
        self.assertRaises(ValueError, factory.detector, 48000)
        self.assertRaises(ValueError, factory.detector(8000).speech, bytes(640))

    def test_what_is_heard_decides_within_two_frames(self) -> None:
        for rate in (8000, 16000):
            decide = self.factory().detector(rate).speech
            loud = pcm(np.full(rate // 50, 6000.0))
            for _ in range(20):
                self.assertFalse(decide(bytes(rate // 25)))
            self.assertTrue([decide(loud) for _ in range(4)][-1])
            self.assertTrue(all(decide(loud) for _ in range(20)))
            self.assertFalse([decide(bytes(rate // 25)) for _ in range(5)][-1])

    def test_the_threshold_and_its_hysteresis(self) -> None:
        """The model says ten times the mean: 0.45 for a mean of 0.045."""
        medium, loud = pcm(np.full(160, 0.045 * 32768)), pcm(np.full(160, 0.06 * 32768))
        decide = self.factory().detector(8000).speech
        self.assertFalse(any(decide(medium) for _ in range(10)))
        self.assertTrue([decide(loud) for _ in range(6)][-1])
        self.assertTrue(all(decide(medium) for _ in range(10)))
        self.assertTrue([self.factory(more=":threshold=0.4").detector(8000).speech, decide][1](medium))
        low = self.factory(more=":threshold=0.4").detector(8000).speech
        self.assertTrue([low(medium) for _ in range(6)][-1])

    def test_calls_are_looked_at_together_and_do_not_mix(self) -> None:
        factory = self.factory("count")
        detectors = [factory.detector(8000) for _ in range(7)]
        runs: list[int] = []
        session = factory._session
        batch = detectors[0]._batch

        class Counting:
            def run(self, outputs: Any, inputs: Any) -> Any:
                runs.append(len(inputs["input"]))
                return session.run(outputs, inputs)

        batch._session = Counting()
        for _ in range(160):  # 100 windows each
            for detector in detectors:
                detector.speech(bytes(320))
        batch.run()
        self.assertEqual({round(100 * detector.probability) for detector in detectors}, {99})
        self.assertEqual((sum(runs), set(runs)), (700, {7}))

    def test_one_that_joins_later_begins_at_the_beginning(self) -> None:
        factory = self.factory("count")
        first, second = factory.detector(8000), factory.detector(8000)
        for n in range(160):
            first.speech(bytes(320))
            if n >= 80:
                second.speech(bytes(320))
        first._batch.run()
        self.assertEqual((round(100 * first.probability), round(100 * second.probability)), (99, 49))

    def test_the_end_of_a_window_goes_before_the_next(self) -> None:
        factory = self.factory("context")
        detector = factory.detector(8000)
        heard = noise(400, -20)
        for frame in frames(heard):
            detector.speech(frame)
        detector._batch.run()
        windows = len(heard) // 512
        start = (windows - 1) * 256 - 32
        self.assertAlmostEqual(detector.probability, np.frombuffer(heard, "<i2")[start] / 32768, places=6)

    def test_a_call_that_ends_leaves_nothing_behind(self) -> None:
        factory = self.factory("count")
        going, staying = factory.detector(8000), factory.detector(8000)
        for _ in range(2):
            going.speech(bytes(320))
        for _ in range(5):
            staying.speech(bytes(320))
        self.assertFalse(going.waiting)
        staying._batch.run()
        self.assertEqual(staying._batch._waiting, [])

    def test_what_is_no_model_of_it(self) -> None:
        text = Path(self.folder, "text.onnx")
        text.write_text("nothing")
        for spec in (
            "silero",
            "silero:model=/nowhere.onnx",
            f"silero:model={text}",
            f"silero:model={model(self.folder, 'loudness')}:threshold=x",
        ):
            self.assertRaises(ConfigurationError, voice_detectors, spec)
