"""The numbers of what we send: sequence, timestamps, markers, for packets of every length."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.media.codecs import registry
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.codecs.g722 import G722
from smartalex.media.frame import PACKET_MS
from smartalex.rtp.sender import Sender
from tests.media.sounds import voice
from tests.rtp.wire import Packet

VOICE = voice(1000)


def sender(ms: int = 20, keys: int | None = 101, codec: object = None) -> Sender:
    made = Sender(PCMU(), Random(5).getrandbits)
    made.change(codec or PCMU(), ms)  # type: ignore[arg-type]
    made.configure(0, keys, send=True)
    return made


def ticked(one: Sender, ticks: int, first: int = 0) -> list[Packet]:
    """What leaves; `at` is the tick."""
    found = []
    for tick in range(first, first + ticks):
        data = one.packet()
        while data is not None:
            found.append(Packet(data, tick))
            data = one.packet() if one.more else None
    return found


def steps(packets: list[Packet]) -> set[int]:
    return {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)}


class PacketLengths(TestCase):
    def test_when_packets_leave(self) -> None:
        for ms, ticks in (
            (10, [0, 0, 1, 1, 2, 2]),
            (20, [0, 1, 2, 3, 4, 5]),
            (30, [0, 1, 3, 4, 6, 7]),
            (40, [0, 2, 4, 6, 8, 10]),
            (50, [0, 2, 5, 7, 10, 12]),
            (60, [0, 3, 6, 9, 12, 15]),
        ):
            self.assertEqual([packet.at for packet in ticked(sender(ms), 18)][:6], ticks, ms)

    def test_three_seconds_are_three_seconds_and_the_audio_is_whole(self) -> None:
        for ms in PACKET_MS:
            one = sender(ms)
            one.playback.play(VOICE)
            packets = ticked(one, 150)
            self.assertEqual((len(packets), steps(packets)), (3000 // ms, {8 * ms}))
            self.assertEqual({len(packet.payload) for packet in packets}, {8 * ms})
            self.assertTrue(b"".join(packet.payload for packet in packets).startswith(PCMU().encode(VOICE)))
            self.assertEqual({(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)}, {1})
            self.assertEqual([packet.marker for packet in packets], [True] + [False] * (len(packets) - 1))

    def test_clocks(self) -> None:
        for codec in registry.usable():
            for ms in codec.packet_ms:
                one = sender(ms, codec=codec())
                self.assertEqual(steps(ticked(one, 30)), {codec.clock * ms // 1000}, (codec.name, ms))

    def test_a_codec_that_cannot_do_30_ms_does_20(self) -> None:
        for opus in registry.usable(["opus"]):
            one = sender(30, codec=opus())
            self.assertEqual([packet.at for packet in ticked(one, 4)], [0, 1, 2, 3])

    @given(
        st.sampled_from(PACKET_MS),
        st.lists(st.tuples(st.sampled_from(["tick", "hold", "skip"]), st.integers(0, 40)), max_size=12),
    )
    def test_time_goes_on_in_mid_hold_and_over_lost_ticks(self, ms: int, events: list[tuple[str, int]]) -> None:
        """The timestamp stays within one packet of the time that has passed."""
        one, tick, sent = sender(ms), 0, []
        for what, count in events:
            if what == "skip":
                one.skip(count)
            else:
                one.configure(0, 101, send=what == "tick")
                sent += ticked(one, count, tick)
            tick += count
        one.configure(0, 101, send=True)
        sent += ticked(one, 10, tick)
        for packet in sent[1:]:
            passed_ms = ((packet.timestamp - sent[0].timestamp) & 0xFFFFFFFF) / 8
            self.assertTrue(abs(passed_ms - (packet.at - sent[0].at) * 20) <= ms, (passed_ms, packet.at))

    def test_hold_sends_nothing_and_the_first_one_after_it_is_marked(self) -> None:
        for ms in PACKET_MS:
            one = sender(ms)
            ticked(one, 12)
            one.configure(0, 101, send=False)
            self.assertEqual(ticked(one, 30), [])
            one.configure(0, 101, send=True)
            self.assertEqual([packet.marker for packet in ticked(one, 12)][:2], [True, False])


class Keys(TestCase):
    def test_a_press_takes_the_place_of_audio_in_packets_of_every_length(self) -> None:
        for ms in PACKET_MS:
            one = sender(ms)
            before = ticked(one, 6)
            one.playback.play(VOICE)
            one.send_dtmf("7", 200)
            packets = ticked(one, 60, 6)
            events = [packet for packet in packets if packet.kind == 101]
            self.assertEqual(len(events), -(-200 // ms) + 2)
            self.assertEqual([packet.marker for packet in events], [True] + [False] * (len(events) - 1))
            self.assertEqual({packet.timestamp for packet in events}, {before[-1].timestamp + 8 * ms & 0xFFFFFFFF})
            after = packets[len(events)]
            self.assertEqual((after.timestamp - events[0].timestamp) & 0xFFFFFFFF, len(events) * 8 * ms)
            audio = b"".join(packet.payload for packet in packets if packet.kind == 0)
            self.assertTrue(PCMU().encode(VOICE[:8000]) in audio)

    def test_segments_of_a_long_press_follow_each_other_in_time(self) -> None:
        one = sender()
        one.send_dtmf("1", 10_000)
        events = [packet for packet in ticked(one, 520) if packet.kind == 101]
        self.assertEqual(
            [(packet.timestamp - events[0].timestamp) & 0xFFFFFFFF for packet in (events[408], events[-1])], [0, 0xFFFF]
        )
        self.assertEqual(sum(packet.marker for packet in events), 1)

    def test_a_clock_of_their_own(self) -> None:
        for opus in registry.usable(["opus"]):
            for clock in (8000, 48000):
                one = sender(codec=opus())
                one.configure(111, 101, send=True, keys_clock=clock)
                one.send_dtmf("1", 100)
                events = [packet for packet in ticked(one, 20) if packet.kind == 101]
                self.assertEqual(int.from_bytes(events[-1].payload[2:], "big"), clock // 10)

    def test_another_codec_in_mid_press_leaves_the_press_whole(self) -> None:
        one = sender()
        one.send_dtmf("5", 200)
        packets = ticked(one, 5)
        one.change(G722(), 40)
        one.configure(9, 97, send=True)
        packets += ticked(one, 20, 5)
        events = [packet for packet in packets if packet.kind in (101, 97)]
        self.assertEqual({packet.payload[0] for packet in events}, {5})
        self.assertEqual([packet.payload[1] for packet in events[-3:]], [0x8A] * 3)
        self.assertEqual(int.from_bytes(events[-1].payload[2:], "big"), 1600)
        self.assertEqual(len({packet.timestamp for packet in events}), 1)
