"""Several proofs of one trunk: a password alone is not enough, nor is an address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import implementer

from smartalex.auth.ground import Ground, among, evidence
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk


@implementer(IAuthenticator)
class AllOf:
    """`parts` are asked in turn; each has to name one of `trunks` that those before it have named."""

    name = "all-of"

    def __init__(self, parts: Sequence[Any], trunks: Sequence[Trunk]) -> None:
        self.evidence = " and ".join(map(evidence, parts))
        self._parts = parts
        self._names = {trunk.id: trunk.name for trunk in trunks}

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        proved = tuple(self._names)
        for count, part in enumerate(self._parts):
            verdict = part.authenticate(attempt)
            left = tuple(one for one in among(verdict, self._names) if one in proved)
            if not left:
                return self._missed(proved, count, verdict) if count else _without_trunk(verdict)
            proved = left
        return Verdict(proved[0], others=proved[1:])

    def _missed(self, proved: tuple[str, ...], count: int, verdict: Verdict) -> Verdict:
        by = " and ".join(map(evidence, self._parts[:count]))
        names = " or ".join(self._names[one] for one in proved)
        why = verdict.why or "that is another trunk's" if not verdict.challenges else "nothing was given"
        near = f"trunk {names} by {by}, but not by {evidence(self._parts[count])}: {why}"
        return Verdict(challenges=verdict.challenges, why=near, account=verdict.account)


def _without_trunk(verdict: Verdict) -> Verdict:
    return verdict if verdict.trunk_id is None else Verdict()


def all_of(ground: Ground, trunks: Sequence[Trunk], *, of: str) -> AllOf:
    """The provider; `of` are names of others with a plus between them."""
    return AllOf([ground.make(part, trunks) for part in of.split("+")], trunks)
