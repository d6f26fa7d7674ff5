"""The certificates that sign for telephone numbers: their chain and their TNAuthList (RFC 8226)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from smartalex.errors import RemoteError

TN_AUTH_LIST = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26")
CLAIM_CONSTRAINTS = frozenset(map(x509.ObjectIdentifier, ("1.3.6.1.5.5.7.1.27", "1.3.6.1.5.5.7.1.33")))
"""JWTClaimConstraints of RFC 8226 8 and RFC 9118, which must be obeyed and which we don't evaluate."""
MOST_CERTIFICATES = 6
DEEPEST_CHAIN = 4
"""Certificates between the signer's and the anchor."""

PEM = b"-----BEGIN CERTIFICATE-----"
SPC, RANGE, ONE = 0xA0, 0xA1, 0xA2
SEQUENCE, IA5_STRING, INTEGER = 0x30, 0x16, 0x02


@attrs.frozen
class TnAuthList:
    """Service provider codes, and (first number, how many) ranges (RFC 8226 9)."""

    codes: tuple[str, ...] = ()
    ranges: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, certificate: x509.Certificate) -> TnAuthList | None:
        """None when it has none; raises ValueError for one that cannot be read."""
        try:
            found = certificate.extensions.get_extension_for_oid(TN_AUTH_LIST).value
        except x509.ExtensionNotFound:
            return None
        return cls.parse(found.public_bytes())

    @classmethod
    def parse(cls, der: bytes) -> TnAuthList:
        """TNAuthorizationList in DER; raises ValueError."""
        codes, ranges = [], []
        for tag, entry in _elements(_content(der, SEQUENCE)):
            if tag == SPC:
                codes.append(_content(entry, IA5_STRING).decode("ascii"))
            elif tag == RANGE:
                (_, start), (_, count) = _elements(_content(entry, SEQUENCE), IA5_STRING, INTEGER)
                ranges.append((start.decode("ascii"), int.from_bytes(count, signed=True)))
            elif tag == ONE:
                ranges.append((_content(entry, IA5_STRING).decode("ascii"), 1))
            else:
                raise ValueError("unknown entry in TNAuthList")
        return cls(tuple(codes), tuple(ranges))

    def covers(self, number: str) -> bool:
        """Whether it may speak for a canonical number; which ones a service provider holds is not known here."""
        if not number or ":" in number:
            return False
        return bool(self.codes) or any(_within(number, start, count) for start, count in self.ranges)


def _within(number: str, start: str, count: int) -> bool:
    if number == start:
        return count > 0
    digits = number.isdigit() and start.isdigit() and len(number) == len(start)
    return digits and int(start) <= int(number) < int(start) + count


def _elements(der: bytes, *tags: int) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each element in turn; `tags` when just these are expected.  Raises ValueError."""
    place, seen = 0, []
    while place < len(der):
        tag, length, place = der[place], der[place + 1] if place + 1 < len(der) else 0x80, place + 2
        if length & 0x80:
            size = length & 0x7F
            length, place = int.from_bytes(der[place : place + size]), place + size
            if not 1 <= size <= 3:
                raise ValueError("bad length in DER")
        if place + length > len(der):
            raise ValueError("DER is cut short")
        seen.append(tag)
        yield tag, der[place : place + length]
        place += length
    if tags and seen != list(tags):
        raise ValueError("unexpected elements in DER")


def _content(der: bytes, tag: int) -> bytes:
    ((_, content),) = _elements(der, tag)
    return content


def read_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """A chain in PEM, the signer's first, or one certificate in DER; raises RemoteError(437)."""
    try:
        if PEM not in data:
            return (x509.load_der_x509_certificate(data),)
        if data.count(PEM) > MOST_CERTIFICATES:
            raise ValueError("too many")
        return tuple(x509.load_pem_x509_certificates(data))
    except (ValueError, x509.InvalidVersion):
        raise RemoteError(437, "no certificate can be read") from None


def check_chain(
    chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now: float
) -> tuple[x509.Certificate, ...]:
    """The path from chain[0] to an anchor, both included, all valid at `now` (Unix seconds); raises RemoteError(437).

    Revocation lists are not asked.
    """
    if not anchors:
        raise RemoteError(437, "there are no trust anchors")
    policy = (
        PolicyBuilder()
        .store(Store(list(anchors)))
        .time(datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None))
        .max_chain_depth(DEEPEST_CHAIN)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=SIGNER)
    )
    try:
        return tuple(policy.build_client_verifier().verify(chain[0], list(chain[1:])).chain)
    except (VerificationError, UnsupportedAlgorithm, ValueError) as error:
        why = str(error).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
        raise RemoteError(437, f"the certificate is not trusted: {why[:160]}") from None


def _may_sign(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.digital_signature:
        raise ValueError("its key is not for signatures")


SIGNER = ExtensionPolicy.permit_all().may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)


def check_authority(path: Sequence[x509.Certificate], orig: str, *, strict: bool = True) -> None:
    """Every TNAuthList on the path must cover `orig`, and the signer's own must be there if `strict`; raises RemoteError(437)."""
    try:
        lists = [TnAuthList.of(certificate) for certificate in path]
        constrained = any(one.oid in CLAIM_CONSTRAINTS for certificate in path for one in certificate.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise RemoteError(437, "the certificate's extensions cannot be read") from None
    if constrained:
        raise RemoteError(437, "the certificate constrains claims")
    if strict and lists[0] is None:
        raise RemoteError(437, "the certificate has no TNAuthList")
    if not all(one.covers(orig) for one in lists if one is not None):
        raise RemoteError(437, f"the certificate does not cover {orig[:64]!r}")


def check_signature(certificate: x509.Certificate, signature: bytes, signed: bytes) -> None:
    """ES256 (RFC 7518 3.4): `signature` is r and s, 32 bytes each; raises RemoteError(437) or RemoteError(438)."""
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise RemoteError(437, "the certificate's key is not on P-256")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    try:
        key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
    except InvalidSignature:
        raise RemoteError(438, "the signature does not fit") from None
