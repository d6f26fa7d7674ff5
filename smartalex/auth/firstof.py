"""Several authenticators asked in turn: the first that knows the trunk decides, else the last one answers."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict


@implementer(IAuthenticator)
class FirstOf:
    name = "first-of"

    def __init__(self, authenticators: Sequence[IAuthenticator]) -> None:
        self._authenticators = authenticators

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        verdict = Verdict(why="no authenticator is configured")
        for authenticator in self._authenticators:
            verdict = authenticator.authenticate(attempt)
            if verdict.trunk_id is not None:
                return verdict
        return verdict
