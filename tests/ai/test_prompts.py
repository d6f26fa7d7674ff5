from __future__ import annotations

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smartalex.ai.prompts import ENGLISH, RETRY_S, PromptBook, stand_in
from smartalex.errors import Unavailable
from smartalex.media.frame import Clip
from smartalex.tenants.agent import Agent
from tests.ai.fakes import Synthesizer

ALEX = Agent("1", "w", "Alex", "Hello, this is Alex.")


class Prompts(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.book = PromptBook(self.clock)

    def load(self, synthesizer: Synthesizer, language: str = "en-US") -> bool:
        done: list[None] = []
        self.book.load(synthesizer, "en-us", language).addCallback(done.append)
        self.clock.pump([0.02] * 60)
        return bool(done)

    def test_there_is_always_something_to_play(self) -> None:
        for name in (*ENGLISH, "no such prompt"):
            clip = self.book.clip(name, "xx")
            self.assertGreater(clip.duration_ms, 100)
            self.assertEqual(clip.text, "", "a tone says nothing")

    def test_loaded(self) -> None:
        self.assertTrue(self.load(Synthesizer(self.clock)))
        for name, text in ENGLISH.items():
            self.assertEqual(self.book.clip(name, "en-GB").text, text)
        self.assertEqual(self.book.clip("goodbye", "de-DE").text, ENGLISH["goodbye"], "better English than nothing")

    def test_one_that_failed_is_a_tone_until_the_retry(self) -> None:
        synthesizer = Synthesizer(self.clock, None, Unavailable("dead"), "empty", None)
        self.assertTrue(self.load(synthesizer))
        second, third = list(ENGLISH)[1:3]
        self.assertEqual((self.book.clip(second).text, self.book.clip(third).text), ("", ""))
        self.clock.pump([RETRY_S] + [0.02] * 20)
        self.assertEqual((self.book.clip(second).text, self.book.clip(third).text), (ENGLISH[second], ENGLISH[third]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stalled_voice_does_not_hold_up_the_rest(self) -> None:
        synthesizer = Synthesizer(self.clock, "stall")
        done: list[None] = []
        self.book.load(synthesizer, "en-us").addCallback(done.append)
        self.clock.pump([0.5] * 24 + [0.02] * 60)
        self.assertEqual(done, [None])
        self.book.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_render_never_fails(self) -> None:
        got: list[dict[str, Clip]] = []
        self.book.render(Synthesizer(self.clock, Unavailable("dead")), "v", {"a": "One.", "b": "Two."}).addCallback(got.append)
        self.clock.pump([0.02] * 5)
        self.assertEqual(got[0], {"a": stand_in(8000), "b": got[0]["b"]})
        self.assertEqual(got[0]["b"].text, "Two.")

    def test_a_synthesizer_that_raises(self) -> None:
        class Broken(Synthesizer):
            def speak(self, voice: str, format: object, consumer: object) -> object:  # type: ignore[override]
                raise OSError("no such voice")

        self.assertTrue(self.load(Broken(self.clock)))
        self.assertGreater(len(self.flushLoggedErrors(OSError)), 0)
        self.book.close()

    def test_greetings(self) -> None:
        self.assertIsNone(self.book.greeting(ALEX))
        synthesizer = Synthesizer(self.clock)
        mute = attrs.evolve(ALEX, first_message="")
        self.book.load_greetings(synthesizer, [ALEX, mute])
        self.clock.pump([0.02] * 5)
        greeting = self.book.greeting(ALEX)
        assert greeting is not None
        self.assertEqual(greeting.text, ALEX.first_message)
        self.assertIsNone(self.book.greeting(mute))
        self.assertIsNone(self.book.greeting(attrs.evolve(ALEX, first_message="Changed.")))
        self.book.load_greetings(synthesizer, [ALEX])
        self.assertEqual(len(synthesizer.texts), 1, "rendered once")
