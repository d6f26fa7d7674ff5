"""What secures a stream: keys in the description (SDES, RFC 4568) or a handshake in the stream (DTLS-SRTP, RFC 5763)."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from secrets import token_bytes
from typing import Literal

import attrs

from smartalex.errors import RemoteError
from smartalex.sdp.description import Line, Media, SessionDescription

SUITES = {
    "AEAD_AES_256_GCM": 44,
    "AEAD_AES_128_GCM": 28,
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
}
"""Octets of a master key and its salt (RFC 4568 6.2, RFC 7714 14.2); best first, as we offer them."""

HASHES = {"sha-512": 64, "sha-384": 48, "sha-256": 32, "sha-224": 28, "sha-1": 20}
"""Octets of a fingerprint by its hash function, strongest first; MD5 and MD2 are no proof of anything (RFC 8122 5)."""

PLAIN_PROFILES = ("RTP/AVP", "RTP/AVPF")
SDES_PROFILES = ("RTP/SAVP", "RTP/SAVPF")
DTLS_PROFILES = ("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF")
PROFILES = PLAIN_PROFILES + SDES_PROFILES + DTLS_PROFILES

MOST_PACKETS = 1 << 48
WIDEST_MKI = 128

Role = Literal["active", "passive"]
Policy = Literal["off", "optional", "required"]

_ATTRIBUTE = re.compile(r"\s*([0-9]{1,9})[ \t]+([A-Za-z0-9_]+)[ \t]+inline:([^\s;]+)((?:[ \t]+[!-~]+)*)\s*", re.IGNORECASE)
_LIFETIME = re.compile(r"(2\^)?([0-9]{1,15})")
_MKI = re.compile(r"([0-9]{1,40}):([0-9]{1,3})")
_HARMLESS = re.compile(r"KDR=0|WSH=[0-9]{1,6}|-.+", re.IGNORECASE)
"""Session parameters that ask nothing of us: keys that are never derived anew, a hint, extensions that may be ignored."""

_FINGERPRINT = re.compile(r"\s*([A-Za-z0-9-]+)[ \t]+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\s*")


@attrs.frozen
class Crypto:
    """One a=crypto with one key (RFC 4568 9.1).  `key` is the master key and its salt; `mki` precedes each packet's tag."""

    tag: int
    suite: str
    key: bytes = attrs.field(repr=False)
    mki: bytes = b""

    @classmethod
    def parse(cls, value: str) -> Crypto | None:
        """None for what is malformed, or asks for something that we do not do: not to be chosen then (RFC 4568 5.1.2)."""
        match = _ATTRIBUTE.fullmatch(value)
        suite = match[2].upper() if match else ""
        if match is None or suite not in SUITES or not all(map(_HARMLESS.fullmatch, match[4].split())):
            return None
        key, *rest = match[3].split("|")
        octets, mki = _decoded(key), _key_parameters(rest)
        if octets is None or len(octets) != SUITES[suite] or mki is None:
            return None
        return cls(int(match[1]), suite, octets, mki)

    def line(self) -> Line:
        return "a", f"crypto:{self.tag} {self.suite} inline:{b64encode(self.key).decode()}"


@attrs.frozen
class Fingerprint:
    """Of a certificate in DER (RFC 8122 5)."""

    hash: str
    digest: bytes

    @classmethod
    def parse(cls, value: str) -> Fingerprint | None:
        match = _FINGERPRINT.fullmatch(value)
        if match is None:
            return None
        name, digest = match[1].lower(), bytes.fromhex(match[2].replace(":", ""))
        return cls(name, digest) if HASHES.get(name) == len(digest) else None

    def line(self) -> Line:
        return "a", f"fingerprint:{self.hash} {self.digest.hex(':').upper()}"


@attrs.frozen
class Sdes:
    """A key for each direction: `ours` is for what we send."""

    ours: Crypto
    theirs: Crypto

    def lines(self) -> tuple[Line, ...]:
        return (self.ours.line(),)


@attrs.frozen
class Dtls:
    """`theirs` are the fingerprints of which the peer's certificate has to have one; `role` is ours in the handshake."""

    role: Role
    ours: Fingerprint
    theirs: tuple[Fingerprint, ...]

    def lines(self) -> tuple[Line, ...]:
        return self.ours.line(), ("a", f"setup:{self.role}")


Secured = Sdes | Dtls | None
"""None: plain RTP."""


@attrs.frozen
class Security:
    """What this side may do: `random` gives so many octets, `fingerprint` is of our certificate (None: no DTLS).

    `role` is the one we take in a handshake when the peer leaves it to us.
    """

    policy: Policy = "off"
    random: Callable[[int], bytes] = token_bytes
    fingerprint: Fingerprint | None = None
    role: Role = "active"


# ------------------------------------------------------------------ an offer of theirs


def answered(theirs: SessionDescription, media: Media, security: Security, before: Secured) -> Secured:
    """What is to secure the stream that `media` offers; `before` did so until now.

    Raises RemoteError(488) for what the policy, or what is in the section, does not allow.
    """
    if media.protocol not in PROFILES:
        raise RemoteError(488, f"audio only over {media.protocol[:20]}")
    if security.policy == "off":
        if media.protocol not in PLAIN_PROFILES:
            raise RemoteError(488, f"audio only over {media.protocol}, and SRTP is off")
        return None
    found = _by_handshake(theirs, media, security, before) or _by_keys(media, security, before)
    if found is None and media.protocol not in PLAIN_PROFILES:
        raise RemoteError(488, f"nothing that secures {media.protocol} can be agreed on")
    if found is None and security.policy == "required":
        raise RemoteError(488, "SRTP is required")
    return found


def _by_keys(media: Media, security: Security, before: Secured) -> Secured:
    """The first that will do (RFC 4568 5.1.2), with a new key of ours unless theirs is the one we have."""
    theirs = next(iter(cryptos(media)), None) if media.protocol not in DTLS_PROFILES else None
    if theirs is None:
        return None
    if isinstance(before, Sdes) and attrs.evolve(before.theirs, tag=theirs.tag) == theirs:
        key = before.ours.key
    else:
        key = security.random(SUITES[theirs.suite])
    return Sdes(Crypto(theirs.tag, theirs.suite, key), theirs)


def _by_handshake(theirs: SessionDescription, media: Media, security: Security, before: Secured) -> Secured:
    prints, setup = fingerprints(theirs, media), _setup(theirs, media, "active")
    if security.fingerprint is None or not prints or setup not in ("active", "passive", "actpass"):
        return None
    if setup == "actpass":
        role = before.role if isinstance(before, Dtls) and before.theirs == prints else security.role
    else:
        role = _other(setup)
    return Dtls(role, security.fingerprint, prints)


# ------------------------------------------------------------------ an offer of ours


@attrs.frozen
class Offered:
    """What we offered, to be compared with the answer."""

    profile: str = "RTP/AVP"
    cryptos: tuple[Crypto, ...] = ()
    fingerprint: Fingerprint | None = None

    def lines(self) -> tuple[Line, ...]:
        handshake = (self.fingerprint.line(), ("a", "setup:actpass")) if self.fingerprint else ()
        return (*handshake, *(crypto.line() for crypto in self.cryptos))


def offered(security: Security, before: tuple[str, Secured] | None) -> Offered:
    """Of a stream that is up, (its profile, what secures it) as it is; else what the policy says.

    "optional" offers keys in plain RTP's profile: who does not know them passes them over (RFC 8643).
    """
    if before is not None:
        profile, secured = before
        if isinstance(secured, Dtls):
            return Offered(profile, fingerprint=secured.ours)
        return Offered(profile, (secured.ours,) if secured else ())
    if security.policy == "off":
        return Offered()
    keys = tuple(Crypto(n, suite, security.random(size)) for n, (suite, size) in enumerate(SUITES.items(), 1))
    return Offered("RTP/SAVP" if security.policy == "required" else "RTP/AVP", keys)


def accepted(theirs: SessionDescription, media: Media, ours: Offered, security: Security) -> Secured:
    """What the answer to `ours` makes of it; RemoteError(488) where it is none to it (RFC 4568 5.1.3)."""
    found: Secured = None
    if ours.fingerprint is not None:
        prints, setup = fingerprints(theirs, media), _setup(theirs, media, "passive")
        if prints and setup in ("active", "passive"):
            found = Dtls(_other(setup), ours.fingerprint, prints)
    elif ours.cryptos and media.attributes("crypto"):
        chosen = [(o, t) for t in cryptos(media) for o in ours.cryptos if (o.tag, o.suite) == (t.tag, t.suite)]
        if len(chosen) != 1 or len(media.attributes("crypto")) != 1:
            raise RemoteError(488, "answered with no key we asked for")
        found = Sdes(*chosen[0])
    if found is None and (media.protocol not in PLAIN_PROFILES or ours.profile not in PLAIN_PROFILES):
        raise RemoteError(488, "answered without what secures the stream")
    if found is None and security.policy == "required":
        raise RemoteError(488, "SRTP is required")
    return found


# ------------------------------------------------------------------ reading a section


def cryptos(media: Media) -> list[Crypto]:
    """Those that can be chosen, in the peer's order; of one tag the first."""
    found: dict[int, Crypto] = {}
    for crypto in filter(None, map(Crypto.parse, media.attributes("crypto"))):
        found.setdefault(crypto.tag, crypto)
    return list(found.values())


def fingerprints(theirs: SessionDescription, media: Media) -> tuple[Fingerprint, ...]:
    """Of the strongest hash function among those there: one of them has to fit (RFC 8122 5.1)."""
    values = media.attributes("fingerprint") or theirs.attributes("fingerprint")
    found = list(filter(None, map(Fingerprint.parse, values)))
    strongest = next((name for name in HASHES if any(one.hash == name for one in found)), "")
    return tuple(one for one in found if one.hash == strongest)


def _setup(theirs: SessionDescription, media: Media, default: str) -> str:
    """RFC 4145 4; the default is another in an answer than in an offer."""
    return next(iter(media.attributes("setup") or theirs.attributes("setup")), default).strip()


def _other(setup: str) -> Role:
    return "passive" if setup == "active" else "active"


def _decoded(text: str) -> bytes | None:
    """Base64; some peers leave its padding out."""
    try:
        return b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _key_parameters(fields: Iterable[str]) -> bytes | None:
    """The MKI, b"" where there is none; None for what is no lifetime and no MKI.

    A lifetime binds the one who sends with the key; ours has the longest one, which no call reaches.
    """
    mki = b""
    for place, field in enumerate(fields):
        lifetime, found = _LIFETIME.fullmatch(field), _MKI.fullmatch(field)
        if lifetime and place == 0:
            count = int(lifetime[2])
            if (not lifetime[1] and not 0 < count <= MOST_PACKETS) or (lifetime[1] and count > 48):
                return None
        elif found and not mki and 0 < int(found[2]) <= WIDEST_MKI and int(found[1]) < 256 ** int(found[2]):
            mki = int(found[1]).to_bytes(int(found[2]), "big")
        else:
            return None
    return mki
