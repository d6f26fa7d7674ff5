from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.calls.keys import EVENT, INFO, SAME_S, TONE, Keys

WAYS = (INFO, TONE, EVENT)


class OnePress(TestCase):
    def test_by_one_way_each_counts(self) -> None:
        for way in WAYS:
            keys = Keys()
            self.assertTrue(all(keys.counts("1", way, 0.1 * n) for n in range(20)))

    def test_by_two_ways_it_counts_once_whichever_comes_first(self) -> None:
        for first in WAYS:
            for second in WAYS:
                if first != second:
                    keys = Keys()
                    self.assertEqual([keys.counts("5", way, at) for way, at in ((first, 0.0), (second, 0.2))], [True, False])

    def test_the_same_key_twice_by_both_ways(self) -> None:
        for ways in (
            (INFO, EVENT, INFO, EVENT),
            (EVENT, INFO, EVENT, INFO),
            (INFO, INFO, EVENT, EVENT),
            (TONE, EVENT, EVENT, TONE),
        ):
            keys = Keys()
            self.assertEqual(sum(keys.counts("7", way, 0.1 * n) for n, way in enumerate(ways)), 2, ways)

    def test_once_a_surer_way_is_known_the_others_are_copies(self) -> None:
        keys = Keys()
        self.assertTrue(keys.counts("1", EVENT, 0))
        self.assertFalse(keys.counts("1", INFO, 60))
        self.assertFalse(keys.counts("2", TONE, 61))
        self.assertTrue(keys.counts("2", EVENT, 61.1))

    def test_long_after_it_is_another_press(self) -> None:
        keys = Keys()
        self.assertTrue(keys.counts("1", INFO, 0))
        self.assertTrue(keys.counts("1", EVENT, SAME_S + 0.1))

    def test_another_phone_may_have_another_way(self) -> None:
        keys = Keys()
        keys.counts("1", EVENT, 0)
        keys.restart()
        self.assertTrue(keys.counts("4", INFO, 10))
        self.assertFalse(keys.counts("4", EVENT, 10.1))

    @given(
        st.text("123", max_size=12),
        st.lists(st.floats(0, 0.5), min_size=24, max_size=24),
        st.sets(st.sampled_from(WAYS), min_size=1),
    )
    @settings(max_examples=200, deadline=None)
    def test_any_word_by_any_ways(self, word: str, delays: list[float], ways: set[int]) -> None:
        """Each press comes by all of the ways, each up to half a second late, in order within a way."""
        arriving = []
        for place, way in enumerate(sorted(ways)):
            late = delays[place]
            arriving += [(0.2 * n + late, way, digit) for n, digit in enumerate(word)]
        arriving.sort()
        keys = Keys()
        counted = "".join(digit for at, way, digit in arriving if keys.counts(digit, way, at))
        self.assertEqual(sorted(counted), sorted(word))
