"""One TLS handshake with a PBX, to look at its certificate; blocking, for a thread of its own."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography import x509

from smartalex.doctor.facts import Certificate, Tls
from smartalex.sip.headers import Peer
from smartalex.sip.tls import covers, names_of

TIMEOUT_S = 5.0
OUTDATED = {"TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1}


def shake(peer: Peer, domain: str, roots: str, chain: tuple[str, str]) -> Tls:
    """`roots` are the authorities' certificates ("": the system's), `chain` our own certificate and its key."""
    doubt = ""
    try:
        found = _connect(peer, domain, _context(roots, chain))
    except ssl.SSLCertVerificationError as error:
        doubt = error.verify_message
    except (OSError, ssl.SSLError) as error:
        return Tls(peer, why=_said(error))
    try:
        if doubt:
            blind = _context("", chain)
            blind.verify_mode = ssl.CERT_NONE
            found = _connect(peer, domain, blind)
    except (OSError, ssl.SSLError) as error:
        return Tls(peer, why=_said(error))
    version, cipher, der = found
    if not der:
        return Tls(peer, version, cipher, why="it shows no certificate")
    shown = certificate(x509.load_der_x509_certificate(der), doubt)
    old = tuple(name for name in OUTDATED if _takes(peer, name))
    return Tls(peer, version, cipher, shown, covers(shown.names, domain), old)


def certificate(shown: x509.Certificate, doubt: str = "") -> Certificate:
    return Certificate(names_of(shown), shown.not_valid_after_utc.timestamp(), doubt)


def own(path: Path, host: str) -> Certificate | None:
    """That in a file of ours, as a PBX would see it that calls `host`; None where there is none that can be read."""
    try:
        shown = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
    doubts = ["self-signed: a PBX believes it only when it was imported there"] if shown.issuer == shown.subject else []
    if not covers(names_of(shown), host):
        doubts.append(f"not for {host}")
    return certificate(shown, " and ".join(doubts))


def _context(roots: str, chain: tuple[str, str]) -> ssl.SSLContext:
    """Names are looked at by the rules of SIP, not here."""
    context = ssl.create_default_context(cafile=roots or None)
    context.check_hostname = False
    try:
        context.load_cert_chain(*chain)
    except (OSError, ssl.SSLError):
        pass  # most PBXs ask for none
    return context


def _connect(peer: Peer, domain: str, context: ssl.SSLContext) -> tuple[str, str, bytes]:
    with socket.create_connection((peer.host, peer.port), TIMEOUT_S) as plain:
        with context.wrap_socket(plain, server_hostname=domain.strip("[]")) as made:
            cipher = made.cipher()
            return made.version() or "", cipher[0] if cipher else "", made.getpeercert(binary_form=True) or b""


def _takes(peer: Peer, name: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = OUTDATED[name]
        return _connect(peer, peer.host, context)[0] == name
    except (OSError, ValueError):
        return False


def _said(error: Exception) -> str:
    return getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
