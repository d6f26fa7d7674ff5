"""Registration binding: the trunk is known by where its PBX has registered from, with its password."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from smartalex.auth.ground import Ground, Once, Registered
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk


@implementer(IAuthenticator)
class RegisteredAuthenticator:
    """From the very address and port of a binding (of a stream: its connection) nothing is asked; elsewhere the password.

    A REGISTER needs the password always.
    """

    name = "registration"
    evidence = "credentials"

    def __init__(self, registered: Registered, logins: Once) -> None:
        self._registered = registered
        self._logins = logins

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        if attempt.method != "REGISTER" and not attempt.authorizations:
            bound = self._registered(attempt.transport, attempt.source, attempt.port)
            if bound:
                return Verdict(bound[0], others=tuple(bound[1:]), by="binding")
        return self._logins.authenticate(attempt)


def registered(ground: Ground, trunks: Sequence[Trunk]) -> RegisteredAuthenticator:
    """The provider."""
    return RegisteredAuthenticator(ground.registered, ground.logins)
