"""Counters and gauges in the text format that Prometheus reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smartalex.counters import Counters

PREFIX = "smartalex_"


@attrs.frozen
class Gauge:
    """A value of this moment: one number, or several told apart by `label` ("state" -> {"talking": 3})."""

    name: str
    help: str
    values: float | Mapping[str, float]
    label: str = ""


Gauges = Callable[[], Iterable[Gauge]]


class Metrics:
    """`gauges` is asked at every scrape."""

    def __init__(self, counters: Counters, gauges: Gauges) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Ours(counters, gauges))
        ProcessCollector(registry=self._registry)  # memory, CPU, open files

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Ours(Collector):
    def __init__(self, counters: Counters, gauges: Gauges) -> None:
        self._counters = counters
        self._gauges = gauges

    def describe(self) -> list[Metric]:
        return []  # the names are not known before they are counted

    def collect(self) -> Iterator[Metric]:
        totals: dict[str, dict[str, int]] = {}
        for (name, label), value in self._counters.values.items():
            totals.setdefault(name, {})[label] = value
        for name, by_label in sorted(totals.items()):
            yield _counter(name, by_label)
        yield from map(_gauge, self._gauges())


def _counter(name: str, by_label: Mapping[str, int]) -> Metric:
    if set(by_label) == {""}:
        return CounterMetricFamily(metric_name(name), f"{name} events", value=by_label[""])
    family = CounterMetricFamily(metric_name(name), f"{name} events", labels=["kind"])
    for label, value in sorted(by_label.items()):
        family.add_metric([label], value)
    return family


def _gauge(gauge: Gauge) -> Metric:
    if not isinstance(gauge.values, Mapping):
        return GaugeMetricFamily(metric_name(gauge.name), gauge.help, value=gauge.values)
    family = GaugeMetricFamily(metric_name(gauge.name), gauge.help, labels=[gauge.label or "kind"])
    for label, value in gauge.values.items():
        family.add_metric([label], value)
    return family


def metric_name(name: str) -> str:
    """'sip.malformed' -> 'smartalex_sip_malformed'."""
    return PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", name)
