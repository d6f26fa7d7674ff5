"""Key presses that we send (RFC 4733)."""

from __future__ import annotations

from struct import unpack
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.errors import LocalError
from smartalex.rtp.dtmf import DIGITS, DtmfReceiver
from smartalex.rtp.keys import GAP_MS, LONGEST, MOST_WAITING, KeyPresses

Event = tuple[int, int, int, int]
"""Code, flags and volume, duration, units since the beginning."""


def sent(digits: str, ms: int, packet_ms: int = 20, clock: int = 8000) -> list[Event | None]:
    """One entry a packet time until nothing is pending; None where silence goes out."""
    keys, found = KeyPresses(), []
    keys.press(digits, ms)
    while keys.pending:
        event = keys.next(packet_ms, clock)
        found.append(None if event is None else (*unpack("!BBH", event[0]), event[1]))
    return found


class OnePress(TestCase):
    def test_its_end_has_the_exact_duration_and_comes_three_times(self) -> None:
        for packet_ms in (10, 20, 30, 40, 50, 60):
            for ms in (40, 95, 100, 160, 1003):
                for clock in (8000, 48000):
                    found = [event for event in sent("5", ms, packet_ms, clock) if event]
                    updates, ends = found[:-3], found[-3:]
                    self.assertEqual(ends, [(5, 0x8A, ms * clock // 1000, 0)] * 3, (packet_ms, ms, clock))
                    steps = [packet_ms * clock // 1000 * (n + 1) for n in range(len(updates))]
                    self.assertEqual(updates, [(5, 0x0A, step, 0) for step in steps])
                    self.assertEqual(len(updates), -(-ms // packet_ms) - 1)

    def test_less_than_a_receiver_can_be_sure_of_becomes_40_ms(self) -> None:
        self.assertEqual([event for event in sent("#", 1) if event][-1], (11, 0x8A, 320, 0))

    def test_a_long_one_goes_on_in_further_segments(self) -> None:
        for packet_ms, ms, clock in (
            (20, 8200, 8000),
            (30, 20_000, 8000),
            (20, 8191, 8000),
            (60, 3000, 48000),
            (10, 1366, 48000),
        ):
            found = [event for event in sent("9", ms, packet_ms, clock) if event]
            total, segments = ms * clock // 1000, (ms * clock // 1000 - 1) // LONGEST
            self.assertEqual([event[2] for event in found if event[2] == LONGEST], [LONGEST] * segments)
            self.assertTrue(all(not event[1] & 0x80 for event in found if event[2] == LONGEST))
            self.assertEqual([base // LONGEST for *_, base in found], sorted(base // LONGEST for *_, base in found))
            self.assertEqual(found[-3:], [(9, 0x8A, total - segments * LONGEST, segments * LONGEST)] * 3)
            self.assertLessEqual(max(event[2] for event in found), LONGEST)

    def test_what_is_no_key_and_what_is_too_much(self) -> None:
        keys = KeyPresses()
        self.assertRaises(ValueError, keys.press, "1x", 100)
        self.assertFalse(keys.pending)
        self.assertRaises(LocalError, keys.press, "1" * (MOST_WAITING + 1), 100)

    def test_nothing_is_left_when_it_is_taken_back(self) -> None:
        keys = KeyPresses()
        keys.press("12", 100)
        keys.next(20, 8000)
        keys.clear()
        self.assertEqual((keys.pending, keys.next(20, 8000)), (False, None))


class Several(TestCase):
    def test_between_two_there_is_a_gap_and_the_repeated_ends_are_part_of_it(self) -> None:
        for packet_ms in (10, 20, 30, 40, 50, 60):
            found = sent("12", 120, packet_ms)
            begun = next(n for n, event in enumerate(found) if event and event[0] == 2)
            gap_ms = begun * packet_ms - 120
            self.assertTrue(GAP_MS <= gap_ms < GAP_MS + 2 * packet_ms + 10, (packet_ms, gap_ms))

    def test_lower_case(self) -> None:
        self.assertEqual([event[0] for event in sent("d", 40) if event], [15] * 4)

    @given(
        st.text(DIGITS, min_size=1, max_size=6),
        st.integers(40, 20_000),
        st.sampled_from([10, 20, 30, 40, 50, 60]),
        st.sampled_from([8000, 48000]),
    )
    @settings(max_examples=60, deadline=None)
    def test_a_receiver_hears_each_once_and_as_long_as_it_was(self, digits: str, ms: int, packet_ms: int, clock: int) -> None:
        keys, receiver, heard, now, start = KeyPresses(), DtmfReceiver(clock), [], 0xFFFFFF00, 0
        keys.press(digits, ms)
        while keys.pending:
            first = keys.beginning
            event = keys.next(packet_ms, clock)
            if event is not None:
                start = now if first else start
                heard += receiver.packet(event[0], (start + event[1]) & 0xFFFFFFFF)
            now = (now + packet_ms * clock // 1000) & 0xFFFFFFFF
        self.assertEqual(heard, [(digit, ms * clock // 1000 * 1000 // clock) for digit in digits])
