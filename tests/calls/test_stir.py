from __future__ import annotations

import ipaddress
from unittest import TestCase as PureTestCase

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from smartalex.calls.stir import CertificateOptions, CertificateSource, Verifier, may_ask, trust_anchors
from smartalex.errors import ConfigurationError, RemoteError
from smartalex.sip.message import Headers, Request
from smartalex.sip.stir import NONE, Verification
from tests.sip.authority import CALLED, CALLER, NOW, Issued, issue, root

LONG = (-5000.0, 30.0)
WEB_ROOT = root("web", days=LONG)
ROOT = root()
SIGNER = ROOT.ca().signer()
LOOPBACK = ("127.0.0.0/8", "::1/128")


def server_certificate(issuer: Issued) -> PrivateCertificate:
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    issued = issue("localhost", issuer, days=LONG, extra=(names,))
    key = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateCertificate.loadPEM(issued.certificate.public_bytes(Encoding.PEM) + key)


class Store(Resource):
    """Where certificates lie: what it answers is `status`, `rows` and `body`; "/silence" never does."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.status, self.body = 200, SIGNER.pem
        self.rows: dict[bytes, bytes] = {}
        self.held: list[Deferred[None]] = []

    def render_GET(self, request):  # type: ignore[no-untyped-def]
        self.asked.append(request.uri)
        request.setResponseCode(self.status)
        for name, value in self.rows.items():
            request.setHeader(name, value)
        if request.uri == b"/silence":
            self.held.append(request.notifyFinish())
            return NOT_DONE_YET
        return self.body


class Served(TestCase):
    """A server on loopback, a source that may ask it, and a clock for what is kept."""

    def setUp(self) -> None:
        self.store = Store()
        self.port = self.listen(Site(self.store), WEB_ROOT)
        self.now = 0.0
        self.source = self.new_source()

    def listen(self, factory: Factory, issuer: Issued) -> int:
        port = reactor.listenSSL(0, factory, server_certificate(issuer).options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port

    def new_source(self, its_reactor: object = reactor, **changes: object) -> CertificateSource:
        options = attrs.evolve(CertificateOptions(ports=(self.port,), networks=LOOPBACK), **changes)
        trusted = Certificate.loadPEM(WEB_ROOT.pem)
        return CertificateSource(its_reactor, lambda: self.now, options, BrowserLikePolicyForHTTPS(trusted))

    def url(self, path: str = "/sti.pem", host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    async def refused(self, words: str, url: str | None = None, source: CertificateSource | None = None) -> None:
        with self.assertRaises(RemoteError) as caught:
            await (source or self.source).get(url or self.url())
        self.assertEqual(caught.exception.status, 436)
        self.assertIn(words, caught.exception.reason)


class Fetching(Served):
    async def test_a_chain(self) -> None:
        self.assertEqual(await self.source.get(self.url("/a/b.pem?v=1")), SIGNER.pem)
        self.assertEqual(self.store.asked, [b"/a/b.pem?v=1"])

    async def test_by_address(self) -> None:
        self.assertEqual(await self.source.get(self.url(host="127.0.0.1")), SIGNER.pem)

    async def test_not_found(self) -> None:
        self.store.status = 404
        await self.refused("answered 404")

    async def test_no_redirect_is_followed(self) -> None:
        for status in (301, 302, 303, 307, 308):
            self.store.status, self.store.rows = status, {b"Location": self.url("/elsewhere").encode()}
            await self.refused(f"answered {status}", self.url(f"/{status}"))
        self.assertNotIn(b"/elsewhere", self.store.asked)

    async def test_a_huge_body(self) -> None:
        self.store.body = b"x" * 1_000_000
        await self.refused("too much")

    async def test_headers_without_end(self) -> None:
        port = self.listen(Factory.forProtocol(Babbler), WEB_ROOT)
        await self.refused("too much", f"https://localhost:{port}/", self.new_source(ports=(port,)))

    async def test_silence(self) -> None:
        await self.refused("within 0.2 s", self.url("/silence"), self.new_source(timeout_s=0.2))
        with self.assertRaises(Exception):  # noqa: B017  the connection is gone, however the reactor calls it
            await self.store.held[0]

    async def test_silence_before_tls(self) -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        await self.refused("within 0.2 s", f"https://localhost:{number}/", self.new_source(timeout_s=0.2, ports=(number,)))

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        await self.refused("ConnectionRefusedError", f"https://localhost:{number}/", self.new_source(ports=(number,)))

    async def test_a_server_that_is_not_trusted(self) -> None:
        port = self.listen(Site(self.store), root("other", days=LONG))
        await self.refused("certificate verify failed", f"https://localhost:{port}/", self.new_source(ports=(port,)))
        self.assertEqual(self.store.asked, [])

    async def test_a_name_without_addresses(self) -> None:
        await self.refused("no public address", source=self.new_source(Names([])))

    async def test_a_name_for_private_addresses(self) -> None:
        private = self.new_source(Names(["10.0.0.1", "169.254.169.254", "::1"]), networks=())
        await self.refused("no public address", self.url(host="certs.example.org"), private)

    async def test_a_name_that_is_never_resolved(self) -> None:
        await self.refused("within 0.1 s", source=self.new_source(Names(None), timeout_s=0.1))

    async def test_a_name_that_is_none(self) -> None:
        for host in ("..", "-", "a" * 300, "[::ffff]", "[:]"):
            await self.refused("", self.url(host=host), self.new_source(Names([])))

    async def test_another_port(self) -> None:
        await self.refused(f"port {self.port}", source=self.new_source(ports=(443, 8443)))
        await self.refused("port 99999", "https://localhost:99999/")

    async def test_our_own_network_is_not_asked(self) -> None:
        for host in ("localhost", "127.0.0.1", "0x7f.1", "2130706433", "0.0.0.0"):
            await self.refused("no public address", self.url(host=host), self.new_source(networks=()))
        self.assertEqual(self.store.asked, [])


class Keeping(Served):
    async def ask(self, times: int) -> int:
        """How often the server was asked for it."""
        before = len(self.store.asked)
        for _ in range(times):
            await self.source.get(self.url())
        return len(self.store.asked) - before

    async def test_for_five_minutes_where_the_server_says_nothing(self) -> None:
        self.assertEqual(await self.ask(3), 1)
        self.now = 299.0
        self.assertEqual(await self.ask(1), 0)
        self.now = 301.0
        self.assertEqual(await self.ask(1), 1)

    async def test_as_long_as_the_server_says(self) -> None:
        for control, kept_s, gone_s in (
            (b"public, max-age=3600", 3599, 3601),
            (b"MAX-AGE=60", 59, 61),
            (b"max-age=999999999", 86_399, 86_401),
        ):
            with self.subTest(control):
                self.store.rows, self.source, self.now = {b"Cache-Control": control}, self.new_source(), 0.0
                self.assertEqual(await self.ask(1), 1)
                self.now = kept_s
                self.assertEqual(await self.ask(1), 0)
                self.now = gone_s
                self.assertEqual(await self.ask(1), 1)

    async def test_not_at_all(self) -> None:
        for control in (b"no-store", b"max-age=60, no-cache", b"max-age=0"):
            with self.subTest(control):
                self.store.rows = {b"Cache-Control": control}
                self.assertEqual(await self.ask(2), 2)

    async def test_a_kept_one_comes_at_once(self) -> None:
        await self.source.get(self.url())
        self.assertEqual(self.successResultOf(self.source.get(self.url())), SIGNER.pem)

    async def test_a_failure_for_a_minute(self) -> None:
        self.store.status = 404
        await self.refused("404")
        self.store.status, self.now = 200, 59.0
        await self.refused("404")
        self.assertEqual(len(self.store.asked), 1)
        self.now = 61.0
        self.assertEqual(await self.source.get(self.url()), SIGNER.pem)

    async def test_those_who_ask_at_the_same_time_share_one_answer(self) -> None:
        found = await gatherResults([self.source.get(self.url()) for _ in range(5)])
        self.assertEqual((found, len(self.store.asked)), ([SIGNER.pem] * 5, 1))

    async def test_who_stops_waiting_does_not_stop_the_others(self) -> None:
        impatient, patient = self.source.get(self.url()), self.source.get(self.url())
        impatient.addErrback(lambda failure: None)
        impatient.cancel()
        self.assertEqual(await patient, SIGNER.pem)

    async def test_the_table_is_bounded_and_the_oldest_goes(self) -> None:
        source = self.new_source(most_kept=2)
        for path in ("/a", "/b", "/a", "/c", "/a", "/b"):
            await source.get(self.url(path))
        self.assertEqual(self.store.asked, [b"/a", b"/b", b"/c", b"/b"])

    async def test_no_more_than_so_many_at_a_time(self) -> None:
        source = self.new_source(most_pending=2)
        first = [source.get(self.url(path)) for path in ("/a", "/b", "/a")]
        await self.refused("too many", self.url("/c"), source)
        self.assertEqual(await gatherResults(first), [SIGNER.pem] * 3)
        self.assertEqual(await source.get(self.url("/c")), SIGNER.pem)


class Verifying(Served):
    def setUp(self) -> None:
        super().setUp()
        self.verifier = Verifier(self.source, trust_anchors(ROOT.pem), lambda: NOW)

    def invite(self, *identities: str) -> Request:
        rows = [("From", f"<sip:+{CALLER}@carrier>;tag=1"), ("To", f"<sip:+{CALLED}@smartalex>")]
        return Request("INVITE", "sip:smartalex", Headers([*rows, *(("Identity", identity) for identity in identities)]))

    def identity(self, path: str = "/sti.pem", signer: Issued = SIGNER, **claims: object) -> str:
        url = self.url(path)
        return signer.identity({"x5u": url}, claims, f";info=<{url}>;ppt=shaken")

    async def test_a_good_call(self) -> None:
        found = await self.verifier.verify(self.invite(self.identity()))
        self.assertEqual((found.status, found.attestation), ("verified", "A"), found.reason)

    async def test_with_a_kept_certificate_it_is_known_at_once(self) -> None:
        await self.verifier.verify(self.invite(self.identity()))
        self.assertEqual(self.successResultOf(self.verifier.verify(self.invite(self.identity()))).status, "verified")

    def test_no_identity(self) -> None:
        self.assertIs(self.successResultOf(self.verifier.verify(self.invite())), NONE)

    def test_nothing_is_fetched_for_a_bad_one(self) -> None:
        for identity, status in (("", 436), ("x", 436), (self.identity(iat=1), 403), (self.identity(orig={"tn": "1"}), 438)):
            self.assertEqual(self.successResultOf(self.verifier.verify(self.invite(identity))).status_code, status)
        self.assertEqual(self.store.asked, [])

    def test_a_request_that_cannot_be_read(self) -> None:
        request = Request("INVITE", "sip:x", Headers([("From", "<sip:a@b>"), ("To", "<"), ("Identity", "x")]))
        self.assertEqual(self.successResultOf(self.verifier.verify(request)).status, "failed")

    async def test_no_certificate(self) -> None:
        self.store.status = 404
        found = await self.verifier.verify(self.invite(self.identity()))
        self.assertEqual(found, Verification("failed", "", "the certificate's server answered 404", 436))

    async def test_something_else_than_a_certificate(self) -> None:
        self.store.body = b"<html>"
        self.assertEqual((await self.verifier.verify(self.invite(self.identity()))).status_code, 437)

    async def test_one_good_passport_suffices(self) -> None:
        bad = self.identity(signer=ROOT.signer())
        found = await self.verifier.verify(self.invite("x", bad, self.identity(attest="B")))
        self.assertEqual((found.status, found.attestation), ("verified", "B"), found.reason)

    async def test_no_more_than_four_are_looked_at(self) -> None:
        found = await self.verifier.verify(self.invite(*["x"] * 4, self.identity()))
        self.assertEqual((found.status, self.store.asked), ("failed", []))

    async def test_a_certificate_without_tnauthlist_unless_strict(self) -> None:
        plain = ROOT.signer(None)
        self.store.body = plain.pem
        request = self.invite(self.identity(signer=plain))
        self.assertEqual((await self.verifier.verify(request)).status_code, 437)
        lenient = Verifier(self.source, trust_anchors(ROOT.pem), lambda: NOW, strict=False)
        self.assertEqual((await lenient.verify(request)).status, "verified")


class WhereToAsk(PureTestCase):
    def test_public_addresses_only(self) -> None:
        for address, allowed in {
            "8.8.8.8": True, "2600::1": True, "::ffff:8.8.8.8": True, "64:ff9b::808:808": True,
            "127.0.0.1": False, "10.1.2.3": False, "172.31.0.1": False, "192.168.0.1": False, "169.254.169.254": False,
            "100.64.0.1": False, "0.0.0.0": False, "224.0.0.1": False, "255.255.255.255": False, "::": False, "::1": False,
            "fe80::1%eth0": False, "fc00::1": False, "ff02::1": False, "::ffff:127.0.0.1": False, "64:ff9b::7f00:1": False,
            "2002:7f00:1::": False, "2002:a00:1::1": False,
        }.items():  # fmt: skip
            with self.subTest(address):
                self.assertIs(may_ask(address), allowed)

    def test_private_ones_where_configured(self) -> None:
        networks = CertificateOptions(networks=("10.0.0.0/8", "fd00::/8")).networks
        for address, allowed in {"10.1.2.3": True, "fd00::1": True, "::ffff:10.0.0.1": True, "192.168.0.1": False}.items():
            self.assertIs(may_ask(address, networks), allowed)

    def test_a_network_that_is_none(self) -> None:
        self.assertRaises(ValueError, CertificateOptions, networks=("10.0.0.1/8",))


class Anchors(PureTestCase):
    def test_many_in_one_file(self) -> None:
        self.assertEqual(len(trust_anchors(ROOT.pem * 20)), 20)

    def test_something_else(self) -> None:
        for data in (b"", b"x"):
            self.assertRaises(ConfigurationError, trust_anchors, data)


class Names:
    """The reactor, but every name has these addresses; with None, no answer comes."""

    def __init__(self, addresses: list[str] | None) -> None:
        self._addresses = addresses
        self.nameResolver = self

    def resolveHostName(self, receiver, hostName, portNumber=0):  # type: ignore[no-untyped-def]
        receiver.resolutionBegan(None)
        if self._addresses is not None:
            for address in self._addresses:
                receiver.addressResolved(IPv4Address("TCP", address, portNumber))
            receiver.resolutionComplete()

    def __getattr__(self, name: str) -> object:
        return getattr(reactor, name)


class Babbler(Protocol):
    """Answers with headers that never end."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)
