from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.source import BAD, CONFLICT_S, GOOD, MAX_DROPOUT, MOST_CONFLICTS, RESTARTED, SETTLED, Conflicts, Source

AFTER = range(1, SETTLED + 1)


def after(first: int, *more: int) -> Source:
    source = Source(9, first)
    for sequence in (first, *more):
        source.packet(sequence & 0xFFFF)
    return source


class Sequence(TestCase):
    def test_losses_reordering_and_duplicates(self) -> None:
        self.assertEqual(after(1, 2, 3).lost, 0)
        self.assertEqual(after(1, 2, 5).lost, 2)
        self.assertEqual(after(1, 2, 5, 4).lost, 1)
        self.assertEqual(after(1, 2, 2, 3).lost, -1)

    def test_the_counter_wraps(self) -> None:
        source = after(65534, 65535, 65536, 65538, 65537)
        self.assertEqual((source.lost, source.highest, source.received), (0, 0x10002, 5))

    def test_a_jump_needs_a_second_packet(self) -> None:
        source = after(100, 101, 105)
        self.assertEqual(source.packet(40000), BAD)
        self.assertEqual(source.packet(106), GOOD)
        self.assertEqual(source.packet(50000), BAD)
        self.assertEqual(source.packet(50001), RESTARTED)
        self.assertEqual(source.packet(50002), GOOD)
        self.assertEqual((source.lost, source.highest), (3, 50002))

    def test_a_gap_is_no_jump_until_a_minute(self) -> None:
        source = after(1)
        self.assertEqual(source.packet(MAX_DROPOUT), GOOD)
        self.assertEqual(source.lost, MAX_DROPOUT - 2)
        self.assertEqual(source.packet(2 * MAX_DROPOUT), BAD)

    def test_the_fraction_is_of_the_interval(self) -> None:
        source = after(1, 2, 3, 4)
        self.assertEqual(source.interval_fraction(), 0)
        for sequence in (6, 8):
            source.packet(sequence)
        self.assertEqual(source.interval_fraction(), 128)
        self.assertEqual(source.interval_fraction(), 0)
        source.packet(8)
        self.assertEqual(source.interval_fraction(), 0)

    @given(st.lists(st.integers(0, 0xFFFF), max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_any_sequence_is_survived(self, numbers: list[int]) -> None:
        source = Source(1, 0)
        for sequence in numbers:
            self.assertIn(source.packet(sequence), (BAD, GOOD, RESTARTED))
            self.assertTrue(0 <= source.interval_fraction() <= 255)
        source.settle(0)
        self.assertGreaterEqual(min(source.bursts.heard, source.bursts.lost), 0)


class Missed(TestCase):
    """What `bursts` is told."""

    def missed(self, source: Source) -> tuple[int, int, int]:
        source.settle()
        return source.bursts.heard, source.bursts.lost, source.bursts.runs

    def test_losses_are_told_when_nothing_can_come_any_more(self) -> None:
        source = after(1, 2, 5)
        self.assertEqual(self.missed(source), (0, 0, 0))
        for n in AFTER:
            source.packet(5 + n)
        self.assertEqual(self.missed(source), (3, 2, 1))
        self.assertEqual(self.missed(source), (3, 2, 1))

    def test_what_comes_in_another_order_is_not_lost(self) -> None:
        source = after(1, 5, 3, 2, 4, 9, 7)
        for n in AFTER:
            source.packet(9 + n)
        self.assertEqual(self.missed(source), (7, 2, 2))
        self.assertEqual(source.lost, 2)

    def test_what_comes_when_it_was_given_up_is_missed_and_not_lost(self) -> None:
        source = after(1, 3, *(3 + n for n in AFTER))
        self.assertEqual(self.missed(source), (2, 1, 1))
        source.packet(2)
        self.assertEqual((self.missed(source), source.lost), ((2, 1, 1), 0))

    def test_a_loss_on_the_border_is_told_in_two_parts_and_is_one(self) -> None:
        source = after(1, 11)
        for n in range(1, SETTLED - 4):
            source.packet(11 + n)
        self.assertEqual(self.missed(source)[1:], (5, 1))
        for n in AFTER:
            source.packet(11 + SETTLED - 5 + n)
        self.assertEqual(self.missed(source)[1:], (9, 1))

    def test_the_counter_wraps(self) -> None:
        source = after(65534, 65535, 65538, *(65538 + n for n in AFTER))
        self.assertEqual(self.missed(source), (3, 2, 1))

    def test_many_losses_are_all_counted(self) -> None:
        source = after(*range(1, 1001, 2), *(1000 + n for n in AFTER))
        self.assertEqual(self.missed(source)[1:], (500, 500))

    def test_a_sender_that_begins_anew_goes_on_in_the_same_count(self) -> None:
        source = after(1, 2, 4, 50_000, 50_001, 50_002, *(50_003 + n for n in AFTER))
        self.assertEqual(self.missed(source)[1:], (2, 2))

    @given(st.lists(st.integers(1, 5), max_size=150))
    @settings(max_examples=50, deadline=None)
    def test_all_that_was_sent_is_heard_or_missed(self, steps: list[int]) -> None:
        numbers, at = [1], 1
        for step in steps:
            numbers.append(at := at + step)
        source = after(*numbers)
        source.settle(0)
        self.assertEqual((source.bursts.heard, source.bursts.lost), (len(numbers), at - len(numbers)))


class Jitter(TestCase):
    def test_an_even_stream_has_none(self) -> None:
        source = Source(1, 0)
        for n in range(100):
            source.arrived(160 * n + 0xFFFFFFF0 & 0xFFFFFFFF, n / 50 + 12345)
        self.assertAlmostEqual(source.jitter, 0, places=6)

    def test_a_constant_step_is_reached(self) -> None:
        source = Source(1, 0)
        for n in range(200):
            source.arrived(160 * n, n / 50 + (0.01 if n % 2 else 0))
        self.assertAlmostEqual(source.jitter, 80, delta=0.1)
        self.assertAlmostEqual(source.jitter_ms, 10, delta=0.1)

    def test_the_first_steps_of_rfc_3550_a8(self) -> None:
        source = Source(1, 0)
        source.arrived(0, 0)
        source.arrived(160, 176 / 8000)
        self.assertAlmostEqual(source.jitter, 1.0)
        source.arrived(320, 320 / 8000)
        self.assertAlmostEqual(source.jitter, 1.0 + 15 / 16)

    def test_a_new_time_base_is_not_jitter(self) -> None:
        source = Source(1, 0)
        source.arrived(0, 0)
        source.arrived(1_000_000, 0.02)
        source.arrived(1_000_160, 0.04)
        self.assertAlmostEqual(source.jitter, 0)

    def test_the_clock_is_that_of_the_codec(self) -> None:
        """The same 10 ms, before and after the source changes from PCMU to Opus."""
        source = Source(1, 0)
        for n in range(200):
            source.arrived(160 * n, n / 50 + (0.01 if n % 2 else 0))
        source.change(48000)
        self.assertAlmostEqual(source.jitter_ms, 10, delta=0.1)
        for n in range(200):
            source.arrived(960 * n, n / 50 + 4 + (0.01 if n % 2 else 0))
        self.assertAlmostEqual(source.jitter, 480, delta=1)


class OurOwn(TestCase):
    """RFC 3550 8.2."""

    def test_a_collision_is_one_once_and_then_it_is_a_loop(self) -> None:
        conflicts = Conflicts()
        self.assertEqual([conflicts.looped("a", 0), conflicts.looped("a", 1), conflicts.looped("b", 1)], [False, True, False])

    def test_a_loop_is_forgotten_when_it_has_gone(self) -> None:
        conflicts = Conflicts()
        for at in (0, CONFLICT_S - 1, 2 * CONFLICT_S - 3):
            looped = conflicts.looped("a", at)
        self.assertTrue(looped)
        self.assertFalse(conflicts.looped("a", 3 * CONFLICT_S))

    def test_nobody_makes_us_change_all_the_time(self) -> None:
        conflicts = Conflicts()
        self.assertEqual([conflicts.looped(n, 0) for n in range(100)].count(False), MOST_CONFLICTS)
