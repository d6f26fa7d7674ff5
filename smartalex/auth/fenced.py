"""An identity that counts only from the trunk's own addresses: digest and allowlist both."""

from __future__ import annotations

from collections.abc import Mapping

from zope.interface import implementer

from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict


@implementer(IAuthenticator)
class Fenced:
    """`inner` says which trunk; `fences` (by trunk id) says from where it may.  A trunk without a fence calls from anywhere."""

    name = "fenced"

    def __init__(self, inner: IAuthenticator, fences: Mapping[str, IAuthenticator]) -> None:
        self._inner = inner
        self._fences = fences

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        verdict: Verdict = self._inner.authenticate(attempt)
        fence = self._fences.get(verdict.trunk_id or "")
        if fence is None or fence.authenticate(attempt).trunk_id is not None:
            return verdict
        return Verdict(why=f"right password, but {attempt.source} is not on the trunk's list")
