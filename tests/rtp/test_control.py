"""RTCP that comes by RTP's port, and the time it had to wait there."""

from __future__ import annotations

from unittest import TestCase

import attrs

from smartalex.rtp import rtcp
from smartalex.rtp.plane import MediaPlane
from tests.rtp.wire import PARAMS, Bench

STAMP = 5000.0


class Waited(TestCase):
    def setUp(self) -> None:
        self.bench = Bench(MediaPlane)
        self.addCleanup(self.bench.close)
        self.leg, self.peer = self.bench.connected(attrs.evolve(PARAMS, mux=True))
        self.bench.run(8)
        self.control = self.bench.plane._readers[self.leg].control

    def answered(self, arrival: float) -> float | None:
        """The round trip of a report of ours that was answered 100 ms after it was sent."""
        sent = self.leg.rtcp.report(self.bench.clock.seconds(), None, self.leg.sender.info())
        info = rtcp.parse(sent).reports[0].sender
        self.bench.clock.advance(0.1)
        block = rtcp.Block(self.leg.sender.ssrc, 0, 0, 1, 0, info.ntp >> 16 & 0xFFFFFFFF, 0)
        data = rtcp.compound(rtcp.Report(1, None, (block,)), "x")
        self.leg.received(data, len(data), (self.peer.address, self.peer.port), arrival)
        return self.leg.stats().rtt_ms

    def test_the_wait_for_the_tick_is_no_part_of_the_round_trip(self) -> None:
        self.control.wall = lambda: STAMP + 0.015
        self.assertAlmostEqual(self.answered(STAMP), 85, delta=0.1)

    def test_without_a_stamp_it_is(self) -> None:
        self.control.wall = lambda: STAMP
        for arrival in (0.0, STAMP - 3600, STAMP + 3600):
            self.assertAlmostEqual(self.answered(arrival), 100, delta=0.1)
