"""A certificate authority and the signers it vouches for, as STIR has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from smartalex.sip.credential import TN_AUTH_LIST

NOW = 1_900_000_000.0
INFO = "https://certs.example.org/sti.pem"
CALLER, CALLED = "12155551212", "27215550100"
SPC = bytes.fromhex("3008a00616043730394a")
"""The service provider code 709J."""

USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def der(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    assert len(content) < 128
    return bytes((tag, len(content))) + content


def one(number: str) -> bytes:
    return der(0xA2, der(0x16, number.encode()))


def block(start: str, count: int) -> bytes:
    return der(0xA1, der(0x30, der(0x16, start.encode()), der(0x02, count.to_bytes(2))))


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in USAGES})


@attrs.frozen
class Issued:
    """A certificate, its key, and the chain above it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.above))

    def issue(self, name: str, **how: Any) -> Issued:
        return issue(name, self, **how)

    def ca(self, name: str = "intermediate", **how: Any) -> Issued:
        return issue(name, self, ca=True, **how)

    def signer(self, tn_auth_list: bytes | None = SPC, **how: Any) -> Issued:
        """Who may sign PASSporTs."""
        extra = () if tn_auth_list is None else (x509.UnrecognizedExtension(TN_AUTH_LIST, tn_auth_list),)
        return issue("signer", self, extra=extra, **how)

    def sign(self, text: str) -> str:
        r, s = utils.decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return base64url(r.to_bytes(32) + s.to_bytes(32))

    def token(self, header: Mapping[str, Any] = {}, claims: Mapping[str, Any] = {}) -> str:
        """A shaken PASSporT, with changes; a value None takes the member out."""
        text = f"{encoded(HEADER, header)}.{encoded(CLAIMS, claims)}"
        return f"{text}.{self.sign(text)}"

    def identity(self, header: Mapping[str, Any] = {}, claims: Mapping[str, Any] = {}, params: str | None = None) -> str:
        return self.token(header, claims) + (f";info=<{INFO}>;alg=ES256;ppt=shaken" if params is None else params)


HEADER = {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": INFO}
CLAIMS = {
    "attest": "A", "dest": {"tn": [CALLED]}, "iat": int(NOW), "orig": {"tn": CALLER},
    "origid": "123e4567-e89b-12d3-a456-426655440000",
}  # fmt: skip


def encoded(members: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in {**members, **changes}.items() if value is not None}
    return base64url(json.dumps(kept, separators=(",", ":"), sort_keys=True).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def root(name: str = "root", **how: Any) -> Issued:
    return issue(name, None, ca=True, **how)


def issue(
    name: str,
    issuer: Issued | None,
    *,
    ca: bool = False,
    days: tuple[float, float] = (-1, 30),
    extra: Iterable[x509.ExtensionType] = (),
    critical: bool = False,
    use: x509.KeyUsage | None = None,
    path_length: int | None = None,
    key: Any = None,
) -> Issued:
    """A certificate valid from and to `days` around NOW; with `critical`, so are the extensions in `extra`."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    noon = datetime.fromtimestamp(NOW, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(issuer.certificate.subject if issuer else own)
        .public_key(key if hasattr(key, "verify") else key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(noon + timedelta(days=days[0]))
        .not_valid_after(noon + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, path_length), True)
        .add_extension(use or usage("key_cert_sign" if ca else "digital_signature"), True)
    )
    for extension in extra:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    above = (issuer.certificate, *issuer.above) if issuer and issuer.above else (issuer.certificate,) if issuer else ()
    return Issued(certificate, key, above)
