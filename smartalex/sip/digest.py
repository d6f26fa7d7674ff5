"""Digest authentication (RFC 7616, RFC 8760, RFC 3261 22): arithmetic, stateless nonces, the client's answer."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import AuthParams, quote
from smartalex.sip.message import Response
from smartalex.sip.uri import Uri

MOST_ANSWERS = 3
"""How often a target is sent one request with credentials, whatever it makes of them."""

NONCE_LENGTH = 32

_NC = re.compile("[0-9A-Fa-f]{1,8}").fullmatch

HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
"""Algorithms spoken, by their registered names.

Not spoken: the -sess variants, which save the server nothing that it keeps here; SHA-512-256, which no SIP peer
is known to need and not every OpenSSL has; and of qop auth-int, which breaks at every proxy that touches a body.
"""


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
        """Raises RemoteError(400) for what is not Digest or lacks a part; with a qop that is cnonce and nc too."""
        read = AuthParams.parse(text)
        params = read.params
        needed = ("username", "realm", "nonce", "uri", "response", *(("cnonce", "nc") if "qop" in params else ()))
        if read.scheme != "digest" or any(key not in params for key in needed):
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


def speaks_for(said: str, asked: str, realm: str) -> bool:
    """Whether a digest made with the URI `said` is good for a request to the Request-URI `asked` (RFC 7616 3.4.6).

    A proxy may have rewritten the host, so it is enough that the users are the same (RFC 3261 22.4 (6)).  Some peers
    name no user but the server: that has to be the host asked, or the realm.
    """
    if said == asked:
        return True
    try:
        one, other = Uri.parse(said), Uri.parse(asked)
    except RemoteError:
        return False
    if one.user is not None and other.user is not None:
        return one.user_text == other.user_text
    return one.user is None and bool(one.host) and one.host.lower() in (other.host.lower(), realm.lower())


class NonceSource:
    """Nonces that need no memory until they are used: time, and an HMAC over time and source.

    The uses of a nonce are counted until it is too old for any.  Where `most` are counted already no further nonce
    serves, for if one were forgotten it could be used again.
    """

    def __init__(self, key: bytes, lifetime_s: float = 60.0, most: int = 100_000) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._most = most
        self._counts: dict[int, int] = {}
        self._order: deque[int] = deque()
        self._last = 0

    def __len__(self) -> int:
        return len(self._counts)

    def issue(self, source: str, now: float) -> str:
        self._last = max(int(now * 1e6), self._last + 1)  # no two alike: each has its own count of uses
        stamp = self._last.to_bytes(8, "big")
        return urlsafe_b64encode(stamp + self._mac(stamp, source)).decode()

    def check(self, nonce: str, source: str, now: float) -> str:
        """'ok', 'stale' (ours, too old) or 'bad'."""
        raw = _raw(nonce)
        if not raw or not hmac.compare_digest(raw[8:], self._mac(raw[:8], source)):
            return "bad"
        return "ok" if -1.0 <= self._age_s(_stamp(raw), now) <= self._lifetime_s else "stale"

    def use(self, nonce: str, nc: str, now: float) -> bool:
        """Count a use of a nonce that `check` found ok, after its digest was found right.  True when that is its next one.

        `nc` (8 hex digits) has to rise; '' (no qop) counts as 1, so such a nonce serves once.
        """
        self._forget(now)
        stamp, count = _stamp(_raw(nonce)), int(nc, 16) if _NC(nc) else 0 if nc else 1
        known = self._counts.get(stamp, 0)
        if count <= known or (not known and len(self._counts) >= self._most):
            return False
        if not known:
            self._order.append(stamp)
        self._counts[stamp] = count
        return True

    def _forget(self, now: float) -> None:
        """Those that can no longer be used, in the order of first use."""
        while self._order and self._age_s(self._order[0], now) > self._lifetime_s:
            del self._counts[self._order.popleft()]

    def _age_s(self, stamp: int, now: float) -> float:
        return now - stamp / 1e6

    def _mac(self, stamp: bytes, source: str) -> bytes:
        return hmac.digest(self._key, stamp + source.encode("utf-8", "replace"), "sha256")[:16]


def _raw(nonce: str) -> bytes:
    """Its 24 bytes; none for what we cannot have issued."""
    try:
        return b64decode(nonce, b"-_", validate=True) if len(nonce) == NONCE_LENGTH else b""
    except (ValueError, binascii.Error):
        return b""


def _stamp(raw: bytes) -> int:
    """Microseconds, unlike any other nonce's."""
    return int.from_bytes(raw[:8], "big")


def challenge(realm: str, nonce: str, algorithm: str, *, stale: bool = False) -> str:
    """A WWW-Authenticate value."""
    tail = ", stale=true" if stale else ""
    return f'Digest realm={quote(realm)}, nonce="{nonce}", algorithm={algorithm}, qop="auth"{tail}'


@attrs.define
class _Challenge:
    """One that was answered; `count` requests have been sent with its nonce."""

    realm: str
    nonce: str
    algorithm: str
    auth: bool
    opaque: str | None
    count: int = 0


class DigestClient:
    """Credentials for one request and its repetitions, for challenges of one `realm` or, where that is '', of any.

    The first algorithm we speak is used (RFC 8760 2.4), once per realm unless the nonce was stale, MOST_ANSWERS times per target.
    """

    def __init__(self, username: str, secret: Secret, cnonce: Callable[[], str], realm: str = "") -> None:
        self.username = username
        self._secret = secret
        self._cnonce = cnonce
        self._realm = realm
        self._realms: set[str] = set()
        self._answers = 0
        self._kept: dict[str, _Challenge] = {}

    def elsewhere(self) -> None:
        """The request goes to another target, which may ask for the same realm again."""
        self._answers = 0
        self._realms.clear()
        self._kept.clear()

    def authorization(self, response: Response, method: str, uri: str) -> tuple[tuple[str, str], ...]:
        """Rows for the request's repetition after this 401 or 407; () when it must not or cannot be answered.

        A proxy's and a server's credentials go together: what was answered before is answered again, with its next nc.
        """
        name, answer = AUTHENTICATE[response.status]
        for text in response.headers.get_all(name):
            challenge = self._answerable(text)
            if challenge is not None:
                self._answers += 1
                self._realms.add(challenge.realm)
                self._kept[answer] = challenge
                return tuple((kept, self._write(known, method, uri)) for kept, known in self._kept.items())
        return ()

    def _answerable(self, text: str) -> _Challenge | None:
        try:
            offered = AuthParams.parse(text)
        except RemoteError:
            return None
        params = offered.params
        realm, algorithm = params.get("realm", ""), params.get("algorithm", "MD5").upper()
        qops = [qop.strip().lower() for qop in params.get("qop", "").split(",")]
        if offered.scheme != "digest" or algorithm not in HASHES or "nonce" not in params or not {"auth", ""} & {*qops}:
            return None
        if not self._may_answer(realm, stale=params.get("stale", "").lower() == "true"):
            return None
        if self._secret.ha1(self.username, realm, algorithm) is None:
            return None
        return _Challenge(realm, params["nonce"], algorithm, "auth" in qops, params.get("opaque"))

    def _may_answer(self, realm: str, *, stale: bool) -> bool:
        if self._answers >= MOST_ANSWERS or (self._realm and realm != self._realm):
            return False
        return stale or realm not in self._realms

    def _write(self, known: _Challenge, method: str, uri: str) -> str:
        known.count += 1
        extra = ("auth", self._cnonce(), f"{known.count:08x}") if known.auth else ("", "", "")
        given = Credentials(self.username, known.realm, known.nonce, uri, "", known.algorithm, *extra)
        response = response_for(self._secret.ha1(self.username, known.realm, known.algorithm) or "", method, given)
        value = (
            f"Digest username={quote(given.username)}, realm={quote(given.realm)}, nonce={quote(given.nonce)}, "
            f'uri={quote(given.uri)}, response="{response}", algorithm={given.algorithm}'
        )
        if given.qop:
            value += f', qop={given.qop}, cnonce="{given.cnonce}", nc={given.nc}'
        return value + ("" if known.opaque is None else f", opaque={quote(known.opaque)}")


AUTHENTICATE = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
