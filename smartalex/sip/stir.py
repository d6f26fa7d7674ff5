"""Whether the network vouches for the caller's number: Identity and PASSporT (RFC 8224, RFC 8225, RFC 8588)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
from cryptography.x509 import Certificate

from smartalex.errors import ConfigurationError, RemoteError
from smartalex.sip.credential import check_authority, check_chain, check_signature, read_certificates
from smartalex.sip.headers import unquote
from smartalex.sip.message import Headers, Request
from smartalex.sip.privacy import caller_identity, canonical_number, telephone_number
from smartalex.sip.uri import Uri

MAX_IDENTITY = 8192
MAX_BRACKETS = 64
"""Objects and arrays in one JSON text, so that none is nested deeply."""
MOST_IDENTITIES = 4
MOST_DESTINATIONS = 32
FRESH_S = 60.0
"""RFC 8224 6.2, step 4."""

PHRASES = {
    403: "Stale Date", 428: "Use Identity Header", 436: "Bad Identity Info", 437: "Unsupported Credential",
    438: "Invalid Identity Header",
}  # fmt: skip
"""RFC 8224 6.2.2."""

SUPPORTED = ("", "shaken")

_INFO = re.compile(r"<(https://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:/[!#-;=?-Z_a-z~%]*)?)>", re.I | re.A).fullmatch
_PARAM = re.compile(r'\s*;\s*([a-z0-9-]{1,32})\s*(?:=\s*("[^"]*"|<[^<>]*>|[^;,<>"\s]*)\s*)?', re.I | re.A)
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*").fullmatch
_ORIGID = re.compile(r"[!-~]{1,128}").fullmatch


@attrs.frozen
class Passport:
    """One Identity header.  `signed` is what the signature covers; in the compact form, that comes from the request.

    Identities are canonical numbers ("12155551212") or URIs ("sip:alice@example.com").  `div` is the number that a
    diversion came from (RFC 8946); it is read and nothing more.
    """

    info: str
    signature: bytes
    ppt: str = ""
    signed: bytes = b""
    iat: float = 0.0
    orig: str = ""
    dest: tuple[str, ...] = ()
    attest: str = ""
    origid: str = ""
    div: str = ""

    @property
    def compact(self) -> bool:
        return not self.signed


@attrs.frozen
class Facts:
    """What the request says: an identity as number, if it is one, and as URI; `date` in Unix seconds, None without Date."""

    caller: tuple[str, ...]
    called: tuple[str, ...]
    date: float | None = None


@attrs.frozen
class Verification:
    """`status` is 'verified', 'failed' or 'none'; `attestation` 'A', 'B', 'C' or ''; `reason` for our record.

    `status_code` is the one of RFC 8224 6.2.2 to refuse with, 0 when verified.
    """

    status: str
    attestation: str = ""
    reason: str = ""
    status_code: int = 0
    origid: str = ""


NONE = Verification("none", reason="no Identity", status_code=428)


# ---------------------------------------------------------------------- reading


def parse_identity(value: str) -> Passport:
    """An Identity header's value; raises RemoteError(436), RemoteError(437) or RemoteError(438), its reason for our record."""
    if len(value) > MAX_IDENTITY:
        raise RemoteError(438, "Identity is too long")
    token, params = _split(value)
    info = _INFO(params.get("info", ""))
    if info is None:
        raise RemoteError(436, "info names no https resource")
    if params.get("alg", "ES256") != "ES256":
        raise RemoteError(437, "alg is not ES256")
    parts = token.split(".")
    if len(parts) != 3:
        raise RemoteError(438, "the token has not three parts")
    signature = _base64url(parts[2])
    if len(signature) != 64:
        raise RemoteError(438, "the signature is not one of ES256")
    passport = Passport(info[1], signature, unquote(params.get("ppt", "")))
    return _full(passport, parts[0], parts[1]) if parts[0] or parts[1] else passport


def _split(value: str) -> tuple[str, dict[str, str]]:
    """The token without its white space (long headers are folded) and the parameters."""
    token, semicolon, tail = value.partition(";")
    params: dict[str, str] = {}
    place, tail = 0, (semicolon + tail).rstrip()
    while place < len(tail):
        found = _PARAM.match(tail, place)
        if found is None or found[1].lower() in params:
            raise RemoteError(438, "the parameters cannot be read")
        params[found[1].lower()] = found[2] or ""
        place = found.end()
    return "".join(token.split()), params


def _full(passport: Passport, header: str, payload: str) -> Passport:
    head, claims = _json(header), _json(payload)
    if head.get("alg") != "ES256" or head.get("typ") != "passport":
        raise RemoteError(437, "the token is no PASSporT with ES256")
    if head.get("x5u") != passport.info:
        raise RemoteError(436, "x5u is not what info says")
    ppt, iat = head.get("ppt", ""), claims.get("iat")
    if not isinstance(ppt, str) or passport.ppt not in ("", ppt):
        raise RemoteError(438, "ppt differs between header and token")
    if isinstance(iat, bool) or not isinstance(iat, int | float) or not 0 < iat < 2**40:
        raise RemoteError(438, "iat is no date")
    orig, div = _identities(claims.get("orig")), _identities(claims.get("div", {}))
    if len(orig) != 1:
        raise RemoteError(438, "orig is not one identity")
    return attrs.evolve(
        passport, ppt=ppt, signed=f"{header}.{payload}".encode("ascii"), iat=float(iat),
        orig=orig[0], dest=_identities(claims.get("dest")), div="".join(div[:1]),
        attest=_text(claims, "attest"), origid=_text(claims, "origid"),
    )  # fmt: skip


def _identities(claim: Any) -> tuple[str, ...]:
    """The numbers and URIs of orig, dest or div, in canonical form; a value may be one text or an array of them."""
    if not isinstance(claim, dict):
        raise RemoteError(438, "an identity claim is missing")
    found: list[str] = []
    for kind, canonical in (("tn", canonical_number), ("uri", _canonical)):
        values = claim.get(kind, [])
        values = values if isinstance(values, list) else [values]
        if len(values) > MOST_DESTINATIONS or not all(isinstance(value, str) for value in values):
            raise RemoteError(438, "an identity claim cannot be read")
        found += map(canonical, values)
    if not all(found):
        raise RemoteError(438, "an identity claim is neither number nor URI")
    return tuple(found)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or (value and not _ORIGID(value)):
        raise RemoteError(438, f"{name} cannot be read")
    return value


def _json(part: str) -> dict[str, Any]:
    try:
        text = _base64url(part).decode("utf-8")
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise ValueError("nested")
        value = json.loads(text, object_pairs_hook=_once)
    except ValueError:
        raise RemoteError(438, "the token holds no JSON") from None
    if not isinstance(value, dict):
        raise RemoteError(438, "the token holds no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key given twice, another reader may see the other value (RFC 7515 4)."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is given twice")
    return value


def _base64url(text: str) -> bytes:
    if not _BASE64URL(text) or len(text) % 4 == 1:
        raise RemoteError(438, "the token is not in base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _canonical(text: str) -> str:
    try:
        return canonical_uri(Uri.parse(text))
    except RemoteError:
        return ""


def canonical_uri(uri: Uri) -> str:
    """Scheme, user without escapes, host in lower case, port if it is not 5060 (RFC 8224 8.5, RFC 3261 10.3)."""
    if uri.scheme not in ("sip", "sips"):
        return str(uri)
    port = "" if uri.port in (None, 5060) else f":{uri.port}"
    return f"{uri.scheme}:{uri.user_text}{'@' * bool(uri.user_text)}{uri.host.lower()}{port}"


def facts_of(request: Request) -> Facts:
    """Who calls whom, and when, by the request's own word; raises RemoteError(400)."""
    return Facts(_names(caller_identity(request).uri), _names(request.to.uri), _date(request.headers))


def _names(uri: Uri) -> tuple[str, ...]:
    number = telephone_number(uri)
    return (number, canonical_uri(uri)) if number else (canonical_uri(uri),)


def _date(headers: Headers) -> float | None:
    try:
        date = parsedate_to_datetime(headers.get("Date") or "")
        return date.timestamp() if date.tzinfo else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


# ---------------------------------------------------------------------- verifying


def precheck(passport: Passport, facts: Facts, now: float) -> Verification | None:
    """What is to be said without the certificate, so that none is fetched for nothing; None when all is well so far."""
    if passport.ppt not in SUPPORTED:
        return Verification("none", reason=f"ppt {passport.ppt[:32]!r} is not supported", status_code=428)
    try:
        _check_claims(passport, facts, now)
    except RemoteError as error:
        return failed(error)
    return None


def verify(
    passport: Passport, chain: bytes, anchors: Sequence[Certificate], facts: Facts, now: float, *, strict: bool = True
) -> Verification:
    """RFC 8224 6.2.  `chain` is what `passport.info` led to; without `strict`, a certificate may lack the TNAuthList."""
    early = precheck(passport, facts, now)
    if early is not None:
        return early
    try:
        path = check_chain(read_certificates(chain), anchors, now)
        check_authority(path, passport.orig or facts.caller[0], strict=strict)
        check_signature(path[0], passport.signature, passport.signed or _compact_input(passport, facts))
    except RemoteError as error:
        return failed(error)
    return Verification("verified", passport.attest if passport.ppt else "", origid=passport.origid)


def failed(error: RemoteError) -> Verification:
    return Verification("failed", reason=error.reason, status_code=error.status)


def _check_claims(passport: Passport, facts: Facts, now: float) -> None:
    issued = passport.iat
    if passport.compact:
        if passport.ppt or facts.date is None:
            raise RemoteError(438, "the compact form needs Date and knows no ppt")
        issued = facts.date
    if abs(now - issued) > FRESH_S:
        raise RemoteError(403, f"issued {abs(now - issued):.0f} s {'ago' if issued < now else 'ahead'}")
    if facts.date is not None and abs(facts.date - issued) > FRESH_S:
        raise RemoteError(403, "Date and iat are too far apart")
    if passport.compact:
        return
    if passport.ppt == "shaken" and (passport.attest not in ("A", "B", "C") or not passport.origid):
        raise RemoteError(438, "attest or origid is missing")
    if passport.orig not in facts.caller:
        raise RemoteError(438, f"orig {passport.orig[:64]!r} is not the caller")
    if not set(passport.dest) & set(facts.called):
        raise RemoteError(438, "dest is not the number called")


def _compact_input(passport: Passport, facts: Facts) -> bytes:
    """The token that the signer left out, as RFC 8225 9 writes it: sorted keys, no white space."""
    orig, dest = facts.caller[0], facts.called[0]
    payload = {
        "dest": {"uri" if ":" in dest else "tn": [dest]},
        "iat": int(facts.date or 0),
        "orig": {"uri" if ":" in orig else "tn": orig},
    }
    parts = ({"alg": "ES256", "typ": "passport", "x5u": passport.info}, payload)
    texts = (json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape") for part in parts)
    return b".".join(base64.urlsafe_b64encode(text).rstrip(b"=") for text in texts)


def best(verifications: Iterable[Verification]) -> Verification:
    """One good PASSporT suffices, the best attested; of bad ones the first is told (RFC 8224 6.2)."""
    return min(verifications, key=_rank, default=NONE)


def _rank(verification: Verification) -> tuple[int, int]:
    status = ("verified", "failed", "none").index(verification.status)
    return status, "ABC".index(verification.attestation) if verification.attestation else 3


# ---------------------------------------------------------------------- policy


@attrs.frozen
class Policy:
    """`mode` is 'off', 'record' or 'require'; `minimum` the least attestation when required, '' for any or none."""

    mode: str = "off"
    minimum: str = ""

    @classmethod
    def parse(cls, text: str) -> Policy:
        """ "off", "record", "require", "require-A", "require-B" or "require-C"; raises ConfigurationError."""
        mode, dash, minimum = text.partition("-")
        if mode not in ("off", "record", "require") or (dash and (mode != "require" or minimum not in ("A", "B", "C"))):
            raise ConfigurationError(f"stir: {text!r} is none of off, record, require, require-A, require-B, require-C")
        return cls(mode, minimum)


def decide(policy: Policy, verification: Verification) -> int | None:
    """The status to refuse the call with, None to take it; 403 when the attestation is too low."""
    if policy.mode != "require":
        return None
    if verification.status != "verified":
        return verification.status_code
    enough = not policy.minimum or (verification.attestation and verification.attestation <= policy.minimum)
    return None if enough else 403


def phrase(verification: Verification) -> str:
    """The reason phrase that goes with what `decide` said."""
    return PHRASES.get(verification.status_code, "Forbidden")
