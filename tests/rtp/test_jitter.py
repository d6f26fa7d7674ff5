from __future__ import annotations

import random
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.jitter import HIGHEST_FRAMES, LOWEST_FRAMES, JitterBuffer


def name(number: int) -> bytes:
    return number.to_bytes(4, "big")


def number(payload: bytes | None) -> int | None:
    return None if payload is None else int.from_bytes(payload, "big")


def push(buffer: JitterBuffer, *numbers: int) -> None:
    for n in numbers:
        buffer.push(n & 0xFFFF, name(n))


def pops(buffer: JitterBuffer, count: int) -> list[int | None]:
    return [number(buffer.pop()) for _ in range(count)]


class Link:
    """Packet n leaves at 20 n ms; `delay_ms(n)` later it arrives, None when it is lost.  Ticks fall in between, at `phase_ms`."""

    def __init__(self, count: int, delay_ms, phase_ms: float = 7.0, tick_ms: float = 20.0) -> None:  # type: ignore[no-untyped-def]
        self.buffer = JitterBuffer()
        self.played: list[tuple[float, int | None]] = []
        arrivals = [(20.0 * n + delay, 0, n) for n in range(count) if (delay := delay_ms(n)) is not None]
        ticks = [(phase_ms + tick_ms * k, 1, k) for k in range(int(count * 20 / tick_ms))]
        for at, tick, n in sorted(arrivals + ticks):
            if tick:
                self.played.append((at, number(self.buffer.pop())))
            else:
                push(self.buffer, n)

    @property
    def numbers(self) -> list[int]:
        return [n for _, n in self.played if n is not None]

    def wait_ms(self, at_s: float) -> float:
        """How long after it was sent the frame played at that time was played."""
        return next(at - 20 * n for at, n in self.played if at >= at_s * 1000 and n is not None)

    def gaps(self, from_s: float = 1.0) -> int:
        return sum(n is None for at, n in self.played if at >= from_s * 1000)


class Order(TestCase):
    def test_it_starts_when_it_is_deep_enough(self) -> None:
        buffer = JitterBuffer()
        self.assertEqual(pops(buffer, 2), [None, None])
        push(buffer, 5)
        self.assertEqual(pops(buffer, 1), [None])
        self.assertFalse(buffer.playing)
        push(buffer, 6)
        self.assertEqual(pops(buffer, 2), [5, 6])
        self.assertEqual((buffer.missing, buffer.late), (0, 0))

    def test_reordered_packets_are_put_in_order_from_the_very_first(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 6, 5, 8, 7)
        self.assertEqual(pops(buffer, 4), [5, 6, 7, 8])

    def test_a_lost_packet_leaves_its_place(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 2, 4, 5)
        self.assertEqual(pops(buffer, 5), [1, 2, None, 4, 5])
        self.assertEqual((buffer.missing, buffer.late), (1, 0))

    def test_the_counter_wraps(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 65534, 65535, 65537, 65536)
        self.assertEqual(pops(buffer, 4), [65534, 65535, 65536, 65537])
        self.assertEqual(Link(70_000, lambda n: 1).numbers, list(range(69_999)))

    def test_duplicates_are_dropped_even_of_what_was_played(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 1, 2)
        self.assertEqual(pops(buffer, 1), [1])
        push(buffer, 1, 2, 3, 3)
        self.assertEqual(pops(buffer, 2), [2, 3])
        push(buffer, 2, 3)  # now that it is empty
        self.assertEqual(pops(buffer, 3), [None] * 3)
        self.assertEqual((buffer.duplicates, buffer.late, buffer.depth), (6, 0, LOWEST_FRAMES))

    def test_a_reset_begins_anew_anywhere(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 2, 3)
        pops(buffer, 2)
        buffer.reset()
        push(buffer, 40001, 40000)
        self.assertEqual(pops(buffer, 2), [40000, 40001])

    def test_a_far_jump_ahead_is_followed(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 2)
        pops(buffer, 2)
        push(buffer, 1000, 1001)
        self.assertEqual(pops(buffer, 2), [1000, 1001])

    @given(
        st.lists(st.tuples(st.integers(-8, 8), st.booleans(), st.integers(0, 2)), max_size=150),
        st.integers(0, 65535),
    )
    @settings(max_examples=200, deadline=None)
    def test_nothing_is_ever_played_twice_or_out_of_order(self, steps: list[tuple[int, bool, int]], start: int) -> None:
        buffer, sent, played = JitterBuffer(), start + 0x10000, []
        for shift, lost, ticks in steps:
            sent += 1
            if not lost:
                push(buffer, sent + shift)
            self.assertLessEqual(len(buffer), HIGHEST_FRAMES)
            self.assertTrue(LOWEST_FRAMES <= buffer.depth <= HIGHEST_FRAMES)
            played += pops(buffer, ticks)
        heard = [n for n in played if n is not None]
        self.assertEqual(heard, sorted(set(heard)))

    @given(st.lists(st.integers(0, 0xFFFF), max_size=80))
    @settings(max_examples=100, deadline=None)
    def test_any_sequence_numbers_are_survived(self, numbers: list[int]) -> None:
        buffer = JitterBuffer()
        for n in numbers:
            buffer.push(n, name(n))
            self.assertIn(number(buffer.pop()), [None, *numbers])


class Lateness(TestCase):
    def started(self) -> JitterBuffer:
        buffer = JitterBuffer()
        push(buffer, 1, 2, 4, 5)
        self.assertEqual(pops(buffer, 3), [1, 2, None])
        return buffer

    def test_a_packet_one_tick_late_is_still_played_and_the_buffer_is_deeper(self) -> None:
        buffer = self.started()
        push(buffer, 3)
        self.assertEqual(pops(buffer, 3), [3, 4, 5])
        self.assertEqual((buffer.late, buffer.depth), (1, LOWEST_FRAMES + 1))

    def test_one_that_is_later_makes_room_for_the_next(self) -> None:
        buffer = self.started()
        self.assertEqual(pops(buffer, 1), [4])
        push(buffer, 3, 6)
        self.assertEqual(pops(buffer, 3), [None, 5, 6])
        self.assertEqual((buffer.late, buffer.depth), (1, LOWEST_FRAMES + 1))

    def test_at_its_deepest_it_only_drops(self) -> None:
        buffer = self.started()
        buffer.depth = HIGHEST_FRAMES
        push(buffer, 3)
        self.assertEqual(pops(buffer, 2), [4, 5])
        self.assertEqual((buffer.late, buffer.depth), (1, HIGHEST_FRAMES))

    def test_after_a_gap_of_60_ms_it_is_ready_for_another(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 2)
        self.assertEqual(pops(buffer, 5), [1, 2, None, None, None])
        push(buffer, 3, 4, 5)
        self.assertEqual((buffer.depth, buffer.late), (LOWEST_FRAMES + 3, 1))
        push(buffer, 6, 7)
        self.assertEqual(pops(buffer, 5), [3, 4, 5, 6, 7])

    def test_after_a_pause_of_the_sender_it_is_no_deeper(self) -> None:
        buffer = JitterBuffer()
        push(buffer, 1, 2)
        self.assertEqual(pops(buffer, 30), [1, 2] + [None] * 28)
        push(buffer, 3, 4)
        self.assertEqual(pops(buffer, 2), [3, 4])
        self.assertEqual((buffer.depth, buffer.late), (LOWEST_FRAMES, 0))


class Links(TestCase):
    def test_an_even_stream_waits_20_to_40_ms_whatever_the_phase(self) -> None:
        for phase in (0.5, 7, 19.5):
            link = Link(500, lambda n: 30, phase)
            self.assertEqual(link.gaps(), 0)
            self.assertTrue(50 <= link.wait_ms(5) <= 70, link.wait_ms(5))

    def test_jitter_is_learned_and_then_nothing_is_lost(self) -> None:
        for spread, limit in ((10, 50), (20, 60), (40, 110), (80, 190)):
            draw = random.Random(spread)
            link = Link(3000, lambda n, spread=spread, draw=draw: 80 + draw.uniform(-spread, spread))
            self.assertLessEqual(link.gaps(from_s=20), 5, spread)
            self.assertLessEqual(link.wait_ms(50) - 80, limit, spread)
            self.assertLess(len(set(range(2990)) - set(link.numbers)), 15, spread)

    def test_lost_packets_do_not_deepen_it(self) -> None:
        draw = random.Random(1)
        link = Link(1000, lambda n: None if draw.random() < 0.1 else 5)
        self.assertEqual(link.buffer.late, 0)
        self.assertLessEqual(link.wait_ms(19), 50)

    def test_a_burst_of_lost_packets(self) -> None:
        link = Link(300, lambda n: None if 100 <= n < 104 else 5)
        self.assertEqual(set(range(298)) - set(link.numbers), {100, 101, 102, 103})
        self.assertLessEqual(link.gaps(), 8)

    def test_an_interruption_of_300_ms_is_over_within_two_seconds(self) -> None:
        link = Link(500, lambda n: 5 + max(0, 5300 - 20 * n) if 250 <= n < 265 else 5)
        self.assertLessEqual(link.wait_ms(7), 60)
        self.assertEqual(link.gaps(from_s=5.7), 0)

    def test_never_deeper_than_200_ms(self) -> None:
        draw = random.Random(3)
        link = Link(3000, lambda n: draw.uniform(0, 600))
        waits = [at - 20 * n for at, n in link.played if n is not None]
        self.assertEqual(link.numbers, sorted(set(link.numbers)))
        self.assertLessEqual(max(waits), 600 + 200 + 20)

    def test_after_jitter_has_gone_it_grows_shallow_again(self) -> None:
        draw = random.Random(4)
        link = Link(6000, lambda n: 80 + (draw.uniform(-70, 70) if n < 1000 else 0))
        self.assertGreater(link.wait_ms(19), 120)
        self.assertLessEqual(link.wait_ms(110), 130)

    def test_clocks_that_differ_by_300_ppm_either_way(self) -> None:
        for factor in (1.0003, 0.9997):
            link = Link(15_000, lambda n: 5 + n % 3, tick_ms=20 * factor)
            self.assertLessEqual(len(link.buffer), 4)
            self.assertLess(link.gaps() + len(set(range(14_980)) - set(link.numbers)), 25)
            self.assertLess(link.buffer.depth, 5)
