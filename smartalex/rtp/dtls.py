"""DTLS-SRTP (RFC 5763, RFC 5764): the keys of a leg from a handshake between the RTP packets, proved by fingerprints in SDP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smartalex.rtp.srtp import SrtpKeys

Address = tuple[str, int] | tuple[str, int, int, int]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

SUITES = {
    b"SRTP_AEAD_AES_256_GCM": ("AEAD_AES_256_GCM", 32, 12),
    b"SRTP_AEAD_AES_128_GCM": ("AEAD_AES_128_GCM", 16, 12),
    b"SRTP_AES128_CM_SHA1_80": ("AES_CM_128_HMAC_SHA1_80", 16, 14),
    b"SRTP_AES128_CM_SHA1_32": ("AES_CM_128_HMAC_SHA1_32", 16, 14),
}
"""OpenSSL's name of a protection profile -> the suite, octets of its key and of its salt; best first."""

HASHES = ("sha-1", "sha-224", "sha-256", "sha-384", "sha-512")

CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
DTLS_1_2 = 0xFEFD
LABEL = b"EXTRACTOR-dtls_srtp"

MTU = 1200
MOST_OCTETS = 64 * 1024
"""Of one handshake, taken in; a peer's certificate chain is some kilobytes."""

MOST_AFTERWARDS = 64
"""Datagrams looked into after the end of a handshake: a last flight that was lost is asked for so."""

LIMIT_S = 10.0
ATTEMPTS = 20
"""Keys are to be there in this time, whatever has failed meanwhile, so many handshakes at most."""

AGAIN_S = (0.05, 0.1, 0.2, 0.4)
"""A flight is said again after these times, as it was: who had it before does not take it twice (RFC 6347 4.1.2.6).

OpenSSL's own first wait is one second, too long for a caller whose telephone was not listening yet.
"""

UNPROVED = "the certificate has another fingerprint"

_HEADER = 13
_KINDS = range(20, 26)
_ALERT = 21


def is_dtls(first: int) -> bool:
    """The first octet of a datagram (RFC 7983)."""
    return 20 <= first <= 63


@attrs.frozen
class DtlsPeer:
    """What signalling says: whether we begin, and (hash, digest) of certificates of which the peer's has to be one."""

    active: bool
    fingerprints: tuple[tuple[str, bytes], ...]


class Identity:
    """The node's certificate: ECDSA P-256, signed by itself, for as long as the process lives."""

    def __init__(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        today = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=3650))
        certificate = builder.sign(key, hashes.SHA256())
        self.sha256: bytes = certificate.fingerprint(hashes.SHA256())
        self.context = context_of(certificate, key)


def context_of(certificate: x509.Certificate, key: PrivateKey) -> SSL.Context:
    """DTLS 1.2 with SRTP; what the peer shows is looked at by `DtlsEndpoint`, since no authority vouches for it."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_min_proto_version(DTLS_1_2)
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.set_tlsext_use_srtp(b":".join(SUITES))
    return context


class DtlsEndpoint:
    """Sans-IO: datagrams in, datagrams out.  In the end `keys` are there, or `failed` says why not.

    `alert` is what an alert in clear said, which anybody can forge and which ends nothing.
    """

    __slots__ = ("_afterwards", "_connection", "_octets", "_peer", "alert", "failed", "keys")

    def __init__(self, context: SSL.Context, peer: DtlsPeer) -> None:
        self._peer = peer
        self._octets = 0
        self._afterwards = MOST_AFTERWARDS
        self.keys: SrtpKeys | None = None
        self.failed = self.alert = ""
        self._connection = SSL.Connection(context, None)
        self._connection.set_ciphertext_mtu(MTU)
        if peer.active:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()

    @property
    def begun(self) -> bool:
        """Whether anything came."""
        return self._octets > 0

    @property
    def over(self) -> bool:
        return self.keys is not None or bool(self.failed)

    @property
    def timeout_s(self) -> float | None:
        """When `timed_out` is to be called, from now; None for not at all."""
        return None if self.over else self._connection.DTLSv1_get_timeout()

    def start(self) -> list[bytes]:
        """The datagrams that begin a handshake; none where the peer is to."""
        return self._step() if self._peer.active else []

    def received(self, data: bytes) -> list[bytes]:
        """The answers to one datagram; what is none of DTLS is passed over."""
        records = list(_records(data))
        if self.failed or not records or sum(map(len, records)) != len(data):
            return []
        self._octets += len(data)
        if self.keys is not None:
            return self._after(data)
        if self._octets > MOST_OCTETS:
            self.failed = "too long a handshake"
            return []
        believed = [record for record in records if not self._alerted(record)]
        if not believed:
            return []
        self._connection.bio_write(b"".join(believed))
        return self._step()

    def _alerted(self, record: bytes) -> bool:
        """Whether it is an alert that nothing vouches for (RFC 6347 4.1.2.7)."""
        if record[0] != _ALERT or record[3:5] != b"\0\0":
            return False
        self.alert = f"the peer refuses the handshake (alert {record[-1]})"
        return True

    def timed_out(self) -> list[bytes]:
        """The last flight once more."""
        if self.over:
            return []
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self.failed = _why(error)
        return list(self._flight())

    def _step(self) -> list[bytes]:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failed = _why(error)
        else:
            self._finish()
        return list(self._flight())

    def _finish(self) -> None:
        """Nothing of the peer's counts before its certificate has proved to be the one that signalling named."""
        profile = SUITES.get(self._connection.get_selected_srtp_profile())
        if not self._proved():
            self.failed = UNPROVED
        elif profile is None:
            self.failed = "no common SRTP protection profile"
        else:
            self.keys = self._exported(*profile)

    def _proved(self) -> bool:
        """Of the certificate nothing is read: the octets of it are what counts."""
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            return False
        octets = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        known = [(name.replace("-", ""), digest) for name, digest in self._peer.fingerprints if name in HASHES]
        return any(hashlib.new(name, octets).digest() == digest for name, digest in known)

    def _exported(self, suite: str, key: int, salt: int) -> SrtpKeys:
        """RFC 5764 4.2: the client's key, the server's, the client's salt, the server's."""
        material = self._connection.export_keying_material(LABEL, 2 * (key + salt))
        keys, salts = material[: 2 * key], material[2 * key :]
        client, server = keys[:key] + salts[:salt], keys[key:] + salts[salt:]
        return SrtpKeys(suite, client, server) if self._peer.active else SrtpKeys(suite, server, client)

    def _after(self, data: bytes) -> list[bytes]:
        if self._afterwards == 0:
            return []
        self._afterwards -= 1
        self._connection.bio_write(data)
        try:
            self._connection.recv(1)
        except SSL.Error:
            pass  # nothing to read, as it should be, or the peer's good-bye
        return list(self._flight())

    def _flight(self) -> Iterator[bytes]:
        """What OpenSSL wrote, in datagrams again: its memory knows no bounds of them."""
        written = b""
        try:
            while True:
                written += self._connection.bio_read(65536)
        except SSL.Error:
            pass
        datagram = b""
        for record in _records(written):
            if datagram and len(datagram) + len(record) > MTU:
                yield datagram
                datagram = b""
            datagram += record
        if datagram:
            yield datagram


class Handshake:
    """An endpoint over a leg's socket: `send` gets datagrams, `done` the keys and who they are shared with.

    When we begin, only the `signalled` address is spoken with.  Otherwise, where `symmetric`, whoever begins may be behind
    a NAT: the first comer is, until it fails or the signalled address comes.  `failed` gets the reason, once.  `stop` cuts
    every way back; of a handshake that was done nothing is left after `LIMIT_S`.
    """

    __slots__ = (
        "_address", "_again_s", "_alarm", "_attempts", "_clock", "_context", "_deadline", "_endpoint", "_flight", "_signalled",
        "_why", "done", "failed", "peer", "send", "symmetric",
    )  # fmt: skip

    def __init__(self, clock: IReactorTime, context: SSL.Context, peer: DtlsPeer, signalled: Address) -> None:
        self._clock = clock
        self._context = context
        self._signalled = self._address = signalled
        self._attempts = ATTEMPTS
        self._why = ""
        self._alarm: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None
        self._endpoint: DtlsEndpoint | None = None
        self._flight: list[bytes] = []
        self._again_s: tuple[float, ...] = ()
        self.peer = peer
        self.symmetric = True
        self.send: Callable[[bytes, Address], None] = _nothing
        self.done: Callable[[SrtpKeys, Address], None] = _nothing
        self.failed: Callable[[str], None] = _nothing

    def start(self) -> None:
        self._deadline = self._clock.callLater(LIMIT_S, self._time_is_up)
        self._begin(self._signalled)

    def stop(self) -> None:
        for alarm in (self._alarm, self._deadline):
            if alarm is not None:
                alarm.cancel()
        self._alarm = self._deadline = self._endpoint = None
        self._flight = []
        self.send = self.done = self.failed = _nothing

    def serves(self, peer: DtlsPeer, signalled: Address) -> bool:
        """Whether this is the handshake for what signalling says now (RFC 5763 6.6)."""
        return (peer, signalled) == (self.peer, self._signalled)

    def received(self, data: bytes, address: Address) -> bool:
        """One datagram; False when it comes from somebody who is not spoken with."""
        if address != self._address:
            if not self._open_to(address):
                return False
            self._begin(address)
        if self._endpoint is not None:
            self._advance(self._endpoint, self._endpoint.received(data))
        return True

    def _open_to(self, address: Address) -> bool:
        endpoint = self._endpoint
        if endpoint is None or endpoint.keys is not None or self.peer.active or not self.symmetric:
            return False
        return not endpoint.begun or address == self._signalled

    def _begin(self, address: Address) -> None:
        self._address = address
        self._endpoint = endpoint = DtlsEndpoint(self._context, self.peer)
        self._advance(endpoint, endpoint.start())

    def _advance(self, endpoint: DtlsEndpoint, datagrams: list[bytes]) -> None:
        if datagrams:
            self._flight, self._again_s = datagrams, AGAIN_S
            self._say()
        self._wait(endpoint)
        if endpoint.failed:
            self._again(endpoint.failed)
        elif endpoint.keys is not None:
            done, self.done = self.done, _nothing
            done(endpoint.keys, self._address)

    def _say(self) -> None:
        for datagram in self._flight:
            self.send(datagram, self._address)

    def _wait(self, endpoint: DtlsEndpoint) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        seconds = endpoint.timeout_s
        if seconds is not None:
            self._alarm = self._clock.callLater(min(seconds, *self._again_s[:1], LIMIT_S), self._timed_out)

    def _again(self, why: str) -> None:
        """Anybody who can forge an address can make a handshake fail, but nobody can end one as the peer would."""
        self._why = why
        self._attempts -= 1
        if self._attempts == 0 or (why == UNPROVED and self._address == self._signalled):
            self._give_up(why)
        else:
            self._begin(self._signalled)

    def _timed_out(self) -> None:
        self._alarm, endpoint = None, self._endpoint
        if endpoint is not None and self._again_s:
            self._again_s = self._again_s[1:]
            self._say()
            self._wait(endpoint)
        elif endpoint is not None:
            self._advance(endpoint, endpoint.timed_out())

    def _time_is_up(self) -> None:
        """For the handshake, or, where it was done long since, for what is kept to say its end again."""
        self._deadline, endpoint = None, self._endpoint
        if endpoint is None or endpoint.keys is not None:
            self.stop()
            return
        silent = "no handshake in time" if endpoint.begun else "the peer answers no handshake"
        self._give_up(endpoint.alert or self._why or silent)

    def _give_up(self, why: str) -> None:
        failed = self.failed
        self.stop()
        failed(why)


def _nothing(*_: object) -> None:
    pass


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a flight (RFC 6347 4.1); what is no whole record ends it."""
    at = 0
    while at + _HEADER <= len(data):
        end = at + _HEADER + int.from_bytes(data[at + 11 : at + 13], "big")
        if data[at] not in _KINDS or data[at + 1] != 0xFE or end > len(data):
            return
        yield data[at:end]
        at = end


def _why(error: SSL.Error) -> str:
    """OpenSSL's last word."""
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return reasons[-1][-1] if reasons else str(error) or "the handshake broke off"
