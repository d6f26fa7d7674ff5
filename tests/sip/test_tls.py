"""TLS: whose certificate is believed for which domain, and what is not spoken."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import TestCase

from cryptography import x509
from OpenSSL import SSL

from smartalex.errors import ConfigurationError
from smartalex.sip.headers import Peer
from smartalex.sip.tls import CIPHERS, TlsClient, covers, hardened, names_of, show
from smartalex.store.certificate import CertificateFiles
from tests.helpers.pki import Authority
from tests.interop.platform import free_port
from tests.sip.loopback import MESSAGE, Loopback, Raw, Side, a_moment, until


class Names(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.authority = Authority(Path(folder.name))

    def named(self, *names: str) -> tuple[str, ...]:
        certificate, _ = self.authority.issue("one", *names)
        return names_of(x509.load_pem_x509_certificate(certificate.read_bytes()))

    def test_what_a_certificate_is_for(self) -> None:
        for names, found in (
            ((), ()),
            (("PBX.example.com", "sip2.example.com"), ("pbx.example.com", "sip2.example.com")),
            (("pbx.example.com", "sip:Example.com"), ("example.com",)),
            (("sip:a.example", "sip:b.example"), ("a.example", "b.example")),
            (("pbx.example.com", "sip:bob@example.com"), ("pbx.example.com",)),
            (("pbx.example.com", "sips:example.com", "urn:x:y", "https://example.com/"), ("pbx.example.com",)),
            (("pbx.example.com", "sip:*.example.com", "sip:example.com:5061"), ("pbx.example.com",)),
            (("sip:example.com", "192.0.2.1", "2001:DB8::1"), ("example.com", "192.0.2.1", "2001:db8::1")),
        ):
            self.assertEqual(self.named(*names), found, names)

    def test_which_domains_names_cover(self) -> None:
        names = ("example.com", "*.hosted.example", "192.0.2.1", "2001:db8::1", "*", "*.com", "")
        for domain in ("example.com", "EXAMPLE.com", "example.com.", "a.hosted.example", "192.0.2.1", "[2001:db8:0::1]"):
            self.assertTrue(covers(names, domain), domain)
        for domain in (
            "",
            "www.example.com",
            "com",
            "x.com",
            "hosted.example",
            "a.b.hosted.example",
            "192.0.2.2",
            "exa mple.com",
        ):
            self.assertFalse(covers(names, domain), domain)
        self.assertFalse(covers(("*.example.com",), "*.example.com"))


class Policy(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.files = [str(file) for file in Authority(self.folder).issue("one", "example.com")]

    def shaken(self, client: SSL.Context) -> tuple[SSL.Connection, SSL.Connection]:
        server = hardened(SSL.TLS_SERVER_METHOD)
        show(server, *self.files)
        ends = SSL.Connection(client, None), SSL.Connection(server, None)
        ends[0].set_connect_state()
        ends[1].set_accept_state()
        for _ in range(4):
            for end, other in (ends, ends[::-1]):
                handshake(end)
                carry(end, other)
        ends[0].do_handshake()
        ends[1].do_handshake()
        return ends

    def test_only_forward_secret_authenticated_encryption(self) -> None:
        for ciphers in (b"ECDHE-ECDSA-AES128-SHA256", b"ECDHE-ECDSA-AES128-SHA"):
            with self.assertRaises(SSL.Error, msg=ciphers):
                self.shaken(old_client(ciphers))
        self.assertEqual(self.shaken(old_client(CIPHERS))[0].get_protocol_version_name(), "TLSv1.2")

    def test_no_renegotiation(self) -> None:
        ours, theirs = self.shaken(old_client(CIPHERS))
        before = theirs.get_finished()
        ours.renegotiate()
        with self.assertRaises(SSL.Error):
            for _ in range(4):
                handshake(ours)
                carry(ours, theirs)
                try:
                    theirs.recv(100)
                except SSL.WantReadError:
                    pass
                carry(theirs, ours)
                ours.recv(100)
        self.assertEqual(theirs.get_finished(), before)

    def test_files_that_cannot_be_used_are_named(self) -> None:
        broken = self.folder / "broken"
        broken.write_text("nothing")
        for given, said in (
            ((str(broken), "", ""), "sip.tls_roots: "),
            (("", str(broken), self.files[1]), "sip.tls_certificate: "),
            (("", self.files[0], str(broken)), "sip.tls_key: "),
            ((str(self.folder / "missing"), "", ""), "sip.tls_roots: "),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                TlsClient(*given)
            self.assertEqual(str(caught.exception)[: len(said)], said)
        with self.assertRaises(ConfigurationError):
            CertificateFiles(*self.files, str(broken))


def old_client(ciphers: bytes) -> SSL.Context:
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    client.set_cipher_list(ciphers)
    return client


def handshake(end: SSL.Connection) -> None:
    try:
        end.do_handshake()
    except SSL.WantReadError:
        pass


def carry(end: SSL.Connection, other: SSL.Connection) -> None:
    try:
        other.bio_write(end.bio_read(1 << 16))
    except SSL.WantReadError:
        pass


class Tls(Loopback):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.folder)

    def server(self, *names: str, roots: str = "", authority: Authority | None = None, days: int = 1) -> tuple[Side, Peer]:
        certificate, key = (authority or self.authority).issue("server", *names, days=days)
        side = Side(self, echoes=True)
        context = CertificateFiles(str(certificate), str(key), roots)
        return side, Peer("tls", "127.0.0.1", side.transports.listen_tls("127.0.0.1", 0, context).getHost().port)

    def client(self, certificate: tuple[Path, Path] | tuple[str, str] = ("", "")) -> Side:
        side = Side(self)
        side.transports.client_context = TlsClient(str(self.authority.file), *map(str, certificate))
        return side

    async def reaches(self, peer: Peer, domain: str) -> bool:
        client = self.client()
        client.transports.send(peer, MESSAGE, domain)
        await until(lambda: client.received or client.failed)
        self.assertEqual(bool(client.received), not client.failed)
        return bool(client.received)


class Dialled(Tls):
    async def test_only_who_proves_to_be_the_domain(self) -> None:
        for names, domain, reached in (
            (("sip:example.com",), "example.com", True),
            (("example.com",), "example.com", True),
            (("*.hosted.example",), "a.hosted.example", True),
            (("sip:other.example", "example.com"), "example.com", False),
            (("other.example",), "example.com", False),
            (("127.0.0.1",), "example.com", False),
            (("127.0.0.1",), "", True),
            (("example.com",), "", False),
            ((), "example.com", False),
        ):
            theirs, peer = self.server(*names)
            self.assertEqual(await self.reaches(peer, domain), reached, (names, domain))
            self.assertEqual(theirs.messages, [MESSAGE] if reached else [], "nothing is said to somebody else")

    async def test_strangers_and_old_certificates_are_not_believed(self) -> None:
        _, stranger = self.server("example.com", authority=Authority(self.folder, "other"))
        _, old = self.server("example.com", days=-1)
        self.assertEqual([await self.reaches(peer, "example.com") for peer in (stranger, old)], [False, False])

    async def test_the_systems_authorities_do_not_know_ours(self) -> None:
        _, peer = self.server("example.com")
        client = Side(self)
        client.transports.send(peer, MESSAGE, "example.com")
        await until(lambda: client.failed)
        self.assertEqual(client.received, [])

    async def test_one_connection_for_each_domain_it_is_good_for(self) -> None:
        theirs, peer = self.server("a.example", "b.example")
        ours = self.client()
        for domain in ("a.example", "b.example", "", "a.example"):
            ours.transports.send(peer, MESSAGE, domain)
            await a_moment(0.05)
        await until(lambda: len(theirs.received) == 4)
        self.assertEqual(len({peer for _, peer in theirs.received}), 1)
        self.assertEqual(ours.transports.certificate_names(peer), ("a.example", "b.example"))
        ours.transports.send(peer, MESSAGE, "c.example")
        await until(lambda: ours.failed)
        self.assertEqual((len(theirs.received), ours.transports.connected(peer)), (4, True))

    async def test_while_dialling_domains_do_not_mix(self) -> None:
        theirs, peer = self.server("a.example")
        ours = self.client()
        for domain in ("b.example", "a.example", "b.example"):
            ours.transports.send(peer, MESSAGE.replace(b"sip:h", b"sip:" + domain.encode()), domain)
        await until(lambda: theirs.received and ours.failed)
        await a_moment()
        self.assertEqual([b"sip:a.example" in data for data in theirs.messages], [True])


class ClientCertificates(Tls):
    async def names(self, certificate: tuple[Path, Path] | tuple[str, str], roots: str | None = None) -> tuple[str, ...]:
        theirs, peer = self.server("127.0.0.1", roots=str(self.authority.file) if roots is None else roots)
        ours = self.client(certificate)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: ours.received)
        return theirs.transports.certificate_names(theirs.received[0][1])

    async def test_who_shows_one_is_known_by_it(self) -> None:
        for usage in ("", "client", "server"):
            shown = self.authority.issue("trunk", "sip:trunk.example", "pbx.trunk.example", usage=usage)
            self.assertEqual(await self.names(shown), ("trunk.example",), usage)

    async def test_who_shows_none_or_one_of_a_stranger_or_an_old_one_is_nobody(self) -> None:
        stranger = Authority(self.folder, "other").issue("trunk", "sip:trunk.example")
        old = self.authority.issue("old", "sip:trunk.example", days=-1)
        for shown in (("", ""), stranger, old):
            self.assertEqual(await self.names(shown), ())

    async def test_who_is_not_asked_is_nobody(self) -> None:
        shown = self.authority.issue("trunk", "sip:trunk.example")
        self.assertEqual(await self.names(shown, roots=""), ())

    async def test_nobody_by_that_peer(self) -> None:
        self.assertEqual(Side(self).transports.certificate_names(Peer("tls", "127.0.0.1", 9)), ())


class Aliases(Tls):
    """Requests to a port that nobody listens on: they arrive only by the connection that stands for it."""

    async def asked(self, certificate: tuple[Path, Path] | tuple[str, str]) -> tuple[Side, Side, Peer]:
        theirs, peer = self.server("127.0.0.1", roots=str(self.authority.file))
        theirs.transports.client_context = TlsClient(str(self.authority.file))
        ours = self.client(certificate)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: ours.received)
        return theirs, ours, theirs.received[0][1]

    async def test_who_proved_its_domain_gets_requests_for_it(self) -> None:
        shown = self.authority.issue("trunk", "sip:trunk.example", "127.0.0.1")
        theirs, ours, source = await self.asked(shown)
        address = Peer("tls", "127.0.0.1", free_port())
        self.assertTrue(theirs.transports.alias(source, address.port))
        for domain in ("trunk.example", ""):
            self.assertTrue(theirs.transports.send(address, numbered(domain), domain))
        await until(lambda: len(ours.received) == 3)
        self.assertEqual(ours.messages[1:], [numbered("trunk.example"), numbered("")])
        self.assertFalse(theirs.transports.alias(source, address.port + 1), "one is enough")
        theirs.transports.send(address, MESSAGE, "other.example")
        await until(lambda: theirs.failed)
        self.assertEqual((theirs.failed, len(ours.received)), ([address], 3))

    async def test_it_ends_with_the_connection(self) -> None:
        theirs, ours, source = await self.asked(self.authority.issue("trunk", "127.0.0.1"))
        address = Peer("tls", "127.0.0.1", free_port())
        theirs.transports.alias(source, address.port)
        ours.transports.stop()
        await until(lambda: len(theirs.failed) == 2)
        self.assertEqual(set(theirs.failed), {source, address})
        self.assertEqual([theirs.transports.connected(peer) for peer in (source, address)], [False, False])

    async def test_a_domain_does_not_speak_for_its_address(self) -> None:
        theirs, ours, source = await self.asked(self.authority.issue("trunk", "sip:trunk.example"))
        address = Peer("tls", "127.0.0.1", free_port())
        self.assertTrue(theirs.transports.alias(source, address.port))
        theirs.transports.send(address, MESSAGE)
        await until(lambda: theirs.failed)
        self.assertEqual(len(ours.received), 1)

    async def test_nobody_else_may(self) -> None:
        stranger = Authority(self.folder, "other").issue("trunk", "sip:trunk.example", "127.0.0.1")
        for shown in (("", ""), stranger):
            theirs, _, source = await self.asked(shown)
            self.assertFalse(theirs.transports.alias(source, 5061))
        theirs, ours = Side(self), Side(self)
        ours.transports.send(Peer("tcp", "127.0.0.1", theirs.transports.listen_tcp("127.0.0.1", 0).getHost().port), MESSAGE)
        await until(lambda: theirs.received)
        self.assertFalse(theirs.transports.alias(theirs.received[0][1], 5060))


class Renewed(Tls):
    async def test_a_renewed_certificate_disturbs_nobody(self) -> None:
        theirs, peer = self.server("127.0.0.1", "old.example")
        before, after = self.client(), self.client()
        before.transports.send(peer, MESSAGE)
        await until(lambda: before.received)
        self.authority.issue("server", "127.0.0.1", "a-new-name.example")
        after.transports.send(peer, MESSAGE)
        await until(lambda: after.received)
        self.assertEqual(after.transports.certificate_names(peer), ("a-new-name.example", "127.0.0.1"))
        before.transports.send(peer, MESSAGE)
        await until(lambda: len(before.received) == 2)
        self.assertEqual((len({peer for _, peer in theirs.received}), before.failed), (2, []))


def numbered(word: str) -> bytes:
    return MESSAGE.replace(b"sip:h", b"sip:" + (word or "h").encode())


class OldProtocols(Tls):
    async def test_a_plain_message_to_a_tls_port_is_not_answered(self) -> None:
        theirs, peer = self.server("127.0.0.1")
        raw: Raw = await self.raw(peer.port)
        raw.write(MESSAGE)
        await until(lambda: raw.lost)
        self.assertEqual((theirs.received, theirs.counted), ([], {("sip.no_handshake", "tls"): 1}))
