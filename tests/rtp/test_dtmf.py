from __future__ import annotations

from itertools import pairwise
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.dtmf import DIGITS, END_PACKETS, EVENT, LONGEST, LOST_TICKS, DtmfReceiver, packets

Wire = list[tuple[int, bytes]]
"""(timestamp, payload) in the order of sending."""


def press(digit: str, timestamp: int, ms: int = 100) -> Wire:
    return [(timestamp & 0xFFFFFFFF, payload) for payload, _ in packets(digit, ms)]


def heard(wire: Wire, receiver: DtmfReceiver | None = None) -> list[tuple[str, int]]:
    """What is reported, the ticks after the last packet included."""
    receiver = receiver or DtmfReceiver()
    found = [receiver.packet(payload, timestamp) for timestamp, payload in wire]
    for _ in range(2 * LOST_TICKS):
        if receiver.pressing:
            found.append(receiver.tick())
    return [item for item in found if item is not None]


class Receiving(TestCase):
    def test_every_key_once(self) -> None:
        wire = [item for n, digit in enumerate(DIGITS) for item in press(digit, 2000 * n)]
        self.assertEqual(heard(wire), [(digit, 100) for digit in DIGITS])

    def test_the_same_key_twice_is_two_presses(self) -> None:
        self.assertEqual(heard(press("7", 0) + press("7", 1600)), [("7", 100), ("7", 100)])

    def test_any_loss_that_leaves_a_packet_leaves_the_press(self) -> None:
        whole = press("5", 8000)
        for kept in range(1, 1 << len(whole)):
            wire = [item for n, item in enumerate(whole) if kept >> n & 1]
            self.assertEqual([digit for digit, _ in heard(wire)], ["5"], bin(kept))

    def test_with_all_ends_lost_it_is_reported_when_its_packets_have_ceased(self) -> None:
        receiver = DtmfReceiver()
        for timestamp, payload in press("5", 0)[:-END_PACKETS]:
            self.assertIsNone(receiver.packet(payload, timestamp))
        self.assertEqual([receiver.tick() for _ in range(LOST_TICKS)], [None] * (LOST_TICKS - 1) + [("5", 100)])
        self.assertFalse(receiver.pressing)
        self.assertIsNone(receiver.packet(*reversed(press("5", 0)[-1])))  # an end that comes after all

    def test_with_all_ends_lost_the_next_press_completes_it(self) -> None:
        self.assertEqual(heard(press("5", 0)[:3] + press("5", 3000)), [("5", 60), ("5", 100)])

    def test_only_the_end_arrived(self) -> None:
        self.assertEqual(heard(press("9", 0)[-1:]), [("9", 100)])

    def test_repeated_and_reordered_packets_change_nothing(self) -> None:
        wire = press("1", 4000)
        self.assertEqual(heard(wire + wire[::-1] + wire), [("1", 100)])
        self.assertEqual(heard(wire[::-1]), [("1", 100)])

    def test_a_straggler_of_the_press_before_is_ignored(self) -> None:
        self.assertEqual(
            heard(press("1", 0) + press("2", 2000)[:2] + press("1", 0)[-1:] + press("2", 2000)[2:]), [("1", 100), ("2", 100)]
        )

    def test_the_timestamp_wraps(self) -> None:
        self.assertEqual(heard(press("1", 0xFFFFFF00) + press("2", 0x100000800)), [("1", 100), ("2", 100)])

    def test_a_press_of_many_seconds_is_one(self) -> None:
        """RFC 4733 2.5.1.3: a segment of 65,535 units, and another with a timestamp as much later."""
        wire: Wire = []
        for segment in range(3):
            at = 500 + segment * LONGEST
            wire += [(at, EVENT.pack(3, 10, duration)) for duration in (160, 30000, LONGEST)]
        wire += [(500 + 3 * LONGEST, EVENT.pack(3, 0x8A, 800))] * 3
        self.assertEqual(heard(wire), [("3", (3 * LONGEST + 800) // 8)])

    def test_a_new_source_begins_with_any_timestamp(self) -> None:
        receiver = DtmfReceiver()
        self.assertEqual(heard(press("1", 3_000_000_000), receiver), [("1", 100)])
        self.assertIsNone(receiver.restart())
        self.assertEqual(heard(press("2", 1000), receiver), [("2", 100)])
        for timestamp, payload in press("3", 5000)[:2]:
            receiver.packet(payload, timestamp)
        self.assertEqual(receiver.restart(), ("3", 40))

    def test_other_events_are_not_keys(self) -> None:
        self.assertEqual(heard([(0, EVENT.pack(16, 0x80, 800)), (900, EVENT.pack(255, 0, 1))]), [])

    @given(st.lists(st.tuples(st.binary(max_size=6), st.integers(0, 0xFFFFFFFF)), max_size=20))
    @settings(max_examples=150, deadline=None)
    def test_any_bytes_are_survived(self, wire: list[tuple[bytes, int]]) -> None:
        for digit, ms in heard([(timestamp, payload) for payload, timestamp in wire]):
            self.assertIn(digit, DIGITS)
            self.assertGreaterEqual(ms, 0)


class Sending(TestCase):
    def test_the_packets_of_a_press(self) -> None:
        made = packets("#", 160)
        self.assertEqual([marker for _, marker in made], [True] + [False] * 10)
        read = [EVENT.unpack(payload) for payload, _ in made]
        self.assertEqual({code for code, _, _ in read}, {11})
        self.assertEqual([flags >> 7 for _, flags, _ in read], [0] * 8 + [1] * END_PACKETS)
        self.assertEqual([duration for _, _, duration in read], [160 * n for n in range(1, 9)] + [1280] * 3)

    def test_short_long_and_lower_case(self) -> None:
        self.assertEqual(EVENT.unpack(packets("a", 1)[-1][0]), (12, 0x8A, 320))
        durations = [EVENT.unpack(payload)[2] for payload, _ in packets("1", 60_000)]
        self.assertLessEqual(max(durations), LONGEST)
        self.assertTrue(all(before < after for before, after in pairwise(durations[:-2])) or durations[-4] == durations[-3])
        self.assertRaises(ValueError, packets, "x", 100)

    def test_what_we_send_we_understand(self) -> None:
        for ms in (40, 100, 160, 2000, 8000):
            self.assertEqual(heard(press("D", 77, ms)), [("D", ms)])
