"""A trunk that is known by a token in a header of its INVITEs.

    smartalex trunks add acme-pbx --no-digest --auth acme-token:sha256=HEX

The trunk carries the token's SHA-256 only; `header` is X-Acme-Token, where it is not said otherwise.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256 as digest_of

from zope.interface import implementer

from smartalex.auth.ground import Ground
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk


@implementer(IAuthenticator)
class TokenAuthenticator:
    name = "acme-token"
    evidence = "token"

    def __init__(self, trunk_id: str, sha256: str, header: str) -> None:
        self._trunk_id, self._sha256, self._header = trunk_id, sha256.lower(), header

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        token = attempt.header(self._header)
        if token is None:
            return Verdict()
        right = hmac.compare_digest(digest_of(token.strip().encode()).hexdigest(), self._sha256)
        return Verdict(self._trunk_id) if right else Verdict(why=f"{self._header} holds another token")


def token(ground: Ground, trunks: Sequence[Trunk], *, sha256: str, header: str = "X-Acme-Token") -> TokenAuthenticator:
    """What the plugin loads: one for the trunk that was given this very token."""
    return TokenAuthenticator(trunks[0].id, sha256, header)
