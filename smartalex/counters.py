"""Counted events: one dict increment each, and histograms; read out by /metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

from zope.interface import implementer

from smartalex.interfaces import ICounters

BOUNDS: dict[str, tuple[float, ...]] = {
    "rtp.mos": (1.5, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.1, 4.2, 4.3, 4.4, 4.5),
    "rtp.jitter_seconds": (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2),
    "rtp.loss_ratio": (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
}
"""The upper bounds of each histogram's buckets."""


class Histogram:
    """`counts` are of each bucket alone, the last one without a bound."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


@implementer(ICounters)
class Counters:
    """`values` and `histograms` by (name, label); every name used in the code is listed in README."""

    __slots__ = ("histograms", "values")

    def __init__(self) -> None:
        self.values: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.histograms: dict[tuple[str, str], Histogram] = {}

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        self.values[name, label] += amount

    def observe(self, name: str, value: float, label: str = "") -> None:
        found = self.histograms.get((name, label))
        if found is None:
            found = self.histograms[name, label] = Histogram(BOUNDS[name])
        found.observe(value)
