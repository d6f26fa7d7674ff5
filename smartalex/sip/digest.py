"""Digest authentication (RFC 7616, RFC 8760, RFC 3261 22): arithmetic, stateless nonces, the client's answer."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import AuthParams, quote
from smartalex.sip.message import Response

HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
"""Algorithms spoken, by their registered names; -sess variants are not."""


def _hash(algorithm: str, text: str) -> str:
    return HASHES[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()


def ha1(username: str, realm: str, password: str, algorithm: str) -> str:
    """H(username:realm:password), all that digest needs of a password."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


@attrs.frozen
class Secret:
    """A password, or HA1s by algorithm where the password is not kept; never shown."""

    password: str = attrs.field(default="", repr=False)
    ha1s: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    def ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        if self.password:
            return ha1(username, realm, self.password, algorithm)
        return self.ha1s.get(algorithm)

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


@attrs.frozen
class Credentials:
    """What a peer sent in Authorization."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str = attrs.field(repr=False)
    algorithm: str = "MD5"
    qop: str = ""
    cnonce: str = ""
    nc: str = ""

    @classmethod
    def parse(cls, text: str) -> Credentials:
        """Raises RemoteError(400) for what is not Digest or lacks a part."""
        read = AuthParams.parse(text)
        params = read.params
        if read.scheme != "digest" or any(key not in params for key in ("username", "realm", "nonce", "uri", "response")):
            raise RemoteError(400, "Bad Authorization")
        return cls(
            username=params["username"],
            realm=params["realm"],
            nonce=params["nonce"],
            uri=params["uri"],
            response=params["response"],
            algorithm=params.get("algorithm", "MD5").upper(),
            qop=params.get("qop", "").lower(),
            cnonce=params.get("cnonce", ""),
            nc=params.get("nc", ""),
        )


def response_for(ha1_hex: str, method: str, given: Credentials) -> str:
    """The response value (RFC 7616 3.4.1); `given` carries nonce, uri, qop, cnonce and nc."""
    ha2 = _hash(given.algorithm, f"{method}:{given.uri}")
    middle = f"{given.nonce}:{given.nc}:{given.cnonce}:{given.qop}" if given.qop else given.nonce
    return _hash(given.algorithm, f"{ha1_hex}:{middle}:{ha2}")


def verify(given: Credentials, ha1_hex: str, method: str) -> bool:
    """Compared in constant time; False for an algorithm we don't speak."""
    if given.algorithm not in HASHES:
        return False
    return hmac.compare_digest(response_for(ha1_hex, method, given).encode(), given.response.lower().encode("utf-8", "replace"))


class NonceSource:
    """Nonces that need no memory: time and an HMAC over time and source; `nc` per nonce is kept in a bounded table."""

    def __init__(self, key: bytes, lifetime_s: float = 60.0, table: int = 50_000) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._table = table
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._last = 0

    def issue(self, source: str, now: float) -> str:
        self._last = max(int(now * 1e6), self._last + 1)  # no two alike: each has its own count of uses
        stamp = self._last.to_bytes(8, "big")
        return urlsafe_b64encode(stamp + self._mac(stamp, source)).decode()

    def check(self, nonce: str, source: str, now: float) -> str:
        """'ok', 'stale' (ours, too old) or 'bad'."""
        try:
            raw = urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return "bad"
        if len(raw) != 24 or not hmac.compare_digest(raw[8:], self._mac(raw[:8], source)):
            return "bad"
        age = now - int.from_bytes(raw[:8], "big") / 1e6
        return "ok" if -1.0 <= age <= self._lifetime_s else "stale"

    def use(self, nonce: str, nc: str) -> bool:
        """True when `nc` (8 hex digits) rose; '' (no qop) counts as 1, so such a nonce serves once."""
        try:
            count = int(nc, 16) if nc else 1
        except ValueError:
            return False
        if count <= self._counts.get(nonce, 0):
            return False
        self._counts[nonce] = count
        self._counts.move_to_end(nonce)
        while len(self._counts) > self._table:
            self._counts.popitem(last=False)
        return True

    def _mac(self, stamp: bytes, source: str) -> bytes:
        return hmac.digest(self._key, stamp + source.encode("utf-8", "replace"), "sha256")[:16]


def challenge(realm: str, nonce: str, algorithm: str, *, stale: bool = False) -> str:
    """A WWW-Authenticate value."""
    tail = ", stale=true" if stale else ""
    return f'Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"{tail}'


class DigestClient:
    """Answers challenges for one identity: the first algorithm we speak, at most once per realm unless stale."""

    def __init__(self, username: str, secret: Secret, cnonce: Callable[[], str]) -> None:
        self.username = username
        self._secret = secret
        self._cnonce = cnonce
        self._answered: dict[str, int] = {}

    def elsewhere(self) -> None:
        """The request goes to another target, which may ask for the same realm again."""
        self._answered.clear()

    def authorization(self, response: Response, method: str, uri: str) -> tuple[str, str] | None:
        """(header name, value) that answers this 401 or 407, or None when it must not or cannot be answered."""
        proxy = response.status == 407
        for text in response.headers.get_all("Proxy-Authenticate" if proxy else "WWW-Authenticate"):
            try:
                offered = AuthParams.parse(text)
            except RemoteError:
                continue
            value = self._answer(offered, method, uri)
            if value:
                return ("Proxy-Authorization" if proxy else "Authorization"), value
        return None

    def _answer(self, offered: AuthParams, method: str, uri: str) -> str | None:
        params = offered.params
        realm, algorithm = params.get("realm", ""), params.get("algorithm", "MD5").upper()
        stale = params.get("stale", "").lower() == "true"
        if offered.scheme != "digest" or algorithm not in HASHES or "nonce" not in params:
            return None
        known = self._secret.ha1(self.username, realm, algorithm)
        if known is None or self._answered.get(realm, 0) >= (3 if stale else 1):
            return None
        self._answered[realm] = self._answered.get(realm, 0) + 1
        auth = "auth" in [q.strip() for q in params.get("qop", "").split(",")]
        extra = ("auth", self._cnonce(), "00000001") if auth else ("", "", "")
        given = Credentials(self.username, realm, params["nonce"], uri, "", algorithm, *extra)
        return self._write(given, response_for(known, method, given), params.get("opaque"))

    def _write(self, given: Credentials, response: str, opaque: str | None) -> str:
        value = (
            f"Digest username={quote(given.username)}, realm={quote(given.realm)}, nonce={quote(given.nonce)}, "
            f'uri={quote(given.uri)}, response="{response}", algorithm={given.algorithm}'
        )
        if given.qop:
            value += f', qop={given.qop}, cnonce="{given.cnonce}", nc={given.nc}'
        return value + (f", opaque={quote(opaque)}" if opaque else "")
