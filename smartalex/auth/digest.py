"""SIP digest as an authenticator: the trunk is known by the username we issued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from smartalex.errors import RemoteError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, Credentials, NonceSource, challenge, ha1, speaks_for, verify

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
        """One credential for our realm is judged, however many there are: each request is one guess at a password."""
        ours = [given for given in map(_read, attempt.authorizations) if given is not None and given.realm == self._realm]
        if not ours:
            return self._challenge(attempt)
        return self._judge(attempt, next((given for given in ours if self._spoken(given)), ours[0]))

    def _judge(self, attempt: AuthAttempt, given: Credentials) -> Verdict:
        if not self._spoken(given):
            return Verdict(why=f"digest algorithm {given.algorithm[:16]!r} with qop {given.qop[:16]!r} is not accepted")
        freshness = self._nonces.check(given.nonce, attempt.source, attempt.now)
        if freshness != "ok":
            return self._challenge(attempt, stale=freshness == "stale")
        found = self._credentials(given.username)
        trunk_id, known = found or (None, self._nobody)
        right = verify(given, known.get(given.algorithm) or self._nobody[given.algorithm], attempt.method)
        if trunk_id is None or not right:
            why = f"wrong password for {given.username[:40]}" if found else f"unknown username {given.username[:40]!r}"
            return Verdict(why=why, account=given.username)
        if not speaks_for(given.uri, attempt.uri, self._realm):
            return Verdict(why=f"right password, but for {given.uri[:80]!r} instead of {attempt.uri[:80]!r}")
        if not self._nonces.use(given.nonce, given.nc, attempt.now):
            return self._challenge(attempt, stale=True)
        return Verdict(trunk_id)

    def _spoken(self, given: Credentials) -> bool:
        return given.algorithm in self._algorithms and given.qop in ("", "auth")

    def _challenge(self, attempt: AuthAttempt, *, stale: bool = False) -> Verdict:
        nonce = self._nonces.issue(attempt.source, attempt.now)
        return Verdict(challenges=tuple(challenge(self._realm, nonce, a, stale=stale) for a in self._algorithms))


def _read(text: str) -> Credentials | None:
    try:
        return Credentials.parse(text)
    except RemoteError:
        return None
