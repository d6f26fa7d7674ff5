"""Where a URI leads (RFC 3263): questions to the DNS, at most three in a row, then the targets in the order to try them."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import attrs

from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri

MOST = 16
"""Targets, and records of one answer, that are looked at."""

PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443}
PREFIXES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
SECURED = {"": "", "tcp": "tls", "tls": "tls", "ws": "wss", "wss": "wss"}
"""What a transport parameter means in a sips: URI; the others cannot be secured."""

_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}").fullmatch


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


Hop = tuple[str, str, int]
"""transport, name or address, port"""

Asking = Generator[tuple[Query, ...], Sequence[Sequence[Any]], tuple[Target, ...]]
"""Yields questions, is sent the answer to each (Naptr, Srv, or addresses as text), and returns the targets."""


def locate(uri: Uri, supported: Sequence[str], random: Callable[[int], int]) -> Asking:
    """`supported` are our transports; `random(n)` gives 0 to n - 1.  Nothing is returned for what cannot be reached."""
    host = _plain(uri.param("maddr") or uri.host)
    transport = _asked_for(uri)
    if transport:
        usable: tuple[str, ...] = (transport,)
    else:
        usable = ("tls",) if uri.scheme == "sips" else ("udp", "tcp")
    usable = tuple(one for one in usable if one in supported)
    if is_numeric(host) or uri.port is not None or transport not in ("", *PREFIXES):
        hops = [(one, host, uri.port or PORTS[one]) for one in usable[:1]]
    elif _NAME(host):
        ways = [(one, PREFIXES[one] + host) for one in usable]
        if not transport:
            (records,) = yield (Query("NAPTR", host),)
            ways = _by_naptr(records, supported if uri.scheme == "sip" else usable) or ways
        hops = yield from _by_srv(ways, host, random)
    else:
        hops = []
    return (yield from _addresses(hops, uri.host))


def is_numeric(host: str) -> bool:
    """True for an IPv4 or (bracketed) IPv6 address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def in_order(records: Iterable[Srv], random: Callable[[int], int]) -> list[Srv]:
    """By priority, and among equals at random by weight (RFC 2782)."""
    left = sorted(records, key=lambda r: (r.priority, r.weight))
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


def _plain(name: str) -> str:
    return name.lower().rstrip(".")


def _asked_for(uri: Uri) -> str:
    """The transport that the URI names, '' for none; 'none' stands for one that a sips: URI cannot have."""
    named = (uri.param("transport") or "").lower()
    return SECURED.get(named, "none") if uri.scheme == "sips" else named


def _by_naptr(records: Iterable[Naptr], usable: Sequence[str]) -> list[tuple[str, str]]:
    """(transport, name to ask SRV for) of the services that we speak, best first (RFC 3263 4.1)."""
    best = sorted(records, key=lambda n: (n.order, n.preference))[:MOST]
    ways = [(SERVICES.get(n.service.upper(), ""), _plain(n.replacement)) for n in best if n.flags.lower() == "s"]
    return [(transport, name) for transport, name in dict.fromkeys(ways) if transport in usable and _NAME(name)]


def _by_srv(
    ways: Sequence[tuple[str, str]], host: str, random: Callable[[int], int]
) -> Generator[tuple[Query, ...], Sequence[Sequence[Srv]], list[Hop]]:
    """Without any SRV record the host itself (RFC 3263 4.2); a target of "." says that the service is not there (RFC 2782)."""
    if not ways:
        return []
    answers = yield tuple(Query("SRV", name) for _, name in ways)
    hops: list[Hop] = []
    unknown = []
    for (transport, _), records in zip(ways, answers, strict=True):
        usable = [r for r in records[:MOST] if r.port and _plain(r.target)]
        hops += [(transport, _plain(r.target), r.port) for r in in_order(usable, random)]
        if not records:
            unknown.append((transport, host, PORTS[transport]))
    return hops[:MOST] or unknown[:1]


def _addresses(hops: Sequence[Hop], domain: str) -> Asking:
    names = dict.fromkeys(host for _, host, _ in hops if _NAME(host) and not is_numeric(host))
    queries = tuple(Query(kind, name) for name in names for kind in ("A", "AAAA"))
    known: dict[str, list[str]] = {host: [host.strip("[]")] if is_numeric(host) else [] for _, host, _ in hops}
    if queries:
        for query, addresses in zip(queries, (yield queries), strict=True):
            known[query.name] += addresses[:MOST]
    targets = [Target(Peer(transport, address, port), domain) for transport, host, port in hops for address in known[host]]
    return tuple(dict.fromkeys(targets))[:MOST]


class Blocklist:
    """Targets that failed a moment ago (RFC 3263 4.3): tried only when there is no other."""

    def __init__(self, seconds: float = 30.0, most: int = 1000) -> None:
        self._seconds, self._most = seconds, most
        self._until: dict[Peer, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def failed(self, peer: Peer, now: float, retry_after_s: float | None = None) -> None:
        """`retry_after_s` is what a 503 said, at most five minutes are believed."""
        if len(self._until) >= self._most:
            self._until = {other: until for other, until in self._until.items() if until > now}
        if len(self._until) < self._most or peer in self._until:
            self._until[peer] = now + min(300.0, self._seconds if retry_after_s is None else retry_after_s)

    def without(self, targets: Sequence[Target], now: float) -> tuple[Target, ...]:
        """Those to try now, in their order."""
        good = tuple(target for target in targets if self._until.get(target.peer, 0.0) <= now)
        return good or tuple(targets)
