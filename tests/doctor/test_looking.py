"""The DNS as it was asked, a handshake as it went, and who asked for our OPTIONS."""

from __future__ import annotations

import ssl
import tempfile
import time
from pathlib import Path
from shutil import rmtree
from socket import create_server
from threading import Thread
from typing import Any

from cryptography import x509
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from smartalex.calls.heard import KEEP_S, MOST, OptionsHeard
from smartalex.doctor.facts import Tls, Way
from smartalex.doctor.handshake import certificate, own, shake
from smartalex.doctor.lookup import look_up
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from tests.helpers.pki import Authority
from tests.sip.test_resolver import Zone


class Looked(TestCase):
    def look(self, host: str, supported: tuple[str, ...] = ("udp", "tcp", "tls")) -> Deferred[Way]:
        uri = Uri.parse(f"sip:{host}")
        return Deferred.fromCoroutine(look_up(reactor, uri, "its domain", supported, lambda n: 0, resolver=Zone()))

    async def test_each_question_and_its_answer(self) -> None:
        way = await self.look("pbx.example")
        self.assertEqual(way.targets[0], Peer("tls", "192.0.2.1", 5071))
        asked = {(one.kind, one.name): one.answers for one in way.looked}
        self.assertEqual(asked["NAPTR", "pbx.example"], ("1 1 SIPS+D2T _sips._tcp.pbx.example",))
        self.assertEqual(asked["SRV", "_sips._tcp.pbx.example"], ("1 1 5071 a.example", "2 1 5072 b.example"))
        self.assertEqual((asked["A", "a.example"], way.why), (("192.0.2.1",), ""))

    async def test_no_address(self) -> None:
        way = await self.look("nowhere.example")
        self.assertEqual((way.targets, way.why), ((), "there is no address for it"))
        self.assertTrue(all(one.heard for one in way.looked))

    async def test_an_address_needs_no_question(self) -> None:
        way = await self.look("192.0.2.9:5070")
        self.assertEqual((way.looked, way.targets), ((), (Peer("udp", "192.0.2.9", 5070),)))

    async def test_no_transport_in_common(self) -> None:
        way = await self.look("192.0.2.9;transport=tcp", ("udp",))
        self.assertEqual(way.why, "none of udp leads there")


class Shaken(TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-test-"))
        self.addCleanup(rmtree, self.folder, ignore_errors=True)
        self.authority = Authority(self.folder)
        self.none = str(self.folder / "none.pem"), str(self.folder / "none.key")

    def shaken(self, *names: str, roots: str | None = None, days: int = 1) -> Tls:
        """With a PBX that shows a certificate for these names."""
        shown = self.authority.issue("pbx", *names, days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, shown))
        listening = create_server(("127.0.0.1", 0))
        Thread(target=_serve, args=(listening, context), daemon=True).start()
        self.addCleanup(listening.close)
        peer = Peer("tls", "127.0.0.1", listening.getsockname()[1])
        return shake(peer, "pbx.example.com", str(self.authority.file) if roots is None else roots, self.none)

    def test_a_good_certificate(self) -> None:
        found = self.shaken("pbx.example.com")
        assert found.certificate is not None
        self.assertEqual((found.why, found.named, found.certificate.doubt, found.outdated), ("", True, "", ()))
        self.assertEqual((found.certificate.names, found.version), (("pbx.example.com",), "TLSv1.3"))
        self.assertGreater(found.certificate.until, time.time())

    def test_for_another_name(self) -> None:
        self.assertFalse(self.shaken("other.example.com").named)

    def test_of_an_authority_that_nobody_believes(self) -> None:
        found = self.shaken("pbx.example.com", roots="")
        assert found.certificate is not None
        self.assertIn("certificate", found.certificate.doubt)
        self.assertTrue(found.named)

    def test_run_out(self) -> None:
        found = self.shaken("pbx.example.com", days=-1)
        assert found.certificate is not None
        self.assertLess(found.certificate.until, time.time())

    def test_nobody_there(self) -> None:
        with create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        found = shake(Peer("tls", "127.0.0.1", port), "pbx.example.com", "", self.none)
        self.assertIn("refused", found.why)

    def test_our_own(self) -> None:
        shown, _ = self.authority.issue("ours", "198.51.100.1")
        found = own(shown, "198.51.100.1")
        assert found is not None
        self.assertEqual((found.doubt, found.names), ("", ("198.51.100.1",)))
        self.assertIn("not for 192.0.2.1", getattr(own(shown, "192.0.2.1"), "doubt", ""))
        self.assertIsNone(own(self.folder / "missing", "x"))
        self.assertEqual(certificate(x509.load_pem_x509_certificate(shown.read_bytes())).names, ("198.51.100.1",))


def _serve(listening: Any, context: ssl.SSLContext) -> None:
    """Until it is closed."""
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            plain.close()


class Heard(TestCase):
    def test_kept_a_moment_later_and_bounded(self) -> None:
        clock, kept = Clock(), []
        heard = OptionsHeard(clock, lambda: 7.0 + clock.seconds(), kept.append)
        for number in range(MOST + 5):
            heard.heard(f"host{number}")
        clock.advance(KEEP_S)
        self.assertEqual((len(kept), len(kept[0]), kept[0]["host9"]), (1, MOST, 7.0))
        heard.heard("host9")
        clock.advance(KEEP_S)
        self.assertEqual(kept[1]["host9"], 7.0 + KEEP_S)
        heard.heard("host9")
        heard.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
