"""What is refused when the event loop is late."""

from __future__ import annotations

from unittest import TestCase

from smartalex.sip.overload import CALM_S, FULL_S, Overload
from tests.sip.network import OFFER, Agent
from tests.sip.test_two_agents import TwoAgents


class Shares(TestCase):
    def test_none_some_and_all(self) -> None:
        for late_s, refused in ((0.0, 0), (CALM_S, 0), ((CALM_S + FULL_S) / 2, 50), (FULL_S, 100), (5.0, 100)):
            overload = Overload()
            overload.late(late_s)
            self.assertFalse(overload.refuse(), "one pause is nothing")
            overload.late(late_s)
            self.assertAlmostEqual(sum(overload.refuse() for _ in range(100)), refused, delta=1, msg=str(late_s))

    def test_it_fades_when_the_loop_is_on_time_again(self) -> None:
        overload = Overload()
        for _ in range(2):
            overload.late(5.0)
        for _ in range(25):
            overload.late(0.001)
        self.assertFalse(any(overload.refuse() for _ in range(100)))


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
