from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.jitter import CALM_WINDOWS, HIGHEST_MS, HOLES, LOOK_AHEAD_MS, MOST_PACKETS, START_TICKS, WINDOW, JitterBuffer

FRAME = 160
START = 0xFFFFFF00


def stamp(n: int) -> int:
    """The timestamp of packet n, wrapping early."""
    return (START + n * FRAME) & 0xFFFFFFFF


def name(n: int) -> bytes:
    return n.to_bytes(4, "big")


class Fed(TestCase):
    """Packets by number; `play` takes one frame and says which it was, None for what was not there."""

    def setUp(self) -> None:
        self.buffer = JitterBuffer()

    def push(self, *numbers: int, jitter: float = 0.0) -> None:
        for n in numbers:
            self.buffer.push(stamp(n), name(n), jitter)

    def play(self) -> int | None:
        buffer = self.buffer
        if not buffer.tick():
            return None
        while (payload := buffer.take()) is None:
            gap = buffer.gap()
            if gap < 0:
                buffer.dry += FRAME
                return None
            if gap > 0:
                buffer.passed(min(gap, FRAME))
                return None
        buffer.heard(FRAME)
        return int.from_bytes(payload, "big")

    def each(self, *arrivals: tuple[int, ...], jitter: float = 0.0) -> list[int | None]:
        """What is heard in each tick, when these have arrived before it."""
        heard = []
        for numbers in arrivals:
            self.push(*numbers, jitter=jitter)
            heard.append(self.play())
        return heard

    def clean(self, first: int, count: int) -> list[int | None]:
        return self.each(*((n,) for n in range(first, first + count)))


class Order(Fed):
    def test_one_frame_waits_and_then_each_has_its_turn(self) -> None:
        self.assertEqual(self.clean(0, 6), [None, 0, 1, 2, 3, 4])
        self.assertEqual(START_TICKS, 1)

    def test_in_order_whatever_the_order_of_arrival(self) -> None:
        self.assertEqual(self.each((1,), (0,), (3, 2), (), ()), [None, 0, 1, 2, 3])

    def test_what_is_there_twice_counts_once(self) -> None:
        self.assertEqual(self.each((0, 0), (1, 1), (0, 2), ()), [None, 0, 1, 2])
        self.assertEqual((self.buffer.duplicates, self.buffer.late, self.buffer.missing), (3, 0, 0))

    def test_a_lost_one_leaves_its_turn_empty(self) -> None:
        self.assertEqual(self.each((0,), (1,), (3,), (4,), (5,), ()), [None, 0, 1, None, 3, 4])
        self.assertEqual((self.buffer.missing, self.buffer.late), (1, 0))

    def test_a_jump_of_the_senders_clock_begins_anew(self) -> None:
        self.clean(0, 10)
        self.assertEqual(self.each((100_000,), (100_001,), (100_002,)), [None, 100_000, 100_001])
        self.assertEqual(self.each((5,), (6,), (7,)), [None, 5, 6])

    def test_a_pause_of_the_sender_keeps_the_distance(self) -> None:
        """Discontinuous transmission: nothing is sent for a second, and the timestamps go on with time."""
        self.clean(0, 10)
        heard = self.each(*[()] * 50, (60,), (61,), (62,), (63,))
        self.assertEqual([n for n in heard if n is not None], [9, 60, 61, 62])
        self.assertEqual(heard[-4:], [None, 60, 61, 62])


class Late(Fed):
    def test_what_was_waited_for_is_heard_and_all_after_it_so_much_later(self) -> None:
        self.clean(0, 10)
        self.assertEqual(self.each((), (), (10, 11, 12), (13,), (14,)), [9, None, 10, 11, 12])
        self.assertEqual((self.buffer.waits, self.buffer.late, self.buffer.missing), (1, 0, 0))

    def test_what_comes_after_its_turn_is_passed_over_and_time_is_asked_for(self) -> None:
        self.clean(0, 10)
        self.assertEqual(self.each((11,), (12,), (13,), (10,)), [9, None, 11, 12])
        self.assertEqual((self.buffer.late, self.buffer.missing), (1, 1))
        self.assertGreater(self.buffer.pending, 0)

    def test_an_interruption_says_nothing_about_the_depth(self) -> None:
        self.clean(0, 10)
        self.each(*[()] * 15, tuple(range(10, 26)))
        self.assertEqual((self.buffer.waits, self.buffer.late, self.buffer.pending), (1, 0, 0))

    def test_after_an_interruption_what_is_too_much_is_to_be_cut(self) -> None:
        self.clean(0, 10)
        self.each(*[()] * 15, tuple(range(10, 26)))
        self.clean(26, 2 * WINDOW)
        self.assertLess(self.buffer.pending, -200 * 8)

    def test_what_nobody_would_wait_for_is_dropped(self) -> None:
        self.clean(0, 10)
        self.push(*range(10, 60))
        self.assertGreater(self.buffer.dropped, 0)
        self.assertLessEqual(len(self.buffer) * 20, 2 * HIGHEST_MS + 20)


class Depth(Fed):
    def test_a_frame_that_is_never_needed_is_given_up(self) -> None:
        self.clean(0, (CALM_WINDOWS + 1) * WINDOW)
        self.assertLess(self.buffer.pending, 0)
        self.buffer.scaled(self.buffer.pending)
        self.assertEqual(self.buffer.pending, 0)

    def test_where_packets_are_lost_a_frame_is_kept_to_see_beyond_the_gap(self) -> None:
        self.clean(0, 10)
        self.play()  # nothing to spare any more
        for n in range(10, 3 * WINDOW):
            self.each(() if n == 30 else (n,))
        self.assertAlmostEqual(self.buffer.pending, LOOK_AHEAD_MS * 8, delta=8)

    def test_where_none_is_lost_it_is_not(self) -> None:
        self.clean(0, 10)
        self.play()
        self.clean(10, 3 * WINDOW)
        self.assertEqual(self.buffer.pending, 0)

    def test_what_was_only_late_is_no_loss(self) -> None:
        self.clean(0, 10)
        self.each((11,), (10, 12), (13,))
        self.clean(14, (CALM_WINDOWS + 2) * WINDOW)
        self.assertLess(self.buffer.pending, 0)

    def test_jitter_asks_for_more_before_anything_is_late(self) -> None:
        self.each(*((n,) for n in range(2 * WINDOW)), jitter=30 * 8)
        self.assertGreater(self.buffer.pending, 0)
        self.assertEqual(self.buffer.late, 0)

    def test_no_jitter_asks_for_more_than_the_highest(self) -> None:
        self.each(*((n,) for n in range(2 * WINDOW)), jitter=5000 * 8)
        self.assertLessEqual(self.buffer.pending, HIGHEST_MS * 8)


class AnyNetwork(Fed):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.lists(st.integers(0, 200), max_size=4), min_size=1, max_size=120))
    def test_each_at_most_once_in_order_and_counted(self, arrivals: list[list[int]]) -> None:
        self.buffer = JitterBuffer()
        heard = [n for n in self.each(*map(tuple, arrivals)) if n is not None]
        for _ in range(250):
            n = self.play()
            heard += [] if n is None else [n]
        self.assertEqual(len(set(heard)), len(heard))
        self.assertEqual(sorted(heard), heard)
        self.assertEqual(len(self.buffer), 0)
        buffer = self.buffer
        total = sum(map(len, arrivals))
        self.assertEqual(len(heard) + buffer.late + buffer.duplicates + buffer.dropped, total)
        self.assertLessEqual(len(buffer._holes), HOLES)


class Hostile(Fed):
    def test_timestamps_that_hardly_move_fill_no_memory(self) -> None:
        for n in range(10_000):
            self.buffer.push(START + n & 0xFFFFFFFF, bytes(1400), 0.0, n & 0xFFFF)
        self.assertEqual(len(self.buffer), MOST_PACKETS)
        self.assertEqual(self.buffer.dropped, 10_000 - MOST_PACKETS)
