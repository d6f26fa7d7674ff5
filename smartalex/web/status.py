"""/metrics, /healthz and /readyz; they say nothing about versions and know no secret."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.http import NOT_ALLOWED, NOT_FOUND, OK, SERVICE_UNAVAILABLE, Request
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import implementer

from smartalex.web.metrics import Metrics

PLAIN = b"text/plain; charset=utf-8"
EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
IDLE_S = 30

Ready = Callable[[], str]
"""'' when calls can be taken, else the reason why not."""


@implementer(IResource)
class StatusPages(Resource):
    isLeaf = True

    def __init__(self, metrics: Metrics, ready: Ready) -> None:
        super().__init__()
        self._metrics = metrics
        self._ready = ready

    def render(self, request: Request) -> bytes:
        request.responseHeaders.removeHeader(b"server")
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return self._answer(request, NOT_ALLOWED, b"only GET\n")
        body = self._page(request)
        request.setHeader(b"content-length", b"%d" % len(body))
        return b"" if request.method == b"HEAD" else body

    def _page(self, request: Request) -> bytes:
        if request.path == b"/metrics":
            return self._answer(request, OK, self._metrics.text(), EXPOSITION)
        if request.path == b"/healthz":
            return self._answer(request, OK, b"ok\n")
        if request.path == b"/readyz":
            reason = self._ready()
            return self._answer(request, SERVICE_UNAVAILABLE if reason else OK, (reason or "ok").encode() + b"\n")
        return self._answer(request, NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")

    @staticmethod
    def _answer(request: Request, status: int, body: bytes, kind: bytes = PLAIN) -> bytes:
        request.setResponseCode(status)
        request.setHeader(b"content-type", kind)
        return body


class StatusSite(Site):
    """Without an access log."""

    displayTracebacks = False

    def log(self, request: Request) -> None:
        pass


def status_site(metrics: Metrics, ready: Ready) -> Site:
    """To be listened with, on the address of [http]."""
    return StatusSite(StatusPages(metrics, ready), timeout=IDLE_S)
