"""Who may call: every refusal with its status and the sentence an operator needs."""

from datetime import UTC, datetime
from typing import Any
from unittest import TestCase

import attrs
from zope.interface import implementer

from smartalex.calls.admission import Accepted, Admission, Challenged, Decision, Refused
from smartalex.calls.limits import Bounds, Limits
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.regions.nearest import Region, Regions
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

TRUNK = Trunk("t1", "w1", "acme", "pbx.example.com", "sa_user", max_calls=2)
OTHER = Trunk("t2", "w1", "other", "pbx2.example.com", "sa_other", active=False)
AGENT = Agent("a1", "w1", "Alex", "Hello")
DIDS = (Did("+27215550100", "t1", "a1"), Did("alex", "t1", "a1"), Did("lost", "t1", "gone"), Did("+15550001", "t2", "a1"))
TENANCY = Tenancy(1, {"w1": Workspace("w1", "Acme", Directory())}, {"t1": TRUNK, "t2": OTHER}, DIDS, {"a1": AGENT})
ATTEMPT = AuthAttempt("INVITE", "sip:alex@host", "192.0.2.1", "udp")


@implementer(IAuthenticator)
class Says:
    name = "says"

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        return self.verdict


def decide(called: str, verdict: Verdict | None = None, busy: int = 0, max_calls: int = 10, open: bool = True) -> Decision:
    admission = Admission(Says(verdict or Verdict("t1")), TENANCY, Limits(Bounds(max_calls)), open=open)
    for _ in range(busy):
        admission.limits.enter(TENANCY.workspaces["w1"], TRUNK)
    return admission.decide(ATTEMPT, called)


class Deciding(TestCase):
    def refused(self, decision: Decision, status: int, why: str) -> Refused:
        self.assertIsInstance(decision, Refused)
        assert isinstance(decision, Refused)
        self.assertEqual((decision.status, decision.why), (status, why))
        return decision

    def test_a_known_did_reaches_its_agent(self) -> None:
        decision = decide("+27215550100")
        assert isinstance(decision, Accepted)
        self.assertEqual((decision.trunk, decision.agent.id, decision.did), (TRUNK, AGENT.id, DIDS[0]))

    def test_names_match_in_any_case(self) -> None:
        self.assertIsInstance(decide("ALEX"), Accepted)

    def test_no_credentials_are_challenged(self) -> None:
        self.assertEqual(decide("alex", Verdict(challenges=("Digest x",))), Challenged(("Digest x",)))

    def test_wrong_credentials(self) -> None:
        refused = self.refused(decide("alex", Verdict(why="wrong password for sa_user")), 403, "credentials")
        self.assertEqual(refused.detail, "wrong password for sa_user")

    def test_an_unknown_did_names_the_near_miss(self) -> None:
        refused = self.refused(decide("+27215550101"), 404, "did")
        self.assertEqual(refused.detail, "DID +27215550101 unknown; trunk acme has +27215550100")

    def test_a_number_that_lacks_only_its_plus_names_the_right_one(self) -> None:
        self.assertIn("has +27215550100", self.refused(decide("27215550100"), 404, "did").detail)

    def test_no_user_in_the_uri(self) -> None:
        self.assertIn("DID (none) unknown", self.refused(decide(""), 404, "did").detail)

    def test_a_did_of_another_trunk_is_unknown(self) -> None:
        self.refused(decide("+15550001"), 404, "did")

    def test_a_did_without_agent(self) -> None:
        self.refused(decide("lost"), 480, "agent")

    def test_a_suspended_trunk(self) -> None:
        self.refused(decide("+15550001", Verdict("t2")), 403, "suspended")

    def test_limits_answer_503_with_retry_after(self) -> None:
        self.assertTrue(self.refused(decide("alex", busy=2), 503, "trunk full").retry_after_s)
        self.assertTrue(self.refused(decide("alex", busy=1, max_calls=1), 503, "service full").retry_after_s)
        self.assertIsInstance(decide("alex", busy=1), Accepted)

    def test_while_draining_nothing_is_taken(self) -> None:
        self.assertTrue(self.refused(decide("alex", open=False), 503, "draining").retry_after_s)

    def test_over_transports_of_its_own_only(self) -> None:
        tls = attrs.evolve(TENANCY, trunks={"t1": attrs.evolve(TRUNK, transports=("tls", "wss"))})
        refused = self.refused(Admission(Says(Verdict("t1")), tls, Limits(Bounds(10))).decide(ATTEMPT, "alex"), 403, "transport")
        self.assertEqual(refused.detail, "trunk acme may call over TLS, WSS, not UDP")
        over_tls = attrs.evolve(ATTEMPT, transport="tls")
        self.assertIsInstance(Admission(Says(Verdict("t1")), tls, Limits(Bounds(10))).decide(over_tls, "alex"), Accepted)

    def test_outside_of_its_hours_a_did_leads_to_another_agent(self) -> None:
        night = Agent("a2", "w1", "Night", "We are closed.")
        desk = Did("desk", "t1", "a1", "Mo-Fr 08:00-17:00", "Africa/Johannesburg", closed_agent_id="a2")
        picture = attrs.evolve(TENANCY, routes=(desk, attrs.evolve(desk, number="back", closed_agent_id="")))
        picture = attrs.evolve(picture, agents={**TENANCY.agents, "a2": night})
        monday = datetime(2026, 11, 23, 6, 0, tzinfo=UTC).timestamp()  # 08:00 in Johannesburg
        for now, agent in ((monday, "a1"), (monday - 1, "a2"), (monday + 9 * 3600, "a2"), (monday - 86_400, "a2")):
            decision = Admission(Says(Verdict("t1")), picture, Limits(Bounds(10)), wall=lambda now=now: now).decide(
                ATTEMPT, "desk"
            )
            assert isinstance(decision, Accepted)
            self.assertEqual(decision.agent.id, agent, now)
        closed = Admission(Says(Verdict("t1")), picture, Limits(Bounds(10)), wall=lambda: monday - 1).decide(ATTEMPT, "back")
        self.assertIn("has no agent outside of its hours", self.refused(closed, 480, "agent").detail)

    def test_what_an_agent_leaves_to_its_workspace(self) -> None:
        owner = Workspace("w1", "Acme", Directory(), max_duration_s=900, call_forwarding_number="+27215550111")
        own = Agent("a2", "w1", "Own", "Hello", max_duration_s=60, call_forwarding_number="+1")
        picture = attrs.evolve(TENANCY, workspaces={"w1": owner}, agents={"a1": AGENT, "a2": own})
        picture = attrs.evolve(picture, routes=(Did("alex", "t1", "a1"), Did("own", "t1", "a2")))
        for called, limits in (("alex", (900, "+27215550111")), ("own", (60, "+1"))):
            decision = Admission(Says(Verdict("t1")), picture, Limits(Bounds(10))).decide(ATTEMPT, called)
            assert isinstance(decision, Accepted)
            self.assertEqual((decision.agent.max_duration_s, decision.agent.call_forwarding_number), limits)

    def test_a_trunk_without_dids(self) -> None:
        lonely = attrs.evolve(TENANCY, routes=())
        decision = Admission(Says(Verdict("t1")), lonely, Limits(Bounds(10))).decide(ATTEMPT, "alex")
        self.assertEqual(self.refused(decision, 404, "did").detail, "DID alex unknown; trunk acme has no DIDs")


class Undecided(TestCase):
    """Two trunks at one address."""

    def decide(self, called: str, *dids: tuple[str, str]) -> Decision:
        picture = attrs.evolve(
            TENANCY, trunks={"t1": TRUNK, "t2": attrs.evolve(OTHER, active=True)}, routes=[Did(n, t, "a1") for n, t in dids]
        )
        says = Says(Verdict("t1", others=("t2",), by="source"))
        return Admission(says, picture, Limits(Bounds(10))).decide(ATTEMPT, called)

    def test_the_number_decides(self) -> None:
        for called, trunk_id in (("100", "t1"), ("200", "t2"), ("2111", "t2"), ("2222", "t1")):
            decision = self.decide(called, ("100", "t1"), ("200", "t2"), ("21*", "t2"), ("2*", "t1"))
            assert isinstance(decision, Accepted)
            self.assertEqual((decision.trunk.id, decision.by), (trunk_id, "source and DID"))

    def test_what_it_does_not_decide_is_refused_with_the_reason(self) -> None:
        for dids, whose in (
            ((("1", "t1"),), "none of them has it"),
            ((("7*", "t1"), ("7*", "t2")), "acme and other have it alike"),
        ):
            refused = self.decide("700", *dids)
            assert isinstance(refused, Refused)
            self.assertEqual((refused.status, refused.why), (403, "ambiguous"))
            self.assertEqual(
                refused.detail, f"192.0.2.1 is trunks acme and other by source, and DID 700 does not decide: {whose}"
            )


REGIONS = (
    Region("eu", "sip:eu.example.com;transport=tcp", ("192.0.2.0/24",)),
    Region("us", "sip:us.example.com:5070", ("198.51.100.0/24",)),
)


class Elsewhere(TestCase):
    """What a node does with calls of other regions; its own is us, and the caller is nearest to eu."""

    def decide(
        self, uri: str = "sip:alex@host", down: tuple[str, ...] = (), here: str = "us", transport: str = "udp", **trunk: Any
    ) -> Decision:
        known = attrs.evolve(TRUNK, **trunk)
        tenancy = attrs.evolve(TENANCY, trunks={"t1": known})
        regions = Regions(REGIONS, here, up=lambda name: name not in down)
        self.limits = Limits(Bounds(10))
        admission = Admission(Says(Verdict("t1", by="source")), tenancy, self.limits, regions=regions)
        return admission.decide(AuthAttempt("INVITE", uri, "192.0.2.1", transport), "alex")

    def test_who_follows_redirects_is_sent_to_the_nearest(self) -> None:
        sent = self.decide(follow_redirects=True)
        assert isinstance(sent, Refused)
        self.assertEqual((sent.status, sent.why, sent.by), (302, "region", "source"))
        self.assertEqual(sent.contact, "sip:alex@eu.example.com;transport=tcp;region=eu")
        self.assertEqual(sent.detail, "sent to eu.example.com: eu is nearest to 192.0.2.1, by network 192.0.2.0/24")
        self.assertEqual(self.limits.in_use, 0)

    def test_a_call_is_sent_on_over_what_it_came_over(self) -> None:
        back = self.decide(here="eu", transport="tls", regions=("us",))
        assert isinstance(back, Refused)
        self.assertEqual(back.contact, "sip:alex@us.example.com:5070;transport=tls;region=us")

    def test_what_was_redirected_is_not_redirected_again(self) -> None:
        first = self.decide(follow_redirects=True)
        assert isinstance(first, Refused)
        for here in ("eu", "us"):  # also by a node that sees it another way
            with self.subTest(here):
                self.assertIsInstance(self.decide(first.contact, here=here, follow_redirects=True), Accepted)

    def test_served_here(self) -> None:
        for why, given in (
            ("it does not follow", {}),
            ("the nearest is down", {"follow_redirects": True, "down": ("eu",)}),
            ("it is the nearest", {"follow_redirects": True, "here": "eu"}),
            ("it is served here only", {"follow_redirects": True, "regions": ("us",)}),
        ):
            with self.subTest(why):
                self.assertIsInstance(self.decide(**given), Accepted)

    def test_served_nowhere_else(self) -> None:
        sent = self.decide(regions=("eu",))
        assert isinstance(sent, Refused)
        self.assertEqual(sent.status, 302)  # whether it follows or not: nothing else is left
        for uri, down, wanted in (
            ("sip:alex@host", ("eu",), "trunk acme: it is served in eu only, which does not answer"),
            ("sip:alex@host;region=us", (), "trunk acme: it is served in eu only, and was sent to us by a redirect"),
        ):
            gone = self.decide(uri, down, regions=("eu",))
            assert isinstance(gone, Refused)
            self.assertEqual((gone.status, gone.why, gone.detail, gone.contact), (503, "region", wanted, ""))
            self.assertTrue(gone.retry_after_s)

    def test_whose_trunk_is_suspended_learns_nothing_of_regions(self) -> None:
        refused = self.decide(active=False, follow_redirects=True)
        assert isinstance(refused, Refused)
        self.assertEqual((refused.status, refused.contact), (403, ""))
