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
from zope.interface import implementer

from smartalex.sip.tls import Reloading, ask_for_certificates, hardened, show

LIFE_DAYS = 730


@implementer(IOpenSSLServerConnectionCreator)
class CertificateFiles:
    """What servers show: TLS 1.2 or newer, forward secret; files that changed count from the next connection on.

    `certificate` holds the chain, the node's own first.  With `roots`, a file of authorities, callers are asked for a
    certificate too; they need not have one.  Raises ConfigurationError for files that cannot be used.
    """

    def __init__(self, certificate: str, key: str, roots: str = "") -> None:
        self._files = certificate, key, roots
        self._source = Reloading(self._load, *self._files)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        return self._source.connection()

    def _load(self) -> SSL.Context:
        certificate, key, roots = self._files
        context = hardened(SSL.TLS_SERVER_METHOD)
        show(context, certificate, key)
        if roots:
            ask_for_certificates(context, roots)
        return context


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
