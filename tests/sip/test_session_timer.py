"""Session timers (RFC 4028): what is agreed on as tables, who refreshes on a Clock, and what happens without."""

from __future__ import annotations

from unittest import TestCase

from smartalex.errors import RemoteError
from smartalex.sip.invite import State
from smartalex.sip.message import Headers, Request, Response
from smartalex.sip.session import Session
from smartalex.sip.session_timer import SessionExpires, SessionTimer, Terms, agreed, answer, ask, raised
from tests.sip.network import OFFER, Agent
from tests.sip.test_two_agents import TwoAgents

OURS = SessionTimer(1800, 120)
FULL = (("Supported", "timer"),)


def request(*rows: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:h", Headers(rows))


def response(status: int, *rows: tuple[str, str]) -> Response:
    return Response(status, "x", Headers(rows))


class Answered(TestCase):
    """What the UAS makes of a request: (headers) -> terms, Session-Expires, whether it says Require."""

    TABLE = (
        ((), None, None, False),
        (FULL, Terms(1800, ours=True), "1800;refresher=uas", True),
        ((*FULL, ("Session-Expires", "600")), Terms(600, ours=True), "600;refresher=uas", True),
        ((*FULL, ("Session-Expires", "600;refresher=uac")), Terms(600, ours=False), "600;refresher=uac", True),
        ((*FULL, ("x", "600 ; refresher=UAS")), Terms(600, ours=True), "600;refresher=uas", True),
        ((*FULL, ("Session-Expires", "7200")), Terms(1800, ours=True), "1800;refresher=uas", True),
        ((*FULL, ("Session-Expires", "7200"), ("Min-SE", "3600")), Terms(3600, ours=True), "3600;refresher=uas", True),
        ((("Session-Expires", "600"),), Terms(600, ours=True), "600;refresher=uas", False),
        ((("Session-Expires", "600;refresher=uac"),), Terms(600, ours=True), "600;refresher=uas", False),
        ((("Session-Expires", "30"),), Terms(120, ours=True), "120;refresher=uas", False),
        ((("Require", "timer"), ("Session-Expires", "120")), Terms(120, ours=True), "120;refresher=uas", True),
        ((*FULL, ("Min-SE", "2400")), Terms(2400, ours=True), "2400;refresher=uas", True),
    )

    def test_table(self) -> None:
        for rows, terms, expires, requires in self.TABLE:
            with self.subTest(rows=rows):
                got, headers = answer(OURS, request(*rows))
                self.assertEqual(got, terms)
                self.assertEqual(dict(headers).get("Session-Expires"), expires)
                self.assertEqual("Require" in dict(headers), requires)

    def test_an_interval_that_is_too_short_is_refused_with_ours(self) -> None:
        with self.assertRaises(RemoteError) as caught:
            answer(OURS, request(*FULL, ("Session-Expires", "119")))
        self.assertEqual((caught.exception.status, caught.exception.headers), (422, (("Min-SE", "120"),)))

    def test_what_cannot_be_read_is_400(self) -> None:
        for value in ("", "x", "-1", "1e9", "12345678901", "6 00"):
            with self.subTest(value=value), self.assertRaises(RemoteError) as caught:
                answer(OURS, request(*FULL, ("Session-Expires", value)))
            self.assertEqual(caught.exception.status, 400)

    def test_switched_off_nothing_is_said(self) -> None:
        off = SessionTimer(0)
        self.assertEqual(answer(off, request(*FULL, ("Session-Expires", "10"))), (None, ()))
        self.assertEqual(ask(off, None), ())


class Asked(TestCase):
    def test_table(self) -> None:
        plain = SessionTimer(1800, 90)
        for timer, terms, known_s, rows in (
            (plain, None, 0, {"Session-Expires": "1800;refresher=uac"}),
            (plain, Terms(600, ours=True), 0, {"Session-Expires": "1800;refresher=uac"}),
            (plain, Terms(600, ours=False), 0, {"Session-Expires": "1800;refresher=uas"}),
            (plain, None, 2000, {"Session-Expires": "2000;refresher=uac", "Min-SE": "2000"}),
            (OURS, None, 0, {"Session-Expires": "1800;refresher=uac", "Min-SE": "120"}),
        ):
            self.assertEqual(dict(ask(timer, terms, known_s)), rows)

    def test_what_a_2xx_says(self) -> None:
        for value, terms in (
            (None, None), ("600;refresher=uac", Terms(600, ours=True)), ("600;refresher=uas", Terms(600, ours=False)),
            ("600", Terms(600, ours=True)), ("5", Terms(120, ours=True)), ("x", None),
        ):  # fmt: skip
            rows = (("Session-Expires", value),) if value is not None else ()
            self.assertEqual(agreed(OURS, response(200, *rows)), terms, value)

    def test_what_a_422_says(self) -> None:
        for status, value, known_s, least_s in (
            (422, "300", 0, 300), (422, "300", 300, None), (422, "x", 0, None), (500, "300", 0, None), (422, "30", 0, 90),
        ):  # fmt: skip
            self.assertEqual(raised(OURS, response(status, ("Min-SE", value)), known_s), least_s)

    def test_compact_form_and_time_of_refresh_and_end(self) -> None:
        self.assertEqual(SessionExpires.of(request(("x", "90;refresher=uas"))), SessionExpires(90, "uas"))
        self.assertEqual((Terms(90, ours=True).refresh_s, Terms(90, ours=True).expiry_s), (45, 60))
        self.assertEqual(Terms(1800, ours=True).expiry_s, 1768)


class OnAClock(TwoAgents):
    def short(self, agent: Agent, seconds: int = 90, least: int = 90) -> None:
        agent.ua.timer = SessionTimer(seconds, least)

    def up(self, caller_s: int, called_s: int) -> tuple[Session, Session]:
        self.short(self.ann, caller_s)
        self.short(self.bob, called_s)
        return self.established()

    def sent_by(self, agent: Agent, title: str) -> int:
        return self.network.titles(agent.address).count(title)

    def test_the_caller_refreshes_with_update_for_hours(self) -> None:
        ann, bob = self.up(90, 1800)
        self.network.run(3600.0)
        self.assertEqual((ann.state, bob.state), (State.CONFIRMED, State.CONFIRMED))
        self.assertEqual(self.sent_by(self.ann, "UPDATE"), 79)
        self.assertEqual(self.sent_by(self.bob, "UPDATE"), 0)
        self.assertEqual(self.bob.recorder.heard("reinvite"), [], "nobody is asked about a refresh")
        ann.hangup()
        self.nothing_left()

    def test_by_reinvite_where_update_is_not_allowed(self) -> None:
        ann, bob = self.up(90, 90)
        ann._changes.peer_updates = False
        self.network.run(50.0)
        self.assertEqual([message.body for message in self.network.messages("INVITE")], [OFFER] * 2)
        self.assertEqual(len(self.bob.recorder.heard("reinvite")), 1)
        self.assertEqual(self.ann.recorder.heard("answer"), [], "the same answer again is no news")
        self.assertEqual((ann.state, bob.state), (State.CONFIRMED, State.CONFIRMED))

    def test_by_reinvite_when_update_is_refused(self) -> None:
        ann, _ = self.up(90, 90)
        self.bob.ua._inside = {**self.bob.ua._inside}
        del self.bob.ua._inside["UPDATE"]
        self.network.run(50.0)
        self.assertEqual(self.network.titles(since=40.0)[:2], ["UPDATE", "SIP/2.0 405 UPDATE"])
        self.assertEqual(len(self.network.messages("INVITE")), 2)
        self.assertEqual(ann.state, State.CONFIRMED)

    def test_who_is_not_refreshed_hangs_up(self) -> None:
        ann, bob = self.up(90, 90)
        ann._changes._stop_timer()
        self.network.run(59.0)
        self.assertEqual(bob.state, State.CONFIRMED)
        self.network.run(2.0)
        self.ended(self.bob, "expired")
        self.ended(self.ann, "bye")
        self.nothing_left()

    def test_who_gets_no_answer_to_its_refresh_hangs_up(self) -> None:
        self.up(90, 90)
        self.network.fate = lambda data: ()
        self.network.run(90.0)
        self.ended(self.ann, "expired")
        self.ended(self.bob, "expired")
        self.nothing_left()

    def test_a_422_is_answered_with_a_longer_interval(self) -> None:
        self.short(self.ann, 90)
        self.short(self.bob, 1800, 600)
        ann, _ = self.established()
        first, second = self.network.messages("INVITE")
        self.assertEqual(second.headers.get("Session-Expires"), "600;refresher=uac")
        self.assertEqual(second.headers.get("Min-SE"), "600")
        self.assertEqual(second.cseq.number, first.cseq.number + 1)
        (refusal,) = self.network.messages("SIP/2.0 422 INVITE")
        self.assertEqual(refusal.headers.get("Min-SE"), "600")
        assert ann._changes.terms is not None
        self.assertEqual(ann._changes.terms.interval_s, 600)
        self.assertEqual(len(self.bob.sessions), 1, "the refused one never became a call")

    def test_a_reinvite_for_another_reason_refreshes_too(self) -> None:
        ann, _ = self.up(90, 90)
        self.network.run(40.0)
        ann.reinvite(OFFER)
        self.network.run(40.0)
        self.assertEqual(self.sent_by(self.ann, "UPDATE"), 0)
        self.network.run(10.0)
        self.assertEqual(self.sent_by(self.ann, "UPDATE"), 1)

    def test_timer_in_require_is_understood(self) -> None:
        self.ann.call(self.bob, headers=(("Require", "timer"), ("Session-Expires", "90;refresher=uas")))
        self.network.run(1.0)
        self.assertEqual(self.bob.session.state, State.CONFIRMED)
        self.network.run(50.0)
        self.assertEqual(self.sent_by(self.bob, "UPDATE"), 1)

    def test_when_the_call_ends_no_timer_is_left(self) -> None:
        for ends in (0, 1):
            self.setUp()
            self.up(90, 90)[ends].hangup()
            self.nothing_left()
