"""Which trunk a request belongs to: each trunk is known by what it has chosen, and a trunk nobody chose is nobody's.

Whoever brings credentials is looked at by those first, others by where they come from; the first proof that holds decides.
What it leaves open (two trunks at one address) the number called decides, in `calls.admission`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.auth.ground import Ground, among, evidence
from smartalex.errors import ConfigurationError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk


@attrs.frozen
class Group:
    """Trunks that are known by the same."""

    authenticator: Any
    trunks: frozenset[str]
    logs_in: bool


@implementer(IAuthenticator)
class Identity:
    """`groups` are asked in turn; who brought no proof is asked for a password."""

    name = "identity"
    log = Logger()

    def __init__(self, groups: Sequence[Group], ground: Ground) -> None:
        self._by_source = sorted(groups, key=lambda group: group.logs_in)
        self._by_login = sorted(groups, key=lambda group: not group.logs_in)
        self._ground = ground

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        missed: list[Verdict] = []
        for group in self._by_login if attempt.authorizations else self._by_source:
            verdict = self._asked(group, attempt)
            found = among(verdict, group.trunks)
            if found:
                return Verdict(found[0], others=found[1:], by=verdict.by or evidence(group.authenticator))
            if verdict.trunk_id is None:
                missed.append(verdict)
        login = self._ground.logins.authenticate(attempt)
        return _nobody([*missed, login] if login.trunk_id is None else missed)

    def _asked(self, group: Group, attempt: AuthAttempt) -> Verdict:
        """A plugin is somebody else's code: whatever it raises lets nobody in."""
        try:
            verdict: Verdict = group.authenticator.authenticate(attempt)
        except Exception:
            self.log.failure("authenticator {name} failed", name=group.authenticator.name)
            return Verdict(why=f"authenticator {group.authenticator.name} failed")
        return verdict


def _nobody(missed: Sequence[Verdict]) -> Verdict:
    """A wrong password is one, whatever else there was; a challenge may still be met; else every near miss is told."""
    for wanted in ("account", "challenges"):
        for verdict in missed:
            if getattr(verdict, wanted):
                return verdict
    return Verdict(why="; ".join(dict.fromkeys(verdict.why for verdict in missed if verdict.why)) or "no trunk is known by this")


def identity(trunks: Iterable[Trunk], ground: Ground) -> Identity:
    """Trunks whose provider is not installed, or does not take its options, stay out; that is logged."""
    chosen: dict[str, list[Trunk]] = {}
    for trunk in trunks:
        chosen.setdefault(trunk.auth, []).append(trunk)
    groups = []
    for spec, known in chosen.items():
        try:
            made = ground.make(spec, known)
        except (ConfigurationError, TypeError) as error:
            names = ", ".join(trunk.name for trunk in known[:5])
            Identity.log.error("nobody can call as {names}: {error}", names=names, error=error)
            continue
        groups.append(Group(made, frozenset(trunk.id for trunk in known), known[0].digest))
    return Identity(groups, ground)
