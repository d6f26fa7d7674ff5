"""When the phone speaks: decided on frames of tone, noise and quiet."""

from __future__ import annotations

import random
import struct
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.media.tone import sine
from smartalex.phone.script import Script

QUIET = bytes(320)
LOUD = sine(440, 20)


def hiss(dbfs: float, seed: int) -> bytes:
    peak = int(32768 * 10 ** (dbfs / 20))
    noise = random.Random(seed)
    return struct.pack("<160h", *(noise.randint(-peak, peak) for _ in range(160)))


def heard(script: Script, frame: bytes, ms: int, speaking: bool = False) -> list[tuple[int, str]]:
    """(milliseconds, what) of everything but 'wait'."""
    steps = [(at, script.frame(frame, speaking)) for at in range(20, ms + 20, 20)]
    return [(at, step) for at, step in steps if step != "wait"]


class Turns(TestCase):
    def test_next_comes_700_ms_after_the_agent_has_finished(self) -> None:
        script = Script(2)
        self.assertEqual(heard(script, LOUD, 1000), [])
        self.assertEqual(heard(script, QUIET, 1000), [(700, "next")])
        self.assertEqual(script.items, 1)

    def test_a_pause_between_words_is_no_end(self) -> None:
        script = Script(1)
        for _ in range(5):
            self.assertEqual(heard(script, LOUD, 400) + heard(script, QUIET, 600), [])
        self.assertEqual(heard(script, QUIET, 100), [(100, "next")])

    def test_a_click_is_no_speech(self) -> None:
        script = Script(1)
        self.assertEqual(heard(script, LOUD, 200) + heard(script, QUIET, 5000), [])

    def test_soft_noise_is_quiet(self) -> None:
        script = Script(1)
        heard(script, LOUD, 500)
        steps = [script.frame(hiss(-55, n), False) for n in range(40)]
        self.assertEqual((steps.count("next"), steps.index("next")), (1, 34))

    def test_the_next_item_waits_for_the_agent_again(self) -> None:
        script = Script(2)
        heard(script, LOUD, 500)
        heard(script, QUIET, 700)
        self.assertEqual(heard(script, QUIET, 2000, speaking=True), [])
        self.assertEqual(heard(script, QUIET, 5000), [])
        self.assertEqual(heard(script, LOUD, 500) + heard(script, QUIET, 700), [(700, "next")])

    def test_a_silent_agent_is_waited_for_ten_seconds(self) -> None:
        self.assertEqual(heard(Script(1), QUIET, 12_000), [(10_000, "next")])

    def test_a_call_that_nobody_ends_is_given_up(self) -> None:
        script = Script(0)
        heard(script, LOUD, 500)
        self.assertEqual(heard(script, QUIET, 20_000), [(20_000, "give up")])

    def test_how_long_the_agent_spoke(self) -> None:
        script = Script(0)
        heard(script, LOUD, 1200)
        lengths = [script.spoke_ms for _ in range(50) if script.frame(QUIET, False) and script.spoke_ms]
        self.assertEqual((lengths, script.heard_ms), ([1200], 1200))


class Held(TestCase):
    """While a transfer is under way nothing is said."""

    def test_quiet_does_not_start_the_next_item(self) -> None:
        script = Script(1)
        heard(script, LOUD, 500)
        script.hold()
        self.assertEqual(heard(script, QUIET, 60_000), [])

    def test_after_a_failure_the_agent_is_heard_first(self) -> None:
        script = Script(1)
        heard(script, LOUD, 500)
        script.hold()
        heard(script, QUIET, 3000)
        script.release()
        self.assertEqual(heard(script, QUIET, 2000), [])
        self.assertEqual(heard(script, LOUD, 500) + heard(script, QUIET, 700), [(700, "next")])

    def test_an_agent_that_speaks_is_back(self) -> None:
        script = Script(1)
        script.hold()
        self.assertEqual(heard(script, QUIET, 30_000) + heard(script, LOUD, 500) + heard(script, QUIET, 700), [(700, "next")])

    def test_a_transfer_that_comes_to_nothing_is_given_up(self) -> None:
        script = Script(1)
        script.hold()
        self.assertEqual(heard(script, QUIET, 90_000), [(90_000, "give up")])


class AnyAudio(TestCase):
    @given(st.integers(0, 4), st.lists(st.tuples(st.booleans(), st.booleans()), max_size=400))
    def test_each_item_once_and_never_while_one_plays(self, items: int, frames: list[tuple[bool, bool]]) -> None:
        script = Script(items)
        steps = [(script.frame(LOUD if loud else QUIET, speaking), speaking) for loud, speaking in frames]
        self.assertLessEqual(sum(step == "next" for step, _ in steps), items)
        self.assertTrue(all(step == "wait" for step, speaking in steps if speaking))
