from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.source import BAD, GOOD, MAX_DROPOUT, RESTARTED, Source


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


class Jitter(TestCase):
    def test_an_even_stream_has_none(self) -> None:
        source = Source(1, 0)
        for n in range(100):
            source.arrived(160 * n + 0xFFFFFFF0 & 0xFFFFFFFF, 160 * n + 12345)
        self.assertEqual(source.jitter, 0)

    def test_a_constant_step_is_reached(self) -> None:
        source = Source(1, 0)
        for n in range(200):
            source.arrived(160 * n, 160 * n + (80 if n % 2 else 0))
        self.assertAlmostEqual(source.jitter, 80, delta=0.1)

    def test_the_first_steps_of_rfc_3550_a8(self) -> None:
        source = Source(1, 0)
        source.arrived(0, 0)
        source.arrived(160, 176)
        self.assertEqual(source.jitter, 1.0)
        source.arrived(320, 320)
        self.assertEqual(source.jitter, 1.0 + 15 / 16)

    def test_a_new_time_base_is_not_jitter(self) -> None:
        source = Source(1, 0)
        source.arrived(0, 0)
        source.arrived(1_000_000, 160)
        source.arrived(1_000_160, 320)
        self.assertEqual(source.jitter, 0)
