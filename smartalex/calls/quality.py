"""How a call sounded, as its record keeps it: a sample every few seconds, the least and the mean of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smartalex.interfaces import ICounters
from smartalex.rtp.monitor import Sample
from smartalex.rtp.plane import LegStats

EVERY_S = 5.0
MOST = 240
"""So many samples, of 20 minutes at first; after that two become one, and each stands for twice the time."""

SHORTEST_S = 1.0
HIGH_IS_GOOD = ("mos", "remote_mos")
NAMES = tuple(field.name for field in attrs.fields(Sample))
PLACES = {"mos": 2, "remote_mos": 2}


class Source(Protocol):
    """Where samples come from: a `Monitor`."""

    def sample(self) -> Sample: ...


class Tally:
    """The least and the mean of the MOS in one direction."""

    __slots__ = ("_count", "_sum", "least")

    def __init__(self) -> None:
        self.least: float | None = None
        self._sum, self._count = 0.0, 0

    def add(self, mos: float) -> None:
        self.least = mos if self.least is None else min(self.least, mos)
        self._sum += mos
        self._count += 1

    @property
    def mean(self) -> float | None:
        return self._sum / self._count if self._count else None


class Samples:
    """As many as MOST; where one stands for several it has the worst of each value (sans-IO)."""

    __slots__ = ("_kept", "_open", "_parts", "each", "heard", "remote")

    def __init__(self) -> None:
        self._kept: list[Sample] = []
        self._open: Sample | None = None
        self._parts = 0
        self.each = 1  # one that is kept stands for so many that were taken
        self.heard, self.remote = Tally(), Tally()

    def add(self, sample: Sample) -> None:
        if sample.mos is not None:
            self.heard.add(sample.mos)
        if sample.remote_mos is not None:
            self.remote.add(sample.remote_mos)
        self._open = sample if self._open is None else worst(self._open, sample)
        self._parts += 1
        if self._parts == self.each:
            self._keep()

    def _keep(self) -> None:
        assert self._open is not None
        self._kept.append(self._open)
        self._open, self._parts = None, 0
        if len(self._kept) == MOST:
            self._kept = [worst(a, b) for a, b in zip(self._kept[::2], self._kept[1::2], strict=True)]
            self.each *= 2

    def arrays(self) -> dict[str, list[float | None]]:
        """By name, in the order of time; without those of which nothing is known."""
        kept = self._kept if self._open is None else [*self._kept, self._open]
        found: dict[str, list[float | None]] = {}
        for name in NAMES:
            places = PLACES.get(name, 1)
            values = [None if (value := getattr(sample, name)) is None else round(value, places) for sample in kept]
            if any(value is not None for value in values):
                found[name] = values
        return found

    def fields(self) -> dict[str, float | None]:
        """Columns of the call's record."""
        values = {
            "mos_min": self.heard.least, "mos_mean": self.heard.mean,
            "remote_mos_min": self.remote.least, "remote_mos_mean": self.remote.mean,
        }  # fmt: skip
        return {name: None if value is None else round(value, 2) for name, value in values.items()}


def worst(one: Sample, other: Sample) -> Sample:
    """Value by value."""
    return Sample(*(_worse(name, getattr(one, name), getattr(other, name)) for name in NAMES))


def _worse(name: str, a: float | None, b: float | None) -> float | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b) if name in HIGH_IS_GOOD else max(a, b)


class QualityLog:
    """Samples a leg as long as its call lasts."""

    __slots__ = ("_alarm", "_clock", "_counters", "_last", "_source", "samples")

    def __init__(self, clock: IReactorTime, counters: ICounters, source: Source) -> None:
        self._clock = clock
        self._counters = counters
        self._source = source
        self._alarm: IDelayedCall | None = None
        self._last = 0.0
        self.samples = Samples()

    def start(self) -> None:
        self._last = self._clock.seconds()
        self._alarm = self._clock.callLater(EVERY_S, self._due)

    def stop(self, record: Callable[[str, None, dict[str, Any]], None]) -> dict[str, float | None]:
        """Writes the event 'quality'; returns what belongs to the end of the record."""
        if self._alarm is None:
            return {}
        self._alarm.cancel()
        self._alarm = None
        if self._clock.seconds() - self._last >= SHORTEST_S:
            self._take()
        arrays = self.samples.arrays()
        if arrays:
            record("quality", None, {"every_s": EVERY_S * self.samples.each, **arrays})
        return self.samples.fields()

    def _due(self) -> None:
        self._take()
        self._alarm = self._clock.callLater(EVERY_S, self._due)

    def _take(self) -> None:
        self._last = self._clock.seconds()
        sample = self._source.sample()
        self.samples.add(sample)
        tell(self._counters, "in", sample.mos, sample.loss_pct, sample.jitter_ms)
        tell(self._counters, "out", sample.remote_mos, sample.remote_loss_pct, sample.remote_jitter_ms)


def tell(counters: ICounters, label: str, mos: float | None, loss_pct: float | None, jitter_ms: float | None) -> None:
    """/metrics."""
    if mos is not None:
        counters.observe("rtp.mos", mos, label)
    if loss_pct is not None:
        counters.observe("rtp.loss_ratio", loss_pct / 100, label)
    if jitter_ms is not None:
        counters.observe("rtp.jitter_seconds", jitter_ms / 1000, label)


def count_packets(counters: ICounters, leg: LegStats) -> None:
    """/metrics, at the end of a call; how many of ours were lost on the way is known by RTCP only."""
    for label, packets, lost in (("in", leg.packets_received, leg.lost), ("out", leg.packets_sent, leg.remote_lost or 0)):
        counters.count("rtp.packets", label, packets)
        counters.count("rtp.lost", label, max(0, lost))
