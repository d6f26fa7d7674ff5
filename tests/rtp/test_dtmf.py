from __future__ import annotations

from pathlib import Path
from random import Random
from unittest import TestCase, skipUnless

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.dtmf import DIGITS, EVENT, LOST_TICKS, REMEMBERED, DtmfReceiver
from tests.rtp.wire import key_events

SIPP = Path("/usr/share/sip-tester")
ENDS = 3
TICK_MS = 20

Wire = list[tuple[int, bytes]]
"""(timestamp, payload) in the order of sending."""


def press(digit: str, timestamp: int, ms: int = 100, clock: int = 8000) -> Wire:
    return [(timestamp + since & 0xFFFFFFFF, payload) for since, payload in key_events(digit, ms, clock)]


def event(code: int, flags: int, duration: int) -> bytes:
    return EVENT.pack(code, flags, duration)


def heard(wire: Wire, receiver: DtmfReceiver | None = None) -> list[tuple[str, int]]:
    """What is reported, the ticks after the last packet included."""
    receiver = receiver or DtmfReceiver()
    found: list[tuple[str, int]] = []
    for timestamp, payload in wire:
        found += receiver.packet(payload, timestamp)
    for _ in range(2 * LOST_TICKS):
        if receiver.pressing:
            found += receiver.tick()
    return found


def digits(wire: Wire) -> str:
    return "".join(digit for digit, _ in heard(wire))


class Receiving(TestCase):
    def test_every_key_once(self) -> None:
        wire = [item for n, digit in enumerate(DIGITS) for item in press(digit, 2000 * n)]
        self.assertEqual(heard(wire), [(digit, 100) for digit in DIGITS])

    def test_the_same_key_again_and_again(self) -> None:
        """40 ms of tone and 40 ms of pause, the fastest that a dialler may be (ITU-T Q.24)."""
        wire = [item for n in range(20) for item in press("7", 640 * n, 40)]
        self.assertEqual(heard(wire), [("7", 40)] * 20)

    def test_any_loss_that_leaves_a_packet_leaves_the_press(self) -> None:
        whole = press("5", 8000)
        for kept in range(1, 1 << len(whole)):
            wire = [item for n, item in enumerate(whole) if kept >> n & 1]
            self.assertEqual(digits(wire), "5", bin(kept))

    def test_with_all_ends_lost_it_is_reported_when_its_packets_have_ceased(self) -> None:
        receiver, wire = DtmfReceiver(), press("5", 0)
        for timestamp, payload in wire[:-ENDS]:
            self.assertEqual(receiver.packet(payload, timestamp), ())
        self.assertEqual([receiver.tick() for _ in range(LOST_TICKS)], [()] * (LOST_TICKS - 1) + [(("5", 80),)])
        self.assertFalse(receiver.pressing)
        self.assertEqual(receiver.packet(*reversed(wire[-1])), ())  # an end that comes after all

    def test_a_long_gap_within_a_press_does_not_make_it_two(self) -> None:
        receiver, wire, found = DtmfReceiver(), press("5", 0, 1000), []
        for timestamp, payload in wire[:3]:
            found += receiver.packet(payload, timestamp)
        for _ in range(3 * LOST_TICKS):
            found += receiver.tick() if receiver.pressing else ()
        self.assertEqual([digit for digit, _ in found + heard(wire[30:], receiver)], ["5"])

    def test_with_all_ends_lost_the_next_press_completes_it(self) -> None:
        self.assertEqual(heard(press("5", 0)[:3] + press("5", 3000)), [("5", 60), ("5", 100)])

    def test_of_one_press_the_ends_are_lost_and_of_the_next_all_but_an_end(self) -> None:
        self.assertEqual(heard(press("5", 0)[:3] + press("6", 3000)[-1:]), [("5", 60), ("6", 100)])
        self.assertEqual(heard(press("5", 0)[:3] + press("5", 3000)[-1:]), [("5", 60), ("5", 100)])

    def test_only_the_end_arrived(self) -> None:
        self.assertEqual(heard(press("9", 0)[-1:]), [("9", 100)])

    def test_repeated_and_reordered_packets_change_nothing(self) -> None:
        wire = press("1", 4000)
        self.assertEqual(heard(wire + wire[::-1] + wire), [("1", 100)])
        self.assertEqual(heard(wire[::-1]), [("1", 100)])

    def test_a_straggler_of_the_press_before_is_ignored(self) -> None:
        one, two = press("1", 0), press("2", 2000)
        self.assertEqual(heard(one + two[:2] + one[-1:] + two[2:]), [("1", 100), ("2", 100)])

    def test_a_press_that_was_overtaken_comes_before_the_one_that_is_still_held(self) -> None:
        one, two = press("1", 0), press("2", 2000)
        self.assertEqual(digits(two[:2] + one + two[2:]), "12")

    def test_the_timestamp_wraps(self) -> None:
        self.assertEqual(heard(press("1", 0xFFFFFF00) + press("2", 0x100000800)), [("1", 100), ("2", 100)])

    def test_days_later(self) -> None:
        """More than half the timestamps away is as good as in the past; it is a press all the same."""
        for later in (0x7FFFFFF0, 0x80000010, 0xF0000000):
            self.assertEqual(digits(press("1", 1000) + press("2", 1000 + later) + press("2", 9000 + later)), "122", later)

    def test_what_is_remembered_is_bounded(self) -> None:
        receiver = DtmfReceiver()
        for n in range(3 * REMEMBERED):
            receiver.packet(event(5, 0x80, 800), 8000 * n)
        self.assertEqual(receiver.packet(event(5, 0x80, 800), 8000 * (2 * REMEMBERED - 1)), (("5", 100),))
        self.assertEqual(receiver.packet(event(5, 0x80, 800), 8000 * (3 * REMEMBERED - 1)), ())

    def test_a_new_source_begins_with_any_timestamp(self) -> None:
        receiver = DtmfReceiver()
        self.assertEqual(heard(press("1", 3_000_000_000), receiver), [("1", 100)])
        self.assertEqual(receiver.restart(), ())
        self.assertEqual(heard(press("2", 1000), receiver), [("2", 100)])
        for timestamp, payload in press("3", 5000)[:2]:
            receiver.packet(payload, timestamp)
        self.assertEqual(receiver.restart(), (("3", 40),))

    def test_the_clock_of_the_event(self) -> None:
        for clock in (8000, 16000, 48000):
            receiver = DtmfReceiver(clock)
            self.assertEqual(
                heard(press("1", 0, 100, clock) + press("1", clock, 1000, clock), receiver), [("1", 100), ("1", 1000)]
            )

    def test_a_sender_that_moves_the_timestamp_on_is_understood(self) -> None:
        """Contrary to RFC 4733 2.2; such senders have always been about."""
        for start in (0, 4000):
            wire = [(start + 160 * n, event(4, 10, 160 * (n + 1))) for n in range(5)]
            wire += [(start + 800 + 160 * n, event(4, 0x8A, 960)) for n in range(ENDS)]
            self.assertEqual(digits(wire + [(at + 4000, payload) for at, payload in wire]), "44")


class Payloads(TestCase):
    def test_volume_and_the_reserved_bit_change_nothing(self) -> None:
        for extra in (0x00, 0x3F, 0x40, 0x7F):
            wire = [(0, event(8, extra, 160)), (0, event(8, 0x80 | extra, 320))]
            self.assertEqual(heard(wire * 2), [("8", 40)], extra)

    def test_flash_and_other_events_are_not_keys(self) -> None:
        for code in (16, 32, 66, 255):
            self.assertEqual(heard([(0, event(code, 0, 80)), (0, event(code, 0x80, 800))]), [], code)
        self.assertEqual(heard([(0, event(5, 0, 80)), (0, event(16, 0x80, 800)), (0, event(5, 0x80, 160))]), [("5", 20)])

    def test_several_events_in_one_packet(self) -> None:
        """RFC 4733 2.5.1.5: each begins where the one before it ends; all but the last are over."""
        both = event(1, 10, 400) + event(255, 10, 400) + event(2, 10, 160)
        whole = event(1, 0x8A, 400) + event(255, 0x8A, 400) + event(2, 0x8A, 480)
        self.assertEqual(heard([(0, both), (0, whole)]), [("1", 50), ("2", 60)])
        self.assertEqual(heard([(0, whole)] * 3), [("1", 50), ("2", 60)])

    def test_an_event_that_was_sent_before_is_repeated_with_the_next(self) -> None:
        """Redundancy as RFC 4733 2.5.1.5 allows it: the press before in front of the one that is held."""
        one = press("1", 8000)
        wire = [(8000, event(1, 0x8A, 800) + event(9, 10, 160 * n)) for n in range(1, 4)]
        self.assertEqual(digits(one + wire), "19")
        self.assertEqual(digits(wire), "19")

    def test_a_payload_that_is_cut_off(self) -> None:
        self.assertEqual(heard([(0, b""), (0, b"\x01\x80\x01")]), [])
        self.assertEqual(heard([(0, event(1, 0x80, 400) + b"\x02\x80")]), [("1", 50)])

    @given(st.lists(st.tuples(st.binary(max_size=14), st.integers(0, 0xFFFFFFFF)), max_size=40))
    @settings(max_examples=150, deadline=None)
    def test_any_bytes_are_survived(self, wire: list[tuple[bytes, int]]) -> None:
        found = heard([(timestamp, payload) for payload, timestamp in wire])
        self.assertLessEqual({digit for digit, _ in found}, set(DIGITS))
        self.assertTrue(all(ms >= 0 for _, ms in found))


@skipUnless(SIPP.is_dir(), f"no recorded keys at {SIPP}: apt install sip-tester")
class Recorded(TestCase):
    """The packets that SIPp plays."""

    def test_each_is_its_key(self) -> None:
        for name, digit in (*((digit, digit) for digit in "0123456789"), ("star", "*"), ("pound", "#")):
            wire = [(int.from_bytes(rtp[4:8]), rtp[12:]) for rtp in datagrams(SIPP / f"dtmf_2833_{name}.pcap")]
            self.assertEqual(heard(wire), [(digit, 280)], name)


def datagrams(path: Path) -> list[bytes]:
    """The payloads of UDP over IPv4 over Ethernet in a capture."""
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        packet = data[at + 16 + 14 : at + 16 + size]
        found.append(packet[(packet[0] & 15) * 4 + 8 :])
        at += 16 + size
    return found


class Segments(TestCase):
    """RFC 4733 2.5.1.3: 65,535 units, then another event with a timestamp as much later."""

    def test_a_press_of_many_seconds_is_one(self) -> None:
        for clock, ms in ((8000, 30_000), (48000, 5000)):
            self.assertEqual(heard(press("3", 500, ms, clock), DtmfReceiver(clock)), [("3", ms)])

    def test_whole_segments_may_be_lost(self) -> None:
        wire = press("3", 500, 30_000)
        starts = sorted({at for at, _ in wire})
        self.assertEqual(len(starts), 4)
        for kept in range(1, 1 << len(starts)):
            chosen = [item for item in wire if kept >> starts.index(item[0]) & 1]
            self.assertEqual(digits(chosen), "3", bin(kept))

    def test_a_press_of_the_same_key_after_a_long_one(self) -> None:
        long = press("3", 0, 10_000)
        self.assertEqual(digits(long[:-ENDS] + press("3", 81_000)), "33")
        self.assertEqual(digits(long + press("3", 81_000)), "33")

    def test_what_we_send_we_understand(self) -> None:
        for clock in (8000, 16000, 48000):
            for ms in (40, 100, 160, 2000, 8000, 20_000):
                self.assertEqual(heard(press("D", 77, ms, clock), DtmfReceiver(clock)), [("D", ms)], (clock, ms))


@st.composite
def sequences(draw: st.DrawFn) -> tuple[int, str, list[tuple[int, Wire]]]:
    """A clock, the keys, and for each press the millisecond of its first packet and its packets."""
    clock = draw(st.sampled_from((8000, 16000, 48000)))
    keys = draw(st.text(DIGITS, min_size=1, max_size=8))
    now, start, presses = 0, draw(st.integers(0, 0xFFFFFFFF)), []
    for key in keys:
        ms = draw(st.sampled_from((40, 60, 80, 100, 200, 1000, 3000)))
        presses.append((now, press(key, start + now * clock // 1000 & 0xFFFFFFFF, ms, clock)))
        now += ms + draw(st.integers(40, 500))
    return clock, keys, presses


class AnyNetwork(TestCase):
    """Loss, doubling and reordering of any kind: each press at most once, and once if any packet of it arrives."""

    @given(sequences(), st.randoms(use_true_random=False), st.floats(0, 0.97), st.floats(0, 0.5))
    @settings(max_examples=300, deadline=None)
    def test_in_any_order(
        self, sequence: tuple[int, str, list[tuple[int, Wire]]], chance: Random, loss: float, twice: float
    ) -> None:
        clock, keys, presses = sequence
        arriving, expected = [], ""
        for key, (_, wire) in zip(keys, presses, strict=True):
            kept = [item for item in wire if chance.random() >= loss]
            expected += key if kept else ""
            arriving += kept + [item for item in kept if chance.random() < twice]
        chance.shuffle(arriving)
        found = heard(arriving, DtmfReceiver(clock))
        self.assertEqual(sorted(digit for digit, _ in found), sorted(expected))

    @given(sequences(), st.randoms(use_true_random=False), st.floats(0, 0.97), st.integers(0, 300))
    @settings(max_examples=300, deadline=None)
    def test_with_time_going_on(
        self, sequence: tuple[int, str, list[tuple[int, Wire]]], chance: Random, loss: float, jitter_ms: int
    ) -> None:
        """Each packet is up to `jitter_ms` late; what is overtaken by less than its end keeps its place."""
        clock, keys, presses = sequence
        arriving, expected = [], ""
        for key, (began, wire) in zip(keys, presses, strict=True):
            kept = [(began + TICK_MS * n, item) for n, item in enumerate(wire) if chance.random() >= loss]
            expected += key if kept else ""
            arriving += [(at + chance.uniform(0, jitter_ms), item) for at, item in kept]
        arriving.sort(key=lambda entry: entry[0])
        receiver, found, now = DtmfReceiver(clock), "", 0.0
        for at, (timestamp, payload) in arriving:
            while now + TICK_MS <= at:
                now += TICK_MS
                found += "".join(digit for digit, _ in receiver.tick()) if receiver.pressing else ""
            found += "".join(digit for digit, _ in receiver.packet(payload, timestamp))
        found += digits_left(receiver)
        self.assertEqual(sorted(found), sorted(expected))
        if jitter_ms < 40:
            self.assertEqual(found, expected)


def digits_left(receiver: DtmfReceiver) -> str:
    return "".join(digit for digit, _ in heard([], receiver))
