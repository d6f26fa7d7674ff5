"""The HTTP side of a node: /metrics, /healthz, /readyz."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from twisted.internet.interfaces import IReactorTime
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from smartalex.counters import Counters, Histogram

IDLE_S = 30

Gauges = Callable[[], Mapping[str, float | Mapping[str, float]]]
"""Values by name, or by name and label."""


class Counted(Collector):
    """`sip.received` with label `udp` becomes smartalex_sip_received_total{label="udp"}."""

    def __init__(self, counters: Counters, gauges: Gauges) -> None:
        self._counters, self._gauges = counters, gauges

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for (name, label), total in sorted(self._counters.values.items()):
            metric = _metric(name)
            family = families.setdefault(metric, CounterMetricFamily(metric, f"Counted events: {name}", labels=["label"]))
            family.add_metric([label], total)
        yield from families.values()
        yield from self._histograms()
        for name, value in self._gauges().items():
            if isinstance(value, Mapping):
                gauge = GaugeMetricFamily(f"smartalex_{name}", name.replace("_", " "), labels=["label"])
                for label, one in value.items():
                    gauge.add_metric([label], one)
                yield gauge
            else:
                yield GaugeMetricFamily(f"smartalex_{name}", name.replace("_", " "), value=value)

    def _histograms(self) -> Iterator[Metric]:
        families: dict[str, HistogramMetricFamily] = {}
        for (name, label), histogram in sorted(self._counters.histograms.items(), key=lambda item: item[0]):
            metric = _metric(name)
            family = families.setdefault(metric, HistogramMetricFamily(metric, f"Distribution of {name}", labels=["label"]))
            family.add_metric([label], _cumulative(histogram), histogram.sum)
        yield from families.values()


def _metric(name: str) -> str:
    return "smartalex_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    counts = accumulate(histogram.counts)
    return [(str(bound), count) for bound, count in zip((*histogram.bounds, "+Inf"), counts, strict=True)]


class _Folder(Resource):
    def getChild(self, path: bytes, request: Request) -> IResource:
        return notFound()


class _Page(_Folder):
    def __init__(self, render: Callable[[Request], bytes], content_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__()
        self._render = render
        self._content_type = content_type.encode()

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(405)
            request.setHeader(b"allow", b"GET, HEAD")
            return b""
        request.setHeader(b"content-type", self._content_type)
        body = self._render(request)
        request.setHeader(b"content-length", b"%d" % len(body))
        return body if request.method == b"GET" else b""


class _Request(Request):
    def render(self, resrc: Any) -> None:
        self.responseHeaders.removeHeader(b"server")  # our version is nobody's business
        super().render(resrc)


def site(counters: Counters, gauges: Gauges, ready: Callable[[], bool], clock: IReactorTime) -> Site:
    """The pages of one node; a client that says nothing for IDLE_S is cut off."""
    registry = CollectorRegistry()
    registry.register(Counted(counters, gauges))

    def readiness(request: Request) -> bytes:
        if ready():
            return b"ready\n"
        request.setResponseCode(503)
        return b"not ready\n"

    root = _Folder()
    root.putChild(b"metrics", _Page(lambda request: generate_latest(registry), CONTENT_TYPE_LATEST))
    root.putChild(b"healthz", _Page(lambda request: b"ok\n"))
    root.putChild(b"readyz", _Page(readiness))
    return Site(root, requestFactory=_Request, reactor=clock, timeout=IDLE_S)
