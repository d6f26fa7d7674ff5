"""SIP digest as an authenticator: the trunk is known by the username we issued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time

from zope.interface import implementer

from smartalex.auth.ground import Ground, Once
from smartalex.errors import RemoteError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, Credentials, NonceSource, challenge, ha1, speaks_for, verify
from smartalex.tenants.trunk import Trunk

Lookup = Callable[[str], tuple[str, Mapping[str, str]] | None]
"""username -> (trunk id, HA1 by algorithm), or None.

An earlier password that still opens has its HA1s under "old:ALGORITHM", until "old:until" (Unix seconds).
"""


@implementer(IAuthenticator)
class DigestAuthenticator:
    """`algorithms` in order of preference (RFC 8760 2.4); `names` are those that `credentials` knows.

    An unknown user costs the same work and gets the same answer as a wrong password; so does whoever has two.
    """

    name = "digest"
    evidence = "credentials"

    def __init__(  # noqa: PLR0917
        self,
        realm: str,
        algorithms: Sequence[str],
        credentials: Lookup,
        nonces: NonceSource,
        wall: Callable[[], float] = time,
        names: Sequence[str] = (),
    ) -> None:
        self._realm = realm
        self._algorithms = [a for a in algorithms if a in HASHES]
        self._credentials = credentials
        self._nonces = nonces
        self._wall = wall
        self._names = names or ("",)
        self._nobody = {a: ha1("", realm, nonces.issue("", 0.0), a) for a in self._algorithms}

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        """One credential for our realm is judged, however many there are: each request is one guess at a password."""
        ours = [given for given in map(_read, attempt.authorizations) if given is not None and given.realm == self._realm]
        if not ours:
            return self._elsewhere(attempt) or self._challenge(attempt)
        return self._judge(attempt, next((given for given in ours if self._spoken(given)), ours[0]))

    def _elsewhere(self, attempt: AuthAttempt) -> Verdict | None:
        """An answer to our challenge that names another realm: asked again, it would come again."""
        for given in filter(None, map(_read, attempt.authorizations)):
            if self._nonces.check(given.nonce, attempt.source, attempt.now) == "ok":
                return Verdict(why=f"the answer to our challenge is for realm {given.realm[:40]!r} instead of {self._realm!r}")
        return None

    def _judge(self, attempt: AuthAttempt, given: Credentials) -> Verdict:
        if not self._spoken(given):
            return Verdict(why=f"digest algorithm {given.algorithm[:16]!r} with qop {given.qop[:16]!r} is not accepted")
        freshness = self._nonces.check(given.nonce, attempt.source, attempt.now)
        if freshness != "ok":
            return self._challenge(attempt, stale=freshness == "stale")
        found, known = self._looked_up(given.username)
        if not self._right(given, known, attempt.method) or found is None:
            name = given.username[:40]
            whys = f"unknown username {name!r}", f"wrong password for {name}"
            return Verdict(why=whys[found is not None], account=given.username)
        trunk_id = found[0]
        if not speaks_for(given.uri, attempt.uri, self._realm):
            return Verdict(why=f"right password, but for {given.uri[:80]!r} instead of {attempt.uri[:80]!r}")
        if not self._nonces.use(given.nonce, given.nc, attempt.now):
            return self._challenge(attempt, stale=True)
        return Verdict(trunk_id)

    def _looked_up(self, username: str) -> tuple[tuple[str, Mapping[str, str]] | None, Mapping[str, str]]:
        """The account, and what to compare with; always one name that is there and one that is not."""
        absent, other = "\0" + username, self._names[hash(username) % len(self._names)]
        found = self._credentials(username)
        second = self._credentials((absent, other)[found is None])
        return found, (found or second or (None, self._nobody))[1]

    def _right(self, given: Credentials, known: Mapping[str, str], method: str) -> bool:
        """Both passwords are tried, whether there are two or none: nobody learns from our effort who exists."""
        nobody = self._nobody[given.algorithm]
        now = verify(given, known.get(given.algorithm, nobody), method)
        before = verify(given, known.get("old:" + given.algorithm, nobody), method)
        lasts = float(known.get("old:until", "0")) > self._wall()
        return now | (before & lasts)

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


def logins(ground: Ground, trunks: Sequence[Trunk]) -> Once:
    """The provider: the same for all."""
    return ground.logins
