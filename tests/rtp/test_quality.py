"""The E-model against figures that ITU-T has published."""

from __future__ import annotations

from unittest import TestCase

from smartalex.rtp.quality import mos, r_factor


class Reference(TestCase):
    def test_r_to_mos_as_tabled_in_g109_and_g107_annex_b(self) -> None:
        for r, wanted in ((93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (100, 4.5)):
            self.assertAlmostEqual(mos(r), wanted, delta=0.0065, msg=str(r))

    def test_the_default_connection(self) -> None:
        self.assertEqual(r_factor(0, 0), 93.2)  # G.107 table 3, all defaults

    def test_loss_as_in_g113_appendix_i(self) -> None:
        """Ie,eff of G.711 with packet loss concealment (Bpl 25.1), random loss."""
        for loss, impairment in ((1, 3.64), (2, 7.01), (3, 10.14), (5, 15.78), (10, 27.07)):
            self.assertAlmostEqual(93.2 - r_factor(loss, 0), impairment, delta=0.01)

    def test_delay_hurts_little_below_177_ms_and_much_above(self) -> None:
        self.assertAlmostEqual(r_factor(0, 150), 89.6, delta=0.01)
        self.assertAlmostEqual(r_factor(0, 400), 93.2 - 9.6 - 24.5, delta=0.01)


class Shape(TestCase):
    def test_worse_is_never_better(self) -> None:
        by_loss = [mos(r_factor(loss / 2, 60)) for loss in range(100)]
        by_delay = [mos(r_factor(1, delay)) for delay in range(0, 2000, 10)]
        for scores in (by_loss, by_delay):
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertTrue(all(1.0 <= score <= 4.5 for score in scores))

    def test_bursts_hurt_more_and_codecs_differ(self) -> None:
        self.assertLess(r_factor(3, 0, burst_ratio=2), r_factor(3, 0))
        self.assertLess(r_factor(0, 0, "G722"), r_factor(0, 0, "PCMA"))
        self.assertEqual(r_factor(0, 0, "unknown"), 93.2)
        self.assertEqual(r_factor(100, 3000), 0.0)
