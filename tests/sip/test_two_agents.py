"""Two whole user agents on one Clock: calls, their races, and links that lose, double and reorder."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.errors import LocalError, RemoteError
from smartalex.sip.digest import Credentials, DigestClient, Secret, challenge, ha1, verify
from smartalex.sip.headers import Peer
from smartalex.sip.invite import State
from smartalex.sip.message import Request, Response
from smartalex.sip.session import Session
from smartalex.sip.timers import GRID
from tests.sip.network import ANSWER, OFFER, Agent, Network, losing, lossy, ring_and_answer

HALF_A_MINUTE = 32.0
DOUBLED_TO_T2 = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]  # ms


class TwoAgents(TestCase):
    transport = "udp"

    def setUp(self) -> None:
        self.network = Network()
        self.ann, self.bob = (Agent(self.network, address, self.transport) for address in ("192.0.2.1", "192.0.2.2"))
        self.bob.take = ring_and_answer

    def established(self) -> tuple[Session, Session]:
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.assertEqual((self.ann.session.state, self.bob.session.state), (State.CONFIRMED, State.CONFIRMED))
        return self.ann.session, self.bob.session

    def ended(self, agent: Agent, *causes: str) -> None:
        self.assertEqual([cause for (cause,) in agent.recorder.heard("ended")], list(causes))

    def nothing_left(self) -> None:
        self.network.run(2 * HALF_A_MINUTE + 10)
        self.assertTrue(self.ann.idle(), self.ann.ua)
        self.assertTrue(self.bob.idle(), self.bob.ua)


class Calls(TwoAgents):
    def test_a_complete_call(self) -> None:
        ann, bob = self.established()
        self.assertEqual(self.ann.recorder.story, [("progress", 180), ("answered", 200, ANSWER)])
        self.assertEqual(self.bob.recorder.story, [("ack", b"")])
        assert ann.dialog is not None and bob.dialog is not None
        self.assertEqual(ann.dialog.id, (bob.call_id, bob.dialog.remote.tag, bob.dialog.local.tag))
        ann.hangup()
        self.network.run(1.0)
        self.ended(self.ann, "local")
        self.ended(self.bob, "bye")
        self.assertEqual(
            [title for title in self.network.titles() if not title.startswith("SIP/2.0 1")],
            ["INVITE", "SIP/2.0 200 INVITE", "ACK", "BYE", "SIP/2.0 200 BYE"],
        )
        self.nothing_left()

    def test_the_called_side_hangs_up(self) -> None:
        self.established()[1].hangup('Q.850;cause=16;text="done"')
        self.network.run(1.0)
        self.ended(self.ann, "bye")
        self.ended(self.bob, "local")
        (bye,) = self.network.messages("BYE")
        self.assertEqual(bye.headers.get("Reason"), 'Q.850;cause=16;text="done"')
        self.nothing_left()

    def test_refused(self) -> None:
        self.bob.take = lambda session: session.reject(486, headers=(("Retry-After", "5"),))
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.story, [("failed", 486), ("ended", "failed")])
        self.ended(self.bob, "rejected")
        self.nothing_left()

    def test_an_offer_in_the_answer_and_the_answer_in_the_ack(self) -> None:
        self.ann.call(self.bob, body=b"")
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("answered"), [(200, OFFER)])
        self.assertEqual(self.bob.recorder.story, [("ack", ANSWER)])
        (ack,) = self.network.messages("ACK")
        self.assertEqual((ack.content_type, ack.body), ("application/sdp", ANSWER))

    def test_a_challenge_is_answered(self) -> None:
        known = ha1("ann", "r", "pw", "SHA-256")

        def take(session: Session) -> None:
            given_ = session.request.headers.get("Authorization")
            if given_ is None:
                session.challenge([challenge("r", "n", "SHA-256"), challenge("r", "n", "MD5")])
            elif verify(Credentials.parse(given_), known, "INVITE"):
                ring_and_answer(session)
            else:
                session.reject(403)

        self.bob.take = take
        self.ann.call(self.bob, digest=DigestClient("ann", Secret("pw"), lambda: "c"))
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("answered"), [(200, ANSWER)])
        first, second = (message for message in self.network.messages("INVITE"))
        self.assertEqual((first.call_id, first.cseq.number + 1), (second.call_id, second.cseq.number))
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual(self.ann.recorder.heard("failed"), [])
        self.ann.session.hangup()
        self.nothing_left()

    def test_a_wrong_password_is_tried_once(self) -> None:
        self.bob.take = lambda session: session.challenge([challenge("r", "n", "MD5")])
        self.ann.call(self.bob, digest=DigestClient("ann", Secret("pw"), lambda: "c"))
        self.network.run(1.0)
        self.assertEqual(len(self.network.messages("INVITE")), 2)
        self.assertEqual(self.ann.recorder.heard("failed"), [(401,)])

    def test_verbs_in_a_wrong_state(self) -> None:
        ann, bob = self.established()
        for verb in (bob.ring, lambda: bob.answer(b""), lambda: bob.reject(486), lambda: ann.answer(b""), bob.ack):
            self.assertRaises(LocalError, verb)
        ann.hangup()
        ann.hangup()
        self.assertRaises(LocalError, ann.refer, "sip:x@h", None)
        self.assertRaises(LocalError, ann.notify_refer, 200, "", True)
        self.assertRaises(LocalError, ann.request_in_dialog, "INFO")

    def test_options(self) -> None:
        self.established()
        answers: list[Response] = []
        self.ann.session.request_in_dialog("OPTIONS").addCallback(answers.append)
        self.network.run(1.0)
        self.assertEqual((answers[0].status, answers[0].headers.get("Accept")), (200, "application/sdp"))
        self.assertIn("REFER", answers[0].headers.get_all("Allow"))

    def test_info(self) -> None:
        self.established()[0].request_in_dialog("INFO", (("Content-Type", "application/dtmf-relay"),), b"Signal=1")
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.heard("info"), [("application/dtmf-relay", b"Signal=1")])

    def test_a_fault_in_the_owner_is_500_and_leaves_nothing(self) -> None:
        def take(session: Session) -> None:
            raise RuntimeError("boom")

        self.bob.take = take
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("failed"), [(500,)])
        self.ended(self.bob, "transport")
        self.nothing_left()

    def test_a_fault_in_a_listener_does_not_keep_the_session(self) -> None:
        ann, bob = self.established()

        def on_ended(*args: Any) -> None:
            raise RuntimeError("boom")

        self.bob.recorder.on_ended = on_ended  # type: ignore[method-assign]
        ann.hangup()
        self.network.run(1.0)
        self.assertEqual((bob.state, len(self.bob.ua)), (State.ENDED, 0))
        self.ended(self.ann, "local")


class CallsOverTcp(Calls):
    """The same over connections, whose bytes arrive in pieces of 100."""

    transport = "tcp"

    def test_one_connection_serves_both_directions(self) -> None:
        self.established()[1].hangup()
        self.network.run(1.0)
        self.ended(self.ann, "bye")
        self.assertEqual(len(self.network.links), 1)

    def test_nobody_listens(self) -> None:
        del self.network.tcp["192.0.2.2", 5060]
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.ended(self.ann, "transport")
        self.nothing_left()

    def test_a_response_finds_its_way_when_the_connection_has_closed(self) -> None:
        """To where the Via says that connections are taken (RFC 3261 18.2.2), not to the port the request came from."""
        self.bob.take = lambda session: session.ring()
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.network.links[0].cut()
        self.bob.session.answer(ANSWER)
        self.network.run(1.0)
        self.assertGreaterEqual(len(self.network.links), 2)
        self.assertEqual(self.ann.session.state, State.CONFIRMED)

    def test_a_connection_that_closed_is_dialled_again(self) -> None:
        _, bob = self.established()
        self.network.links[0].cut()
        bob.hangup()
        self.network.run(1.0)
        self.ended(self.ann, "bye")
        self.assertEqual(len(self.network.links), 2)

    def test_a_peer_that_cannot_be_reached_any_more_ends_the_call(self) -> None:
        _, bob = self.established()
        self.network.run(HALF_A_MINUTE + 1)
        self.network.links[0].cut()
        del self.network.tcp["192.0.2.1", 5060]
        bob.refer("sip:carol@h", None)
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.story[-2:], [("refer lost",), ("ended", "transport")])

    def test_what_cannot_be_framed_is_answered_and_cut_off(self) -> None:
        self.established()
        stream = next(iter(self.ann.transports._connections._sockets))
        bad = b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        stream.send(bad + b"Call-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: many\r\n\r\n")
        self.network.run(1.0)
        self.assertEqual(self.network.titles("192.0.2.2")[-1], "SIP/2.0 400 OPTIONS")
        self.assertFalse(self.network.links[0].up)


class LargeRequests(TwoAgents):
    """RFC 3261 18.1.1: over 1300 bytes by TCP, in a datagram only where there is no connection to be had."""

    LARGE = (("Subject", "x" * 1500),)

    def test_by_tcp_with_the_call_going_on_as_it_began(self) -> None:
        self.ann.call(self.bob, headers=self.LARGE)
        self.network.run(1.0)
        (invite,) = self.network.messages("INVITE")
        self.assertEqual((invite.via.transport, self.bob.session.peer.transport), ("TCP", "tcp"))
        self.assertEqual(self.ann.session.state, State.CONFIRMED)
        self.ann.session.hangup()
        self.network.run(1.0)
        self.ended(self.bob, "bye")
        self.nothing_left()

    def test_in_a_datagram_when_nobody_takes_the_connection(self) -> None:
        del self.network.tcp["192.0.2.2", 5060]
        self.ann.call(self.bob, headers=self.LARGE)
        self.network.run(1.0)
        (invite,) = self.network.messages("INVITE")
        self.assertEqual((invite.via.transport, self.bob.session.peer.transport), ("UDP", "udp"))
        self.assertEqual(self.ann.session.state, State.CONFIRMED)
        self.ann.session.hangup()
        self.nothing_left()

    def test_a_small_one_in_a_datagram(self) -> None:
        self.established()
        self.assertEqual(self.network.links, [])


class Timing(TwoAgents):
    def sent_at(self, title: str, times: list[int]) -> None:
        """To what `TimerQueue` makes of the long ones, once."""
        late = {at - wanted for at, wanted in zip(self.network.times(title), times, strict=True)}
        self.assertTrue(all(0 <= ms <= 1000 / GRID for ms in late), late)

    def test_an_invite_nobody_answers(self) -> None:
        self.network.fate = lambda data: ()
        self.ann.call(self.bob)
        self.network.run(HALF_A_MINUTE + 1)
        self.assertEqual(self.network.times("INVITE"), [0, 500, 1500, 3500, 7500, 15500, 31500])  # timer A
        self.assertEqual(self.ann.recorder.story, [("failed", None), ("ended", "timeout")])  # timer B
        self.nothing_left()

    def test_a_2xx_without_ack_is_repeated_then_the_call_ends_with_bye(self) -> None:
        self.network.fate = losing("ACK", times=100)
        self.ann.call(self.bob)
        self.network.run(HALF_A_MINUTE + 2)
        self.sent_at("SIP/2.0 200 INVITE", DOUBLED_TO_T2)
        self.assertEqual(len(self.network.messages("ACK")), len(DOUBLED_TO_T2), "each 2xx is acknowledged")
        self.ended(self.bob, "no-ack")
        self.ended(self.ann, "bye")
        self.nothing_left()

    def test_a_retransmitted_invite_gets_the_same_response(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.network.fate = losing("SIP/2.0 100", "SIP/2.0 180")
        self.ann.call(self.bob)
        self.network.run(1.0)
        self.assertEqual(len(self.bob.sessions), 1)
        first, again = self.network.messages("SIP/2.0 180 INVITE")
        self.assertEqual(first.to_bytes(), again.to_bytes())
        self.assertEqual(self.ann.recorder.heard("progress"), [(180,)])

    def test_a_refusal_is_repeated_until_its_ack(self) -> None:
        self.bob.take = lambda session: session.reject(486)
        self.network.fate = losing("ACK", times=3)
        self.ann.call(self.bob)
        self.network.run(20.0)
        self.sent_at("SIP/2.0 486 INVITE", [0, 500, 1500, 3500])  # timer G
        self.assertEqual(len(self.network.messages("ACK")), 4)
        self.assertEqual(self.ann.recorder.heard("failed"), [(486,)])
        self.nothing_left()

    def test_a_bye_nobody_answers(self) -> None:
        self.established()
        self.network.fate = lambda data: ()
        self.ann.session.hangup()
        self.network.run(HALF_A_MINUTE + 1)
        self.assertEqual(self.network.times("BYE"), DOUBLED_TO_T2)  # timer E
        self.ended(self.ann, "local")
        self.assertEqual(len(self.ann.ua), 0)  # timer F

    def test_each_single_loss_is_survived(self) -> None:
        for lost in ("INVITE", "SIP/2.0 100", "SIP/2.0 180", "SIP/2.0 200 INVITE", "ACK", "BYE", "SIP/2.0 200 BYE"):
            with self.subTest(lost=lost):
                self.setUp()
                self.network.fate = losing(lost)
                self.ann.call(self.bob)
                self.network.run(5.0)
                self.assertEqual((self.ann.session.state, self.bob.session.state), (State.CONFIRMED, State.CONFIRMED))
                self.assertEqual(self.bob.recorder.story, [("ack", b"")])
                self.bob.session.hangup()
                self.network.run(5.0)
                self.ended(self.ann, "bye")
                self.ended(self.bob, "local")
                self.nothing_left()


class Races(TwoAgents):
    def ringing(self) -> tuple[Session, Session]:
        self.bob.take = lambda session: session.ring()
        self.ann.call(self.bob)
        self.network.run(1.0)
        return self.ann.session, self.bob.session

    def test_cancelled_while_ringing(self) -> None:
        ann, _ = self.ringing()
        ann.hangup()
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.story, [("cancelled",), ("ended", "cancelled")])
        self.ended(self.ann, "local")
        titles = self.network.titles()
        for title in ("CANCEL", "SIP/2.0 200 CANCEL", "SIP/2.0 487 INVITE", "ACK"):
            self.assertEqual(titles.count(title), 1, title)
        self.nothing_left()

    def test_cancel_loses_its_way_once_with_all_that_follows(self) -> None:
        for lost in ("CANCEL", "SIP/2.0 200 CANCEL", "SIP/2.0 487", "ACK"):
            with self.subTest(lost=lost):
                self.setUp()
                self.ringing()
                self.network.fate = losing(lost)
                self.ann.session.hangup()
                self.network.run(5.0)
                self.ended(self.ann, "local")
                self.ended(self.bob, "cancelled")
                self.nothing_left()

    def test_cancel_waits_for_a_sign_of_life(self) -> None:
        self.bob.take = lambda session: None
        self.network.fate = losing("INVITE", times=2)
        self.ann.call(self.bob).hangup()
        self.network.run(1.0)
        self.assertNotIn("CANCEL", self.network.titles())
        self.network.run(2.0)
        self.assertIn("CANCEL", self.network.titles())
        self.ended(self.ann, "local")
        self.ended(self.bob, "cancelled")

    def test_cancel_crosses_the_200(self) -> None:
        ann, bob = self.ringing()
        bob.answer(ANSWER)
        ann.hangup()
        self.network.run(5.0)
        self.assertEqual(self.ann.recorder.heard("answered"), [])
        self.ended(self.ann, "local")
        self.ended(self.bob, "bye")
        titles = self.network.titles("192.0.2.1")
        self.assertEqual(titles[1:], ["CANCEL", "ACK", "BYE"])
        self.nothing_left()

    def test_a_cancel_that_is_only_acknowledged_ends_all_the_same(self) -> None:
        ann, _ = self.ringing()
        self.network.fate = losing("SIP/2.0 487", times=100)
        ann.hangup()
        self.network.run(HALF_A_MINUTE - 1)
        self.ended(self.ann)
        self.network.run(2.0)
        self.ended(self.ann, "local")
        self.nothing_left()

    def test_no_second_try_for_a_call_that_was_given_up(self) -> None:
        self.bob.take = lambda session: session.challenge([challenge("r", "n", "MD5")])
        self.ann.call(self.bob, digest=DigestClient("ann", Secret("pw"), lambda: "c"))
        self.ann.session.hangup()
        self.network.run(5.0)
        self.assertEqual(len(self.network.messages("INVITE")), 1)
        self.ended(self.ann, "local")

    def test_bye_while_ringing(self) -> None:
        ann, bob = self.ringing()
        bye = ann.request.headers.copy()
        bye.remove("Via")
        bye.set("CSeq", "2 BYE")
        bye.set("To", str(ann.request.to.with_tag(bob.tag)))
        bye.insert_first("Via", f"SIP/2.0/UDP {self.ann.address}:5060;branch=z9hG4bKbye")
        self.ann.layer.client(Request("BYE", ann.request.uri, bye), ann.peer).start()
        self.network.run(1.0)
        self.assertIn("SIP/2.0 200 BYE", self.network.titles())
        self.assertEqual(self.ann.recorder.heard("failed"), [(487,)])
        self.ended(self.bob, "bye")

    def test_bye_crosses_bye(self) -> None:
        ann, bob = self.established()
        ann.hangup()
        bob.hangup()
        self.network.run(1.0)
        self.ended(self.ann, "local")
        self.ended(self.bob, "local")
        self.assertEqual(self.network.titles().count("SIP/2.0 200 BYE"), 2)
        self.nothing_left()

    def test_hanging_up_before_the_ack_waits_for_it(self) -> None:
        self.network.fate = losing("ACK")
        self.bob.take = lambda session: (session.answer(ANSWER), session.hangup("Q.850;cause=31"))[0]
        self.ann.call(self.bob)
        self.network.run(0.4)
        self.ended(self.bob, "local")
        self.assertNotIn("BYE", self.network.titles())
        self.network.run(1.0)
        self.assertEqual(self.network.messages("BYE")[0].headers.get("Reason"), "Q.850;cause=31")
        self.ended(self.ann, "bye")
        self.nothing_left()

    def test_hanging_up_before_acknowledging(self) -> None:
        self.ann.recorder.acks_itself = False
        self.established_without_ack()
        self.ann.session.hangup()
        self.network.run(1.0)
        self.assertEqual(self.network.titles("192.0.2.1")[-2:], ["ACK", "BYE"])
        self.ended(self.bob, "bye")
        self.nothing_left()

    def established_without_ack(self) -> None:
        self.ann.call(self.bob)
        self.network.run(0.1)
        self.assertEqual((self.ann.session.state, self.bob.session.state), (State.CONFIRMED, State.ACCEPTED))

    def test_the_dialog_is_gone_on_the_other_side(self) -> None:
        ann, _ = self.established()
        self.bob.ua._dialogs.clear()
        ann.refer("sip:carol@h", None)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.story[-2:], [("refer", 481, True), ("ended", "gone")])
        self.assertEqual(len(self.ann.ua), 0)

    def test_requests_that_cross_our_bye(self) -> None:
        ann, bob = self.established()
        answers: list[Response] = []
        ann.request_in_dialog("INFO").addCallback(answers.append)
        bob.hangup()
        self.network.run(1.0)
        self.assertEqual(answers[0].status, 481)
        self.ended(self.ann, "bye")

    def test_two_answers_to_one_invite(self) -> None:
        """A proxy forked the call: the second 2xx is acknowledged and its call ended (RFC 3261 13.2.2.4)."""
        ann, _ = self.established()
        other = self.network.messages("SIP/2.0 200 INVITE")[0]
        other.headers.set("To", "<sip:bob@192.0.2.2>;tag=other")
        self.network.seen.clear()
        self.ann.layer.receive(other.to_bytes(), Peer("udp", "192.0.2.2", 5060))
        self.network.run(1.0)
        self.assertEqual(self.network.titles("192.0.2.1"), ["ACK", "BYE"])
        for title in ("ACK", "BYE"):
            self.assertEqual([message.to.tag for message in self.network.messages(title)], ["other"])
        self.assertEqual(ann.state, State.CONFIRMED)


class ReInvites(TwoAgents):
    def reinvite(self, body: bytes) -> list[Response]:
        """As a peer that puts us on hold would; the answer is acknowledged with `ack`."""
        session = self.ann.session
        assert session.dialog is not None
        request = session.dialog.request("INVITE", (self.ann.ua.contact(session), *CONTENT), body)
        answers: list[Response] = []

        def answered(response: Response) -> None:
            answers.append(response)
            if response.status >= 200 and response.status < 300:
                self.ann.ua.send_ack(session, session.dialog.request("ACK", CONTENT, self.ack_body, seq=request.cseq.number))

        self.ann.ua.send(session, session.dialog, request, answered, lambda why: None)
        self.network.run(1.0)
        return [answer for answer in answers if answer.status >= 200]

    ack_body = b""

    def test_answered_by_the_listener(self) -> None:
        self.established()
        (answer,) = self.reinvite(OFFER)
        self.assertEqual((answer.status, answer.body), (200, ANSWER))
        self.assertEqual(self.bob.recorder.story, [("ack", b""), ("reinvite", OFFER)])
        self.network.run(HALF_A_MINUTE + 5)
        self.assertEqual(self.bob.session.state, State.CONFIRMED, "its ACK came")

    def test_without_an_offer_the_answer_comes_in_the_ack(self) -> None:
        self.established()
        self.bob.recorder.reinvite_answer, self.ack_body = OFFER, ANSWER
        (answer,) = self.reinvite(b"")
        self.assertEqual(answer.body, OFFER)
        self.assertEqual(self.bob.recorder.story[1:], [("reinvite", b""), ("ack", ANSWER)])

    def test_refused_and_the_call_goes_on(self) -> None:
        self.established()
        self.bob.recorder.reinvite_answer = None
        self.assertEqual(self.reinvite(OFFER)[0].status, 488)

        def refuse(session: Session, body: bytes) -> bytes | None:
            raise RemoteError(488, "No Such Codec")

        self.bob.recorder.on_reinvite = refuse  # type: ignore[method-assign]
        self.assertEqual(self.reinvite(OFFER)[0].reason, "No Such Codec")
        self.ann.session.hangup()
        self.network.run(1.0)
        self.ended(self.bob, "bye")

    def test_its_2xx_never_acknowledged_ends_the_call(self) -> None:
        self.established()
        self.network.fate = losing("ACK", times=100)
        self.reinvite(OFFER)
        self.network.run(HALF_A_MINUTE)
        self.ended(self.bob, "no-ack")
        self.ended(self.ann, "bye")

    def test_before_the_first_ack_it_stands_for_it(self) -> None:
        self.ann.recorder.acks_itself = False
        self.ann.call(self.bob)
        self.network.run(0.1)
        self.assertEqual(self.reinvite(OFFER)[0].status, 200)
        self.assertEqual(self.bob.recorder.story, [("ack", b""), ("reinvite", OFFER)])

    def test_before_the_ack_that_answers_our_offer_it_has_to_wait(self) -> None:
        self.ann.recorder.acks_itself = False
        self.ann.call(self.bob, b"")
        self.network.run(0.1)
        self.assertEqual(self.reinvite(OFFER)[0].status, 491)
        self.assertEqual(self.bob.recorder.story, [])

    def test_a_late_copy_of_the_first_ack_does_not_stop_it(self) -> None:
        self.established()
        first = self.network.messages("ACK")[0].to_bytes()
        self.network.fate = losing("ACK", times=1)
        self.reinvite(OFFER)
        self.assertGreater(len(self.network.messages("SIP/2.0 200 INVITE")), 2)
        self.network.fate = losing("ACK", times=100)
        before = len(self.network.messages("SIP/2.0 200 INVITE"))
        self.reinvite(OFFER)
        self.bob.layer.receive(first, Peer("udp", "192.0.2.1", 5060))
        self.network.run(4.0)
        self.assertGreater(len(self.network.messages("SIP/2.0 200 INVITE")), before + 1)

    def test_it_may_move_the_peer(self) -> None:
        self.established()
        carol = Agent(self.network, "192.0.2.3")
        assert self.ann.session.dialog is not None
        moved = ("Contact", "<sip:carol@192.0.2.3:5060>")
        request = self.ann.session.dialog.request("INVITE", (moved, *CONTENT), OFFER)
        self.ann.ua.send(self.ann.session, self.ann.session.dialog, request, lambda response: None, lambda why: None)
        self.network.run(0.2)
        self.bob.session.hangup()
        self.network.run(HALF_A_MINUTE + 1)
        self.assertEqual(carol.counters.values["sip.request", "BYE"], 1)

    def test_out_of_order(self) -> None:
        ann, _ = self.established()
        assert ann.dialog is not None
        ann.dialog.local_seq = 0
        answers: list[Response] = []
        ann.request_in_dialog("INFO").addCallback(answers.append)
        self.network.run(1.0)
        self.assertEqual(answers[0].status, 500)


CONTENT = (("Content-Type", "application/sdp"),)


class Transfers(TwoAgents):
    def setUp(self) -> None:
        super().setUp()
        self.ann.recorder.accepts_refer = True

    def test_accepted_ringing_and_done(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@pbx.example.com", None, (("P-Asserted-Identity", "<sip:ann@h>"),))
        self.network.run(1.0)
        ann.notify_refer(180, "Ringing", final=False)
        self.network.run(1.0)
        ann.notify_refer(200, "OK", final=True)
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("asked to call"), [("sip:300@pbx.example.com",)])
        self.assertEqual(
            sorted(self.bob.recorder.story[1:], key=str),
            [("refer accepted",), ("refer", 100, False), ("refer", 180, False), ("refer", 200, True)],
        )
        (refer,) = self.network.messages("REFER")
        self.assertEqual(refer.headers.get("Refer-To"), "<sip:300@pbx.example.com>")
        self.assertEqual(refer.headers.get("Referred-By"), "<sip:bob@192.0.2.2>")
        self.assertEqual(refer.headers.get("P-Asserted-Identity"), "<sip:ann@h>")
        self.assertIsNotNone(refer.contact)
        bob.hangup()
        self.nothing_left()

    def test_each_single_loss_is_survived(self) -> None:
        for lost in ("REFER", "SIP/2.0 202", "NOTIFY", "SIP/2.0 200 NOTIFY"):
            with self.subTest(lost=lost):
                self.setUp()
                ann, bob = self.established()
                self.network.fate = losing(lost)
                bob.refer("sip:300@h", None)
                self.network.run(3.0)
                ann.notify_refer(486, "Busy Here", final=True)
                self.network.run(3.0)
                self.assertEqual(self.bob.recorder.heard("refer accepted"), [()])
                self.assertEqual(self.bob.recorder.heard("refer")[-1], (486, True))
                self.assertEqual(bob.state, State.CONFIRMED)

    def test_refused(self) -> None:
        self.ann.recorder.accepts_refer = False
        _, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.story[1:], [("refer", 603, True)])
        self.assertEqual(bob.state, State.CONFIRMED)

    def test_not_answered_and_the_call_goes_on(self) -> None:
        _, bob = self.established()
        self.network.fate = losing("REFER", times=100)
        bob.refer("sip:300@h", None)
        self.network.run(HALF_A_MINUTE + 1)
        self.assertEqual(self.bob.recorder.story[1:], [("refer lost",)])
        self.assertEqual(bob.state, State.CONFIRMED)

    def test_the_subscription_ends_without_an_outcome(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        ann.notify_refer(100, "Trying", final=True)
        self.network.run(1.0)
        self.assertEqual(self.bob.recorder.story[-1], ("refer lost",))

    def test_a_notify_after_the_end_belongs_to_nothing(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        ann.notify_refer(200, "OK", final=True)
        self.network.run(1.0)
        self.assertRaises(LocalError, ann.notify_refer, 200, "OK", True)
        before = list(self.bob.recorder.story)
        self.notify("refer", b"SIP/2.0 486 Busy\r\n", 481)
        self.assertEqual(self.bob.recorder.story, before)

    def test_a_notify_nobody_asked_for(self) -> None:
        self.established()
        self.notify("refer", b"SIP/2.0 200 OK\r\n", 481)
        self.notify("message-summary", b"", 489)
        self.assertEqual(self.bob.recorder.heard("refer"), [])

    def test_a_notify_that_says_nothing_readable(self) -> None:
        _, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        self.notify("refer", b"hello", 400)

    def test_late_news_of_the_transfer_before_are_not_told(self) -> None:
        _, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        bob.refer("sip:301@h", None)
        self.network.run(1.0)
        before = list(self.bob.recorder.story)
        first, second = (str(request.cseq.number) for request in self.network.messages("REFER"))
        self.notify(f"refer;id={first}", b"SIP/2.0 200 OK\r\n", 200)
        self.assertEqual(self.bob.recorder.story, before)
        self.notify(f"refer;id={second}", b"SIP/2.0 200 OK\r\n", 200)
        self.assertEqual(self.bob.recorder.story[-1], ("refer", 200, True))

    def notify(self, event: str, body: bytes, status: int) -> None:
        answers: list[Response] = []
        headers = (("Event", event), ("Subscription-State", "terminated"), ("Content-Type", "message/sipfrag"))
        self.ann.session.request_in_dialog("NOTIFY", headers, body).addCallback(answers.append)
        self.network.run(1.0)
        self.assertEqual([answer.status for answer in answers], [status])

    def test_a_notify_is_answered_before_what_it_leads_to(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        self.network.run(1.0)
        self.bob.recorder.on_refer_progress = lambda session, status, reason, final: session.hangup()  # type: ignore[method-assign]
        self.network.seen.clear()
        ann.notify_refer(200, "OK", final=True)
        self.network.run(1.0)
        self.assertEqual(self.network.titles("192.0.2.2"), ["SIP/2.0 200 NOTIFY", "BYE"])
        self.nothing_left()

    def test_refer_crosses_bye(self) -> None:
        ann, bob = self.established()
        bob.refer("sip:300@h", None)
        ann.hangup()
        self.network.run(1.0)
        self.ended(self.ann, "local")
        self.ended(self.bob, "bye")
        self.nothing_left()


class BadLinks(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32), st.booleans(), st.booleans())
    def test_a_call_gets_through_a_link_that_loses_a_third(self, seed: int, caller_ends: bool, transfers: bool) -> None:
        network = Network()
        ann, bob = Agent(network, "192.0.2.1"), Agent(network, "192.0.2.2")
        bob.take, ann.recorder.accepts_refer = ring_and_answer, True
        network.fate = lossy(seed)
        ann.call(bob)
        network.run(31.0)
        self.assertEqual((ann.session.state, bob.session.state), (State.CONFIRMED, State.CONFIRMED))
        self.assertEqual((ann.recorder.heard("answered"), bob.recorder.heard("ack")), ([(200, ANSWER)], [(b"",)]))
        self.assertEqual(len(bob.sessions), 1, "retransmissions are no new calls")
        if transfers:
            bob.session.refer("sip:300@h", None)
            network.run(31.0)
            ann.session.notify_refer(200, "OK", final=True)
            network.run(31.0)
            self.assertEqual(bob.recorder.heard("refer")[-1], (200, True))
        (ann if caller_ends else bob).session.hangup()
        network.run(120.0)
        self.assertEqual(sorted(ann.recorder.heard("ended") + bob.recorder.heard("ended")), [("bye",), ("local",)])
        self.assertTrue(ann.idle() and bob.idle())

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32), st.floats(0, 3), st.floats(0, 3))
    def test_whoever_hangs_up_whenever_all_ends(self, seed: int, first: float, second: float) -> None:
        """Hanging up at any two moments, over a link as bad as any, both sides hear the end once and keep nothing."""
        network = Network()
        ann, bob = Agent(network, "192.0.2.1"), Agent(network, "192.0.2.2")
        bob.take = lambda session: session.ring()
        network.fate = lossy(seed)
        session = ann.call(bob)
        network.run(first)
        for incoming in bob.sessions:
            if incoming.state is State.INCOMING:
                incoming.answer(ANSWER)
        network.run(second)
        session.hangup()
        if seed % 2:
            for incoming in bob.sessions:
                incoming.hangup()
        network.run(100.0)
        for incoming in bob.sessions:
            incoming.hangup()  # an INVITE that arrives when its sender has given up is nobody's to cancel
        network.run(100.0)
        self.assertEqual(len(ann.recorder.heard("ended")), 1)
        self.assertEqual(len(bob.recorder.heard("ended")), len(bob.sessions))
        self.assertTrue(ann.idle() and bob.idle())


def recorded() -> list[bytes]:
    """Every message of a call with a transfer and a hold."""
    case = ReInvites()
    case.setUp()
    case.ann.recorder.accepts_refer = True
    case.established()
    case.reinvite(OFFER)
    case.bob.session.refer("sip:300@h", None)
    case.network.run(1.0)
    case.ann.session.notify_refer(200, "OK", final=True)
    case.network.run(1.0)
    case.ann.session.hangup()
    case.network.run(1.0)
    return [data for _, _, data in case.network.seen]


MESSAGES = recorded()


class Noise(TestCase):
    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(st.sampled_from(MESSAGES), st.integers(0, 900), st.integers(0, 30), st.binary(max_size=20)), max_size=8
        )
    )
    def test_damaged_messages_in_the_middle_of_a_call_break_nothing(self, damages: list[tuple[bytes, int, int, bytes]]) -> None:
        network = Network()
        ann, bob = Agent(network, "192.0.2.1"), Agent(network, "192.0.2.2")
        bob.take = ring_and_answer
        ann.call(bob)
        network.run(0.5)
        for data, at, cut, patch in damages:
            damaged = data[:at] + patch + data[at + cut :]
            for agent, source in ((ann, "192.0.2.2"), (bob, "192.0.2.1")):
                agent.layer.receive(damaged, Peer("udp", source, 5060))
            network.run(0.3)
        for agent in (ann, bob):
            self.assertEqual(agent.counters.values["sip.fault", ""], 0)
            for session in agent.sessions:
                session.hangup()
        network.run(200.0)
        for agent in (ann, bob):
            self.assertEqual(len(agent.recorder.heard("ended")), len(agent.sessions))
            self.assertTrue(agent.idle())
