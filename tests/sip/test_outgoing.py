"""Calls we place that do not get through at once: redirects, failover, reliable provisional responses, forks, Replaces."""

from __future__ import annotations

from unittest import TestCase

from twisted.internet.defer import Deferred, fail

from smartalex.errors import LocalError, RemoteError
from smartalex.sip.dialog import Dialog
from smartalex.sip.digest import DigestClient, Secret, challenge
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.info import read_dtmf
from smartalex.sip.invite import State
from smartalex.sip.message import Headers, Request, Response, response_to
from smartalex.sip.outgoing import Again, Outgoing, contacts_of
from smartalex.sip.provisional import number_of, read_rack
from smartalex.sip.replaces import Replaces
from smartalex.sip.session import Session
from smartalex.sip.session_timer import SessionTimer
from smartalex.sip.ua import InviteOptions
from smartalex.sip.uri import Uri
from tests.sip.network import ANSWER, OFFER, Agent, losing, ring_and_answer
from tests.sip.test_two_agents import TwoAgents

BOB = Uri.parse("sip:bob@192.0.2.2")


def refused(status: int, *contacts: str) -> Response:
    return Response(status, "x", Headers([("Contact", contact) for contact in contacts]))


class WhatMayHelp(TestCase):
    def outgoing(self, *allowed: str) -> Outgoing:
        return Outgoing(None, SessionTimer(), lambda uri: str(uri) in allowed, BOB)

    def test_contacts_best_first_without_headers_and_nonsense(self) -> None:
        given = refused(
            302, "<sip:a@h>;q=0.2, <sip:b@h?Subject=x>, <tel:+1>", "<mailto:x@h>", "<sip:", "<sips:c@h>;q=0.5", "<sip:d@h>;q=x"
        )
        self.assertEqual([str(uri) for uri in contacts_of(given)], ["sip:b@h", "sips:c@h", "sip:a@h", "sip:d@h"])

    def test_only_where_it_may_and_not_twice(self) -> None:
        outgoing, request = self.outgoing("sip:a@h", "sip:c@h", str(BOB)), Request("INVITE", str(BOB), Headers())
        found = outgoing.mend(request, refused(302, str(BOB), "sip:a@h", "sip:b@h", "sip:c@h"))
        self.assertEqual(found, Again(uri=Uri.parse("sip:a@h")))
        self.assertEqual(outgoing.mend(request, refused(486)), Again(uri=Uri.parse("sip:c@h")), "the next of the same list")
        self.assertIsNone(outgoing.mend(request, refused(486)))
        self.assertIsNone(outgoing.mend(request, refused(302, "sip:a@h")))

    def test_an_end_to_being_sent_on(self) -> None:
        outgoing = Outgoing(None, SessionTimer(), lambda uri: True, BOB)
        request = Request("INVITE", str(BOB), Headers())
        found = [outgoing.mend(request, refused(302, f"sip:{n}@h")) for n in range(7)]
        self.assertEqual([again is not None for again in found], [True] * 5 + [False] * 2)

    def test_503_and_silence_lead_to_the_next_target(self) -> None:
        outgoing, request = self.outgoing(), Request("INVITE", str(BOB), Headers())
        self.assertIsNone(outgoing.mend(request, refused(503)))
        self.assertIsNone(outgoing.lost())
        outgoing.peers = [Peer("udp", "192.0.2.9", 5060)]
        self.assertEqual(outgoing.mend(request, refused(503)), Again())
        self.assertEqual(outgoing.lost(), Again())
        self.assertIsNone(outgoing.mend(request, refused(486)))

    def test_401_without_a_password(self) -> None:
        self.assertIsNone(self.outgoing().mend(Request("INVITE", str(BOB), Headers()), refused(401)))


class Elsewhere(TwoAgents):
    def setUp(self) -> None:
        super().setUp()
        self.carol = Agent(self.network, "192.0.2.3")
        self.carol.take = ring_and_answer
        self.asked: list[Uri] = []

    def place(self, next_hop: Peer | None = None, **options: object) -> Session:
        caller = NameAddr("", Uri.parse("sip:ann@192.0.2.1"))
        call = InviteOptions(BOB, next_hop, caller, NameAddr("", BOB), OFFER, **options)  # type: ignore[arg-type]
        self.ann.sessions.append(self.ann.ua.invite(call, self.ann.recorder))
        return self.ann.session

    def test_a_redirect_is_followed_where_the_owner_lets_it(self) -> None:
        self.bob.take = lambda session: session.reject(302, headers=(("Contact", "<sip:carol@192.0.2.3>"),))
        for allowed in (True, False):
            with self.subTest(allowed=allowed):
                self.ann.recorder.story.clear()
                session = self.place(redirects=lambda uri, allowed=allowed: allowed)
                self.network.run(1.0)
                if allowed:
                    self.assertEqual(self.ann.recorder.heard("answered"), [(200, ANSWER)])
                    self.assertEqual(self.carol.session.request.uri, "sip:carol@192.0.2.3")
                    self.assertEqual(str(self.carol.session.request.to.uri), "sip:bob@192.0.2.2")
                    session.hangup()
                else:
                    self.assertEqual(self.ann.recorder.heard("failed"), [(302,)])
        self.nothing_left()

    def test_the_next_target_when_one_is_silent_or_full(self) -> None:
        silent, full, good = Peer("udp", "192.0.2.9", 5060), Peer("udp", "192.0.2.2", 5060), Peer("udp", "192.0.2.3", 5060)
        self.bob.take = lambda session: session.reject(503)
        blocked: list[Peer] = []
        self.ann.ua.unreachable = blocked.append
        located: Deferred[tuple[Peer, ...]] = Deferred()
        self.ann.ua.locate = lambda uri: located
        self.place()
        located.callback((silent, full, good))
        self.network.run(40.0)
        self.assertEqual(self.ann.recorder.heard("answered"), [(200, ANSWER)])
        self.assertEqual(blocked, [silent])
        self.ann.session.hangup()
        self.nothing_left()

    def test_nowhere_to_go(self) -> None:
        self.ann.ua.locate = lambda uri: fail(LocalError("no such name"))
        self.place()
        self.assertEqual(self.ann.recorder.story, [("ended", "transport")])
        self.nothing_left()

    def test_given_up_while_we_look(self) -> None:
        located: Deferred[tuple[Peer, ...]] = Deferred()
        self.ann.ua.locate = lambda uri: located
        self.place().hangup()
        located.callback((Peer("udp", "192.0.2.2", 5060),))
        self.network.run(1.0)
        self.assertEqual(self.network.messages("INVITE"), [])
        self.ended(self.ann, "local")
        self.nothing_left()

    def test_a_redirect_after_the_caller_gave_up_is_not_followed(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.place(redirects=lambda uri: True)
        self.network.run(1.0)
        self.ann.session.hangup()
        self.network.run(1.0)
        self.assertEqual(len(self.network.messages("INVITE")), 1)
        self.nothing_left()

    def test_both_challenges_in_one_call(self) -> None:
        """A proxy asks (407), then the PBX behind it (401); neither answer is lost on the way."""

        def take(session: Session) -> None:
            headers = session.request.headers
            if headers.get("Proxy-Authorization") is None:
                session.reject(407, headers=(("Proxy-Authenticate", challenge("p", "n1", "SHA-256")),))
            elif headers.get("Authorization") is None:
                session.challenge([challenge("r", "n2", "MD5")])
            else:
                ring_and_answer(session)

        self.bob.take = take
        self.place(digest=DigestClient("ann", Secret("pw"), lambda: "c"))
        self.network.run(1.0)
        self.assertEqual(self.ann.recorder.heard("answered"), [(200, ANSWER)])
        self.assertEqual([message.cseq.number for message in self.network.messages("INVITE")], [1, 2, 3])

    def test_a_challenge_after_a_100(self) -> None:
        self.bob.take = lambda session: session.challenge([challenge("r", "n", "MD5")])
        self.place(digest=DigestClient("ann", Secret("pw"), lambda: "c"))
        self.network.run(1.0)
        self.assertEqual(len(self.network.messages("INVITE")), 2)
        self.nothing_left()


class Reliable(TwoAgents):
    REQUIRED = (("Require", "100rel"),)

    def test_repeated_until_its_prack(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.network.fate = losing("SIP/2.0 180 INVITE", "PRACK", times=2)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(20.0)
        self.assertEqual(sorted(set(self.network.times("SIP/2.0 180 INVITE"))), [0, 500, 1500])
        self.assertEqual(self.ann.recorder.heard("progress"), [(180,)], "told once")
        self.bob.session.answer(ANSWER)
        self.network.run(1.0)
        self.assertEqual(self.ann.session.state, State.CONFIRMED)
        self.ann.session.hangup()
        self.nothing_left()

    def test_the_next_one_waits_for_the_prack_of_the_one_before(self) -> None:
        def take(session: Session) -> None:
            session.ring(180)
            session.ring(183)

        self.bob.take = take
        self.network.fate = losing("PRACK", times=1)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(5.0)
        self.assertEqual(self.ann.recorder.heard("progress"), [(180,), (183,)])
        first, second = (m for m in self.network.messages("SIP/2.0 200 PRACK")[-2:])
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        numbers = {m.headers.get("RSeq") for m in self.network.messages("SIP/2.0 183 INVITE")}
        first_number = int(self.network.messages("SIP/2.0 180 INVITE")[0].headers.get("RSeq") or 0)
        self.assertEqual(numbers, {str(first_number + 1)})

    def test_without_a_prack_the_call_is_refused(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.network.fate = losing("PRACK", times=100)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(40.0)
        self.ended(self.bob, "no-prack")
        self.assertEqual(self.ann.recorder.heard("failed"), [(504,)])
        self.nothing_left()

    def test_the_200_does_not_wait_for_the_prack(self) -> None:
        self.network.fate = losing("PRACK", times=2)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(10.0)
        self.assertEqual((self.ann.session.state, self.bob.session.state), (State.CONFIRMED, State.CONFIRMED))
        self.assertEqual(len(self.network.messages("SIP/2.0 200 PRACK")), 1, "a late one is answered all the same")
        self.ann.session.hangup()
        self.nothing_left()

    def test_cancelled_while_it_waits_for_its_prack(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.network.fate = losing("PRACK", times=100)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(1.0)
        self.ann.session.hangup()
        self.network.run(5.0)
        self.ended(self.bob, "cancelled")
        self.nothing_left()

    def test_without_an_offer_there_is_nothing_to_send_reliably(self) -> None:
        self.ann.call(self.bob, b"", headers=self.REQUIRED)
        self.network.run(1.0)
        self.assertEqual(self.network.messages("SIP/2.0 180 INVITE"), [])
        self.assertEqual(self.ann.session.state, State.CONFIRMED)

    def test_a_prack_of_something_else(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.network.fate = losing("PRACK", times=100)
        self.ann.call(self.bob, headers=self.REQUIRED)
        self.network.run(0.1)
        fork = next(iter(self.ann.session._forks.values()))
        answers: list[int] = []
        for rack in ("1 1 INVITE", "x", "1 1", f"{fork.rseq} 2 INVITE", f"{fork.rseq} 1 BYE"):
            self.network.fate = losing()
            request = fork.dialog.request("PRACK", (("RAck", rack),))
            self.ann.ua.send(self.ann.session, fork.dialog, request, lambda r: answers.append(r.status), lambda why: None)
            self.network.run(0.1)
        self.assertEqual(answers, [481, 400, 400, 481, 481])

    def test_early_media_offer_and_answer(self) -> None:
        """The INVITE has no offer, the reliable 183 has, and the PRACK answers it: what a PBX does that knows 100rel."""
        self.bob.take = lambda session: None
        self.ann.call(self.bob, b"")
        self.network.run(0.1)
        invite = self.bob.session.request
        rows = (("Contact", "<sip:bob@192.0.2.2>"), ("Require", "100rel"), ("RSeq", "7"))
        early = response_to(invite, 183, to_tag="f", headers=rows, body=OFFER, content_type="application/sdp")
        assert self.bob.session._transaction is not None
        self.bob.session._transaction.respond(early)
        self.network.run(0.1)
        (prack,) = self.network.messages("PRACK")
        self.assertEqual((prack.body, prack.content_type, prack.headers.get("RAck")), (ANSWER, "application/sdp", "7 1 INVITE"))
        self.assertEqual(self.ann.recorder.heard("early offer"), [(OFFER,)])

    def test_out_of_order_is_ignored(self) -> None:
        self.bob.take = lambda session: None
        self.ann.call(self.bob)
        self.network.run(0.1)
        for rseq in ("5", "7", "6", "6", "x", "0", "4294967296"):
            rows = (("Contact", "<sip:bob@192.0.2.2>"), ("Require", "100rel"), ("RSeq", rseq))
            assert self.bob.session._transaction is not None
            self.bob.session._transaction.respond(response_to(self.bob.session.request, 183, to_tag="f", headers=rows))
            self.network.run(0.1)
        racks = {message.headers.get("RAck") for message in self.network.messages("PRACK")}
        self.assertEqual(racks, {"5 1 INVITE", "6 1 INVITE"})

    def test_numbers(self) -> None:
        for text, number in ((None, None), ("", None), ("0", None), ("1 ", 1), ("2147483647", 2**31 - 1), ("2147483648", None)):
            self.assertEqual(number_of(text), number)
        good = Request("PRACK", "sip:h", Headers([("RAck", " 1  2 INVITE ")]))
        self.assertEqual(read_rack(good), (1, 2, "INVITE"))


class EarlyDialogs(TwoAgents):
    def setUp(self) -> None:
        super().setUp()
        self.bob.take = lambda session: session.ring()

    def update(self, body: bytes, agent: Agent, session: Session, dialog: Dialog) -> int:
        answers: list[int] = []
        rows = (agent.ua.contact(session), *((("Content-Type", "application/sdp"),) if body else ()))
        agent.ua.send(session, dialog, dialog.request("UPDATE", rows, body), lambda r: answers.append(r.status), lambda why: None)
        self.network.run(0.1)
        return answers[-1]

    def test_update_before_the_answer(self) -> None:
        self.ann.call(self.bob)
        self.network.run(0.1)
        ours = self.bob.session._early
        theirs = next(iter(self.ann.session._forks.values())).dialog
        assert ours is not None
        self.assertEqual(self.update(b"", self.ann, self.ann.session, theirs), 200)
        self.assertEqual(self.update(OFFER, self.ann, self.ann.session, theirs), 500, "the first offer has no answer yet")
        self.assertEqual(self.update(b"", self.bob, self.bob.session, ours), 200)
        self.assertEqual(self.update(OFFER, self.bob, self.bob.session, ours), 491)
        self.bob.session.answer(ANSWER)
        self.network.run(1.0)
        self.assertEqual(self.ann.session.state, State.CONFIRMED)
        self.bob.session.hangup()
        self.network.run(1.0)
        self.ended(self.ann, "bye")
        self.nothing_left()

    def test_what_there_may_not_be_in_an_early_dialog(self) -> None:
        self.ann.call(self.bob)
        self.network.run(0.1)
        dialog = next(iter(self.ann.session._forks.values())).dialog
        answers: list[int] = []
        for method in ("INFO", "REFER", "NOTIFY", "INVITE"):
            request = dialog.request(method, (("Contact", "<sip:x@192.0.2.1>"),))
            self.ann.ua.send(self.ann.session, dialog, request, lambda r: answers.append(r.status), lambda why: None)
            self.network.run(0.1)
        self.assertEqual(answers, [481] * 4)
        self.ann.session.hangup()
        self.nothing_left()


class Replacing(TwoAgents):
    def invite(self, value: str, **headers: str) -> tuple[Session | None, int | None]:
        """What Carol's INVITE with this Replaces came to at Bob's: the new session's old one, and the status of a refusal."""
        before = len(self.bob.sessions)
        self.carol.call(self.bob, headers=(("Replaces", value), *headers.items()))
        self.network.run(1.0)
        failed = self.carol.recorder.heard("failed")
        replaced = self.bob.sessions[-1].replaces if len(self.bob.sessions) > before else None
        return replaced, failed[-1][0] if failed else None

    def setUp(self) -> None:
        super().setUp()
        self.carol = Agent(self.network, "192.0.2.3")

    def test_the_place_of_a_call_that_is_up(self) -> None:
        _, bob = self.established()
        assert bob.dialog is not None
        call_id, ours, theirs = bob.dialog.id
        self.assertEqual(self.invite(f"{call_id};to-tag={ours};from-tag={theirs}", Require="replaces"), (bob, None))

    def test_what_cannot_be_replaced(self) -> None:
        _, bob = self.established()
        assert bob.dialog is not None
        call_id, ours, theirs = bob.dialog.id
        good = f"{call_id};to-tag={ours};from-tag={theirs}"
        for value, status in (
            (f"{call_id};to-tag={theirs};from-tag={ours}", 481), (f"x;to-tag={ours};from-tag={theirs}", 481),
            (f"{good};early-only", 486), (f"{call_id};to-tag={ours}", 400), (";to-tag=a;from-tag=b", 400),
        ):  # fmt: skip
            self.assertEqual(self.invite(value), (None, status), value)
        bob.hangup()
        self.assertEqual(self.invite(good), (None, 603), "it is being ended")
        self.network.run(1.0)
        self.assertEqual(self.invite(good), (None, 481), "it has ended")

    def test_a_call_that_still_rings_is_nobodys_to_take(self) -> None:
        self.bob.take = lambda session: session.ring()
        self.ann.call(self.bob)
        self.network.run(0.1)
        early = self.bob.session._early
        assert early is not None
        call_id, ours, theirs = early.id
        self.assertEqual(self.invite(f"{call_id};to-tag={ours};from-tag={theirs}"), (None, 481))

    def test_how_it_is_written(self) -> None:
        self.assertEqual(str(Replaces.of_dialog(("c", "ours", "theirs"))), "c;to-tag=theirs;from-tag=ours")
        two = Request("INVITE", "sip:h", Headers([("Replaces", "a;to-tag=1;from-tag=2")] * 2))
        self.assertRaises(RemoteError, Replaces.of, two)
        early = Request("INVITE", "sip:h", Headers([("Replaces", "a ; to-tag=1; from-tag=2;early-only")]))
        self.assertEqual(Replaces.of(early), Replaces("a", "1", "2", early_only=True))


class Info(TwoAgents):
    def info(self, *rows: tuple[str, str], body: bytes = b"") -> Response:
        answers: list[Response] = []
        self.ann.session.request_in_dialog("INFO", rows, body).addCallback(answers.append)
        self.network.run(0.1)
        return answers[0]

    def test_what_is_taken_and_what_not(self) -> None:
        self.established()
        self.assertEqual(self.info(("Content-Type", "application/dtmf-relay"), body=b"Signal=1").status, 200)
        self.assertEqual(self.info().status, 200, "an empty one is a sign of life")
        refused = self.info(("Content-Type", "text/x"), body=b"x")
        self.assertEqual((refused.status, refused.headers.get("Accept")), (415, "application/dtmf-relay, application/dtmf"))
        refused = self.info(("Info-Package", "foo"))
        self.assertEqual((refused.status, refused.headers.get("Recv-Info")), (469, ""))

    def test_keys(self) -> None:
        relay = "application/dtmf-relay"
        for kind, body, found in (
            (relay, b"Signal=5\r\nDuration=160\r\n", ("5", 160)), (relay, b"signal = *\nduration = 90", ("*", 90)),
            (relay, b"Signal= 11\r\nDuration= 250", ("#", 250)), (relay, b"Signal=#", ("#", 160)),
            (relay, b"Signal=a\r\n", ("A", 160)), (relay, b"Duration=1\r\n", None), (relay, b"Signal=E", None),
            (relay, b"Signal=99", None), (relay, b"", None), (relay, b"Signal=5\r\nDuration=99999", ("5", 10_000)),
            (relay, b"Signal=5\r\n" * 100, None), ("text/plain", b"Signal=5", None), ("application/dtmf", b"7", ("7", 160)),
            ("application/dtmf", b"77", None), ("application/dtmf", b"\xff", None),
        ):  # fmt: skip
            self.assertEqual(read_dtmf(kind, body), found, (kind, body))
