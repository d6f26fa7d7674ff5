from __future__ import annotations

from unittest import TestCase

from smartalex.ai.playout import Cut, Line, Playout
from smartalex.ai.spoken import Spoken
from smartalex.media.frame import Clip
from tests.ai.fakes import Leg, loud


class Words(TestCase):
    def test_in_proportion_and_whole(self) -> None:
        spoken = Spoken()
        spoken.begin("Hello there Sarah.")
        spoken.audio(900)
        spoken.begin("How are you?")
        spoken.audio(600)
        self.assertEqual(spoken.heard(0), "")
        self.assertEqual(spoken.heard(600), "Hello there")
        self.assertEqual(spoken.heard(900), "Hello there Sarah.")
        self.assertEqual(spoken.heard(1200), "Hello there Sarah. How")
        self.assertEqual(spoken.heard(5000), "Hello there Sarah. How are you?")

    def test_a_text_without_audio_was_not_heard(self) -> None:
        spoken = Spoken()
        spoken.begin("Nothing.")
        self.assertEqual(spoken.heard(1000), "")


class Playing(TestCase):
    def setUp(self) -> None:
        self.leg = Leg()
        self.playout = Playout(self.leg)

    def ticks(self, ms: int) -> None:
        for _ in range(ms // 20):
            self.leg.tick()

    def test_an_item_is_said_when_its_last_sample_left(self) -> None:
        self.playout.note("a", "One two.")
        self.playout.audio("a", loud(100))
        self.ticks(100)
        self.assertEqual(self.playout.tick().said, ())  # still open
        self.playout.audio("a", loud(110))
        self.playout.done("a")
        self.ticks(100)
        self.assertEqual(self.playout.tick().said, ())
        self.ticks(20)
        self.assertEqual(self.playout.tick().said, (Line("One two."),))
        self.assertFalse(self.playout.busy)

    def test_words_that_were_never_sounded_were_not_said(self) -> None:
        self.playout.note("a", "Phantom.")
        self.playout.done("a")
        self.assertEqual(self.playout.tick().said, ())
        self.assertFalse(self.playout.busy)

    def test_marks_are_reached_in_order(self) -> None:
        self.playout.audio("a", loud(100))
        self.playout.mark("first")
        self.playout.audio("a", loud(100))
        self.playout.mark("second")
        self.assertEqual(self.playout.tick().marks, ())
        self.ticks(100)
        self.assertEqual(self.playout.tick().marks, ("first",))
        self.ticks(100)
        self.assertEqual(self.playout.tick().marks, ("second",))

    def test_a_cut_says_which_item_and_how_far(self) -> None:
        for item, text in (("a", "First."), ("b", "Second one here.")):
            self.playout.note(item, text)
            self.playout.audio(item, loud(300))
            self.playout.done(item)
        self.ticks(500)
        cut, heard = self.playout.cut()
        self.assertEqual(cut, Cut("b", 200))
        self.assertEqual(heard, (Line("First."), Line("Second ...")))
        self.assertEqual(self.leg.queued_ms, 0)

    def test_late_audio_of_a_cut_item_is_dropped(self) -> None:
        self.playout.audio("a", loud(300))
        self.playout.cut()
        self.assertFalse(self.playout.audio("a", loud(300)))
        self.assertEqual(self.leg.queued_ms, 0)
        self.assertTrue(self.playout.audio("b", loud(20)))

    def test_cutting_our_own_clip_is_nobodys_business(self) -> None:
        self.playout.clip(Clip(loud(300), 8000, "Hello."))
        cut, heard = self.playout.cut()
        self.assertIsNone(cut)
        self.assertEqual(heard, ())

    def test_a_cut_lets_a_held_leg_go(self) -> None:
        self.playout.audio("a", loud(300))
        self.playout.hold()
        self.assertTrue(self.leg.paused)
        self.playout.cut()
        self.assertFalse(self.leg.paused)

    def test_protected_items(self) -> None:
        self.playout.protect("a")
        self.playout.audio("a", loud(100))
        self.playout.done("a")
        self.playout.audio("b", loud(100))
        self.assertFalse(self.playout.interruptible)
        self.ticks(100)
        self.assertTrue(self.playout.interruptible)

    def test_the_leg_is_told_whether_more_is_to_come(self) -> None:
        self.playout.audio("a", loud(100))
        self.playout.audio("b", loud(100))
        self.playout.done("a")
        self.assertEqual(self.leg.expecting, [True])
        self.playout.done("b")
        self.playout.clip(Clip(loud(100)))
        self.assertEqual(self.leg.expecting, [True, False])
        self.playout.audio("c", loud(100))
        self.playout.disown()
        self.assertEqual(self.leg.expecting, [True, False, True, False])

    def test_audio_of_another_rate_is_as_long_as_it_is(self) -> None:
        self.playout.note("a", "One two three four.")
        for _ in range(10):
            self.playout.audio("a", bytes(24 * 2 * 20), 24000)
        self.assertEqual(self.leg.queued_ms, 200)
        self.ticks(100)
        _, heard = self.playout.cut()
        self.assertEqual(heard, (Line("One two ..."),))

    def test_a_backend_that_sends_without_end_is_bounded(self) -> None:
        for _ in range(100):
            self.playout.audio("a", loud(1000))
        self.assertLessEqual(self.leg.queued_ms, 61_000)
        self.assertGreater(self.playout.overflow_ms, 30_000)

    def test_disowned_items_play_on_and_finish(self) -> None:
        self.playout.note("a", "Half a sen")
        self.playout.audio("a", loud(100))
        self.playout.disown()
        self.ticks(100)
        self.assertEqual(self.playout.tick().said, (Line("Half a sen"),))
        self.assertTrue(self.playout.audio("a", loud(100)), "a new session may use the same names")
