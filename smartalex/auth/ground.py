"""What authenticators stand on, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from zope.interface import implementer

from smartalex import plugins
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk

ALIASES = {"both": "all-of:of=digest+ip-allowlist"}

Registered = Callable[[str, str, int], Sequence[str]]
"""(transport, host, port) -> ids of the trunks whose PBX has registered from there and is still there."""


@implementer(IAuthenticator)
class Once:
    """One that counts what it is asked, shared by several: the same attempt is judged once."""

    def __init__(self, inner: IAuthenticator) -> None:
        self.name, self.evidence = inner.name, evidence(inner)
        self._inner = inner
        self._judged: tuple[AuthAttempt | None, Verdict] = None, Verdict()

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        known, verdict = self._judged
        if known is not attempt:
            verdict = self._inner.authenticate(attempt)
            self._judged = attempt, verdict
        return verdict


@attrs.frozen
class Ground:
    """`logins` judges digest credentials of any trunk; `pause` lets calls in progress go on while much is prepared."""

    logins: Once
    registered: Registered = lambda transport, host, port: ()
    pause: Callable[[], None] = lambda: None

    def make(self, spec: str, trunks: Sequence[Trunk]) -> Any:
        """The authenticator that `spec` ("name:key=value") stands for, for trunks that are known by it.

        Raises ConfigurationError when there is no such provider.
        """
        provider, options = plugins.find("IAuthenticator", ALIASES.get(spec, spec))
        return provider.load()(self, trunks, **options)


def evidence(authenticator: Any) -> str:
    """What it goes by, in a word."""
    return str(getattr(authenticator, "evidence", authenticator.name))


def among(verdict: Verdict, trunks: Any) -> tuple[str, ...]:
    """The trunks that the verdict names, as far as they are of these."""
    if verdict.trunk_id is None:
        return ()
    return tuple(one for one in (verdict.trunk_id, *verdict.others) if one in trunks)
