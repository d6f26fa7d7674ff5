"""SIP digest as an authenticator: the trunk is known by the username we issued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from smartalex.errors import RemoteError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, Credentials, NonceSource, challenge, ha1, verify

Lookup = Callable[[str], tuple[str, Mapping[str, str]] | None]
"""username -> (trunk id, HA1 by algorithm), or None."""


@implementer(IAuthenticator)
class DigestAuthenticator:
    """`algorithms` in order of preference (RFC 8760 2.4).

    An unknown user costs the same work and gets the same answer as a wrong password.
    """

    name = "digest"

    def __init__(self, realm: str, algorithms: Sequence[str], credentials: Lookup, nonces: NonceSource) -> None:
        self._realm = realm
        self._algorithms = [a for a in algorithms if a in HASHES]
        self._credentials = credentials
        self._nonces = nonces
        self._nobody = {a: ha1("", realm, nonces.issue("", 0.0), a) for a in self._algorithms}

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        for text in attempt.authorizations:
            try:
                given = Credentials.parse(text)
            except RemoteError:
                continue
            if given.realm == self._realm:
                return self._judge(attempt, given)
        return self._challenge(attempt)

    def _judge(self, attempt: AuthAttempt, given: Credentials) -> Verdict:
        if given.algorithm not in self._algorithms or given.qop not in ("", "auth"):
            return Verdict(why=f"digest algorithm {given.algorithm[:16]!r} with qop {given.qop[:16]!r} is not accepted")
        freshness = self._nonces.check(given.nonce, attempt.source, attempt.now)
        if freshness != "ok":
            return self._challenge(attempt, stale=freshness == "stale")
        found = self._credentials(given.username)
        trunk_id, known = found or (None, self._nobody)
        right = verify(given, known.get(given.algorithm) or self._nobody[given.algorithm], attempt.method)
        if trunk_id is None or not right:
            return Verdict(
                why=f"wrong password for {given.username[:40]}" if found else f"unknown username {given.username[:40]!r}"
            )
        if not self._nonces.use(given.nonce, given.nc):
            return self._challenge(attempt, stale=True)
        return Verdict(trunk_id)

    def _challenge(self, attempt: AuthAttempt, *, stale: bool = False) -> Verdict:
        nonce = self._nonces.issue(attempt.source, attempt.now)
        return Verdict(challenges=tuple(challenge(self._realm, nonce, a, stale=stale) for a in self._algorithms))
