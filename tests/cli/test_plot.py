"""How a call sounded, drawn."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.calls.quality import MOST
from smartalex.cli import plot
from tests.cli.test_calls import INVITE, Recorded

mos = st.lists(st.none() | st.floats(1.0, 4.5), min_size=1, max_size=MOST)


def rows(values: plot.Values) -> list[str]:
    """What is drawn of each column, from the top down."""
    drawn = [line.partition("│")[2] for line in plot.bars(values, 5.0)[: plot.ROWS]]
    width = max(map(len, drawn))
    return ["".join(column) for column in zip(*(line.ljust(width) for line in drawn), strict=True)]


class Bars(TestCase):
    def test_best_worst_middle_and_unknown(self) -> None:
        self.assertEqual(rows([4.5, 2.75, None, 1.0]), ["████", "  ██", "    ", "   ▁"])

    def test_a_long_call_fits_and_its_worst_moment_is_seen(self) -> None:
        values: list[float | None] = [4.4] * MOST
        values[101] = 1.0
        drawn = rows(values)
        self.assertEqual((len(drawn), [at for at, column in enumerate(drawn) if column == "   ▁"]), (plot.WIDTH, [25]))
        self.assertIn("1200 s, 20 s a column", plot.bars(values, 5.0)[-1])

    @given(mos)
    def test_any_values_are_drawn_within_the_width_and_worse_is_never_higher(self, values: list[float | None]) -> None:
        lines = plot.bars(values, 5.0)
        self.assertEqual(len(lines), plot.ROWS + 1)
        self.assertLessEqual(max(len(line.partition("│")[2]) for line in lines[:-1]), plot.WIDTH)
        heights = [sum(plot.BARS.index(c) for c in column) for column in rows([1.0, *sorted(v for v in values if v is not None)])]
        self.assertEqual(heights, sorted(heights))


class Shown(Recorded):
    def ended(self, *events: Any) -> str:
        sound = {"mos_min": 3.1, "mos_mean": 4.25, "remote_mos_min": 4.0, "remote_mos_mean": 4.1}
        self.recorded("01PLOT", (0, lambda r: r.open(INVITE)), *events, (9, lambda r: r.close("completed", "caller_bye", sound)))
        return self.output("calls", "show", "01plot")

    def test_both_directions_with_least_and_mean(self) -> None:
        samples = {"every_s": 5.0, "mos": [4.5, 3.1, None], "loss_pct": [0.0, 8.0, None], "remote_mos": [4.0, 4.0, 4.2]}
        told = self.ended((1, lambda r: r.event("quality", data=samples)))
        for line in (
            "heard      MOS 4.25 mean, 3.10 least, as we heard the caller",
            "      4.5 │█",
            "          │█▃",
            "      1.0 │██",
            "          └─── 15 s, 5 s a column",
            "sent       MOS 4.10 mean, 4.00 least, as the caller heard us, by RTCP",
        ):
            self.assertIn(line + "\n", told)
        self.assertNotIn("[4.5, 3.1", told)

    def test_without_rtcp_one_direction(self) -> None:
        told = self.ended((1, lambda r: r.event("quality", data={"every_s": 5.0, "mos": [4.4]})))
        self.assertIn("as we heard the caller", told)
        self.assertNotIn("by RTCP", told)

    def test_a_call_of_which_nothing_is_known(self) -> None:
        self.assertNotIn("MOS", self.ended())
