"""The TLS certificate of SIP's port: a self-signed one to begin with, and one that may be renewed under a running service."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import ConfigurationError

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
LIFE_DAYS = 730


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFiles:
    """What servers show: TLS 1.2 or newer, forward secret; files that changed count from the next connection on.

    `certificate` holds the chain, the node's own first.  Raises ConfigurationError for files that cannot be used.
    """

    log = Logger()

    def __init__(self, certificate: str, key: str) -> None:
        self._files = certificate, key
        self._seen = self._look()
        self._context = self._load()

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._load()
            except ConfigurationError as error:
                self.log.error("the new certificate is not used: {error}", error=error)
        return SSL.Connection(self._context, None)

    def _look(self) -> list[tuple[int, int]]:
        return [(s.st_mtime_ns, s.st_size) for s in (os.stat(f) for f in self._files if os.path.exists(f))]

    def _load(self) -> SSL.Context:
        certificate, key = self._files
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS)
        context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
        try:
            context.use_certificate_chain_file(certificate)
        except SSL.Error:
            raise ConfigurationError(f"sip.tls_certificate: {certificate} {_trouble(certificate, 'certificate')}") from None
        try:
            context.use_privatekey_file(key)
            context.check_privatekey()
        except SSL.Error:
            raise ConfigurationError(f"sip.tls_key: {key} {_trouble(key, f'key of {certificate}')}") from None
        return context


def _trouble(path: str, what: str) -> str:
    try:
        with open(path, "rb"):
            return f"does not hold the {what} in PEM"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def self_signed(certificate: Path, private: Path, hosts: Iterable[str]) -> None:
    """An EC P-256 certificate for these addresses and this machine: enough to begin with."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SmartAlex")])
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(host)) for host in sorted({"127.0.0.1", "::1", *hosts})]
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=LIFE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(plain)
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
