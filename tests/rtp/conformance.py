"""What every media plane must do, whatever it is made of.  A subclass names the maker; see test_plane.py."""

from __future__ import annotations

import gc
import time
import weakref
from itertools import pairwise
from random import Random
from struct import unpack
from typing import Any

import attrs
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError, ResourcesExhausted
from smartalex.interfaces import IAudioOut
from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.frame import Clip
from smartalex.media.level import dbfs
from smartalex.rtp import dtmf, rtcp
from smartalex.rtp.control import READ_S
from smartalex.rtp.packet import pack
from smartalex.rtp.plane import CONCEALED, NOTHING, MediaParams
from smartalex.rtp.reports import NTP_EPOCH_S, RtcpSession
from smartalex.rtp.source import Source
from tests.media.sounds import frames, rms, samples, tone, voice
from tests.rtp.wire import PARAMS, PORTS, Bench, Packet, Peer, bound, free_ports, key_events

SILENCE = PCMU().encode(bytes(320))
VOICE = voice(1000)
HELD = attrs.evolve(PARAMS, send=False)
MODULUS = 1 << 32


def steps(packets: list[Packet]) -> list[int]:
    """Differences of the timestamps in samples."""
    return [(after.timestamp - before.timestamp) % MODULUS for before, after in pairwise(packets)]


def audio(packets: list[Packet]) -> bytes:
    """Payloads joined, without the silence before and after."""
    payloads = [packet.payload for packet in packets]
    while payloads and payloads[0] == SILENCE:
        del payloads[0]
    while payloads and payloads[-1] == SILENCE:
        del payloads[-1]
    return b"".join(payloads)


class Witness:
    """Is there as long as the leg whose user it is."""


class Case(TestCase):
    """`make(reactor, options, sink, counters, random, now)` gives the plane."""

    make: Any

    def bench(self, **options: Any) -> Bench:
        bench = Bench(type(self).make, **options)
        self.addCleanup(bench.close)
        return bench

    def connected(self, params: MediaParams = PARAMS, **options: Any) -> tuple[Bench, Any, Peer]:
        bench = self.bench(**options)
        return bench, *bench.connected(params)

    def talk(self, bench: Bench, leg: Any, peer: Peer, pcm: bytes, size: int = 320) -> None:
        """The peer sends this, `size` bytes of PCM a packet, in time."""
        for frame in frames(pcm, size):
            peer.send(leg, PCMU().encode(frame), step=size // 2)
            bench.run(size / 16000)

    def assertHeard(self, bench: Bench, leg: Any, pcm: bytes, codec: Any = None) -> None:
        """This went through bit by bit."""
        codec = codec or PCMU()
        self.assertTrue(codec.decode(codec.encode(pcm)) in bench.sink.pcm(leg))


class Ports(Case):
    def test_even_ports_of_the_range_with_the_one_above_taken_too(self) -> None:
        bench = self.bench()
        ports = {bench.plane.open().local_port for _ in range(20)}
        self.assertEqual(len(ports), 20)
        for port in ports:
            self.assertTrue(PORTS[0] <= port < PORTS[1] and port % 2 == 0)
            for taken in (port, port + 1):
                self.assertRaises(OSError, bound, "127.0.0.1", taken)

    def test_no_port_left_is_said_with_the_range(self) -> None:
        low = free_ports(8)
        bench = self.bench(ports=(low + 1, low + 6))
        legs = [bench.plane.open(), bench.plane.open()]
        self.assertEqual({leg.local_port for leg in legs}, {low + 2, low + 4})
        with self.assertRaises(ResourcesExhausted) as caught:
            bench.plane.open()
        self.assertIn(f"no RTP port is free in {low + 1}-{low + 6} (2 in use, 0 resting)", str(caught.exception))
        self.assertRaises(ResourcesExhausted, self.bench(ports=(low, low)).plane.open)

    def test_ports_of_others_are_passed_over(self) -> None:
        low = free_ports(6)
        bench = self.bench(ports=(low, low + 5))
        for port in (low + 1, low + 2):
            self.addCleanup(bound("127.0.0.1", port).close)
        self.assertEqual(bench.plane.open().local_port, low + 4)
        self.assertRaises(ResourcesExhausted, bench.plane.open)

    def test_a_closed_port_rests_before_it_is_used_again(self) -> None:
        low = free_ports(2)
        bench = self.bench(ports=(low, low + 1), quarantine_s=30.0)
        leg = bench.plane.open()
        leg.close()
        leg.close()
        self.assertEqual(len(bench.plane), 0)
        bench.clock.advance(29.9)
        self.assertRaises(ResourcesExhausted, bench.plane.open)
        bench.clock.advance(0.2)
        self.assertEqual(bench.plane.open().local_port, low)

    def test_closing_frees_the_sockets_at_once(self) -> None:
        bench, leg, _ = self.connected()
        leg.close()
        for port in (leg.local_port, leg.local_port + 1):
            self.addCleanup(bound("127.0.0.1", port).close)
        self.assertEqual(bench.clock.readers, [])

    def test_stopping_closes_every_leg(self) -> None:
        bench = self.bench()
        legs = [bench.connected()[0] for _ in range(3)]
        bench.plane.stop()
        self.assertTrue(all(leg.closed for leg in legs))
        self.assertEqual((len(bench.plane), bench.clock.readers, bench.clock.getDelayedCalls()), (0, [], []))


class Sources(Case):
    """Whose packets are taken, and who is sent to."""

    def test_before_a_remote_is_known_nothing_is_sent_or_heard(self) -> None:
        bench = self.bench()
        leg, peer = bench.plane.open(), bench.peer()
        peer.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((peer.packets, leg.stats().packets_received, set(bench.sink.flags(leg))), ([], 0, {NOTHING}))

    def test_the_first_other_source_is_taken_and_sent_to(self) -> None:
        bench, leg, signalled = self.connected()
        natted = bench.peer()
        self.talk(bench, leg, natted, VOICE[:3200])
        signalled.drain()
        natted.packets.clear()
        signalled.packets.clear()
        bench.run(0.1)
        self.assertEqual((len(natted.packets), len(signalled.packets)), (5, 0))
        self.assertEqual(leg.stats().packets_received, 10)

    def test_once_a_source_is_taken_strangers_are_dropped_and_counted(self) -> None:
        bench, leg, peer = self.connected()
        stranger = bench.peer(ssrc=666)
        self.talk(bench, leg, peer, VOICE[:3200])
        for _ in range(7):
            stranger.send(leg, bytes(160))
        bench.run(0.2)
        self.assertEqual((leg.stats().strangers, leg.stats().packets_received, stranger.packets), (7, 10, []))
        self.assertFalse(PCMU().decode(bytes(160))[:64] in bench.sink.pcm(leg))
        leg.close()
        self.assertEqual(bench.counters.values["rtp.stranger", ""], 7)

    def test_a_taken_source_is_kept_against_the_signalled_one_too(self) -> None:
        bench, leg, signalled = self.connected()
        natted = bench.peer()
        natted.send(leg, SILENCE)
        bench.run(0.02)
        signalled.send(leg, SILENCE)
        bench.run(0.02)
        self.assertEqual((leg.stats().packets_received, leg.stats().strangers), (1, 1))

    def test_not_after_five_seconds(self) -> None:
        bench, leg, peer = self.connected()
        bench.clock.advance(5.1)
        late = bench.peer()
        late.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((leg.stats().strangers, late.packets), (1, []))
        peer.send(leg, SILENCE)
        bench.run(0.02)
        self.assertEqual(leg.stats().packets_received, 1)

    def test_only_with_what_was_agreed(self) -> None:
        bench, leg, _ = self.connected()
        other = bench.peer()
        other.send(leg, SILENCE, kind=8)
        other.raw(leg, b"\x80\x00junk")
        other.raw(leg, b"GET / HTTP/1.1\r\n\r\n")
        bench.run(0.1)
        self.assertEqual((leg.stats().strangers, leg.stats().malformed, other.packets), (1, 2, []))
        leg.close()
        self.assertEqual(bench.counters.values["rtp.malformed", ""], 2)

    def test_never_when_symmetric_rtp_is_off(self) -> None:
        bench, leg, _ = self.connected(symmetric=False)
        other = bench.peer()
        other.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((leg.stats().strangers, other.packets), (1, []))

    def test_the_same_address_again_keeps_the_source_and_another_opens_anew(self) -> None:
        bench, leg, signalled = self.connected()
        natted, elsewhere, moved = bench.peer(ssrc=1), bench.peer(ssrc=2), bench.peer(ssrc=3)
        natted.send(leg, SILENCE)
        bench.run(0.02)
        leg.set_remote(signalled.address, signalled.port, HELD)
        leg.set_remote(signalled.address, signalled.port, PARAMS)
        natted.packets.clear()
        elsewhere.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((len(natted.packets), leg.stats().strangers), (5, 1))
        leg.set_remote(elsewhere.address, elsewhere.port, PARAMS)
        moved.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((len(moved.packets), leg.stats().packets_received), (5, 2))

    def test_other_hosts_are_taken_only_when_they_signal(self) -> None:
        bench, leg, signalled = self.connected()
        elsewhere = bench.peer(address="127.0.9.2")
        for _ in range(3):
            elsewhere.socket.sendto(pack(1, 1, 7, 0) + SILENCE, ("127.0.0.1", leg.local_port))
        bench.run(0.1)
        self.assertEqual(
            (leg.stats().strangers, elsewhere.packets, len(signalled.drain()) + len(signalled.packets) > 3), (3, [], True)
        )
        leg.meet("127.0.9.66")  # another address of the same NAT, or of the same host
        elsewhere.socket.sendto(pack(1, 1, 7, 0) + SILENCE, ("127.0.0.1", leg.local_port))
        bench.run(0.1)
        self.assertEqual((leg.stats().strangers, leg.stats().packets_received), (3, 1))

    def test_one_packet_of_another_source_takes_nothing_over(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:3200])
        for number in range(20):  # as if two streams came from the same place
            peer.send(leg, SILENCE)
            peer.raw(leg, pack(500 + number, 160 * number, 99, 0) + bytes(160))
            bench.run(0.02)
        self.assertEqual((leg.receiver.source.ssrc, leg.stats().packets_received), (peer.ssrc, 30))
        self.assertFalse(PCMU().decode(bytes(160))[:64] in bench.sink.pcm(leg))

    def test_the_unspecified_address_is_a_hold_and_no_new_place(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:3200])
        leg.set_remote("0.0.0.0", peer.port, HELD)
        stranger = bench.peer(ssrc=666)
        stranger.send(leg, SILENCE)
        peer.send(leg, SILENCE)
        bench.run(0.1)
        self.assertEqual((leg.stats().strangers, leg.stats().packets_received, stranger.packets), (1, 11, []))
        fresh = bench.plane.open()
        fresh.set_remote("0.0.0.0", peer.port, PARAMS)
        bench.run(10)
        self.assertEqual((fresh.stats().packets_sent, bench.counters.values["rtp.fault", ""]), (0, 0))

    def test_over_ipv6(self) -> None:
        bench = self.bench(address="::1")
        leg, peer = bench.plane.open(), bench.peer(address="::1")
        leg.set_remote(peer.address, peer.port, PARAMS)
        self.talk(bench, leg, peer, VOICE[:6400])
        bench.run(8)
        self.assertEqual((leg.stats().packets_received, leg.stats().strangers), (20, 0))
        self.assertEqual(len(peer.packets), leg.stats().packets_sent)
        self.assertGreater(len(peer.reports), 0)


class Pacing(Case):
    def test_a_packet_every_20_ms_from_the_start_on(self) -> None:
        bench, _, peer = self.connected()
        bench.run(2.0)
        packets = peer.packets
        self.assertEqual(len(packets), 100)
        self.assertEqual({round((after.at - before.at) * 1000) for before, after in pairwise(packets)}, {20})
        self.assertEqual(set(steps(packets)), {160})
        self.assertEqual({(after.sequence - before.sequence) & 0xFFFF for before, after in pairwise(packets)}, {1})
        self.assertEqual([n for n, packet in enumerate(packets) if packet.marker], [0])
        self.assertEqual(
            ({packet.ssrc for packet in packets}, {packet.payload for packet in packets}), ({packets[0].ssrc}, {SILENCE})
        )

    def test_the_first_packet_leaves_within_one_slot(self) -> None:
        for wait_ms in range(1, 21):
            bench = self.bench()
            leg, peer = bench.plane.open(), bench.peer()
            bench.run(wait_ms / 1000)
            leg.set_remote(peer.address, peer.port, PARAMS)
            leg.play(VOICE)
            bench.run(0.005)
            self.assertEqual([packet.payload for packet in peer.packets], [PCMU().encode(VOICE[:320])], wait_ms)

    def test_many_calls_at_once_are_spread_over_the_slots(self) -> None:
        bench = self.bench()
        for _ in range(40):
            bench.connected()
        bench.run(0.02)
        bench.sink.batches.clear()
        bench.run(0.02)
        self.assertEqual(sum(bench.sink.batches), 40)
        self.assertLessEqual(max(bench.sink.batches), 20)

    def test_after_a_short_stall_all_that_was_due_is_sent_and_the_schedule_is_as_before(self) -> None:
        bench, _, peer = self.connected()
        bench.run(0.1)
        before = peer.packets[-1].at
        bench.clock.stall(0.1)
        self.assertEqual(len(peer.drain()), 5)
        bench.run(0.2)
        self.assertEqual(set(steps(peer.packets)), {160})
        after = [packet.at - before for packet in peer.packets[-9:]]
        self.assertTrue(all(abs(at / 0.02 - round(at / 0.02)) < 0.06 for at in after), after)

    def test_a_long_stall_is_let_go_and_time_goes_on(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE)
        bench.run(0.1)
        played, last = leg.played_ms, peer.packets[-1]
        bench.clock.stall(1.5)
        burst = peer.drain()
        self.assertLessEqual(len(burst), 1)
        bench.run(0.2)
        first = peer.packets[peer.packets.index(last) + 1]
        self.assertTrue(first.marker)
        self.assertApproximates((first.timestamp - last.timestamp) % MODULUS / 8000, first.at - last.at, 0.021)
        self.assertEqual(set(steps(peer.packets[peer.packets.index(first) :])), {160})
        self.assertEqual(leg.played_ms - played, 20 * (len(peer.packets) - peer.packets.index(first)))

    def test_while_others_compute_no_packet_is_lost_or_later_than_they_took(self) -> None:
        """Bursts of 2 and 20 ms, and pauses as a collector of garbage makes them."""
        pauses = Random(5)
        for name, every_ms, burst_ms in (
            ("2 ms", 10, lambda: 2),
            ("20 ms", 100, lambda: 20),
            ("collector", 250, lambda: pauses.randint(1, 120)),
        ):
            bench, leg, peer = self.connected()
            bench.run(0.1)
            voiced, busy_until, longest_ms = iter(frames(VOICE * 4)), 0, 0
            for at in range(3100):  # ms
                if at % 20 == 7 and at < 3000:
                    peer.send(leg, PCMU().encode(next(voiced)))
                if at % every_ms == 0 and at < 3000:
                    busy_until = at + burst_ms()
                    longest_ms = max(longest_ms, busy_until - at)
                if at < busy_until - 1:
                    bench.clock.rightNow += 0.001
                else:
                    bench.run(0.001)
            packets, stats = peer.packets, leg.stats()
            late_ms = [1000 * (packet.at - packets[0].at) - 20 * n for n, packet in enumerate(packets)]
            self.assertEqual(set(steps(packets)), {160}, name)
            self.assertEqual({(after.sequence - before.sequence) & 0xFFFF for before, after in pairwise(packets)}, {1}, name)
            self.assertLess(max(late_ms) - min(late_ms), longest_ms + 2.1, name)
            self.assertApproximates(len(packets), (bench.clock.seconds() - packets[0].at) / 0.02, 1.1, name)
            self.assertEqual((stats.packets_received, stats.lost, stats.late), (150, 0, 0), name)
            if longest_ms <= 20:
                self.assertEqual(stats.concealed, 0, name)

    def test_after_300_ms_the_voice_is_current_both_ways(self) -> None:
        """What is stale by then is neither sent nor played out for the rest of the call."""
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE)
        sent, played = peer.packets[-1], leg.played_ms
        for frame in frames(VOICE[: 15 * 320]):
            peer.send(leg, PCMU().encode(frame))
        bench.clock.stall(0.3)
        self.assertLessEqual(len(peer.drain()), 1)
        self.talk(bench, leg, peer, VOICE * 10)
        first = peer.packets[peer.packets.index(sent) + 1]
        self.assertApproximates((first.timestamp - sent.timestamp) % MODULUS / 8000, first.at - sent.at, 0.021)
        stats = leg.stats()
        self.assertEqual((stats.lost, stats.packets_received), (0, 50 + 15 + 500))
        self.assertLessEqual(stats.buffer_ms, 40)
        self.assertLessEqual(leg.played_ms - played, 20 * (len(peer.packets) - peer.packets.index(first)))

    def test_a_call_that_ends_leaves_nothing_for_the_collector(self) -> None:
        """A pass over a large heap is a pause of 100 ms."""
        bench = self.bench()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        gone = []
        for _ in range(3):
            leg, peer = bench.connected()
            leg.user = Witness()
            gone.append(weakref.ref(leg.user))
            leg.play(VOICE)
            leg.send_dtmf("5")
            self.talk(bench, leg, peer, VOICE)
            leg.close()
            bench.sink.frames.clear()
        del leg
        self.assertEqual([reference() for reference in gone], [None] * 3)

    def test_on_hold_nothing_is_sent_and_the_clock_runs_on(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(0.1)
        leg.set_remote(peer.address, peer.port, HELD)
        leg.play(VOICE[:640])
        peer.packets.clear()
        bench.run(0.5)
        self.assertEqual((peer.packets, leg.played_ms, leg.queued_ms), ([], 0, 40))
        bench.run(0.0)
        leg.set_remote(peer.address, peer.port, PARAMS)
        bench.run(0.1)
        self.assertEqual([packet.marker for packet in peer.packets], [True] + [False] * 4)
        self.assertEqual(audio(peer.packets), PCMU().encode(VOICE[:640]))
        self.assertEqual(leg.stats().packets_sent, 10)

    def test_the_timestamp_has_moved_by_the_time_on_hold(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(0.1)
        last = peer.packets[-1]
        leg.set_remote(peer.address, peer.port, HELD)
        bench.run(3.0)
        leg.set_remote(peer.address, peer.port, PARAMS)
        bench.run(0.1)
        first = peer.packets[peer.packets.index(last) + 1]
        self.assertEqual((first.timestamp - last.timestamp) % MODULUS, round((first.at - last.at) * 50) * 160)
        self.assertEqual((first.sequence - last.sequence) & 0xFFFF, 1)

    def test_an_unreachable_peer_stops_nothing(self) -> None:
        bench, leg, peer = self.connected()
        other, sound = bench.connected()
        peer.close()
        bench.peers.remove(peer)
        leg.play(VOICE)
        bench.run(1.2)
        self.assertEqual((leg.queued_ms, len(sound.packets), other.closed), (0, 60, False))


class Playing(Case):
    def test_a_leg_is_what_agents_play_on(self) -> None:
        self.assertTrue(verifyObject(IAudioOut, self.connected()[1]))

    def test_what_is_played_leaves_bit_by_bit(self) -> None:
        for codec in (PCMU(), PCMA()):
            bench, leg, peer = self.connected(MediaParams(codec.name, codec.payload_type))
            bench.run(0.1)
            for start in range(0, len(VOICE), 1111):  # any lengths, even half a sample
                leg.play(VOICE[start : start + 1111])
            bench.run(1.1)
            silent = codec.silence * 160
            sent = b"".join(packet.payload for packet in peer.packets if packet.payload != silent)
            self.assertEqual(sent, codec.encode(VOICE))
            self.assertEqual({packet.kind for packet in peer.packets}, {codec.payload_type})

    def test_a_last_part_of_a_frame_is_filled_up_only_when_nothing_follows(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE[:480])
        self.assertEqual(leg.queued_ms, 30)
        bench.run(0.1)
        self.assertEqual(audio(peer.packets), PCMU().encode(VOICE[:480] + bytes(160)))
        self.assertEqual((leg.played_ms, leg.queued_ms), (30, 0))

    def test_played_and_queued_add_up_at_any_moment(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE)
        for _ in range(70):
            sent = sum(packet.payload != SILENCE for packet in peer.packets)
            self.assertEqual((leg.played_ms, leg.queued_ms), (20 * sent, 1000 - 20 * sent))
            bench.run(0.02)
        self.assertEqual(leg.played_ms, 1000)

    def test_flush_is_exact_to_the_frame(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE[:-100])
        bench.run(0.3)
        played = int(leg.played_ms)
        self.assertEqual(leg.flush(), 993.75 - played)
        self.assertEqual((leg.queued_ms, leg.flush()), (0, 0))
        bench.run(0.3)
        self.assertEqual(audio(peer.packets), PCMU().encode(VOICE[: played * 16]))
        self.assertEqual(leg.played_ms, played)
        leg.play(VOICE[:320])
        bench.run(0.1)
        self.assertEqual(leg.played_ms, played + 20)

    def test_pause_keeps_what_is_queued_and_sends_silence(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE)
        bench.run(0.2)
        leg.pause()
        peer.packets.clear()
        played = int(leg.played_ms)
        bench.run(0.4)
        self.assertEqual({packet.payload for packet in peer.packets}, {SILENCE})
        self.assertEqual((len(peer.packets), leg.played_ms, leg.queued_ms), (20, played, 1000 - played))
        leg.resume()
        bench.run(1.0)
        self.assertEqual(audio(peer.packets), PCMU().encode(VOICE[played * 16 :]))
        self.assertEqual(set(steps(peer.packets)), {160})

    def test_a_clip_is_played_after_what_was_queued(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE[:480])
        leg.play_clip(Clip(VOICE[:700]))
        bench.run(0.2)
        padded = VOICE[:480] + VOICE[:700] + bytes(100)
        self.assertEqual(audio(peer.packets), PCMU().encode(padded))

    def test_a_loop_goes_round_until_flushed_and_yields_to_speech(self) -> None:
        bench, leg, peer = self.connected()
        clip = Clip(VOICE[:960])
        leg.play_clip(clip, loop=True)
        self.assertEqual(leg.queued_ms, 0)
        bench.run(0.14)
        leg.play(VOICE[3200:3520])
        bench.run(0.04)
        leg.flush()
        bench.run(0.1)
        a, b, c = frames(VOICE[:960])
        wanted = b"".join([a, b, c, a, b, c, a, VOICE[3200:3520], b])
        self.assertEqual(audio(peer.packets), PCMU().encode(wanted))
        self.assertEqual(leg.played_ms, 180)

    def test_an_empty_clip_is_silence(self) -> None:
        bench, leg, peer = self.connected()
        leg.play_clip(Clip(b""))
        leg.play_clip(Clip(b""), loop=True)
        bench.run(0.1)
        self.assertEqual(({packet.payload for packet in peer.packets}, len(peer.packets)), ({SILENCE}, 5))

    def test_a_clip_of_another_rate_is_resampled(self) -> None:
        bench, leg, peer = self.connected()
        leg.play_clip(Clip(tone(1000, 500, 16000), 16000))
        bench.run(0.7)
        heard = samples(PCMU().decode(audio(peer.packets)))
        self.assertEqual(leg.played_ms, 500)
        self.assertLess(rms(heard[200:3800] - samples(tone(1000, 500))[200:3800]), 0.03 * rms(heard[200:3800]))

    def test_another_codec_in_mid_sentence_loses_no_frame(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE)
        bench.run(0.2)
        leg.set_remote(peer.address, peer.port, MediaParams("PCMA", 8))
        bench.run(1.0)
        sent = [packet for packet in peer.packets if packet.kind == 8 and packet.payload != PCMA.silence * 160]
        told = sum(packet.kind == 0 for packet in peer.packets)
        self.assertEqual(len(sent) + told, 50)
        self.assertEqual(sent[0].payload, PCMA().encode(PCMU().decode(PCMU().encode(VOICE[told * 320 :][:320]))))
        self.assertEqual(leg.played_ms, 1000)

    def test_a_loop_goes_on_in_another_codec(self) -> None:
        bench, leg, peer = self.connected()
        leg.play_clip(Clip(VOICE[:320]), loop=True)
        bench.run(0.1)
        leg.set_remote(peer.address, peer.port, MediaParams("PCMA", 8))
        bench.run(0.1)
        self.assertEqual({packet.payload for packet in peer.packets if packet.kind == 8}, {PCMA().encode(VOICE[:320])})

    def test_an_unknown_codec_is_our_mistake(self) -> None:
        bench = self.bench()
        self.assertRaises(ConfigurationError, bench.plane.open().set_remote, "127.0.0.1", 4000, MediaParams("EVS", 111))


class Hearing(Case):
    def test_every_tick_one_frame_and_the_audio_bit_by_bit(self) -> None:
        for codec in (PCMU(), PCMA()):
            bench, leg, peer = self.connected(MediaParams(codec.name, codec.payload_type))
            for frame in frames(VOICE):
                peer.send(leg, codec.encode(frame), codec.payload_type)
                bench.run(0.02)
            bench.run(0.16)
            self.assertEqual(len(bench.sink.frames), 58)
            self.assertEqual({len(pcm) for _, pcm, _ in bench.sink.frames}, {320})
            self.assertHeard(bench, leg, VOICE, codec)
            self.assertEqual(bench.sink.flags(leg)[-1], NOTHING)

    def test_a_lost_packet_is_concealed_and_counted(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:6400])
        peer.sequence += 1
        peer.timestamp += 160
        self.talk(bench, leg, peer, VOICE[6720:])
        stats = leg.stats()
        self.assertEqual((stats.lost, stats.concealed, stats.late), (1, 1, 0))
        self.assertEqual(bench.sink.flags(leg).count(CONCEALED), 1)
        self.assertLess(stats.mos, 4.4)

    def test_when_the_stream_breaks_off_it_fades_and_then_there_is_nothing(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:3200])
        bench.run(0.2)
        after = "".join(map(str, bench.sink.flags(leg))).rpartition("0")[2]
        self.assertRegex(after, f"^{CONCEALED}{{5}}{NOTHING}+$")
        self.assertEqual((leg.stats().concealed, leg.stats().lost), (0, 0))

    def test_comfort_noise_stands_for_a_pause_and_nothing_is_lost(self) -> None:
        """RFC 3389; also after key events, which take the place of audio too."""
        bench, leg, peer = self.connected(MediaParams("PCMU", 0, 101, noise_payload_type=13))
        self.talk(bench, leg, peer, VOICE[:3200])
        for payload, kind in ((b"\x32", 13), *((payload, 101) for _, payload in key_events("5"))):
            peer.send(leg, payload, kind)
            bench.run(0.02)
        peer.timestamp += 160 * 25
        bench.run(0.5)
        self.talk(bench, leg, peer, VOICE[3200:6400])
        bench.run(0.1)
        self.assertEqual((leg.stats().concealed, leg.stats().lost, leg.hearing.jitter.missing), (0, 0, 0))
        pause = bench.sink.pcm(leg)[320 * 20 : 320 * 30]
        self.assertApproximates(dbfs(pause), -50, 1)

    def test_packets_of_other_lengths_than_ours(self) -> None:
        for size in (160, 480, 640, 960):
            bench, leg, peer = self.connected()
            self.talk(bench, leg, peer, VOICE[: 960 * 16], size)
            self.assertHeard(bench, leg, VOICE[:12800])
            self.assertEqual(leg.stats().concealed, 0)

    def test_a_lost_long_packet_leaves_the_rest_in_its_place(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[: 480 * 10], 480)
        peer.sequence += 1
        peer.timestamp += 240
        self.talk(bench, leg, peer, VOICE[480 * 11 : 480 * 32], 480)
        heard = bench.sink.pcm(leg)
        before, after = (PCMU().decode(PCMU().encode(VOICE[a:b])) for a, b in ((4000, 4800), (5400, 6000)))
        self.assertEqual(heard.index(after) - heard.index(before), 1400)

    def test_a_new_source_of_the_same_peer_is_followed(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:3200])
        peer.ssrc, peer.sequence, peer.timestamp = 99, 100, 5
        self.talk(bench, leg, peer, VOICE[3200:])
        self.assertHeard(bench, leg, VOICE[3840:-640])
        self.assertEqual((leg.stats().lost, leg.stats().strangers), (0, 0))

    def test_a_restarted_sequence_is_followed(self) -> None:
        bench, leg, peer = self.connected()
        self.talk(bench, leg, peer, VOICE[:3200])
        peer.sequence = 30000
        self.talk(bench, leg, peer, VOICE[3200:])
        self.assertHeard(bench, leg, VOICE[3840:-640])
        self.assertEqual(leg.stats().lost, 0)

    def test_who_is_not_listened_to_is_still_counted(self) -> None:
        bench = self.bench()
        leg, peer = bench.plane.open(receive=False), bench.peer()
        leg.set_remote(peer.address, peer.port, PARAMS)
        self.talk(bench, leg, peer, VOICE[:3200])
        self.assertEqual((bench.sink.frames, leg.stats().packets_received, len(peer.packets)), ([], 10, 10))

    def test_payloads_that_were_not_agreed_are_not_heard(self) -> None:
        bench, leg, peer = self.connected()
        for _ in range(20):
            peer.send(leg, bytes(160), kind=13)
            bench.run(0.02)
        self.assertEqual(set(bench.sink.flags(leg)), {NOTHING})
        self.assertEqual(leg.stats().packets_received, 20)

    def test_empty_and_huge_payloads_are_survived(self) -> None:
        bench, leg, peer = self.connected()
        for size in (0, 0, 0, 1, 2000, 7, 0, 0, 160, 160):
            peer.send(leg, bytes(size))
            bench.run(0.02)
        bench.run(0.5)
        self.assertEqual(({len(pcm) for _, pcm, _ in bench.sink.frames}, bench.counters.values["rtp.fault", ""]), ({320}, 0))


class Keys(Case):
    def press(self, bench: Bench, leg: Any, peer: Peer, digit: str, wire: slice = slice(None)) -> None:
        at = peer.timestamp
        for _, payload in key_events(digit)[wire]:
            peer.send(leg, payload, 101, timestamp=at)
            bench.run(0.02)

    def test_keys_arrive_once_even_where_nobody_listens(self) -> None:
        for listening in (True, False):
            bench, leg, peer = self.connected()
            leg.receive = listening
            for digit in "11#":
                self.press(bench, leg, peer, digit)
                self.talk(bench, leg, peer, VOICE[:1600])
            self.assertEqual(bench.sink.keys, [(leg, "1", 100), (leg, "1", 100), (leg, "#", 100)])

    def test_a_key_whose_end_is_lost_is_told_by_the_tick(self) -> None:
        bench, leg, peer = self.connected()
        self.press(bench, leg, peer, "7", slice(3))
        self.assertEqual(bench.sink.keys, [])
        bench.run(0.2)
        self.assertEqual(bench.sink.keys, [(leg, "7", 60)])

    def test_our_keys_replace_audio_and_time_goes_on(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(0.1)
        leg.play(VOICE[:640])
        leg.send_dtmf("5", 60)
        bench.run(0.4)
        events = [packet for packet in peer.packets if packet.kind == 101]
        flags_and_units = [(0x0A, 160), (0x0A, 320), (0x8A, 480), (0x8A, 480), (0x8A, 480)]
        self.assertEqual([unpack("!BBH", packet.payload) for packet in events], [(5, *rest) for rest in flags_and_units])
        self.assertEqual([packet.marker for packet in events], [True] + [False] * 4)
        self.assertEqual(len({packet.timestamp for packet in events}), 1)
        rest = [packet for packet in peer.packets if packet.kind == 0]
        self.assertEqual(sorted(set(steps(rest))), [160, 160 * 6])
        self.assertEqual(audio(peer.packets[5 + 5 :]), PCMU().encode(VOICE[:640]))
        self.assertEqual([(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(peer.packets)], [1] * (len(peer.packets) - 1))

    def test_what_one_leg_sends_another_hears(self) -> None:
        bench = self.bench()
        one, two = bench.plane.open(), bench.plane.open()
        one.set_remote("127.0.0.1", two.local_port, PARAMS)
        two.set_remote("127.0.0.1", one.local_port, PARAMS)
        one.send_dtmf("0123456789*#ABCD", 80)
        bench.run(16 * 0.25)
        self.assertEqual([(leg, digit) for leg, digit, _ in bench.sink.keys], [(two, digit) for digit in dtmf.DIGITS])

    def test_without_agreement_no_key_is_sent(self) -> None:
        bench, leg, peer = self.connected(MediaParams("PCMU", 0, None))
        leg.send_dtmf("123")
        bench.run(0.3)
        self.assertEqual({packet.kind for packet in peer.packets}, {0})

    def test_an_agreement_that_ends_in_mid_press(self) -> None:
        bench, leg, peer = self.connected()
        leg.send_dtmf("1")
        bench.run(0.1)
        leg.set_remote(peer.address, peer.port, MediaParams("PCMU", 0, None))
        peer.packets.clear()
        bench.run(0.2)
        self.assertEqual([packet.kind for packet in peer.packets], [0] * 10)

    def test_what_is_no_key(self) -> None:
        self.assertRaises(ValueError, self.connected()[1].send_dtmf, "x")


class Faults(Case):
    def test_a_sink_that_fails_stops_neither_sending_nor_hearing(self) -> None:
        bench, leg, peer = self.connected()
        bench.sink.broken = True
        self.talk(bench, leg, peer, VOICE[:3200])
        at = peer.timestamp
        for _, payload in key_events("4", 120):
            peer.send(leg, payload, 101, timestamp=at)
            bench.run(0.02)
        bench.sink.broken = False
        self.talk(bench, leg, peer, VOICE[:3200])
        self.assertEqual(len(peer.packets), 28)
        self.assertEqual(len(bench.sink.keys), 1)
        self.assertEqual(bench.counters.values["rtp.fault", ""], len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertGreater(bench.counters.values["rtp.fault", ""], 15)

    def test_legs_may_be_closed_and_opened_by_what_they_hear(self) -> None:
        bench, leg, peer = self.connected()
        others = [bench.connected()[1] for _ in range(9)]
        self.patch(bench.sink, "on_frames", lambda batch: [other.close() for other, _, _ in batch if other is leg])
        bench.run(0.1)
        self.assertEqual((leg.closed, len(bench.plane), len(peer.packets)), (True, 9, 1))
        self.assertEqual({len(other.packets) for other in others}, {5})

    def test_a_leg_closed_by_its_own_key(self) -> None:
        bench = self.bench()
        self.patch(bench.sink, "on_dtmf", lambda leg, digit, ms: leg.close())
        leg, peer = bench.connected()
        for _, payload in key_events("4"):
            peer.send(leg, payload, 101, timestamp=0)
        bench.run(0.1)
        self.assertEqual((leg.closed, bench.counters.values["rtp.fault", ""]), (True, 0))

    def test_a_closed_leg_is_quiet_whatever_it_is_told(self) -> None:
        bench, leg, peer = self.connected()
        leg.play(VOICE)
        bench.run(0.1)
        leg.close()
        count = len(peer.packets)
        leg.set_remote(peer.address, peer.port, PARAMS)
        leg.play(VOICE)
        leg.play_clip(Clip(VOICE), loop=True)
        leg.send_dtmf("1")
        bench.run(0.2)
        self.assertEqual((len(peer.packets), len(bench.plane), leg.stats().packets_sent), (count, 0, count))


class Control(Case):
    """RTCP on the odd port."""

    def reports(self, peer: Peer) -> list[rtcp.Compound]:
        found = [rtcp.parse(data) for data in peer.reports]
        self.assertNotIn(None, found)
        return [compound for compound in found if compound]

    def test_a_sender_report_every_five_seconds_or_so_and_a_bye(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(30)
        leg.close()
        peer.drain()
        reports = self.reports(peer)
        self.assertTrue(5 <= len(reports) <= 15, len(reports))
        self.assertEqual([len(compound.byes) for compound in reports], [0] * (len(reports) - 1) + [1])
        last = reports[-1].reports[0]
        assert last.sender is not None
        self.assertEqual((last.ssrc, last.sender.packets, last.sender.octets), (peer.packets[0].ssrc, 1500, 240_000))
        first = reports[0].reports[0].sender
        assert first is not None
        elapsed = (last.sender.ntp - first.ntp) / (1 << 32)
        self.assertApproximates((last.sender.timestamp - first.timestamp) % MODULUS, elapsed * 8000, 2)
        self.assertTrue(0 <= (last.sender.timestamp - peer.packets[-1].timestamp) % MODULUS <= 160)
        self.assertApproximates(last.sender.ntp / (1 << 32) - NTP_EPOCH_S, time.time(), 3600)
        names = {data[data.index(b"\x01\x18") + 2 :][:24] for data in peer.reports}
        self.assertEqual(len(names), 1)

    def test_how_the_peer_is_received(self) -> None:
        bench, leg, peer = self.connected()
        for n in range(400):
            peer.send(leg, SILENCE)
            peer.sequence += n % 10 == 0
            bench.run(0.02)
        leg.close()
        peer.drain()
        block = self.reports(peer)[-1].reports[0].blocks[0]
        self.assertEqual((block.ssrc, block.lost, block.highest & 0xFFFF), (peer.ssrc, 40, peer.sequence & 0xFFFF))
        self.assertEqual(leg.stats().lost, 40)

    def test_how_the_peer_receives_us_is_in_the_statistics(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(8.0)
        session, source = RtcpSession(peer.ssrc, "peer"), Source(peer.packets[0].ssrc, peer.packets[0].sequence)
        for packet in peer.packets[:200]:
            source.packet(packet.sequence)
        source.highest += 50
        session.received(rtcp.parse(peer.reports[-1]), 10.0)
        bench.run(0.1)
        asked_at = bench.clock.seconds()
        self.assertIsNone(leg.stats().rtt_ms)
        report = session.report(10.0, source, rtcp.SenderInfo(0, 0, 1, 1))
        peer.control.sendto(report, (peer.address, leg.local_port + 1))
        bench.run(0.01)
        stats = leg.stats()
        self.assertEqual((stats.remote_lost, stats.remote_jitter_ms), (50, 0))
        self.assertApproximates(stats.remote_loss_pct, 20, 0.5)
        self.assertTrue(0 < stats.rtt_ms / 1000 <= asked_at - 1000, stats.rtt_ms)

    def test_reports_of_strangers_and_junk_are_counted_only(self) -> None:
        bench, leg, peer = self.connected()
        peer.control.sendto(b"junk", (peer.address, leg.local_port + 1))
        stranger = bound("127.0.0.2", 0)
        self.addCleanup(stranger.close)
        block = rtcp.Block(peer.ssrc, 255, 1000, 1, 1)
        stranger.sendto(rtcp.compound(rtcp.Report(1, None, (block,)), "x"), ("127.0.0.1", leg.local_port + 1))
        bench.run(READ_S + 0.1)
        stats = leg.stats()
        self.assertEqual((stats.malformed, stats.strangers, stats.remote_lost), (1, 1, None))

    def test_on_hold_a_receiver_report_keeps_the_way_open(self) -> None:
        bench, _, peer = self.connected(HELD)
        bench.run(20)
        reports = self.reports(peer)
        self.assertGreaterEqual(len(reports), 3)
        self.assertEqual({compound.reports[0].sender for compound in reports}, {None})
        self.assertEqual(peer.packets, [])

    def test_reports_follow_the_peers_own(self) -> None:
        bench, leg, peer = self.connected()
        behind_nat = bench.peer()
        self.told(behind_nat, leg)
        bench.run(8)
        self.assertEqual(len(peer.reports), 0)
        self.assertGreater(len(behind_nat.reports), 0)

    def test_nobody_takes_over_from_whom_reports_have_come(self) -> None:
        bench, leg, peer = self.connected()
        self.told(peer, leg)
        bench.run(0.01)
        self.told(bench.peer(), leg, rtcp.Block(peer.ssrc, 255, 9, 1, 1))
        bench.run(12)
        self.assertEqual((leg.stats().strangers, leg.stats().remote_lost), (1, None))
        self.assertGreater(len(peer.reports), 0)

    def test_reports_go_where_signalling_wants_them(self) -> None:
        bench = self.bench()
        leg, peer, elsewhere = bench.plane.open(), bench.peer(), bench.peer()
        control = elsewhere.control.getsockname()
        leg.set_remote(peer.address, peer.port, attrs.evolve(PARAMS, control=control))
        bench.run(8)
        self.assertEqual(len(peer.reports), 0)
        self.assertGreater(len(elsewhere.reports), 0)

    def test_where_no_report_can_be_sent_the_call_goes_on_and_ends(self) -> None:
        bench = self.bench()
        for control in (("::1", 5001), ("192.0.2.1", 0)):
            leg, peer = bench.plane.open(), bench.peer()
            leg.set_remote(peer.address, peer.port, attrs.evolve(PARAMS, control=control))
            bench.run(20)
            leg.close()
            self.assertEqual(len(peer.packets), leg.stats().packets_sent)
            bound("127.0.0.1", leg.local_port).close()
        self.assertEqual(len(bench.plane), 0)

    def told(self, peer: Peer, leg: Any, *blocks: rtcp.Block, ssrc: int = 1, bye: bool = False, name: str = "x") -> None:
        """The peer's report, from its own port to ours."""
        data = rtcp.compound(rtcp.Report(ssrc, None, blocks), name, bye=bye)
        peer.control.sendto(data, (peer.address, leg.local_port + 1))

    def test_one_port_for_both(self) -> None:
        """RFC 5761, from a re-INVITE on."""
        bench, leg, peer = self.connected()
        bench.run(8)
        self.assertEqual(peer.shared, [])
        count = len(peer.reports)
        leg.set_remote(peer.address, peer.port, attrs.evolve(PARAMS, mux=True))
        block = rtcp.Block(peer.packets[0].ssrc, 64, 7, 1, 80)
        for report in (rtcp.Report(1, None, (block,)), rtcp.Report(1, None)):
            peer.raw(leg, rtcp.compound(report, "x"))
        peer.raw(leg, bytes.fromhex("80cb0000"))
        self.talk(bench, leg, peer, VOICE[:3200])
        bench.run(8)
        stats = leg.stats()
        self.assertEqual((stats.remote_lost, stats.remote_jitter_ms, stats.packets_received, stats.malformed), (7, 10, 10, 0))
        self.assertEqual(len(peer.reports), count)
        leg.close()
        peer.drain()
        found = [rtcp.parse(data) for data in peer.shared]
        self.assertEqual([one.byes for one in found if one][-1], (peer.packets[0].ssrc,))
        self.assertGreaterEqual(len(found), 2)

    def test_rtcp_on_rtps_port_is_none_unless_agreed(self) -> None:
        bench, leg, peer = self.connected()
        peer.raw(leg, rtcp.compound(rtcp.Report(1, None, (rtcp.Block(leg.sender.ssrc, 64, 7, 1, 80),)), "x"))
        bench.run(0.1)
        self.assertIsNone(leg.stats().remote_lost)

    def test_how_the_peer_is_heard_in_full(self) -> None:
        """RFC 3611: twice five packets in a row are lost."""
        bench, leg, peer = self.connected()
        for n in range(600):
            peer.send(leg, SILENCE)
            peer.sequence += 5 * (n in (200, 450))
            bench.run(0.02)
        leg.close()
        peer.drain()
        [metrics] = self.reports(peer)[-1].metrics
        self.assertEqual(
            (metrics.ssrc, metrics.lost, metrics.gap_density, metrics.burst_ms), (peer.ssrc, 256 * 10 // 610, 0, 100)
        )
        self.assertEqual((metrics.burst_density, metrics.absolute_ms), (255, 200))
        self.assertTrue(0 < metrics.nominal_ms <= 60 and metrics.end_system_ms > metrics.nominal_ms, metrics)
        stats = leg.stats()
        self.assertApproximates(metrics.mos_cq, stats.mos, 0.06)
        self.assertTrue(3.5 < stats.mos < stats.mos_lq < 4.35, stats)

    def test_the_peers_bye_is_noted(self) -> None:
        bench, leg, peer = self.connected()
        self.told(peer, leg, bye=True)
        bench.run(READ_S + 0.1)
        self.assertTrue(leg.rtcp.left)

    def test_who_has_our_ssrc_by_chance_is_heard_and_we_take_another(self) -> None:
        """RFC 3550 8.2."""
        bench, leg, peer = self.connected()
        bench.run(0.5)
        ours = peer.ssrc = peer.packets[0].ssrc
        self.talk(bench, leg, peer, VOICE)
        bench.run(0.1)
        self.assertEqual([one.byes for one in self.reports(peer)], [(ours,)])
        self.assertEqual(len({packet.ssrc for packet in peer.packets}), 2)
        stats = leg.stats()
        self.assertEqual((stats.packets_received, stats.loops), (50, 0))
        leg.close()
        peer.drain()
        last = self.reports(peer)[-1].reports[0]
        assert last.sender is not None
        after = [packet for packet in peer.packets if packet.ssrc != ours]
        self.assertEqual((last.ssrc, last.sender.packets, after[0].marker), (after[0].ssrc, len(after), True))

    def test_what_we_send_and_comes_back_is_not_heard(self) -> None:
        bench, leg, peer = self.connected()
        for _ in range(50):
            bench.run(0.02)
            for packet in peer.packets[-1:]:
                peer.raw(leg, packet.data)
        stats = leg.stats()
        self.assertTrue(stats.loops >= 45 and stats.packets_received <= 5, stats)
        self.assertEqual(len({packet.ssrc for packet in peer.packets}), 2)

    def test_reports_of_ours_that_come_back_are_not_the_peers(self) -> None:
        bench, leg, peer = self.connected()
        bench.run(8)
        peer.control.sendto(peer.reports[0], (peer.address, leg.local_port + 1))
        self.told(peer, leg, ssrc=leg.sender.ssrc, name="somebody else")
        before = leg.sender.ssrc
        bench.run(0.1)
        self.assertEqual((leg.stats().loops, leg.sender.ssrc == before, leg.rtcp.heard), (1, False, 1))

    def test_any_datagram_leaves_the_leg_as_it_is(self) -> None:
        bench, leg, peer = self.connected()
        draw = Random(4)
        good = rtcp.compound(rtcp.Report(1, None, (rtcp.Block(2, 0, 0, 0, 0),)), "x", bye=True)
        for n in range(500):
            junk = draw.randbytes(draw.randrange(60))
            at = draw.randrange(len(good))
            data = (good[:at] + junk[:6] + good[at + 6 :], junk, good + junk)[n % 3]
            peer.control.sendto(data, (peer.address, leg.local_port + 1))
            bench.clock.poll()
        before = len(peer.drain())
        self.talk(bench, leg, peer, VOICE)
        self.assertEqual((leg.stats().packets_received, len(peer.packets) - before >= 49), (50, True))

    def test_a_leg_that_never_had_a_peer_says_nothing(self) -> None:
        bench = self.bench()
        leg, peer = bench.plane.open(), bench.peer()
        bench.run(10)
        leg.close()
        peer.drain()
        self.assertEqual(peer.reports, [])


ALL = (Ports, Sources, Pacing, Playing, Hearing, Keys, Faults, Control)
"""To be subclassed with a `make`."""
