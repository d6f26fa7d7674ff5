"""RTCP on the wire: what RFC 3550, 3611 and 5506 say of it, byte by byte, and whatever else arrives."""

from __future__ import annotations

from random import Random
from struct import pack
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp.rtcp import INTERVAL_S, Block, Compound, Report, Schedule, SenderInfo, compound, interval_s, parse
from smartalex.rtp.xr import Metrics
from tests.rtp.test_xr import metrics

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
APP = pack("!BBHI4sI", 0x81, 204, 3, 9, b"test", 1)
BYE_WITH_REASON = pack("!BBHIB11s", 0x81, 203, 4, 9, 11, b"camera gone")


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

    def test_metrics_are_between_the_name_and_the_bye(self) -> None:
        made = compound(Report(1, None), "abc", Metrics(2), bye=True)
        self.assertEqual(made[24:36].hex(" ", 4), "80cf000a 00000001 07000008")
        self.assertEqual(made[68:].hex(" ", 4), "81cb0001 00000001")

    @given(reports, st.text(max_size=40), st.none() | metrics, st.booleans())
    @settings(max_examples=100, deadline=None)
    def test_written_and_read_again(self, report: Report, cname: str, heard: Metrics | None, bye: bool) -> None:
        made = compound(report, cname, heard, bye=bye)
        self.assertEqual(len(made) % 4, 0)
        read = parse(made)
        ssrc = report.ssrc
        expected = Compound(
            (report,), (ssrc,) if bye else (), ((ssrc, cname.encode()),), (heard,) if heard else (), frozenset({ssrc})
        )
        self.assertEqual(read, expected)

    def test_what_is_out_of_range_is_clamped(self) -> None:
        read = parse(compound(Report(1, None, (Block(2, 0, 1 << 30, 1 << 40, 0),)), "x"))
        self.assertEqual(read and read.reports[0].blocks[0], Block(2, 0, 0x7FFFFF, 0, 0))


class Validity(TestCase):
    """RFC 3550 A.2."""

    GOOD = compound(Report(1, None, (Block(2, 0, 0, 0, 0),)), "x")

    def test_what_is_no_compound_packet(self) -> None:
        good = self.GOOD
        for data in (
            b"", good[:3], good[:-1], good + b"\0", b"\x40" + good[1:],
            b"\xa1" + good[1:],  # padding in another than the last
            b"\x9f" + good[1:],  # promises 31 blocks
            good + pack("!BBH", 0x83, 203, 0),  # a BYE of three sources without them
            good[:32] + b"\0" + good[33:],
            good[:-4] + b"\1\xffx\0",  # a name longer than its packet
            good + pack("!BBHI", 0xA0, 201, 1, 0),  # no padding where some is promised
            good + pack("!BBHI", 0xA0, 201, 1, 3),
            good + pack("!BBHI", 0xA0, 201, 1, 8),
            good + pack("!BBHI", 0x80, 100, 1, 8),
            pack("!BBH", 0x80, 207, 0),  # of nobody
        ):  # fmt: skip
            self.assertIsNone(parse(data), data)

    def test_padding_at_the_end(self) -> None:
        padded = bytearray(self.GOOD) + pack("!BBHII", 0xA0, 201, 2, 7, 4)
        read = parse(bytes(padded))
        assert read is not None
        self.assertEqual([report.ssrc for report in read.reports], [1, 7])

    def test_what_we_do_not_know_is_passed_over(self) -> None:
        for unknown, senders in (
            (pack("!BBHI", 0x80, 207, 1, 1), {1}),
            (APP, {1, 9}),
            (pack("!BBHII", 0x81, 205, 2, 5, 6), {1, 5}),
            (pack("!BBHII", 0x81, 206, 2, 5, 6), {1, 5}),
            (pack("!BBHI", 0x80, 210, 1, 1), {1}),
        ):
            read = parse(compound(Report(1, None), "x") + unknown)
            self.assertEqual(read, Compound((Report(1, None),), (), ((1, b"x"),), (), frozenset(senders)))

    def test_a_bye_may_have_a_reason_and_be_of_several_or_none(self) -> None:
        for data, byes in (
            (BYE_WITH_REASON, (9,)),
            (pack("!BBHII", 0x82, 203, 2, 5, 6), (5, 6)),
            (pack("!BBH", 0x80, 203, 0), ()),
        ):
            read = parse(self.GOOD + data)
            self.assertEqual(read and read.byes, byes)

    def test_reduced_size(self) -> None:
        """RFC 5506: one packet of any kind."""
        for data, expected in (
            (BYE_WITH_REASON, Compound(byes=(9,))),
            (APP, Compound(senders=frozenset({9}))),
            (self.GOOD[32:], Compound(names=((1, b"x"),))),
            (pack("!BBHI", 0x80, 207, 10, 5) + Metrics(3).block(), Compound(metrics=(Metrics(3),), senders=frozenset({5}))),
        ):
            self.assertEqual(parse(data), expected)

    def test_names_of_several_sources_among_other_items(self) -> None:
        chunks = pack("!I2B2s2B3sB2x", 5, 2, 2, b"Al", 1, 3, b"a@b", 0) + pack("!I2Bs1x", 6, 1, 1, b"c")
        self.assertEqual(len(chunks) % 4, 0)
        read = parse(pack("!BBH", 0x82, 202, len(chunks) // 4) + chunks)
        self.assertEqual(read and read.names, ((5, b"a@b"), (6, b"c")))

    @given(st.binary(max_size=120), st.integers(0, 120))
    @settings(max_examples=300, deadline=None)
    def test_any_bytes_are_survived(self, junk: bytes, at: int) -> None:
        good = compound(Report(1, SENT, (Block(2, 0, 0, 0, 0),)), "x", Metrics(2), bye=True)
        for data in (junk, good[:at] + junk[:8] + good[at + 8 :], good[:at], good + junk):
            self.assertIsInstance(parse(data), Compound | None)

    @given(st.lists(st.tuples(st.integers(0, 63), st.integers(190, 225), st.binary(max_size=60)), max_size=4))
    @settings(max_examples=300, deadline=None)
    def test_any_bodies_in_sound_headers_are_survived(self, parts: list[tuple[int, int, bytes]]) -> None:
        data = b""
        for first, kind, body in parts:
            body += bytes(-len(body) % 4)
            data += pack("!BBH", 0x80 | first, kind, len(body) // 4) + body
        self.assertIsInstance(parse(data), Compound | None)


class Timing(TestCase):
    def test_the_interval_of_two_members(self) -> None:
        """RFC 3550 6.3.1: 5 s times 0.5 to 1.5, over e - 3/2; half of it for the first."""
        self.assertAlmostEqual(interval_s(0.0), 2.052, places=3)
        self.assertAlmostEqual(interval_s(0.5), 4.104, places=3)
        self.assertAlmostEqual(interval_s(1.0), 6.156, places=3)
        self.assertAlmostEqual(interval_s(0.5, initial=True), 2.052, places=3)

    def test_a_time_that_has_come_is_drawn_again(self) -> None:
        """6.3.6."""
        schedule = Schedule(100.0)
        first = schedule.first_s(0.2)
        now = 100.0 + first
        self.assertAlmostEqual(schedule.wait_s(now, 0.9), interval_s(0.9, initial=True) - first)
        self.assertEqual(schedule.wait_s(now, 0.1), 0.0)
        self.assertEqual(schedule.sent(now, 0.5), interval_s(0.5))
        self.assertAlmostEqual(schedule.wait_s(now + 3, 1.0), interval_s(1.0) - 3)

    def test_the_mean_is_five_seconds(self) -> None:
        random = Random(3).random
        schedule, now, sent = Schedule(0.0), 0.0, []
        now += schedule.first_s(random())
        while len(sent) < 2000:
            wait = schedule.wait_s(now, random())
            if not wait:
                sent.append(now)
                wait = schedule.sent(now, random())
            now += wait
        self.assertAlmostEqual((sent[-1] - sent[0]) / (len(sent) - 1), INTERVAL_S, delta=0.2)
