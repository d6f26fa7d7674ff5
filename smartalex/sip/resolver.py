"""Asks the DNS for what `location` wants to know (/etc/hosts, then the system's name servers) and keeps the answers."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred, succeed
from twisted.names import client, dns, error, hosts, resolve
from twisted.python.failure import Failure

from smartalex.errors import LocalError
from smartalex.sip.headers import Peer
from smartalex.sip.location import Blocklist, Naptr, Query, Srv, locate
from smartalex.sip.uri import Uri

TRIES_S = (0.6, 0.9)
PATIENCE_S = 1.6
"""With one answer; a URI takes three in a row at most, so that one is located or given up within five seconds."""

LEAST_S, LONGEST_S, NEGATIVE_S = 5.0, 3600.0, 10.0
"""An answer is kept for as long as its records say, within these bounds; that there is none, for ten seconds."""

MOST_KEPT = 1000
MOST_AT_ONCE = 128
"""Questions on their way; each has a socket of its own."""

_SERVICE = re.compile(rb"^(_[^.]+\.)+").sub


@attrs.frozen
class Answer:
    """`heard` is False when there was none in time, or the name server could not say."""

    records: Sequence[Any] = ()
    until: float = 0.0
    heard: bool = False


class Locator:
    """`expect(peer, domain)` is told whose certificate a TLS target has to show; `resolver` is by default that of the system."""

    def __init__(
        self,
        reactor: Any,
        supported: Sequence[str],
        random: Callable[[int], int],
        expect: Callable[[Peer, str], None] = lambda peer, domain: None,
        resolver: Any = None,
    ) -> None:
        self._reactor = reactor
        self._supported = tuple(supported)
        self._random = random
        self._expect = expect
        self._lookups = Lookups(reactor, resolver)
        self._blocked = Blocklist()

    def locate(self, uri: Uri) -> Deferred[tuple[Peer, ...]]:
        """The targets in the order to try them; fails with LocalError when there is none."""
        return Deferred.fromCoroutine(self._locate(uri))

    def failed(self, peer: Peer, retry_after_s: float | None = None) -> None:
        """It did not answer, or answered 503 (RFC 3263 4.3): for a moment the others are tried before it."""
        self._blocked.failed(peer, self._reactor.seconds(), retry_after_s)

    async def _locate(self, uri: Uri) -> tuple[Peer, ...]:
        asking = locate(uri, self._supported, self._random)
        asked: list[tuple[Query, Answer]] = []
        try:
            queries = next(asking)
            while True:
                answers = await gatherResults([self._lookups.ask(query) for query in queries], consumeErrors=True)
                asked += zip(queries, answers, strict=True)
                queries = asking.send([answer.records for answer in answers])
        except StopIteration as done:
            targets = self._blocked.without(done.value, self._reactor.seconds())
        if not targets:
            raise LocalError(_why_not(uri, asked))
        for target in targets:
            if target.peer.transport in ("tls", "wss"):
                self._expect(target.peer, target.domain)
        return tuple(target.peer for target in targets)


class Lookups:
    """Asks each question once at a time, and again only when its answer has grown old."""

    def __init__(self, reactor: Any, resolver: Any = None) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._kept: dict[Query, Answer] = {}
        self._waiting: dict[Query, list[Deferred[Answer]]] = {}

    def ask(self, query: Query) -> Deferred[Answer]:
        """Never fails, and answers within PATIENCE_S."""
        answer = self._kept.get(query)
        if answer is not None and answer.until > self._reactor.seconds():
            return succeed(answer)
        if query not in self._waiting and len(self._waiting) >= MOST_AT_ONCE:
            return succeed(Answer())
        waiter: Deferred[Answer] = Deferred()
        self._waiting.setdefault(query, []).append(waiter)
        if len(self._waiting[query]) == 1:
            self._look_up(query)
        return waiter

    def _look_up(self, query: Query) -> None:
        if self._resolver is None:
            self._resolver = of_the_system(self._reactor)
        lookup, kind, read = LOOKUPS[query.kind]
        asked = maybeDeferred(getattr(self._resolver, lookup), query.name, timeout=TRIES_S)
        asked.addTimeout(PATIENCE_S, self._reactor)
        asked.addCallback(lambda sections: self._read(sections[0], kind, read))
        asked.addErrback(self._none)
        asked.addCallback(lambda answer: self._answered(query, answer))

    def _read(self, headers: Sequence[Any], kind: type, read: Callable[[Any], Any]) -> Answer:
        records = [read(header.payload) for header in headers if isinstance(header.payload, kind)]
        shortest_s = min((header.ttl for header in headers), default=0) if records else NEGATIVE_S
        return Answer(records, self._reactor.seconds() + min(max(shortest_s, LEAST_S), LONGEST_S), heard=True)

    def _none(self, failure: Failure) -> Answer:
        """No such name, no answer, or one that cannot be read: there may be other ways."""
        heard = failure.check(error.DNSNameError, error.AuthoritativeDomainError) is not None
        return Answer((), self._reactor.seconds() + NEGATIVE_S, heard)

    def _answered(self, query: Query, answer: Answer) -> None:
        self._kept[query] = answer
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        for waiter in self._waiting.pop(query):
            waiter.callback(answer)


class Hosts(hosts.Resolver):
    """A name in /etc/hosts has the addresses that stand there, and nothing else is asked about it."""

    def _respond(self, name: bytes, records: Sequence[Any]) -> Deferred[Any]:
        known = records or self._aRecords(name) or self._aaaaRecords(name)
        return succeed((records, (), ())) if known else fail(error.DomainError(name))

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> Deferred[Any]:
        return self._respond(_SERVICE(b"", name), ())


def of_the_system(reactor: Any) -> Any:
    """/etc/hosts, then the name servers of /etc/resolv.conf."""
    return resolve.ResolverChain([Hosts(b"/etc/hosts", 0), client.Resolver(resolv="/etc/resolv.conf", reactor=reactor)])


def _why_not(uri: Uri, asked: Sequence[tuple[Query, Answer]]) -> str:
    if not asked:
        return f"no transport of ours leads to {uri.scheme}:{uri.host}"
    silent = [f"{query.kind} {query.name}" for query, answer in asked if not answer.heard]
    why = f"the DNS does not answer about {', '.join(silent[:4])}" if silent else "the DNS has no address for it"
    return f"{uri.host} cannot be found: {why}"


def _naptr(record: Any) -> Naptr:
    service, flags = record.service.string.decode("ascii"), record.flags.string.decode("ascii")
    return Naptr(record.order, record.preference, flags, service, str(record.replacement))


LOOKUPS: dict[str, tuple[str, type, Callable[[Any], Any]]] = {
    "NAPTR": ("lookupNamingAuthorityPointer", dns.Record_NAPTR, _naptr),
    "SRV": ("lookupService", dns.Record_SRV, lambda r: Srv(r.priority, r.weight, r.port, str(r.target))),
    "A": ("lookupAddress", dns.Record_A, lambda r: r.dottedQuad()),
    "AAAA": ("lookupIPV6Address", dns.Record_AAAA, lambda r: socket.inet_ntop(socket.AF_INET6, r.address)),
}
