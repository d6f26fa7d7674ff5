from __future__ import annotations

from unittest import TestCase

import attrs

from smartalex.rtp.reports import RtcpSession
from smartalex.rtp.rtcp import Block, Compound, Report, SenderInfo, parse
from smartalex.rtp.source import Source
from smartalex.rtp.xr import Metrics

SENT = SenderInfo(0, 800, 5, 800)


def read(data: bytes) -> Compound:
    found = parse(data)
    assert found is not None
    return found


class TwoPeers(TestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = RtcpSession(1, "a"), RtcpSession(2, "b")

    def said(self, source: Source | None, now: float = 5.0, metrics: Metrics | None = None) -> Compound:
        return read(self.theirs.report(now, source, SENT, metrics))

    def test_a_round_trip_gives_loss_jitter_and_time(self) -> None:
        source = Source(1, 10)
        for n, sequence in enumerate((10, 11, 12, 14)):
            source.packet(sequence)
            source.arrived(160 * n, (160 * n + 64 * (n % 2)) / 8000)
        self.theirs.received(read(self.ours.report(100.0, None, SENT)), 500.03)  # their clock is another
        self.ours.received(self.said(source, 502.03), 102.08)
        self.assertEqual(self.ours.remote_lost, 1)
        self.assertAlmostEqual(self.ours.remote_loss_pct or 0, 20, delta=0.4)
        self.assertAlmostEqual(self.ours.remote_jitter_ms or 0, int(source.jitter) / 8)
        self.assertAlmostEqual(self.ours.rtt_ms or 0, 80, delta=0.1)

    def test_jitter_is_in_units_of_the_codecs_clock(self) -> None:
        self.ours.clock = 48000
        self.ours.received(Compound((Report(2, None, (Block(1, 0, 0, 0, 480),)),)), 1.0)
        self.assertEqual(self.ours.remote_jitter_ms, 10)

    def test_the_time_is_that_of_1900(self) -> None:
        self.ours.epoch = 3_900_000_000.0
        [report] = read(self.ours.report(10.5, None, SENT)).reports
        assert report.sender is not None
        self.assertEqual(report.sender.ntp >> 31, 2 * 3_900_000_010 + 1)

    def test_without_a_sender_report_of_ours_there_is_no_round_trip(self) -> None:
        source = Source(1, 1)
        source.packet(1)
        self.ours.received(self.said(source), 100.0)
        self.assertEqual((self.ours.rtt_ms, self.ours.remote_loss_pct), (None, 0))

    def test_a_peer_that_claims_to_have_waited_too_long(self) -> None:
        lie = Report(2, None, (Block(1, 0, 0, 0, 0, lsr=100 << 16, dlsr=10 << 16),))
        self.ours.received(Compound((lie,)), 101.0)
        self.assertIsNone(self.ours.rtt_ms)

    def test_reports_about_others_are_not_about_us(self) -> None:
        source = Source(77, 1)
        source.packet(1)
        self.ours.received(self.said(source, metrics=Metrics(77)), 100.0)
        self.assertEqual((self.ours.remote_lost, self.ours.remote_metrics), (None, None))

    def test_the_peers_metrics_are_kept(self) -> None:
        told = Metrics(1, lost=3, mos_cq=4.1)
        self.ours.received(self.said(None, metrics=told), 100.0)
        self.assertEqual(self.ours.remote_metrics, told)

    def test_who_has_sent_nothing_since_the_report_before_the_last_is_a_receiver(self) -> None:
        """RFC 3550 6.4."""
        counts = (5, 5, 5, 6, 6, 6)
        sends = [
            read(self.ours.report(1.0, None, attrs.evolve(SENT, packets=count))).reports[0].sender is not None for count in counts
        ]
        self.assertEqual(sends, [True, True, False, True, True, False])

    def test_of_a_source_that_has_gone_silent_nothing_is_said(self) -> None:
        source = Source(1, 1)
        told = []
        for count in (1, 0, 2):
            for n in range(count):
                source.packet(1 + n)
            told.append(len(self.said(source).reports[0].blocks))
        told.append(len(self.said(Source(8, 1)).reports[0].blocks))
        self.assertEqual(told, [1, 0, 1, 1])

    def test_a_bye_is_noted_until_the_peer_is_back(self) -> None:
        self.ours.received(read(self.theirs.report(1.0, None, SENT, bye=True)), 1.0)
        self.assertTrue(self.ours.left)
        self.ours.received(self.said(None), 2.0)
        self.assertEqual((self.ours.left, self.ours.heard), (False, 2))
