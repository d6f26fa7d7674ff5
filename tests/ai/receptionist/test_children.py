"""The two real children: what is said by the one is understood by the other, and both survive being killed."""

from __future__ import annotations

import os
import signal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smartalex.ai.receptionist.asr_worker import confidence
from smartalex.ai.receptionist.children import FRAME, Unpacker, pack
from smartalex.ai.receptionist.dialogue import hints_for_a_request, names_of
from smartalex.ai.receptionist.grammar import read
from smartalex.ai.receptionist.recognizer import EmbeddedRecognizer
from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer
from smartalex.errors import BackendError
from smartalex.interfaces import (
    Destination,
    Hints,
    IRecognition,
    IRecognitionListener,
    IRecognizer,
    ISynthesis,
    ISynthesisConsumer,
    ISynthesizer,
    Utterance,
)
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.frame import PCM8K
from smartalex.media.level import dbfs
from tests.ai.receptionist.office import OFFICE

FRAME_BYTES = 320
JITTER = 400
"""Bytes by which espeak-ng's renderings of one sentence differ."""


class Frames(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=50))), st.integers(1, 40))
    def test_they_arrive_whole_however_the_stream_is_cut(self, frames: list[tuple[int, int, bytes]], size: int) -> None:
        stream = b"".join(pack(*frame) for frame in frames)
        unpacker = Unpacker()
        got = [frame for i in range(0, len(stream), size) for frame in unpacker.feed(stream[i : i + size])]
        self.assertEqual(got, frames)

    def test_a_frame_that_is_too_large_is_refused(self) -> None:
        self.assertRaises(ValueError, Unpacker().feed, FRAME.pack(1 << 25, 0, 0))


class Confidence(SynchronousTestCase):
    def test_it_falls_with_the_distance_from_mere_phones(self) -> None:
        phones = [("AA", 0, 49, -500.0), ("B", 50, 99, -500.0)]
        self.assertEqual(confidence([("sarah", 0, 99, -1100.0)], phones), 1.0)
        self.assertEqual(confidence([("sarah", 0, 99, -1500.0)], phones), 0.5)
        self.assertEqual(confidence([("sarah", 0, 99, -2500.0)], phones), 0.0)

    def test_silence_is_no_evidence(self) -> None:
        self.assertEqual(confidence([("<sil>", 0, 99, -100.0)], []), 0.0)


@implementer(ISynthesisConsumer)
class Collected:
    def __init__(self) -> None:
        self.pcm = b""

    def audio(self, data: bytes) -> None:
        self.pcm += data


@implementer(IRecognitionListener)
class Heard:
    def __init__(self) -> None:
        self.next: Deferred[Utterance] = Deferred()

    def partial(self, text: str) -> None:
        pass

    def final(self, utterance: Utterance) -> None:
        self.next.callback(utterance)

    def failed(self, error: BackendError) -> None:
        self.next.errback(error)


async def spoken(synthesizer: EmbeddedSynthesizer, text: str, voice: str = "en-us") -> bytes:
    collected = Collected()
    synthesis = synthesizer.speak(voice, PCM8K, collected)
    verifyObject(ISynthesis, synthesis)
    synthesis.feed(text)
    synthesis.end()
    await synthesis.done
    return collected.pcm


def gone(child: Any) -> Deferred[None]:
    """Kill it, and wait until it has been started again."""
    pid = child.pid
    os.kill(pid, signal.SIGKILL)

    def again() -> Deferred[None] | None:
        return None if child.pid not in (None, pid) else deferLater(reactor, 0.02, again)  # type: ignore[arg-type]

    return deferLater(reactor, 0.02, again)  # type: ignore[arg-type]


class Speaking(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.synthesizer = EmbeddedSynthesizer(reactor)
        self.addCleanup(self.synthesizer.stop)

    async def test_a_sentence_is_heard(self) -> None:
        verifyObject(ISynthesizer, self.synthesizer)
        pcm = await spoken(self.synthesizer, "Hello, this is Alex.")
        self.assertGreater(len(pcm), 8000)
        self.assertGreater(dbfs(pcm), -30)

    async def test_voices_differ_and_an_unknown_one_is_no_failure(self) -> None:
        lengths = [
            len(await spoken(self.synthesizer, "Four large cars are parked over there.", voice))
            for voice in ("en-us", "en-gb", "de", "nobody")
        ]
        self.assertLess(abs(lengths[0] - lengths[3]), JITTER)
        self.assertGreater(abs(lengths[0] - lengths[1]), JITTER)
        self.assertGreater(abs(lengths[1] - lengths[2]), JITTER)

    async def test_two_sentences_at_once_are_not_mixed(self) -> None:
        texts = ("Good morning.", "One two three four five.")
        alone = [len(await spoken(self.synthesizer, text)) for text in texts]
        together = [Deferred.fromCoroutine(spoken(self.synthesizer, text)) for text in texts]
        for one, length in zip(together, alone, strict=True):
            self.assertLess(abs(len(await one) - length), JITTER)

    async def test_a_killed_child_fails_what_it_was_saying_and_speaks_again(self) -> None:
        synthesis = self.synthesizer.speak("en-us", PCM8K, Collected())
        synthesis.feed("A long sentence. " * 200)
        synthesis.end()
        failed = self.assertFailure(synthesis.done, BackendError)
        await gone(self.synthesizer.child)
        await failed
        self.assertTrue(await spoken(self.synthesizer, "Hello."))


class Listening(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.synthesizer, self.recognizer = EmbeddedSynthesizer(reactor), EmbeddedRecognizer(reactor)
        self.addCleanup(self.synthesizer.stop)
        self.addCleanup(self.recognizer.stop)
        self.heard = Heard()

    async def open(self, hints: Hints | None = None) -> Any:
        recognition = await self.recognizer.open(PCM8K, "en-US", hints or hints_for_a_request(OFFICE, ()), self.heard)
        verifyObject(IRecognition, recognition)
        return recognition

    async def understood(self, recognition: Any, pcm: bytes) -> Utterance:
        codec = PCMU()
        for start in range(0, len(pcm), FRAME_BYTES):
            recognition.write(codec.decode(codec.encode(pcm[start : start + FRAME_BYTES])))
        recognition.finalize()
        utterance = await self.heard.next
        self.heard.next = Deferred()
        return utterance

    async def test_requests_over_pcmu_are_understood(self) -> None:
        verifyObject(IRecognizer, self.recognizer)
        recognition = await self.open()
        for text, wanted in (
            ("connect me to Sarah in billing", "sarah"),
            ("can I speak to Tom Baker please", "tom"),
            ("sales please", "sales"),
        ):
            utterance = await self.understood(recognition, await spoken(self.synthesizer, text))
            self.assertEqual(read(utterance.text, names_of(OFFICE)).candidates, (wanted,), utterance)
            self.assertGreater(utterance.confidence, 0.5, utterance)

    async def test_silence_and_noise_are_nothing(self) -> None:
        recognition = await self.open()
        for pcm in (b"", bytes(16000), bytes(range(256)) * 40):
            utterance = await self.understood(recognition, pcm)
            self.assertLess(utterance.confidence if utterance.text else 0.0, 0.5, utterance)

    async def test_a_grammar_that_does_not_compile_fails_its_own_recognition_only(self) -> None:
        recognition = await self.open(Hints(grammar="no grammar", grammar_name="broken"))
        await self.assertFailure(Deferred.fromCoroutine(self.understood(recognition, b"\1\2" * 4000)), BackendError)
        self.heard = Heard()
        utterance = await self.understood(await self.open(), await spoken(self.synthesizer, "sales please"))
        self.assertEqual(utterance.text, "sales please")

    async def test_a_killed_child_fails_what_it_was_hearing_and_listens_again(self) -> None:
        recognition = await self.open()
        pcm = await spoken(self.synthesizer, "sales please")
        failed = self.assertFailure(Deferred.fromCoroutine(self.understood(recognition, pcm * 10)), BackendError)
        await gone(self.recognizer.child)
        await failed
        self.heard = Heard()
        utterance = await self.understood(await self.open(), pcm)
        self.assertEqual(utterance.text, "sales please")

    async def test_a_name_is_understood_as_the_directory_says_it_is_spoken(self) -> None:
        office = (Destination("x", "Xqz Siobhan", pronunciation="fred shuh-vawn"), Destination("y", "Tom Baker"))
        recognition = await self.open(hints_for_a_request(office, ()))
        utterance = await self.understood(recognition, await spoken(self.synthesizer, "connect me to Fred please"))
        self.assertEqual(utterance.text, "connect me to xqz please")
