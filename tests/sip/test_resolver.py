"""Locating over real DNS messages: a name server of our own on a loopback port."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.names import authority, client, dns, server
from twisted.trial.unittest import TestCase

from smartalex.errors import LocalError
from smartalex.sip.headers import Peer
from smartalex.sip.resolver import Locator, of_the_system
from smartalex.sip.uri import Uri


class Zone(authority.FileAuthority):
    def __init__(self) -> None:
        super().__init__(b"")

    def loadFile(self, filename: Any) -> None:
        self.soa = b"example", dns.Record_SOA(b"ns.example", b"root.example", 1, 60, 60, 60, 60)
        self.records = {
            b"example": [self.soa[1]],
            b"pbx.example": [dns.Record_NAPTR(1, 1, b"s", b"SIPS+D2T", b"", b"_sips._tcp.pbx.example")],
            b"_sips._tcp.pbx.example": [dns.Record_SRV(1, 1, 5071, b"a.example"), dns.Record_SRV(2, 1, 5072, b"b.example")],
            b"a.example": [dns.Record_A("192.0.2.1", 60), dns.Record_AAAA("2001:db8::1", 60)],
            b"b.example": [dns.Record_A("192.0.2.2", 60)],
        }  # fmt: skip


class Locating(TestCase):
    def setUp(self) -> None:
        factory = server.DNSServerFactory(authorities=[Zone()])
        factory.noisy = False
        protocol = dns.DNSDatagramProtocol(factory)
        protocol.noisy = False
        port = reactor.listenUDP(0, protocol, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.expected: list[tuple[str, str]] = []
        resolver = client.Resolver(servers=[("127.0.0.1", port.getHost().port)], reactor=reactor)
        self.locator = self.make(resolver)

    def make(self, resolver: Any) -> Locator:
        expect = lambda peer, domain: self.expected.append((peer.host, domain))  # noqa: E731
        return Locator(reactor, ("udp", "tcp", "tls"), Random(1).randrange, expect, resolver)

    def test_naptr_srv_and_addresses(self) -> Deferred[Any]:
        async def look() -> None:
            peers = await self.locator.locate(Uri.parse("sip:pbx.example"))
            one = [Peer("tls", "192.0.2.1", 5071), Peer("tls", "2001:db8::1", 5071)]
            self.assertEqual(list(peers), [*one, Peer("tls", "192.0.2.2", 5072)])
            self.assertEqual(set(self.expected), {(host, "pbx.example") for host in ("192.0.2.1", "2001:db8::1", "192.0.2.2")})
            for peer in one:
                self.locator.failed(peer)
            self.assertEqual(await self.locator.locate(Uri.parse("sip:pbx.example")), (Peer("tls", "192.0.2.2", 5072),))

        return Deferred.fromCoroutine(look())

    def test_a_name_without_sip_records(self) -> Deferred[Any]:
        async def look() -> None:
            self.assertEqual(await self.locator.locate(Uri.parse("sip:b.example")), (Peer("udp", "192.0.2.2", 5060),))

        return Deferred.fromCoroutine(look())

    def test_a_name_that_is_not(self) -> Deferred[Any]:
        async def look() -> None:
            with self.assertRaises(LocalError) as caught:
                await self.locator.locate(Uri.parse("sip:nobody.example"))
            self.assertEqual(str(caught.exception), "nobody.example cannot be found, or speaks no transport of ours")

        return Deferred.fromCoroutine(look())

    def test_a_name_server_that_is_silent(self) -> Deferred[Any]:
        silent = reactor.listenUDP(0, dns.DNSDatagramProtocol(Deaf()), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(silent.stopListening)
        self.patch(__import__("smartalex.sip.resolver", fromlist=["x"]), "LIMIT_S", 0.5)
        locator = self.make(client.Resolver(servers=[("127.0.0.1", silent.getHost().port)], reactor=reactor))

        async def look() -> None:
            with self.assertRaises(LocalError):
                await locator.locate(Uri.parse("sip:pbx.example"))

        return Deferred.fromCoroutine(look())

    def test_etc_hosts(self) -> Deferred[Any]:
        chain = of_the_system(reactor)
        for call in reactor.getDelayedCalls():  # type: ignore[attr-defined]
            call.cancel()  # the one that looks after /etc/resolv.conf

        async def look() -> None:
            (peer, *_) = await self.make(chain).locate(Uri.parse("sip:localhost:5099"))
            self.assertEqual(peer.port, 5099)
            self.assertIn(peer.host, ("127.0.0.1", "::1"))

        return Deferred.fromCoroutine(look())


class Deaf:
    def messageReceived(self, *_: Any) -> None:
        """Not a word."""
