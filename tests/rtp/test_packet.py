from __future__ import annotations

from struct import pack
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.rtp import packet
from smartalex.rtp.packet import HEADER, payload_bounds


def header(first: int = 0x80, kind: int = 0) -> bytes:
    return HEADER.pack(first, kind, 1, 160, 0x1234)


def payload(data: bytes) -> bytes | None:
    bounds = payload_bounds(data, len(data))
    return None if bounds is None else data[bounds[0] : bounds[1]]


class Writing(TestCase):
    def test_the_twelve_bytes(self) -> None:
        self.assertEqual(packet.pack(0x0102, 0x03040506, 0x0708090A, 8).hex(), "8008" + "0102" + "03040506" + "0708090a")
        self.assertEqual(packet.pack(0, 0, 0, 101, marker=True)[1], 0x80 | 101)

    def test_counters_wrap(self) -> None:
        self.assertEqual(packet.pack(0x10001, 0x100000002, 5, 0), packet.pack(1, 2, 5, 0))


class Reading(TestCase):
    def test_a_plain_packet(self) -> None:
        self.assertEqual(payload(header() + b"abc"), b"abc")
        self.assertEqual(payload(header()), b"")

    def test_contributing_sources_are_skipped(self) -> None:
        self.assertEqual(payload(header(0x83) + bytes(12) + b"abc"), b"abc")
        self.assertIsNone(payload(header(0x83) + bytes(11)))

    def test_an_extension_is_skipped(self) -> None:
        self.assertEqual(payload(header(0x90) + pack("!HH", 0xBEDE, 2) + bytes(8) + b"abc"), b"abc")
        self.assertEqual(payload(header(0x91) + bytes(4) + pack("!HH", 0xBEDE, 0) + b"abc"), b"abc")
        for short in (b"", b"\0\0\0", pack("!HH", 0, 1) + b"\0\0\0", pack("!HH", 0, 0xFFFF) + bytes(1000)):
            self.assertIsNone(payload(header(0x90) + short))

    def test_padding_is_cut_off(self) -> None:
        self.assertEqual(payload(header(0xA0) + b"abc\0\0\3"), b"abc")
        self.assertEqual(payload(header(0xA0) + b"\0\0\3"), b"")
        for wrong in (b"abc\0", b"abc\7", b""):
            self.assertIsNone(payload(header(0xA0) + wrong), wrong)

    def test_other_versions_and_scraps(self) -> None:
        for first in (0x00, 0x40, 0xC0):
            self.assertIsNone(payload(header(first) + b"abc"))
        for size in range(12):
            self.assertIsNone(payload(header()[:size]))

    def test_what_lies_beyond_the_datagram_does_not_count(self) -> None:
        buffer = bytearray(header(0xA0) + b"abcdef\0\0\3" + b"\xff" * 100)
        self.assertEqual(payload_bounds(memoryview(buffer), 21), (12, 18))

    @given(st.binary(max_size=80), st.integers(0, 255))
    @settings(max_examples=400, deadline=None)
    def test_any_bytes_give_bounds_within_the_datagram_or_none(self, junk: bytes, first: int) -> None:
        for data in (junk, bytes([0x80 | first & 0x3F]) + junk):
            bounds = payload_bounds(memoryview(bytearray(data)), len(data))
            if bounds is not None:
                self.assertTrue(12 <= bounds[0] <= bounds[1] <= len(data))
