"""The races of RFC 5407, each on one Clock; the numbers are its sections."""

from __future__ import annotations

from smartalex.errors import LocalError
from smartalex.sip.change import Change
from smartalex.sip.invite import State
from smartalex.sip.message import Response, parse
from smartalex.sip.session import Session
from tests.sip.network import ANSWER, LATENCY_S, OFFER, Agent, losing
from tests.sip.test_two_agents import TwoAgents

OFFER_2 = b"v=0\r\no=offer 2\r\n"


def statuses(agent: Agent, method: str) -> list[int]:
    """The final responses of this method that anybody sent."""
    messages = [parse(data) for _, _, data in agent.network.seen]
    return [m.status for m in messages if isinstance(m, Response) and m.cseq.method == method and m.status >= 200]


class Preparative(TwoAgents):
    """Before the call is answered (3.1.1, 3.1.2)."""

    def ringing(self) -> tuple[Session, Session]:
        self.bob.take = lambda session: session.ring()
        self.ann.call(self.bob)
        self.network.run(0.5)
        self.assertEqual(self.ann.session.state, State.PROCEEDING)
        return self.ann.session, self.bob.session

    def test_3_1_1_an_invite_again_after_its_200(self) -> None:
        """The 200 is lost, the INVITE comes again: the same call, the same answer."""
        self.bob.take = lambda session: session.answer(ANSWER)
        self.network.fate = losing("SIP/2.0 1", "SIP/2.0 200 INVITE", times=2)
        self.ann.call(self.bob)
        self.network.run(5.0)
        self.assertEqual(len(self.bob.sessions), 1)
        self.assertGreater(len(self.network.messages("INVITE")), 1)
        self.assertEqual((self.ann.session.state, self.bob.session.state), (State.CONFIRMED, State.CONFIRMED))
        self.ann.session.hangup()
        self.nothing_left()

    def test_3_1_2_a_180_after_the_200(self) -> None:
        ann, _ = self.ringing()
        self.bob.session.answer(ANSWER)
        self.network.run(0.1)
        late = self.network.messages("SIP/2.0 180 INVITE")[0]
        assert isinstance(late, Response)
        before = list(self.ann.recorder.story)
        ann.progressed(late)
        self.assertEqual(self.ann.recorder.story, before)
        self.assertEqual(ann.state, State.CONFIRMED)

    def test_3_1_3_cancel_crosses_the_200(self) -> None:
        ann, bob = self.ringing()
        ann.hangup()
        bob.answer(ANSWER)
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "CANCEL"), [200])
        self.assertEqual(len(self.network.messages("BYE")), 1)
        self.ended(self.ann, "local")
        self.ended(self.bob, "bye")
        self.nothing_left()

    def test_bye_in_an_early_dialog(self) -> None:
        ann, _ = self.ringing()
        fork = next(iter(ann._forks.values()))
        bye = fork.dialog.request("BYE")
        self.ann.ua.send(ann, fork.dialog, bye, lambda response: None, lambda why: None)
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "BYE"), [200])
        self.assertEqual(statuses(self.ann, "INVITE"), [487])
        self.ended(self.bob, "bye")
        self.ended(self.ann, "failed")
        self.nothing_left()


class Moratorium(TwoAgents):
    """Between the 200 and its ACK (3.1.4 to 3.1.6)."""

    def unacknowledged(self, body: bytes = OFFER) -> tuple[Session, Session]:
        self.ann.recorder.acks_itself = False
        self.ann.call(self.bob, body)
        self.network.run(0.1)
        self.assertEqual(self.bob.session.state, State.ACCEPTED)
        return self.ann.session, self.bob.session

    def test_3_1_4_a_reinvite_before_the_ack_where_offer_and_answer_are_complete(self) -> None:
        ann, bob = self.unacknowledged()
        self.network.fate = losing("ACK")
        ann.ack()
        ann.reinvite(OFFER_2)
        self.network.run(1.0)
        self.assertEqual(bob.state, State.CONFIRMED)
        self.assertEqual(self.bob.recorder.story, [("ack", b""), ("reinvite", OFFER_2)])
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,)])
        ann.hangup()
        self.nothing_left()

    def test_3_1_5_a_reinvite_while_our_own_offer_waits_for_its_answer(self) -> None:
        """491, and it comes again when the ACK has arrived."""
        ann, bob = self.unacknowledged(b"")
        ann.reinvite(OFFER_2)
        self.network.run(0.2)
        self.assertEqual(statuses(self.ann, "INVITE")[-1], 491)
        ann.ack(ANSWER)
        self.network.run(5.0)
        self.assertEqual(self.bob.recorder.story, [("ack", ANSWER), ("reinvite", OFFER_2)])
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,)])
        bob.hangup()
        self.nothing_left()

    def test_3_1_6_bye_before_the_ack(self) -> None:
        ann, bob = self.unacknowledged()
        ann.hangup()
        self.network.run(1.0)
        self.ended(self.bob, "bye")
        self.assertEqual(bob.state, State.ENDED)
        self.nothing_left()

    def test_our_own_bye_waits_for_the_ack(self) -> None:
        ann, bob = self.unacknowledged()
        bob.hangup()
        self.network.run(0.5)
        self.assertEqual(self.network.messages("BYE"), [])
        ann.ack()
        self.network.run(0.5)
        self.assertEqual(len(self.network.messages("BYE")), 1)
        self.nothing_left()


class Established(TwoAgents):
    """While the call is up (3.2)."""

    def test_3_2_1_bye_crosses_bye(self) -> None:
        ann, bob = self.established()
        ann.hangup()
        bob.hangup()
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "BYE"), [200, 200])
        self.ended(self.ann, "local")
        self.ended(self.bob, "local")
        self.nothing_left()

    def test_3_2_2_reinvites_cross(self) -> None:
        """Both are refused with 491; who made the Call-ID waits 2.1 to 4 s, the other at most 2 s: the other comes first."""
        ann, bob = self.established()
        ann.reinvite(OFFER_2)
        bob.reinvite(OFFER)
        self.network.run(3 * LATENCY_S)
        self.assertEqual(sorted(statuses(self.ann, "INVITE")), [200, 491, 491])
        self.network.run(6.0)
        self.assertEqual(sorted(statuses(self.ann, "INVITE")), [200, 200, 200, 491, 491])
        second = [(at, source) for at, source, data in self.network.seen if data.startswith(b"INVITE")][3:]
        self.assertEqual([source for _, source in second], ["192.0.2.2", "192.0.2.1"])
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,)])
        self.assertEqual(self.bob.recorder.heard("answer"), [(ANSWER,)])
        ann.hangup()
        self.nothing_left()

    def test_3_2_3_update_crosses_reinvite(self) -> None:
        ann, bob = self.established()
        ann.reinvite(OFFER_2)
        bob.update(OFFER)
        self.network.run(3 * LATENCY_S)
        self.assertEqual((statuses(self.ann, "INVITE")[-1], statuses(self.ann, "UPDATE")), (491, [491]))
        self.network.run(6.0)
        self.assertEqual(statuses(self.ann, "UPDATE"), [491, 200])
        self.assertEqual(statuses(self.ann, "INVITE")[-1], 200)
        ann.hangup()
        self.nothing_left()

    def test_3_2_4_reinvite_crosses_bye(self) -> None:
        ann, bob = self.established()
        ann.reinvite(OFFER_2)
        bob.hangup()
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "INVITE")[-1], 481)
        self.assertEqual(statuses(self.ann, "BYE"), [200])
        self.ended(self.ann, "bye")
        self.ended(self.bob, "local")
        self.assertEqual(self.ann.recorder.heard("answer"), [])
        self.nothing_left()

    def test_bye_crosses_the_200_of_a_reinvite(self) -> None:
        """The 200 is acknowledged all the same, and nothing is sent again afterwards."""
        ann, _ = self.established()
        ann.reinvite(OFFER_2)
        self.network.run(1.5 * LATENCY_S)
        ann.hangup()
        self.network.run(1.0)
        self.assertEqual(len(self.network.messages("ACK")), 2)
        self.ended(self.bob, "bye")
        self.nothing_left()

    def test_the_200_of_a_reinvite_is_lost(self) -> None:
        ann, _ = self.established()
        self.network.fate = losing("SIP/2.0 200 INVITE", times=2)
        ann.reinvite(OFFER_2)
        self.network.run(4.0)
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,)])
        self.assertEqual(len(self.bob.recorder.heard("reinvite")), 1)
        ann.hangup()
        self.nothing_left()

    def test_the_ack_of_a_reinvite_is_lost_then_comes_bye(self) -> None:
        ann, _ = self.established()
        self.network.fate = losing("ACK", times=3)
        ann.reinvite(OFFER_2)
        self.network.run(0.1)
        ann.hangup()
        self.network.run(5.0)
        self.ended(self.bob, "bye")
        self.assertEqual(len(self.network.messages("BYE")), 1)
        self.nothing_left()

    def test_refer_crosses_bye(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        ann.hangup()
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "REFER"), [481])
        self.ended(self.bob, "bye")
        self.nothing_left()

    def test_refer_crosses_reinvite(self) -> None:
        """Neither is an obstacle to the other."""
        self.ann.recorder.accepts_refer = True
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        ann.reinvite(OFFER_2)
        self.network.run(1.0)
        self.assertEqual(statuses(self.ann, "REFER"), [202])
        self.assertEqual(statuses(self.ann, "INVITE")[-1], 200)

    def test_a_glare_that_never_ends_is_told_after_five_tries(self) -> None:
        ann, bob = self.established()
        bob._changes._open = Change("INVITE", OFFER)  # one that never gets its answer
        ann.reinvite(OFFER_2)
        self.network.run(30.0)
        self.assertEqual(self.ann.recorder.heard("offer refused"), [(491,)])
        self.assertEqual(statuses(self.ann, "INVITE").count(491), 5)
        self.assertEqual(ann.state, State.CONFIRMED)


class OneAfterTheOther(TwoAgents):
    def test_a_second_change_of_ours_has_to_wait(self) -> None:
        ann, _ = self.established()
        ann.reinvite(OFFER_2)
        self.assertRaises(LocalError, ann.reinvite, OFFER)
        self.assertRaises(LocalError, ann.update, OFFER)
        self.network.run(1.0)
        ann.reinvite(OFFER)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,), (ANSWER,)])

    def test_a_change_that_nobody_answers(self) -> None:
        ann, _ = self.established()
        self.network.fate = lambda data: ()
        ann.reinvite(OFFER_2)
        self.network.run(40.0)
        self.assertEqual(self.ann.recorder.heard("offer refused"), [(None,)])

    def test_a_change_that_is_refused_leaves_all_as_it_was(self) -> None:
        self.bob.recorder.reinvite_answer = None
        ann, bob = self.established()
        ann.reinvite(OFFER_2)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("offer refused"), [(488,)])
        self.assertEqual((ann.state, bob.state), (State.CONFIRMED, State.CONFIRMED))
        self.assertEqual(ann._changes.local_sdp, OFFER)

    def test_update_needs_a_peer_that_allows_it(self) -> None:
        ann, _ = self.established()
        ann._changes.peer_updates = False
        self.assertRaises(LocalError, ann.update, OFFER)

    def test_update_with_an_offer_and_without(self) -> None:
        ann, _ = self.established()
        ann.update(OFFER_2)
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.heard("reinvite"), [(OFFER_2,)])
        self.assertEqual(self.ann.recorder.heard("answer"), [(ANSWER,)])
        ann.update(b"")
        self.network.run(1.0)
        self.assertEqual(len(self.bob.recorder.heard("reinvite")), 1)
        self.assertEqual(statuses(self.ann, "UPDATE"), [200, 200])
