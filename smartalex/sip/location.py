"""Where a URI leads (RFC 3263): a question to the DNS, then the next one, then the targets in the order to try them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import attrs

from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri

MOST = 16
"""Targets, and records of one answer, that are looked at."""

PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
PREFIXES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}


@attrs.frozen
class Query:
    """`kind` is 'NAPTR', 'SRV', 'A' or 'AAAA'."""

    kind: str
    name: str


@attrs.frozen
class Naptr:
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@attrs.frozen
class Srv:
    priority: int
    weight: int
    port: int
    target: str


@attrs.frozen
class Target:
    """`domain` is whose certificate is expected over TLS: that of the URI, whatever the DNS says (RFC 5922 4)."""

    peer: Peer
    domain: str


Asking = Generator[tuple[Query, ...], Sequence[Sequence[Any]], tuple[Target, ...]]
"""Yields questions, is sent the answer to each (Naptr, Srv, or addresses as text), and returns the targets."""


def is_numeric(host: str) -> bool:
    return host.startswith("[") or (host.replace(".", "").isdigit() and host.count(".") == 3)


def locate(uri: Uri, supported: Sequence[str], random: Callable[[int], int]) -> Asking:
    """`supported` are our transports; `random(n)` gives 0 to n - 1.  Nothing is returned for what cannot be reached."""
    secure = uri.scheme == "sips"
    host, asked = uri.param("maddr") or uri.host, (uri.param("transport") or "").lower()
    wanted = {"tcp": "tls", "ws": "wss"}.get(asked, asked or "tls") if secure else asked
    if wanted and wanted not in supported:
        return ()
    plain = wanted or next((transport for transport in ("udp", "tcp") if transport in supported), "")
    if is_numeric(host) or uri.port is not None:
        return (yield from _at(host, plain, uri.port, uri.host))
    ways = [(wanted, PREFIXES[wanted] + host)] if wanted in PREFIXES else []
    if not wanted:
        ((naptrs,)) = yield (Query("NAPTR", host),)
        ways = _by_naptr(naptrs, supported) or [(t, PREFIXES[t] + host) for t in ("udp", "tcp") if t in supported]
    found: list[Target] = []
    answers = yield tuple(Query("SRV", name) for _, name in ways)
    for (transport, _), records in zip(ways, answers, strict=True):
        for record in in_order(records, random):
            found += yield from _at(record.target, transport, record.port, uri.host)
            if len(found) >= MOST:
                return tuple(found[:MOST])
    return tuple(found) or (yield from _at(host, plain, None, uri.host))


def _by_naptr(naptrs: Iterable[Naptr], supported: Sequence[str]) -> list[tuple[str, str]]:
    """(transport, name to ask SRV for) of the services that we speak, best first (RFC 3263 4.1)."""
    usable = [n for n in list(naptrs)[:MOST] if n.flags.lower() == "s" and SERVICES.get(n.service.upper()) in supported]
    usable.sort(key=lambda n: (n.order, n.preference))
    return [(SERVICES[n.service.upper()], n.replacement) for n in usable if n.replacement]


def in_order(records: Iterable[Srv], random: Callable[[int], int]) -> list[Srv]:
    """By priority, and among equals at random by weight (RFC 2782); a target of "." stands for none."""
    left = sorted((r for r in list(records)[:MOST] if r.target not in ("", ".") and r.port), key=lambda r: (r.priority, r.weight))
    order = []
    while left:
        group = [r for r in left if r.priority == left[0].priority]
        point = random(sum(r.weight for r in group) + 1)
        for record in group:
            point -= record.weight
            if point <= 0:
                break
        order.append(record)
        left.remove(record)
    return order


def _at(host: str, transport: str, port: int | None, domain: str) -> Asking:
    if not transport:
        return ()
    number = port or PORTS.get(transport, 5060)
    if is_numeric(host):
        return (Target(Peer(transport, host.strip("[]"), number), domain),)
    fours, sixes = yield Query("A", host), Query("AAAA", host)
    return tuple(Target(Peer(transport, address, number), domain) for address in (*fours[:MOST], *sixes[:MOST]))


class Blocklist:
    """Targets that failed a moment ago (RFC 3263 4.3): tried only when there is no other."""

    def __init__(self, seconds: float = 30.0, most: int = 1000) -> None:
        self._seconds, self._most = seconds, most
        self._until: dict[Peer, float] = {}

    def failed(self, peer: Peer, now: float, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is what a 503 said, at most five minutes are believed."""
        if len(self._until) >= self._most:
            self._until = {other: until for other, until in self._until.items() if until > now}
        if len(self._until) < self._most:
            self._until[peer] = now + min(300.0, self._seconds if retry_after_s is None else retry_after_s)

    def sort(self, targets: Sequence[Target], now: float) -> tuple[Target, ...]:
        good = tuple(target for target in targets if self._until.get(target.peer, 0.0) <= now)
        return good or tuple(targets)
