"""TLS under SIP: what is spoken, whose certificate is believed, and for which domains (RFC 5922)."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import ConfigurationError

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
UNSUITABLE_PURPOSE = 26  # X509_V_ERR_INVALID_PURPOSE


def hardened(method: int) -> SSL.Context:
    """TLS 1.2 or newer, forward secret, authenticated encryption, no renegotiation."""
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    return context


def show(context: SSL.Context, certificate: str, key: str) -> None:
    """Show this chain, the node's own certificate first; raises ConfigurationError for files that cannot be used."""
    try:
        context.use_certificate_chain_file(certificate)
    except SSL.Error:
        raise ConfigurationError(f"sip.tls_certificate: {certificate} {_trouble(certificate, 'certificate')}") from None
    try:
        context.use_privatekey_file(key)
        context.check_privatekey()
    except SSL.Error:
        raise ConfigurationError(f"sip.tls_key: {key} {_trouble(key, f'key of {certificate}')}") from None


def trust(context: SSL.Context, roots: str) -> None:
    """Believe what these authorities have signed, '' for the system's; raises ConfigurationError."""
    if not roots:
        context.set_default_verify_paths()
        return
    try:
        context.load_verify_locations(roots)
    except SSL.Error:
        raise ConfigurationError(f"sip.tls_roots: {roots} {_trouble(roots, 'certificates of authorities')}") from None


def ask_for_certificates(context: SSL.Context, roots: str) -> None:
    """Servers: ask callers for a certificate.  One that cannot be believed counts as none.

    A resumed session would show none, so there are no sessions.
    """
    trust(context, roots)
    context.load_client_ca(roots.encode())
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_verify(SSL.VERIFY_PEER, _tolerant)


class Connection(SSL.Connection):
    """One that knows what became of the peer's certificate."""

    believed = False
    broken = False


def _strict(made: SSL.Connection, certificate: Any, error: int, depth: int, ok: int) -> bool:
    assert isinstance(made, Connection)
    made.broken |= not ok
    made.believed |= depth == 0
    return bool(ok)


def _tolerant(made: SSL.Connection, certificate: Any, error: int, depth: int, ok: int) -> bool:
    """RFC 5924 4 wants no purpose of a certificate, and public authorities issue them for servers only."""
    _strict(made, certificate, error, depth, ok or (error == UNSUITABLE_PURPOSE and depth == 0))
    return True


def verified_names(made: SSL.Connection) -> tuple[str, ...]:
    """Whom the peer has proved to be: nobody when its certificate is missing or was not believed."""
    if not isinstance(made, Connection) or made.broken or not made.believed:
        return ()
    certificate = made.get_peer_certificate(as_cryptography=True)
    return names_of(certificate) if certificate is not None else ()


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The SIP domains a certificate is for (RFC 5922 7.1): of its sip URIs if it has any, else its DNS names; and addresses.

    Lower case; a DNS name may begin with "*.".
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    uris = [_domain_of(uri) for uri in names.get_values_for_type(x509.UniformResourceIdentifier)]
    domains = [domain for domain in uris if domain] or [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return (*domains, *map(str, names.get_values_for_type(x509.IPAddress)))


def _domain_of(uri: str) -> str:
    """The domain of "sip:domain"; '' for a URI with a user, a port or a wildcard, which stands for no domain."""
    scheme, _, domain = uri.lower().partition(":")
    return domain if scheme == "sip" and not set(domain) & set("@:*;?/") else ""


def covers(names: tuple[str, ...], domain: str) -> bool:
    """Whether a certificate for these names is one for this domain, or address.

    "*.example.com" covers one label, against RFC 5922 7.2: large providers have nothing else.
    """
    try:
        return str(ip_address(domain.strip("[]").partition("%")[0])) in names
    except ValueError:
        pass
    try:
        wanted = DNS_ID(domain.rstrip("."))
    except ValueError:
        return False
    return any(_is(wanted, name) for name in names)


def _is(wanted: DNS_ID, name: str) -> bool:
    try:
        return wanted.verify(DNSPattern.from_bytes(name.encode()))
    except CertificateError:
        return False


class Reloading:
    """A context made of files; files that changed count from the next connection on, unless they cannot be used."""

    log = Logger()

    def __init__(self, make: Callable[[], SSL.Context], *files: str) -> None:
        self._make = make
        self._files = [file for file in files if file]
        self._seen = self._look()
        self._context = make()

    def connection(self) -> Connection:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._make()
            except ConfigurationError as error:
                self.log.error("the new certificate is not used: {error}", error=error)
        return Connection(self._context, None)

    def _look(self) -> list[tuple[int, int]]:
        return [(s.st_mtime_ns, s.st_size) for s in (os.stat(f) for f in self._files if os.path.exists(f))]


class TlsClient:
    """How we dial: whom we trust ('': the system's authorities) and the certificate we show if we are asked.

    Raises ConfigurationError for files that cannot be used.
    """

    def __init__(self, roots: str = "", certificate: str = "", key: str = "") -> None:
        self._files = roots, certificate, key
        self._source: Reloading | None = self._load() if roots or certificate else None

    def dialling(self, domain: str) -> IOpenSSLClientConnectionCreator:
        """Connections to servers of this domain; their names have still to be looked at."""
        if self._source is None:
            self._source = self._load()
        return _Dialled(self._source, domain)

    def _load(self) -> Reloading:
        return Reloading(self._make, *self._files)

    def _make(self) -> SSL.Context:
        roots, certificate, key = self._files
        context = hardened(SSL.TLS_CLIENT_METHOD)
        trust(context, roots)
        context.set_verify(SSL.VERIFY_PEER, _strict)
        if certificate:
            show(context, certificate, key)
        return context


@implementer(IOpenSSLClientConnectionCreator)
class _Dialled:
    def __init__(self, source: Reloading, domain: str) -> None:
        self._source, self._server_name = source, _server_name(domain)

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        made = self._source.connection()
        if self._server_name:
            made.set_tlsext_host_name(self._server_name)
        return made


def _server_name(domain: str) -> bytes:
    """For SNI, which has no addresses (RFC 6066 3)."""
    try:
        ip_address(domain.partition("%")[0])
    except ValueError:
        try:
            return domain.rstrip(".").encode("idna")
        except UnicodeError:
            pass
    return b""


def _trouble(path: str, what: str) -> str:
    try:
        with open(path, "rb"):
            return f"does not hold the {what} in PEM"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
