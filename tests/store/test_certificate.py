"""TLS as a peer sees it: the chain, old protocol versions, and a certificate that is renewed while calls go on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from unittest import TestCase

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from smartalex.errors import ConfigurationError
from smartalex.store.certificate import CertificateFiles, self_signed


class TlsCase(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.certificate, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        self_signed(self.certificate, self.key, ["192.0.2.7"])

    def files(self) -> CertificateFiles:
        return CertificateFiles(str(self.certificate), str(self.key))

    def shaken(self, files: CertificateFiles, version: int | None = None) -> SSL.Connection:
        """A client whose handshake with `files` is complete; raises SSL.Error when they do not agree."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if version is not None:
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        server, client = files.serverConnectionForTLS(None), SSL.Connection(context, None)
        server.set_accept_state()
        client.set_connect_state()
        for _ in range(6):
            for end, other in ((client, server), (server, client)):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(end.bio_read(65536))
                except SSL.WantReadError:
                    pass
        client.do_handshake()
        return client

    def shown(self, client: SSL.Connection) -> list[bytes]:
        return [c.to_cryptography().public_bytes(Encoding.PEM) for c in client.get_peer_cert_chain() or ()]


class Serving(TlsCase):
    def test_the_certificate_of_the_state_directory(self) -> None:
        self.assertEqual(self.shown(self.shaken(self.files())), [self.certificate.read_bytes()])

    def test_the_whole_chain_is_shown(self) -> None:
        self_signed(self.folder / "ca.crt", self.folder / "ca.key", [])
        own, issuer = self.certificate.read_bytes(), (self.folder / "ca.crt").read_bytes()
        self.certificate.write_bytes(own + issuer)
        self.assertEqual(self.shown(self.shaken(self.files())), [own, issuer])

    def test_nothing_older_than_tls_1_2(self) -> None:
        self.assertEqual(self.shaken(self.files(), SSL.TLS1_3_VERSION).get_protocol_version_name(), "TLSv1.3")
        client = self.shaken(self.files(), SSL.TLS1_2_VERSION)
        self.assertTrue(str(client.get_cipher_name()).startswith("ECDHE-"))
        for version in (SSL.TLS1_VERSION, SSL.TLS1_1_VERSION):
            self.assertRaises(SSL.Error, self.shaken, self.files(), version)


class Renewing(TlsCase):
    def renew(self) -> None:
        before = self.certificate.stat().st_mtime
        self_signed(self.certificate, self.key, [])
        for path in (self.certificate, self.key):
            os.utime(path, (before + 5, before + 5))

    def test_the_next_connection_sees_the_new_one_and_the_old_one_goes_on(self) -> None:
        files = self.files()
        first = self.shaken(files)
        old = self.certificate.read_bytes()
        self.renew()
        self.assertEqual(self.shown(self.shaken(files)), [self.certificate.read_bytes()])
        self.assertEqual(self.shown(first), [old])
        self.assertEqual(first.write(b"OPTIONS"), 7)

    def test_half_of_a_renewal_keeps_the_old_one(self) -> None:
        files = self.files()
        old = self.certificate.read_bytes()
        for spoilt in (b"half of a certificate", b""):
            self.certificate.write_bytes(spoilt)
            self.assertEqual(self.shown(self.shaken(files)), [old])
        self.certificate.unlink()
        self.assertEqual(self.shown(self.shaken(files)), [old])
        self.renew_after_loss()
        self.assertEqual(self.shown(self.shaken(files)), [self.certificate.read_bytes()])

    def renew_after_loss(self) -> None:
        self_signed(self.certificate, self.key, [])


class Unusable(TlsCase):
    def refused(self, said: str) -> None:
        with self.assertRaisesRegex(ConfigurationError, said):
            self.files()

    def test_no_file(self) -> None:
        self.certificate.unlink()
        self.refused(f"sip.tls_certificate: {self.certificate} cannot be read: No such file or directory")

    def test_no_key(self) -> None:
        self.key.unlink()
        self.refused(f"sip.tls_key: {self.key} cannot be read: No such file or directory")

    def test_something_else(self) -> None:
        self.certificate.write_text("not a certificate")
        self.refused("does not hold the certificate in PEM")

    def test_a_key_that_belongs_to_another_certificate(self) -> None:
        self_signed(self.folder / "other.crt", self.key, [])
        self.refused(f"sip.tls_key: {self.key} does not hold the key of {self.certificate} in PEM")
