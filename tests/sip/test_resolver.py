"""Locating over real DNS messages: a name server of our own on a loopback port."""

from __future__ import annotations

from collections import Counter
from random import Random
from tempfile import NamedTemporaryFile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.names import authority, client, common, dns, error, resolve, server
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from smartalex.errors import LocalError
from smartalex.sip import resolver
from smartalex.sip.headers import Peer
from smartalex.sip.location import Query
from smartalex.sip.resolver import Answer, Hosts, Locator, Lookups
from smartalex.sip.uri import Uri

LOOPBACK = "127.0.0.1"
ONE = (Peer("tls", "192.0.2.1", 5071), Peer("tls", "2001:db8::1", 5071))
TWO = (Peer("tls", "192.0.2.2", 5072),)
TTL_S = 60


class Zone(authority.FileAuthority):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        super().__init__(b"")

    def loadFile(self, filename: Any) -> None:
        self.soa = b"example", dns.Record_SOA(b"ns.example", b"root.example", 1, 60, 60, 60, TTL_S, TTL_S)
        self.records = {
            b"example": [self.soa[1]],
            b"pbx.example": [dns.Record_NAPTR(1, 1, b"s", b"SIPS+D2T", b"", b"_sips._tcp.pbx.example", TTL_S)],
            b"_sips._tcp.pbx.example": [
                dns.Record_SRV(1, 1, 5071, b"a.example", TTL_S), dns.Record_SRV(2, 1, 5072, b"b.example", TTL_S),
            ],
            b"a.example": [dns.Record_A("192.0.2.1", TTL_S), dns.Record_AAAA("2001:db8::1", TTL_S)],
            b"b.example": [dns.Record_A("192.0.2.2", TTL_S)],
            b"brief.example": [dns.Record_A("192.0.2.3", 1)],
            b"long.example": [dns.Record_A("192.0.2.4", 999_999)],
            b"alias.example": [dns.Record_CNAME(b"b.example", TTL_S)],
            b"odd.example": [dns.Record_NAPTR(1, 1, b"s", b"\xff\xfe", b"", b"x", TTL_S), dns.Record_A("192.0.2.5", TTL_S)],
        }  # fmt: skip

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any = None) -> Any:
        self.asked[f"{dns.QUERY_TYPES[type]} {name.decode()}"] += 1
        return super()._lookup(name, cls, type, timeout)


class Deaf:
    def messageReceived(self, *_: Any) -> None:
        """Not a word."""


class Real(TestCase):
    """A name server, and a clock of our own for what is kept."""

    def setUp(self) -> None:
        self.zone = Zone()
        factory = server.DNSServerFactory(authorities=[self.zone])
        factory.noisy = False
        self.live = self.listen(factory)
        self.expected: list[tuple[str, str]] = []
        self.clock = Clock()
        self.locator = self.make(self.live)

    def listen(self, controller: Any) -> tuple[str, int]:
        protocol = dns.DNSDatagramProtocol(controller)
        protocol.noisy = False
        port = reactor.listenUDP(0, protocol, interface=LOOPBACK)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return LOOPBACK, port.getHost().port

    def make(self, *servers: tuple[str, int]) -> Locator:
        expect = lambda peer, domain: self.expected.append((peer.host, domain))  # noqa: E731
        names = client.Resolver(servers=list(servers), reactor=reactor)
        return Locator(self.clock, ("udp", "tcp", "tls"), Random(1).randrange, expect, names)

    def found(self, uri: str) -> Deferred[tuple[Peer, ...]]:
        return self.locator.locate(Uri.parse(uri))

    async def why_not(self, uri: str) -> str:
        with self.assertRaises(LocalError) as caught:
            await self.found(uri)
        return str(caught.exception)


class Locating(Real):
    async def test_naptr_srv_and_addresses(self) -> None:
        self.assertEqual(await self.found("sip:pbx.example"), (*ONE, *TWO))
        self.assertEqual(set(self.expected), {(host, "pbx.example") for host in ("192.0.2.1", "2001:db8::1", "192.0.2.2")})

    async def test_a_name_without_sip_records(self) -> None:
        self.assertEqual(await self.found("sip:b.example"), (Peer("udp", "192.0.2.2", 5060),))
        self.assertEqual(await self.found("sip:alias.example:5061;transport=tls"), (Peer("tls", "192.0.2.2", 5061),))

    async def test_what_cannot_be_read_is_not_there(self) -> None:
        self.assertEqual(await self.found("sip:odd.example"), (Peer("udp", "192.0.2.5", 5060),))

    async def test_failover(self) -> None:
        await self.found("sip:pbx.example")
        for peer in ONE:
            self.locator.failed(peer)
        self.assertEqual(await self.found("sip:pbx.example"), TWO)
        self.locator.failed(*TWO, retry_after_s=100)
        self.assertEqual(await self.found("sip:pbx.example"), (*ONE, *TWO), "better one that failed than none")
        self.clock.advance(30)
        self.assertEqual(await self.found("sip:pbx.example"), ONE)
        self.clock.advance(70)
        self.assertEqual(await self.found("sip:pbx.example"), (*ONE, *TWO))

    async def test_why_there_is_no_target(self) -> None:
        for uri, why in (
            ("sip:nobody.example", "nobody.example cannot be found: the DNS has no address for it"),
            ("sip:b.example;transport=sctp", "no transport of ours leads to sip:b.example"),
            ("sips:192.0.2.1;transport=udp", "no transport of ours leads to sips:192.0.2.1"),
        ):
            self.assertEqual(await self.why_not(uri), why)


class Kept(Real):
    async def test_what_was_asked_is_not_asked_again(self) -> None:
        for _ in range(2):
            await self.found("sip:pbx.example")
        self.assertEqual(set(self.zone.asked.values()), {1})
        self.assertIn("SRV _sips._tcp.pbx.example", self.zone.asked)

    async def test_two_who_ask_the_same_ask_once(self) -> None:
        first, second = await gatherResults([self.found("sip:pbx.example"), self.found("sip:pbx.example")])
        self.assertEqual((first, second, set(self.zone.asked.values())), ((*ONE, *TWO), (*ONE, *TWO), {1}))

    async def test_one_who_gives_up_takes_nothing_from_the_other(self) -> None:
        first, second = self.found("sip:pbx.example"), self.found("sip:pbx.example")
        first.addErrback(lambda failure: None)
        first.cancel()
        self.assertEqual(await second, (*ONE, *TWO))

    async def test_for_as_long_as_the_records_say_within_bounds(self) -> None:
        for name, seconds in (("b", TTL_S), ("brief", 5), ("long", 3600)):
            for later, asked in ((0, 1), (seconds - 1, 1), (1, 2)):
                self.clock.advance(later)
                await self.found(f"sip:{name}.example:5060")
                self.assertEqual(self.zone.asked[f"A {name}.example"], asked, (name, later))

    async def test_that_there_is_none_for_ten_seconds(self) -> None:
        for later, asked in ((0, 1), (9, 1), (1, 2)):
            self.clock.advance(later)
            await self.why_not("sip:nobody.example:5060")
            self.assertEqual(self.zone.asked["A nobody.example"], asked, later)

    async def test_a_thousand_answers(self) -> None:
        self.patch(resolver, "MOST_KEPT", 2)
        for name in ("b.example", "a.example", "b.example"):
            await self.found(f"sip:{name}:5060")
        self.assertEqual(self.zone.asked["A b.example"], 2)


class Silence(Real):
    """Name servers that do not answer; their retransmissions are on the reactor's time and made short."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(resolver, "TRIES_S", (0.05, 0.05))
        self.dead = self.listen(Deaf())

    async def test_the_next_name_server_is_asked(self) -> None:
        self.locator = self.make(self.dead, self.live)
        self.assertEqual(await self.found("sip:b.example:5060"), (Peer("udp", "192.0.2.2", 5060),))

    async def test_all_are_silent(self) -> None:
        self.locator = self.make(self.dead)
        why = "pbx.example cannot be found: the DNS does not answer about NAPTR pbx.example, SRV _sip._udp.pbx.example, "
        for _ in range(2):
            said = await self.why_not("sip:pbx.example")
            self.assertEqual(said[: len(why)], why)
            self.assertTrue(said.endswith("SRV _sip._tcp.pbx.example, A pbx.example"))

    async def test_nobody_listens(self) -> None:
        self.locator = self.make((LOOPBACK, 1))
        self.assertIn("does not answer about A b.example", await self.why_not("sip:b.example:5060"))


class Never(common.ResolverBase):
    """Name servers whose answers are still to come, or never do."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[str, Deferred[Any]]] = []

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> Deferred[Any]:
        self.pending.append((name.decode(), Deferred()))
        return self.pending[-1][1]


class Time(TestCase):
    def setUp(self) -> None:
        self.clock, self.names = Clock(), Never()
        self.lookups = Lookups(self.clock, self.names)

    def test_a_uri_is_given_up_within_five_seconds(self) -> None:
        locator = Locator(self.clock, ("udp", "tcp"), Random(1).randrange, resolver=self.names)
        located = locator.locate(Uri.parse("sip:pbx.example"))
        self.clock.pump([0.1] * 47)
        self.assertNoResult(located)
        self.clock.pump([0.1] * 3)
        self.failureResultOf(located, LocalError)
        self.assertEqual((len(self.names.pending), self.clock.getDelayedCalls()), (5, []))

    def test_questions_on_their_way_are_bounded(self) -> None:
        answers = [self.lookups.ask(Query("A", f"h{n}.example")) for n in range(resolver.MOST_AT_ONCE + 10)]
        self.assertEqual(len(self.names.pending), resolver.MOST_AT_ONCE)
        self.assertEqual([self.successResultOf(answer) for answer in answers[-10:]], [Answer()] * 10)
        self.clock.advance(resolver.PATIENCE_S)
        self.assertFalse(self.successResultOf(answers[0]).heard)
        self.assertNoResult(self.lookups.ask(Query("A", "h130.example")))

    def test_which_failures_are_answers(self) -> None:
        for kind, heard in ((error.DNSNameError, True), (error.DNSServerError, False), (error.DNSQueryRefusedError, False)):
            answer = self.lookups.ask(Query("A", f"{kind.__name__}.example"))
            self.names.pending[-1][1].errback(Failure(kind()))
            self.assertEqual(self.successResultOf(answer), Answer((), 10.0, heard))


class System(TestCase):
    """/etc/hosts comes first."""

    def setUp(self) -> None:
        file = NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(b"127.0.0.1 localhost\n192.0.2.1 pbx.lan pbx # ours\n2001:db8::1 pbx.lan\n")
        file.flush()
        self.names = Never()
        self.hosts = Hosts(file.name.encode(), 0)

    def test_such_a_name_is_not_asked_of_the_dns(self) -> None:
        locator = Locator(Clock(), ("udp", "tcp"), Random(1).randrange, resolver=resolve.ResolverChain([self.hosts, self.names]))
        for uri, expected in (
            ("sip:LocalHost", (Peer("udp", "127.0.0.1", 5060),)),
            ("sip:localhost:5099;transport=tcp", (Peer("tcp", "127.0.0.1", 5099),)),
            ("sip:pbx.lan", (Peer("udp", "192.0.2.1", 5060), Peer("udp", "2001:db8::1", 5060))),
        ):
            self.assertEqual(self.successResultOf(locator.locate(Uri.parse(uri))), expected)
        self.assertEqual(self.names.pending, [])
        self.assertNoResult(locator.locate(Uri.parse("sip:pbx.example:5060")))
        self.assertEqual([name for name, _ in self.names.pending], ["pbx.example", "pbx.example"])

    def test_localhost_of_this_machine(self) -> None:
        peers = self.successResultOf(Locator(Clock(), ("tcp",), Random(1).randrange).locate(Uri.parse("sip:localhost")))
        self.assertIn(peers[0], (Peer("tcp", "127.0.0.1", 5060), Peer("tcp", "::1", 5060)))
