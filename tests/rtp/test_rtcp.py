from __future__ import annotations

from struct import pack
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.rtcp import Block, Compound, Report, RtcpSession, SenderInfo, compound, interval_s, parse
from smartalex.rtp.source import Source

words = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    Block, words, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), words, words, words, words
)  # fmt: skip
reports = st.builds(
    Report,
    words,
    st.none() | st.builds(SenderInfo, st.integers(0, (1 << 64) - 1), words, words, words),
    st.lists(blocks, max_size=3).map(tuple),
)
SENT = SenderInfo(0, 800, 5, 800)


class Wire(TestCase):
    def test_a_sender_report_byte_by_byte(self) -> None:
        made = compound(
            Report(0x01020304, SenderInfo(5 << 32 | 6, 7, 8, 9), (Block(10, 64, -1, 11, 12, 13, 14),)), "me", bye=True
        )
        self.assertEqual(
            made,
            bytes.fromhex("81c8000c 01020304 00000005 00000006 00000007 00000008 00000009")
            + bytes.fromhex("0000000a 40ffffff 0000000b 0000000c 0000000d 0000000e")
            + bytes.fromhex("81ca0003 01020304 01026d65 00000000")
            + bytes.fromhex("81cb0001 01020304"),
        )

    def test_a_receiver_report_without_sources(self) -> None:
        self.assertEqual(compound(Report(1, None), "abc")[:8].hex(), "80c9000100000001")

    @given(reports, st.text(max_size=40), st.booleans())
    @settings(max_examples=100, deadline=None)
    def test_written_and_read_again(self, report: Report, cname: str, bye: bool) -> None:
        made = compound(report, cname, bye=bye)
        self.assertEqual(len(made) % 4, 0)
        self.assertEqual(parse(made), Compound((report,), (report.ssrc,) if bye else ()))

    def test_what_is_out_of_range_is_clamped(self) -> None:
        read = parse(compound(Report(1, None, (Block(2, 0, 1 << 30, 1 << 40, 0),)), "x"))
        self.assertEqual(read and read.reports[0].blocks[0], Block(2, 0, 0x7FFFFF, 0, 0))

    def test_what_is_no_compound_packet(self) -> None:
        good = compound(Report(1, None, (Block(2, 0, 0, 0, 0),)), "x")
        sdes_first = good[32:]
        for data in (
            b"", good[:3], good[:-1], good + b"\0", b"\x40" + good[1:], b"\xa1" + good[1:], sdes_first,
            b"\x9f" + good[1:],  # promises 31 blocks
            good + pack("!BBH", 0x83, 203, 0),  # a BYE of three sources without them
            good[:32] + b"\0" + good[33:],
        ):  # fmt: skip
            self.assertIsNone(parse(data), data)

    def test_unknown_packets_are_passed_over(self) -> None:
        read = parse(compound(Report(1, None), "x") + pack("!BBHI", 0x80, 207, 1, 1))
        self.assertEqual(read, Compound((Report(1, None),)))

    @given(st.binary(max_size=120), st.integers(0, 80))
    @settings(max_examples=300, deadline=None)
    def test_any_bytes_are_survived(self, junk: bytes, at: int) -> None:
        good = compound(Report(1, SENT, (Block(2, 0, 0, 0, 0),)), "x", bye=True)
        for data in (junk, good[:at] + junk[:8] + good[at + 8 :]):
            found = parse(data)
            self.assertTrue(found is None or found.reports)


class Timing(TestCase):
    def test_the_interval_of_two_members(self) -> None:
        """RFC 3550 6.3.1: 5 s times 0.5 to 1.5, over e - 3/2; half of it for the first."""
        self.assertAlmostEqual(interval_s(0.0), 2.052, places=3)
        self.assertAlmostEqual(interval_s(0.5), 4.104, places=3)
        self.assertAlmostEqual(interval_s(1.0), 6.156, places=3)
        self.assertAlmostEqual(interval_s(0.5, initial=True), 2.052, places=3)


class TwoPeers(TestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = RtcpSession(1, "a"), RtcpSession(2, "b")

    def test_a_round_trip_gives_loss_jitter_and_time(self) -> None:
        source = Source(1, 10)
        for n, sequence in enumerate((10, 11, 12, 14)):
            source.packet(sequence)
            source.arrived(160 * n, 160 * n + 64 * (n % 2))
        self.theirs.received(self.ours.report(100.0, None, SENT), 500.03)  # their clock is another
        self.ours.received(self.theirs.report(502.03, source, SENT), 102.08)
        self.assertEqual(self.ours.remote_lost, 1)
        self.assertAlmostEqual(self.ours.remote_loss_pct or 0, 20, delta=0.4)
        self.assertAlmostEqual(self.ours.remote_jitter_ms or 0, int(source.jitter) / 8)
        self.assertAlmostEqual(self.ours.rtt_ms or 0, 80, delta=0.1)

    def test_without_a_sender_report_of_ours_there_is_no_round_trip(self) -> None:
        source = Source(1, 1)
        source.packet(1)
        self.ours.received(self.theirs.report(5.0, source, SENT), 100.0)
        self.assertEqual((self.ours.rtt_ms, self.ours.remote_loss_pct), (None, 0))

    def test_a_peer_that_claims_to_have_waited_too_long(self) -> None:
        lie = Report(2, None, (Block(1, 0, 0, 0, 0, lsr=100 << 16, dlsr=10 << 16),))
        self.ours.received(compound(lie, "b"), 101.0)
        self.assertIsNone(self.ours.rtt_ms)

    def test_reports_about_others_are_not_about_us(self) -> None:
        source = Source(77, 1)
        source.packet(1)
        self.ours.received(self.theirs.report(5.0, source, SENT), 100.0)
        self.assertIsNone(self.ours.remote_lost)

    def test_who_has_sent_nothing_new_is_a_receiver(self) -> None:
        for sent, sends in ((SENT, True), (SENT, False), (SenderInfo(0, 900, 6, 960), True)):
            read = parse(self.ours.report(1.0, None, sent))
            self.assertEqual(read is not None and read.reports[0].sender is not None, sends)

    def test_what_is_no_rtcp_changes_nothing(self) -> None:
        self.assertIsNone(self.ours.received(b"junk", 1.0))
        self.assertIsNone(self.ours.remote_lost)
