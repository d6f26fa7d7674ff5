"""The E-model against figures that ITU-T has published, and against its formulas worked out elsewhere."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.rtp.quality import RATINGS, mos, r_factor

codecs = st.sampled_from([*RATINGS, "unknown"])
losses = st.floats(0, 100)
delays = st.none() | st.floats(0, 5000)
bursts = st.floats(0, 50)


class Narrowband(TestCase):
    def test_r_to_mos_as_tabled_in_g109_and_g107_annex_b(self) -> None:
        for r, wanted in ((93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (100, 4.5)):
            self.assertAlmostEqual(mos(r), wanted, delta=0.0065, msg=str(r))

    def test_the_default_connection(self) -> None:
        """G.107 7.7: 93.2 with all default values."""
        for delay in (0, None):
            self.assertAlmostEqual(r_factor(0, delay), 93.2, delta=0.01)

    def test_loss_as_in_g113_appendix_i(self) -> None:
        """Ie,eff of G.711 with packet loss concealment (Bpl 25.1), random loss."""
        for loss, impairment in ((1, 3.64), (2, 7.01), (3, 10.14), (5, 15.78), (10, 27.07)):
            self.assertAlmostEqual(r_factor(0, 0) - r_factor(loss, 0), impairment, delta=0.01)

    def test_bursts(self) -> None:
        """G.107 equation 7-29: 95 * 5 / (5 / 2 + 25.1)."""
        self.assertAlmostEqual(r_factor(0, 0) - r_factor(5, 0, burst_ratio=2), 17.210, delta=0.001)

    def test_delay(self) -> None:
        """Talker echo, listener echo and pure delay; nothing of the last up to 100 ms."""
        for delay, r in ((100, 90.664), (150, 89.539), (250, 79.177)):
            self.assertAlmostEqual(r_factor(0, delay), r, delta=0.01)


class Wideband(TestCase):
    def test_r_to_mos_as_in_g1071_annex_a(self) -> None:
        for r, wanted in ((129, 4.5), (121, 4.4206), (116, 4.3371), (88, 3.5123), (73, 2.9220)):
            self.assertAlmostEqual(mos(r / 1.29), wanted, delta=0.0005)

    def test_g722_as_in_g113_appendix_iv(self) -> None:
        self.assertAlmostEqual(r_factor(0, codec="G722") * 1.29, 129 - 13, delta=0.2)

    def test_delay(self) -> None:
        for delay, impairment in ((0, 0.1537), (50, 0.0929 + 0.6521), (150, 0.3554 + 1.0123 + 0.2110)):
            self.assertAlmostEqual(116 - r_factor(0, delay, "G722") * 1.29, impairment, delta=0.001)

    def test_loss(self) -> None:
        """G.107.1 equation 7-15."""
        lost = (r_factor(0, codec="G722") - r_factor(2, codec="G722")) * 1.29
        self.assertAlmostEqual(lost, (95 - 13) * 2 / (2 + RATINGS["G722"].bpl), places=6)


class Shape(TestCase):
    def test_worse_is_never_better(self) -> None:
        for codec in RATINGS:
            by_loss = [mos(r_factor(loss / 2, 60, codec)) for loss in range(100)]
            by_delay = [mos(r_factor(1, delay, codec)) for delay in range(0, 2000, 10)]
            by_burst = [mos(r_factor(5, 60, codec, ratio / 4)) for ratio in range(40)]
            for scores in (by_loss, by_delay, by_burst):
                self.assertEqual(scores, sorted(scores, reverse=True))

    @given(losses, delays, codecs, bursts)
    def test_every_rating_is_on_the_scale(self, loss: float, delay: float | None, codec: str, burst: float) -> None:
        r = r_factor(loss, delay, codec, burst)
        self.assertTrue(0 <= r <= 100 and 1.0 <= mos(r) <= 4.5, r)

    def test_what_is_not_known_is_rated_as_g711(self) -> None:
        self.assertEqual(r_factor(2, 80, "unknown"), r_factor(2, 80, "PCMA"))
