"""From what a leg has counted, and what its peer has told, to loss, delay and MOS."""

from __future__ import annotations

import socket
from random import Random
from typing import Any
from unittest import TestCase

import attrs

from smartalex.rtp.leg import Leg
from smartalex.rtp.monitor import FORGET, Heard, Monitor, Sample, delay_ms, metrics, packet_ms, remote_mos
from smartalex.rtp.packet import pack
from smartalex.rtp.plane import MediaParams
from smartalex.rtp.quality import mos, r_factor
from smartalex.rtp.rtcp import Block, Compound, Report
from smartalex.rtp.xr import Metrics

FRAME_S = 0.02
PEER = ("192.0.2.1", 4000)


class Line(TestCase):
    """A leg without a network, and a clock that is moved by hand."""

    def setUp(self) -> None:
        self.now = 100.0
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        self.leg = Leg(sock, 10000, Random(1).getrandbits, lambda: self.now)
        self.connect()
        self.sequence = self.timestamp = 0
        self.monitor = Monitor(self.leg)

    def connect(self, **params: Any) -> None:
        self.leg.set_remote(*PEER, attrs.evolve(MediaParams(send=False), **params))

    def talk(self, frames: int, lost: tuple[int, ...] = (), *, ssrc: int = 5, step: int = 160, kind: int = 0) -> None:
        """So many packets in time; those at `lost` do not come."""
        for n in range(frames):
            self.now += FRAME_S
            if n not in lost:
                packet = pack(self.sequence, self.timestamp, ssrc, kind) + bytes(160)
                self.leg.received(memoryview(packet), len(packet), PEER, self.now)
            self.sequence += 1
            self.timestamp += step
            self.leg.hear()

    def told(self, fraction: int = 0, jitter: int = 0, *heard: Metrics) -> None:
        block = Block(self.leg.sender.ssrc, fraction, 3, 1, jitter)
        self.leg.rtcp.received(Compound((Report(5, None, (block,)),), metrics=heard), self.now)


class Ours(Line):
    def test_before_anything_came_there_is_nothing_to_tell(self) -> None:
        self.assertEqual(self.monitor.sample(), Sample())

    def test_a_clean_line(self) -> None:
        self.talk(300)
        sample = self.monitor.sample()
        self.assertEqual((sample.loss_pct, round(sample.jitter_ms or 0, 3), sample.remote_mos), (0, 0, None))
        self.assertEqual(sample.mos, mos(r_factor(0, sample.delay_ms)))
        self.assertTrue(4.35 < (sample.mos or 0) < 4.41)

    def test_losses_count_in_the_interval_they_are_in(self) -> None:
        self.talk(250)
        self.monitor.sample()
        self.talk(250, tuple(range(20, 200, 10)))
        lossy = self.monitor.sample()
        self.talk(250)
        after = self.monitor.sample()
        self.assertAlmostEqual(lossy.loss_pct or 0, 100 * 18 / 250, places=5)
        self.assertEqual(after.loss_pct, 0)
        self.assertLess(lossy.mos or 5, 3.7)
        self.assertGreater(after.mos or 0, 4.3)

    def test_bursts_are_worse_than_as_many_losses_apart(self) -> None:
        self.talk(250, tuple(range(20, 200, 10)))
        apart = self.monitor.sample().mos or 0
        self.talk(250, tuple(n + k for n in range(20, 200, 30) for k in range(3)))
        in_bursts = self.monitor.sample().mos or 5
        self.assertLess(in_bursts, apart)

    def test_when_nothing_comes_nothing_is_told(self) -> None:
        self.talk(250)
        self.monitor.sample()
        self.now += 5
        self.assertEqual(self.monitor.sample(), Sample())

    def test_an_outage_is_told_when_it_is_over(self) -> None:
        self.talk(250)
        self.monitor.sample()
        self.talk(250, tuple(range(250)))
        self.assertIsNone(self.monitor.sample().mos)
        self.talk(250)
        sample = self.monitor.sample()
        self.assertAlmostEqual(sample.loss_pct or 0, 50, delta=0.1)
        self.assertLess(sample.mos or 5, 1.6)

    def test_another_source_begins_at_nothing(self) -> None:
        self.talk(250, tuple(range(20, 200, 10)))
        self.monitor.sample()
        self.sequence += 20_000
        self.talk(250, ssrc=6)
        self.assertEqual(self.monitor.sample().loss_pct, 0)

    def test_a_pause_of_the_peer_is_no_loss(self) -> None:
        """Without comfort noise: what is heard fades, no packet is missing."""
        for _ in range(5):
            self.talk(50)
            for _ in range(50):
                self.now += FRAME_S
                self.timestamp += 160
                self.leg.hear()
        self.assertEqual(self.monitor.sample().loss_pct, 0)

    def test_the_rating_is_that_of_the_codec(self) -> None:
        self.connect(codec="G722", payload_type=9)
        self.talk(300, kind=9)
        sample = self.monitor.sample()
        self.assertEqual(sample.mos, mos(r_factor(0, sample.delay_ms, "G722")))

    def test_the_clock_of_jitter_is_that_of_the_codec(self) -> None:
        self.connect(codec="G722", payload_type=9)
        for n in range(400):
            self.now += FRAME_S + (0.01 if n % 2 else -0.01)
            packet = pack(n, n * 160, 5, 9) + bytes(160)
            self.leg.received(memoryview(packet), len(packet), PEER, self.now)
        self.assertAlmostEqual(self.monitor.sample().jitter_ms or 0, 10, delta=0.5)

    def test_the_length_of_packets_is_seen(self) -> None:
        self.assertEqual(packet_ms(self.leg), 20)
        for n in range(100):
            self.now += 0.03
            packet = pack(n, n * 240, 5, 0) + bytes(240)
            self.leg.received(memoryview(packet), len(packet), PEER, self.now)
        self.assertEqual(packet_ms(self.leg), 30)

    def test_delay_is_packet_network_and_buffer(self) -> None:
        self.talk(300)
        buffer_ms = self.leg.hearing.jitter.depth_ms
        self.assertEqual(delay_ms(self.leg), 20 + 30 + buffer_ms)
        self.leg.rtcp.rtt_ms = 100.0
        self.assertEqual(delay_ms(self.leg), 20 + 50 + buffer_ms)


class Theirs(Line):
    def test_by_its_report(self) -> None:
        self.told(26, 80)
        sample = self.monitor.sample()
        self.assertEqual((sample.remote_loss_pct, sample.remote_jitter_ms, sample.mos), (26 * 100 / 256, 10, None))
        self.assertEqual(sample.remote_mos, mos(r_factor(26 * 100 / 256, 20 + 30 + 40)))

    def test_who_has_much_jitter_holds_back_more(self) -> None:
        self.told(0, 800)
        self.assertEqual(remote_mos(self.leg), mos(r_factor(0, 20 + 30 + 200)))

    def test_by_its_metrics_too(self) -> None:
        told = Metrics(self.leg.sender.ssrc, discarded=13, burst_density=128, burst_ms=200, gap_ms=2000, end_system_ms=150)
        self.told(26, 80, told)
        loss = 39 * 100 / 256
        self.assertAlmostEqual(remote_mos(self.leg) or 0, mos(r_factor(loss, 20 + 30 + 150, "PCMU", told.burst_ratio)))

    def test_old_reports_tell_nothing_of_now(self) -> None:
        self.told()
        known = [self.monitor.sample().remote_mos is not None for _ in range(FORGET + 3)]
        self.assertEqual(known, [True] * (FORGET + 1) + [False] * 2)

    def test_what_we_tell_the_peer(self) -> None:
        self.talk(500, tuple(range(100, 300, 50)))
        self.leg.rtcp.rtt_ms = 80.4
        assert self.leg.receiver.source is not None
        made = metrics(self.leg, self.leg.receiver.source)
        self.assertEqual((made.ssrc, made.lost, made.discarded, made.round_trip_ms, made.gap_density), (5, 2, 0, 80, 2))
        self.assertEqual((made.burst_density, made.gmin, made.configuration), (0, 16, 0xB0))
        self.assertTrue(80 < (made.r or 0) < 93 and (made.mos_lq or 0) >= (made.mos_cq or 5))


class Figures(TestCase):
    def test_what_was_made_up_counts_where_packets_were_late(self) -> None:
        for heard, pct in (
            (Heard(100, 0, 0, 0, 100), 0),
            (Heard(100, 0, 0, 2, 100), 5),
            (Heard(100, 3, 1, 0, 100), 5),
            (Heard(100, 9, 1, 0, 100), 9),
            (Heard(0, 0, 0, 5, 100), 0),
            (Heard(10, 0, 0, 5, 9000), 100),
        ):
            self.assertEqual(heard.loss_pct(20), pct)
        self.assertAlmostEqual(Heard(100, 1, 1, 0, 60).loss_pct(30), 2)
