from __future__ import annotations

from typing import Any
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from smartalex.calls.quality import EVERY_S, MOST, QualityLog, Samples, worst
from smartalex.counters import Counters
from smartalex.rtp.monitor import Sample

scores = st.none() | st.floats(1, 4.5)
samples = st.lists(st.builds(Sample, mos=scores, loss_pct=st.none() | st.floats(0, 100), remote_mos=scores), max_size=3 * MOST)


class Line:
    """Samples as they are asked for."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = list(samples)

    def sample(self) -> Sample:
        return self.samples.pop(0) if self.samples else Sample()


class Kept(TestCase):
    def test_as_they_came(self) -> None:
        kept = Samples()
        for mos in (4.4, None, 3.004):
            kept.add(Sample(mos, loss_pct=1.26))
        self.assertEqual(kept.arrays(), {"mos": [4.4, None, 3.0], "loss_pct": [1.3, 1.3, 1.3]})
        self.assertEqual(kept.fields(), {"mos_min": 3.0, "mos_mean": 3.7, "remote_mos_min": None, "remote_mos_mean": None})

    def test_a_long_call_has_fewer_for_its_time_and_keeps_the_worst(self) -> None:
        kept = Samples()
        for n in range(3 * MOST):
            kept.add(Sample(1.5 if n == 501 else 4.4, loss_pct=30 if n == 501 else 0))
        arrays = kept.arrays()
        self.assertEqual(kept.each, 4)
        self.assertEqual(len(arrays["mos"]), 3 * MOST // 4)
        self.assertEqual((arrays["mos"].index(1.5), arrays["loss_pct"].index(30)), (125, 125))
        self.assertEqual(kept.fields()["mos_mean"], 4.4)

    @given(samples)
    @settings(max_examples=60, deadline=None)
    def test_never_too_many_and_the_least_is_among_them(self, taken: list[Sample]) -> None:
        kept = Samples()
        for sample in taken:
            kept.add(sample)
        arrays = kept.arrays()
        lengths = {len(values) for values in arrays.values()}
        self.assertTrue(len(lengths) <= 1 and all(length <= MOST for length in lengths))
        known = [sample.mos for sample in taken if sample.mos is not None]
        if known:
            least = round(min(known), 2)
            self.assertEqual((min(v for v in arrays["mos"] if v is not None), kept.fields()["mos_min"]), (least, least))

    def test_the_worst_of_two(self) -> None:
        self.assertEqual(worst(Sample(4.0, 1.0, None, 50), Sample(3.0, 2.0, 5, 40)), Sample(3.0, 2.0, 5, 50))
        self.assertEqual(worst(Sample(remote_mos=4.0), Sample()), Sample(remote_mos=4.0))


class Logging(TestCase):
    def setUp(self) -> None:
        self.clock, self.counters = Clock(), Counters()
        self.events: list[tuple[str, Any, dict[str, Any]]] = []

    def log(self, *samples: Sample) -> QualityLog:
        made = QualityLog(self.clock, self.counters, Line(*samples))
        made.start()
        return made

    def stopped(self, log: QualityLog) -> dict[str, float | None]:
        fields = log.stop(lambda *event: self.events.append(event))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return fields

    def test_a_sample_every_five_seconds_and_one_at_the_end(self) -> None:
        log = self.log(Sample(4.4), Sample(4.2), Sample(4.0), Sample(1.0))
        self.clock.pump([1.0] * 12)
        self.assertEqual(self.stopped(log)["mos_min"], 4.0)
        self.assertEqual(self.events, [("quality", None, {"every_s": EVERY_S, "mos": [4.4, 4.2, 4.0]})])
        self.assertEqual(self.stopped(log), {})

    def test_what_is_too_short_is_no_sample(self) -> None:
        log = self.log(Sample(4.4), Sample(1.0))
        self.clock.pump([0.5] * 11)
        self.assertEqual(self.stopped(log)["mos_min"], 4.4)

    def test_a_call_of_which_nothing_is_known_has_no_event(self) -> None:
        log = self.log()
        self.clock.pump([1.0] * 12)
        self.assertEqual((self.stopped(log)["mos_mean"], self.events), (None, []))

    def test_a_call_that_never_began(self) -> None:
        log = QualityLog(self.clock, self.counters, Line())
        self.assertEqual(self.stopped(log), {})

    def test_metrics(self) -> None:
        self.log(Sample(4.4, 2.0, 12.0, 90, remote_mos=3.9), Sample(mos=3.1))
        self.clock.pump([1.0] * 11)
        histograms = self.counters.histograms
        self.assertEqual(sum(histograms["rtp.mos", "in"].counts), 2)
        self.assertAlmostEqual(histograms["rtp.mos", "in"].sum, 7.5)
        self.assertAlmostEqual(histograms["rtp.mos", "out"].sum, 3.9)
        self.assertAlmostEqual(histograms["rtp.loss_ratio", "in"].sum, 0.02)
        self.assertAlmostEqual(histograms["rtp.jitter_seconds", "in"].sum, 0.012)
