"""The HTTP side of a node: /metrics, /healthz, /readyz."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from smartalex.counters import Counters

Gauges = Callable[[], dict[str, float]]


class Counted(Collector):
    """`sip.received` with label `udp` becomes smartalex_sip_received_total{label="udp"}."""

    def __init__(self, counters: Counters, gauges: Gauges) -> None:
        self._counters, self._gauges = counters, gauges

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for (name, label), total in sorted(self._counters.values.items()):
            metric = "smartalex_" + name.replace(".", "_")
            family = families.setdefault(metric, CounterMetricFamily(metric, f"Counted events: {name}", labels=["label"]))
            family.add_metric([label], total)
        yield from families.values()
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"smartalex_{name}", name.replace("_", " "), value=value)


class _Page(Resource):
    isLeaf = True

    def __init__(self, render: Callable[[Request], bytes]) -> None:
        super().__init__()
        self._render = render

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return self._render(request)


def site(counters: Counters, gauges: Gauges, ready: Callable[[], bool]) -> Site:
    registry = CollectorRegistry()
    registry.register(Counted(counters, gauges))

    def readiness(request: Request) -> bytes:
        if ready():
            return b"ready\n"
        request.setResponseCode(503)
        return b"not ready\n"

    root = Resource()
    root.putChild(b"metrics", _Page(lambda request: generate_latest(registry)))
    root.putChild(b"healthz", _Page(lambda request: b"ok\n"))
    root.putChild(b"readyz", _Page(readiness))
    return Site(root)
