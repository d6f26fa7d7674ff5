"""Asks the DNS for what `location` wants to know (twisted.names: /etc/hosts, a cache, the system's name servers)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.names import cache, client, dns, hosts, resolve
from twisted.python.failure import Failure

from smartalex.errors import LocalError
from smartalex.sip.headers import Peer
from smartalex.sip.location import Blocklist, Naptr, Query, Srv, locate
from smartalex.sip.uri import Uri

TRIES_S = (1, 2)
LIMIT_S = 8.0


class Locator:
    """`expect(peer, domain)` is told whose certificate a TLS target has to show."""

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
        self._resolver = resolver
        self._blocked = Blocklist()

    def locate(self, uri: Uri) -> Deferred[tuple[Peer, ...]]:
        """The targets in the order to try them; fails with LocalError when there is none."""
        found = Deferred.fromCoroutine(self._locate(uri))
        found.addTimeout(LIMIT_S, self._reactor, self._too_late(uri))
        return found

    def failed(self, peer: Peer, retry_after_s: float | None = None) -> None:
        self._blocked.failed(peer, self._reactor.seconds(), retry_after_s)

    async def _locate(self, uri: Uri) -> tuple[Peer, ...]:
        asking = locate(uri, self._supported, self._random)
        try:
            queries = next(asking)
            while True:
                queries = asking.send(await gatherResults([self._ask(query) for query in queries]))
        except StopIteration as done:
            targets = self._blocked.sort(done.value, self._reactor.seconds())
        if not targets:
            raise LocalError(f"{uri.host} cannot be found, or speaks no transport of ours")
        for target in targets:
            if target.peer.transport == "tls":
                self._expect(target.peer, target.domain)
        return tuple(target.peer for target in targets)

    def _too_late(self, uri: Uri) -> Callable[[Any, float], None]:
        def raise_it(_: Any, seconds: float) -> None:
            raise LocalError(f"the DNS said nothing about {uri.host} for {seconds:.0f} s")

        return raise_it

    def _ask(self, query: Query) -> Deferred[Sequence[Any]]:
        if self._resolver is None:
            self._resolver = of_the_system(self._reactor)
        lookup, read = LOOKUPS[query.kind]
        answered: Deferred[Any] = getattr(self._resolver, lookup)(query.name, timeout=TRIES_S)
        return answered.addCallbacks(lambda sections: _payloads(sections[0], read), _nothing)


def of_the_system(reactor: Any) -> Any:
    """/etc/hosts, what was asked before, and the name servers of /etc/resolv.conf."""
    servers = client.Resolver(resolv="/etc/resolv.conf", reactor=reactor)
    return resolve.ResolverChain([hosts.Resolver("/etc/hosts"), cache.CacheResolver(reactor=reactor), servers])


def _payloads(answers: Sequence[Any], read: tuple[type, Callable[[Any], Any]]) -> Sequence[Any]:
    kind, value = read
    return [value(header.payload) for header in answers if isinstance(header.payload, kind)]


def _nothing(failure: Failure) -> Sequence[Any]:
    """No such name, no such record, or no answer: there are other ways."""
    return []


def _naptr(record: Any) -> Naptr:
    service, flags = record.service.string.decode("ascii", "replace"), record.flags.string.decode("ascii", "replace")
    return Naptr(record.order, record.preference, flags, service, str(record.replacement))


LOOKUPS: dict[str, tuple[str, tuple[type, Callable[[Any], Any]]]] = {
    "NAPTR": ("lookupNamingAuthorityPointer", (dns.Record_NAPTR, _naptr)),
    "SRV": ("lookupService", (dns.Record_SRV, lambda r: Srv(r.priority, r.weight, r.port, str(r.target)))),
    "A": ("lookupAddress", (dns.Record_A, lambda r: r.dottedQuad())),
    "AAAA": ("lookupIPV6Address", (dns.Record_AAAA, lambda r: socket.inet_ntop(socket.AF_INET6, r.address))),
}
