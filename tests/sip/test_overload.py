"""What is refused when the event loop is late."""

from __future__ import annotations

from collections import Counter
from unittest import TestCase

from smartalex.sip.overload import CALM_S, FULL_S, Overload
from tests.sip.network import OFFER, Agent
from tests.sip.test_two_agents import TwoAgents


class Shares(TestCase):
    def test_none_some_and_all(self) -> None:
        for late_s, refused in ((0.0, 0), (CALM_S, 0), ((CALM_S + FULL_S) / 2, 50), (FULL_S, 100), (5.0, 100)):
            overload = Overload()
            overload.late(late_s)
            self.assertFalse(overload.refuse("a", 0.0), "one pause is nothing")
            overload.late(late_s)
            self.assertAlmostEqual(sum(overload.refuse("a", 0.0) for _ in range(100)), refused, delta=1, msg=str(late_s))
            self.assertEqual(overload.shedding(), late_s > CALM_S)

    def test_it_fades_when_the_loop_is_on_time_again(self) -> None:
        overload = Overload()
        for _ in range(2):
            overload.late(5.0)
        for _ in range(25):
            overload.late(0.001)
        self.assertFalse(any(overload.refuse("a", 0.0) for _ in range(100)))

    def test_who_sends_most_is_refused_first(self) -> None:
        """One source sends fifty times as much as each of two others."""
        overload = Overload()
        refused: Counter[str] = Counter()
        for step in range(5200):
            overload.late((CALM_S + FULL_S) / 2)
            source = {0: "b", 1: "c"}.get(step % 52, "a")
            refused[source] += overload.refuse(source, step / 520)
        self.assertEqual(refused.total(), 2599)
        self.assertEqual((refused["b"], refused["c"]), (0, 0))

    def test_when_everybody_sends_as_much_everybody_is_refused_alike(self) -> None:
        overload = Overload()
        refused: Counter[str] = Counter()
        for step in range(4000):
            overload.late(FULL_S)
            refused[str(step % 4)] += overload.refuse(str(step % 4), step / 400)
        self.assertGreaterEqual(refused.total(), 3980)

    def test_who_was_quiet_does_not_pay_for_what_he_sent_long_ago(self) -> None:
        overload = Overload()
        for _ in range(100):
            overload.refuse("a", 0.0)
        for _ in range(2):
            overload.late((CALM_S + FULL_S) / 2)
        story = [(source, overload.refuse(source, 5.0)) for source in ("a", "b", "b", "b", "b", "b")]
        self.assertNotIn(("a", True), story)


class Refused(TwoAgents):
    def overloaded(self, agent: Agent) -> None:
        for _ in range(2):
            agent.layer.overload.late(1.0)

    def test_503_without_any_state_and_the_caller_is_told_when(self) -> None:
        self.overloaded(self.bob)
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("failed"), [(503,)])
        (refusal,) = self.network.messages("SIP/2.0 503 INVITE")
        self.assertEqual(refusal.headers.get("Retry-After"), "10")
        self.assertEqual((self.bob.sessions, len(self.bob.layer)), ([], 0))
        self.assertEqual(self.bob.counters.values["sip.overload", ""], 1)
        self.nothing_left()

    def test_a_call_in_progress_goes_on(self) -> None:
        ann, _ = self.established()
        self.overloaded(self.bob)
        ann.reinvite(OFFER)
        self.network.run(1.0)
        self.assertEqual(len(self.ann.recorder.heard("answer")), 1)
        ann.hangup()
        self.network.run(1.0)
        self.ended(self.bob, "bye")
