"""Who may call, as whom, whom they reach: one decision per INVITE, with the reason for our record.

Order: is the service stopping, identity (which trunk), the trunk's state, the DID, its agent,
then the limits of service, workspace and trunk.  The peer learns the status only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs

from smartalex.calls.bans import Bans
from smartalex.calls.limits import Full, Limits, Place
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.regions.nearest import Regions
from smartalex.sip.uri import Uri
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace


@attrs.frozen
class Accepted:
    """It counts from here on: `place` is to be left when the call is over, or does not come about.

    `by` is what the trunk was known by.
    """

    workspace: Workspace
    trunk: Trunk
    did: Did
    agent: Agent
    place: Place = attrs.field(eq=False)
    by: str = ""


@attrs.frozen
class Known:
    """Whose call it is, and by what: "credentials", "source", "binding", with " and DID" where the number had to decide."""

    trunk: Trunk
    by: str


@attrs.frozen
class Challenged:
    challenges: tuple[str, ...]


@attrs.frozen
class Refused:
    """`why` is a word for counters, `detail` the sentence (with the near miss) for `smartalex calls --refused`.

    Where it was known whose call it is, `trunk` and `by` say so.
    """

    status: int
    why: str
    detail: str
    trunk: Trunk | None = None
    retry_after_s: int = 0
    by: str = ""
    contact: str = ""  # of a redirect: the URI to call instead


Decision = Accepted | Challenged | Refused


@attrs.define
class Admission:
    authenticator: IAuthenticator
    tenancy: Tenancy
    limits: Limits
    guard: Bans | None = None
    open: bool = True
    outdated: bool = False  # what we know was not confirmed for too long
    wall: Callable[[], float] = time.time
    regions: Regions | None = None

    @property
    def busy(self) -> bool:
        """Whether any call is in progress, or being looked into."""
        return self.limits.in_use > 0

    def leave(self, call: Accepted) -> None:
        self.limits.leave(call.place)

    def verdict(self, attempt: AuthAttempt) -> Verdict | Refused:
        """What the authenticator says, unless this one has guessed too often to be looked at just now."""
        wait_s = self.guard.wait_s(attempt) if self.guard is not None else 0
        if wait_s:
            return Refused(503, "slowed", f"{attempt.source} has guessed passwords; the next is looked at later", None, wait_s)
        verdict: Verdict = self.authenticator.authenticate(attempt)
        if self.guard is not None:
            self.guard.judged(attempt, verdict)
        return verdict

    def identify(self, attempt: AuthAttempt, called: str = "") -> Known | Challenged | Refused:
        """Which trunk is asking, and nothing more."""
        verdict = self.verdict(attempt)
        if isinstance(verdict, Refused):
            return verdict
        if verdict.challenges:
            return Challenged(tuple(verdict.challenges))
        trunks = [t for key in (verdict.trunk_id, *verdict.others) if (t := self.tenancy.trunks.get(key or "")) is not None]
        trunk = self._called(trunks, called) if len(trunks) > 1 else next(iter(trunks), None)
        if trunks and trunk is None:
            return Refused(403, "ambiguous", self._undecided(trunks, verdict.by, attempt.source, called))
        if trunk is not None and trunk.transports and attempt.transport not in trunk.transports:
            allowed = ", ".join(trunk.transports).upper()
            return Refused(403, "transport", f"trunk {trunk.name} may call over {allowed}, not {attempt.transport.upper()}")
        if trunk is not None and trunk.client_certificate and trunk.client_certificate.lower() not in attempt.names:
            return Refused(
                403, "certificate", f"no TLS certificate for {trunk.client_certificate}, as trunk {trunk.name} demands"
            )
        if trunk is None:
            return Refused(403, "credentials", verdict.why or "no trunk accepted these credentials")
        return Known(trunk, verdict.by + (" and DID" if len(trunks) > 1 else ""))

    def _called(self, trunks: Sequence[Trunk], called: str) -> Trunk | None:
        """The one that has this number, or the longest prefix of it; None when several have, or none."""
        found = [(trunk, self.tenancy.routes_of(trunk.id).find(called)) for trunk in trunks]
        lengths = [(_exactness(did), trunk) for trunk, did in found if did is not None]
        best = max((length for length, _ in lengths), default=None)
        chosen = [trunk for length, trunk in lengths if length == best]
        return chosen[0] if len(chosen) == 1 else None

    def _undecided(self, trunks: Sequence[Trunk], by: str, source: str, called: str) -> str:
        names = " and ".join(sorted(trunk.name for trunk in trunks))
        has = [trunk.name for trunk in trunks if self.tenancy.routes_of(trunk.id).find(called) is not None]
        whose = f"{' and '.join(sorted(has))} have it alike" if has else "none of them has it"
        return f"{source} is trunks {names} by {by or 'what it brought'}, and DID {called or '(none)'} does not decide: {whose}"

    def decide(self, attempt: AuthAttempt, called: str) -> Decision:
        """`called` is the user part of the Request-URI."""
        if not self.open:
            return Refused(503, "draining", "the service is stopping", None, self.limits.retry_after_s())
        if self.outdated:
            why = "the database is away for longer than store.cache_lifetime_s"
            return Refused(503, "store", why, None, self.limits.retry_after_s())
        found = self.identify(attempt, called)
        if not isinstance(found, Known):
            return found
        decision = self._elsewhere(found.trunk, attempt, called) or self._route(found.trunk, called)
        return attrs.evolve(decision, by=found.by)

    def _elsewhere(self, trunk: Trunk, attempt: AuthAttempt, called: str) -> Refused | None:
        """The redirect (302) of a call that another region is to serve; a parameter in it says so to that one."""
        if self.regions is None or not trunk.active:
            return None
        uri = Uri.parse(attempt.uri)
        found = self.regions.elsewhere(attempt.source, trunk.regions, trunk.follow_redirects, uri.param("region") is not None)
        if found is None:
            return None
        if found.region is None:
            detail = f"trunk {trunk.name}: {found.why}"
            return Refused(503, "region", detail, trunk, self.limits.retry_after_s())
        contact = attrs.evolve(Uri.parse(found.region.node), user=uri.user or called)
        if attempt.transport != "udp" and contact.param("transport") is None:
            contact = contact.with_params(("transport", attempt.transport))
        contact = contact.with_params(("region", found.region.name))
        return Refused(302, "region", f"sent to {contact.host}: {found.why}", trunk, contact=str(contact))

    def _route(self, trunk: Trunk, called: str) -> Accepted | Refused:
        if not trunk.active:
            return Refused(403, "suspended", f"trunk {trunk.name} is suspended", trunk)
        routes = self.tenancy.routes_of(trunk.id)
        found = routes.find(called)
        if found is None:
            return Refused(404, "did", unknown_did(called, trunk, routes.near(called)), trunk)
        workspace = self.tenancy.workspaces[trunk.workspace_id]
        open_now = workspace.open_at(found, self.wall())
        agent = self.tenancy.agents.get(found.agent_id if open_now else found.closed_agent_id)
        if agent is None:
            closed = "" if open_now else " outside of its hours"
            return Refused(480, "agent", f"DID {found.number} of trunk {trunk.name} has no agent{closed}", trunk)
        place = self.limits.enter(workspace, trunk)
        if isinstance(place, Full):
            return Refused(503, place.why, place.detail, trunk, place.retry_after_s)
        return Accepted(workspace, trunk, found, workspace.settled(agent), place)


def _exactness(did: Did) -> int:
    return len(did.number) - 1 if did.number.endswith("*") else 1_000


def unknown_did(called: str, trunk: Trunk, near: str | None) -> str:
    """The sentence an operator needs: what was dialled, and what would have worked."""
    has = f"trunk {trunk.name} has {near}" if near else f"trunk {trunk.name} has no DIDs"
    return f"DID {called or '(none)'} unknown; {has}"
