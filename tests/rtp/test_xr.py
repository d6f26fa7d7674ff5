from __future__ import annotations

from random import Random
from struct import pack
from unittest import TestCase

import attrs
from hypothesis import given
from hypothesis import strategies as st

from smartalex.rtp.xr import GMIN, Bursts, Metrics, burst_ratio, read_blocks

octets, halves = st.integers(0, 255), st.integers(0, 65535)
levels = st.none() | st.integers(-127, 126)
scores = st.none() | st.integers(10, 50).map(lambda tenths: tenths / 10)
metrics = st.builds(
    Metrics, st.integers(0, 0xFFFFFFFF), octets, octets, octets, octets, halves, halves, halves, halves, levels, levels,
    st.none() | st.integers(0, 126), octets, st.none() | st.integers(0, 100), scores, scores, octets, halves, halves, halves,
)  # fmt: skip


class Block(TestCase):
    def test_byte_by_byte(self) -> None:
        made = Metrics(
            0x01020304, 5, 6, 7, 8, 0x0102, 0x0304, 0x0506, 0x0708, -20, -60, 55, 16, 93, 4.4, 4.36, 0xB0, 40, 60, 200
        ).block()
        self.assertEqual(
            made.hex(" ", 4),
            "07000008 01020304 05060708 01020304 05060708 ecc43710 5d7f2c2c b0000028 003c00c8",
        )

    def test_what_is_not_known(self) -> None:
        made = Metrics(1).block()
        self.assertEqual(made[20:28].hex(), "7f7f7f107f7f7f7f")
        self.assertEqual(read_blocks(made), [Metrics(1)])

    @given(metrics)
    def test_written_and_read_again(self, made: Metrics) -> None:
        self.assertEqual(read_blocks(made.block()), [made])

    def test_what_is_out_of_range_is_clamped(self) -> None:
        wild = Metrics(1, 300, -1, 0, 0, 70_000, 0, -5, 0, signal=400, echo=500, r=120, mos_lq=7.0, mos_cq=0.2)
        tame = Metrics(1, 255, 0, burst_ms=65535, signal=126, echo=126, r=100, mos_lq=5.0, mos_cq=1.0)
        self.assertEqual(read_blocks(wild.block()), [tame])

    def test_scores_that_may_not_be_sent_are_ignored(self) -> None:
        """RFC 3611 4.7.5."""
        made = bytearray(Metrics(1).block())
        made[24:28] = (101, 0, 51, 9)
        self.assertEqual(read_blocks(bytes(made)), [Metrics(1)])

    def test_other_blocks_are_passed_over(self) -> None:
        receiver_time = pack("!BBHQ", 4, 0, 2, 1 << 40)
        short = pack("!BBHI", 7, 0, 1, 1)
        self.assertEqual(read_blocks(receiver_time + Metrics(3).block() + short + Metrics(4).block()), [Metrics(3), Metrics(4)])
        self.assertEqual(read_blocks(Metrics(3).block() + Metrics(4).block()[:-4]), [Metrics(3)])

    @given(st.binary(max_size=80))
    def test_any_bytes_are_survived(self, junk: bytes) -> None:
        for one in read_blocks(junk) + read_blocks(b"\x07\0\0\x08" + junk):
            self.assertEqual(read_blocks(one.block()), [one])


def counted(pattern: str) -> Bursts:
    """`pattern` has a dot for each packet that was heard; digits are that many hundreds of them."""
    bursts = Bursts()
    for one in pattern:
        if one == "x":
            bursts.missed(1)
        else:
            bursts.received(100 * int(one) if one.isdigit() else 1)
    return bursts


class Counting(TestCase):
    def test_bursts_and_gaps(self) -> None:
        """Expected: densities of bursts and gaps in 1/256, and their mean lengths in packets of 20 ms."""
        nine = "." * 9
        for pattern, expected in {
            "": (0, 0, 0, 0),
            "2": (0, 0, 0, 200),
            "1x1": (0, 256 // 201, 0, 201),
            "1x" + "." * GMIN + "x1": (0, 256 * 2 // 218, 0, 218),
            "1xx1": (255, 0, 2, 100),
            "1x" + "." * (GMIN - 1) + "x1": (256 * 2 // 17, 0, 17, 100),
            f"1x{nine}x{nine}x1x1": (256 * 3 // 21, 256 // 301, 21, 150.5),
            "1xx1x.x1": (256 * 4 // 5, 0, 2.5, 100),
            "xx": (255, 0, 2, 0),
            "x": (0, 255, 0, 1),
        }.items():
            burst_density, gap_density, burst_ms, gap_ms = expected
            wanted = (burst_density, gap_density, burst_ms * 20, gap_ms * 20)
            self.assertEqual(counted(pattern).densities(20), wanted, pattern)

    def test_losses_in_a_row_are_one_run(self) -> None:
        for pattern, lost, runs in (("..", 0, 0), ("x", 1, 1), ("xx.xxx1x", 6, 3), ("..xx", 2, 1)):
            bursts = counted(pattern)
            self.assertEqual((bursts.lost, bursts.runs), (lost, runs), pattern)

    def test_several_at_once_are_as_many_one_by_one(self) -> None:
        one, several = counted("1xxx..xx1"), Bursts()
        for heard, lost in ((100, 3), (2, 2), (100, 0)):
            several.received(heard)
            several.missed(lost)
        self.assertEqual([getattr(one, n) for n in Bursts.__slots__], [getattr(several, n) for n in Bursts.__slots__])

    def test_as_the_sample_code_of_rfc_3611_counts(self) -> None:
        """Over a long time, with losses as those of a Gilbert channel."""
        draw = Random(5)
        lost, pattern = False, []
        for _ in range(200_000):
            lost = draw.random() < (0.7 if lost else 0.01)
            pattern.append(lost)
        bursts = Bursts()
        for one in pattern:
            (bursts.missed if one else bursts.received)(1)
        for ours, theirs in zip(bursts.densities(20), sample_densities(pattern), strict=True):
            self.assertAlmostEqual(ours, theirs, delta=max(2, 0.03 * theirs))


def sample_densities(pattern: list[bool]) -> tuple[float, ...]:
    """By counts of transitions, after RFC 3611 A.2."""
    c11 = c13 = c14 = c22 = c23 = c33 = heard = lost = 0
    for missed in pattern:
        if not missed:
            heard += 1
            continue
        if heard >= GMIN:
            c14 += lost == 1
            c13 += lost != 1
            lost = 1
            c11 += heard
        else:
            lost += 1
            c33 += heard == 0
            c23 += heard > 0
            c22 += max(0, heard - 1)
        heard = 0
    p32, p23 = c23 / (c13 + c23 + c33), 1 - c22 / (c22 + c23)
    gap = (c11 + c14 + c13) * 20 / c13
    total = c11 + c14 + c13 + c22 + c23 + c13 + c23 + c33
    return 256 * p23 / (p23 + p32), 256 * c14 / (c11 + c14), total * 20 / c13 - gap, gap


class BurstRatio(TestCase):
    def test_random_loss_has_one(self) -> None:
        draw = Random(1)
        bursts = Bursts()
        for _ in range(50_000):
            (bursts.missed if draw.random() < 0.05 else bursts.received)(1)
        self.assertAlmostEqual(burst_ratio(bursts.lost, bursts.runs, 50_000), 1, delta=0.05)
        self.assertEqual([burst_ratio(0, 0, 100), burst_ratio(5, 5, 0), burst_ratio(1, 1, 100)], [1, 1, 1])

    def test_three_in_a_row(self) -> None:
        self.assertAlmostEqual(burst_ratio(30, 10, 1000), 3 * 0.97)

    def test_it_can_be_told_from_densities(self) -> None:
        bursty = Metrics(1, burst_density=170, gap_density=0, burst_ms=200, gap_ms=4000)
        self.assertAlmostEqual(bursty.burst_ratio, 256 / 86 * (1 - 170 * 200 / 256 / 4200), places=2)
        self.assertEqual(Metrics(1, gap_density=20, gap_ms=4000).burst_ratio, 1)
        self.assertEqual(attrs.evolve(bursty, burst_density=0).burst_ratio, 1)

    @given(metrics)
    def test_whatever_the_peer_says_it_stays_in_range(self, said: Metrics) -> None:
        self.assertTrue(1 <= said.burst_ratio <= 8)
