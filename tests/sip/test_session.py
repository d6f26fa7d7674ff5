"""The INVITE session: its table over every (state, input) pair, and what holds on every path through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any
from unittest import TestCase

from smartalex.errors import LocalError, RemoteError
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.invite import ENDINGS, TABLE, Action, Input, State
from smartalex.sip.message import Headers, Request, Response, response_to
from smartalex.sip.outgoing import Again
from smartalex.sip.session import PERFORM, Session, SessionListener
from tests.sip.network import ANSWER, OFFER, Agent, Network, Recorder

HEARD = """
incoming: ring>incoming answer>accepted reject>ended hang_up>ended cancel>ended bye>ended lost>ended no_prack>ended
accepted: ack>confirmed cancel>accepted bye>ended no_ack>leaving hang_up>leaving_unacked
leaving_unacked: ack>leaving no_ack>leaving cancel>leaving_unacked bye>ended
calling: r1xx>proceeding r2xx>confirmed again>calling failure>ended lost>ended hang_up>giving_up
proceeding: r1xx>proceeding r2xx>confirmed again>calling failure>ended lost>ended hang_up>cancelling
giving_up: r1xx>cancelling r2xx>leaving failure>ended lost>ended
cancelling: r1xx>cancelling r2xx>leaving failure>ended lost>ended no_final>ended
confirmed: ack>confirmed no_ack>leaving bye>ended hang_up>leaving r2xx>confirmed lost>ended gone>ended expired>leaving
leaving: bye>ended bye_done>ended r2xx>leaving
ended: r2xx>ended bye_done>ended
"""
EXPECTED = {
    (State[state.upper()], Input[event.upper()]): State[after.upper()]
    for state, _, moves in (line.partition(": ") for line in HEARD.strip().splitlines())
    for event, _, after in (move.partition(">") for move in moves.split())
}
VERBS = {Input.RING, Input.ANSWER, Input.REJECT, Input.HANG_UP}
ENDS = {Action.END, Action.END_LOCAL}

Path = tuple[tuple[State, Input], ...]


def paths(start: State) -> Iterator[Path]:
    """Every way from here to the end that takes no row twice."""
    todo: list[tuple[State, Path]] = [(start, ())]
    while todo:
        state, path = todo.pop()
        if state is State.ENDED:
            yield path
            continue
        todo += [(row[1], (*path, pair)) for pair, row in TABLE.items() if pair[0] is state and pair not in path]


class Tables(TestCase):
    def test_every_pair_leads_where_it_should_or_nowhere(self) -> None:
        for state, event in product(State, Input):
            row = TABLE.get((state, event))
            self.assertEqual(row[1] if row else None, EXPECTED.get((state, event)), (state, event))

    def test_every_action_can_be_performed_and_is_used(self) -> None:
        self.assertEqual(set(PERFORM), set(Action))
        self.assertEqual({action for actions, _ in TABLE.values() for action in actions}, set(Action))

    def test_every_way_out_tells_the_end_once_and_leaves_no_timer(self) -> None:
        for start in (State.INCOMING, State.CALLING):
            for path in paths(start):
                actions = [action for pair in path for action in TABLE[pair][0]]
                self.assertEqual(sum(action in ENDS for action in actions), 1, path)
                timers = False
                for action in actions:
                    timers = action in (Action.SEND_2XX, Action.SEND_CANCEL) or (timers and action is not Action.STOP)
                self.assertFalse(timers, path)

    def test_an_answered_call_is_never_left_without_a_bye_from_somebody(self) -> None:
        for start in (State.INCOMING, State.CALLING):
            for path in paths(start):
                states = {pair[0] for pair in path}
                inputs = {pair[1] for pair in path}
                if states & {State.ACCEPTED, State.CONFIRMED} and not inputs & {Input.LOST, Input.GONE}:
                    sent = any(Action.SEND_BYE in TABLE[pair][0] for pair in path)
                    self.assertTrue(sent or Input.BYE in inputs, path)

    def test_an_end_has_a_name(self) -> None:
        for (_, event), (actions, _) in TABLE.items():
            if Action.END in actions:
                self.assertTrue(event in ENDINGS or event is Input.HANG_UP, event)


class Rig(TestCase):
    """A session in any state, on a real user agent whose peer is silent."""

    def setUp(self) -> None:
        self.network = Network()
        self.agent = Agent(self.network, "192.0.2.2")
        self.peer = Agent(self.network, "192.0.2.1")

    def session(self, state: State) -> Session:
        uac = state in (State.CALLING, State.PROCEEDING, State.GIVING_UP, State.CANCELLING)
        if uac:
            session = self.agent.call(self.peer)
        else:
            self.peer.call(self.agent)
            self.network.run(0.1)
            session = self.agent.session
            if state is not State.INCOMING:
                session.answer(ANSWER)
                self.network.run(0.1)
        self.network.fate = lambda data: ()
        session.state = state
        return session

    def detail(self, event: Input, session: Session) -> Any:
        if event in (Input.R1XX, Input.R2XX, Input.FAILURE):
            status = {Input.R1XX: 180, Input.R2XX: 200, Input.FAILURE: 486}[event]
            return response_to(session.request, status, to_tag="t", headers=(("Contact", "<sip:b@192.0.2.1>"),), body=ANSWER)
        if event is Input.AGAIN:
            return Again((("Authorization", "Digest x"),))
        if event in (Input.ACK, Input.BYE, Input.CANCEL):
            return Request(event.name, "sip:h", Headers([("CSeq", f"{session.request.cseq.number} {event.name}")]))
        if event in (Input.RING, Input.REJECT):
            return (180 if event is Input.RING else 486), None, ()
        if event is Input.ANSWER:
            return session.request, response_to(session.request, 200, to_tag=session.tag, body=ANSWER)
        return None


class EveryPair(Rig):
    def test_is_performed_or_ignored_and_counted(self) -> None:
        for state, event in product(State, Input):
            with self.subTest(state=state, event=event):
                self.setUp()
                session = self.session(state)
                recorder = session.listener
                assert isinstance(recorder, Recorder)
                recorder.story.clear()
                if event is Input.R2XX and session.role == "uac":
                    session.accepted(self.detail(event, session))
                    listed = (state, event) in EXPECTED
                else:
                    listed = session.input(event, self.detail(event, session))
                    self.assertEqual(listed, (state, event) in EXPECTED)
                self.assertEqual(session.state, EXPECTED.get((state, event), state))
                ended = listed and bool(ENDS & set(TABLE[state, event][0]))
                self.assertEqual(len(recorder.heard("ended")), int(ended))
                if not listed:
                    self.assertEqual(recorder.story, [])
                    self.assertEqual(self.agent.counters.values["sip.unlisted", "session"], 1)

    def test_a_verb_of_ours_in_a_wrong_state_is_our_fault(self) -> None:
        verbs: dict[Input, Callable[[Session], None]] = {
            Input.RING: lambda session: session.ring(),
            Input.ANSWER: lambda session: session.answer(ANSWER),
            Input.REJECT: lambda session: session.reject(486),
        }
        for state, (event, verb) in product(State, verbs.items()):
            self.setUp()
            session = self.session(state)
            if (state, event) in TABLE:
                verb(session)
            else:
                with self.assertRaises(LocalError, msg=(state, event)):
                    verb(session)
            self.assertEqual(session.state, EXPECTED.get((state, event), state))

    def test_hanging_up_is_always_allowed(self) -> None:
        for state in State:
            self.setUp()
            session = self.session(state)
            session.hangup()
            self.assertEqual(session.state, EXPECTED.get((state, Input.HANG_UP), state))
            self.assertEqual(self.agent.counters.values["sip.unlisted", "session"], 0)


class Incoming(Rig):
    def test_nothing_becomes_of_an_invite_without_a_contact(self) -> None:
        for contact, status in ((None, 400), ("<sip:b@h", 400), ("<sip:b@192.0.2.1>", 0)):
            self.setUp()
            self.assertEqual(self.refused("Contact", contact), status)

    def test_a_route_that_cannot_be_followed_is_refused_at_once(self) -> None:
        self.assertEqual(self.refused("Record-Route", "<sip:h"), 400)

    def test_an_old_invite_may_have_no_contact(self) -> None:
        self.assertEqual(self.refused("Contact", None, branch=""), 0)
        self.agent.session.answer(ANSWER)
        assert self.agent.session.dialog is not None
        self.assertEqual(self.agent.session.dialog.target, "sip:ann@192.0.2.1")

    def test_what_cannot_be_had(self) -> None:
        for name, value, status in (
            ("Require", "100rel, x", 420), ("Content-Type", "application/x", 415), ("Accept", "text/x", 406),
            ("Max-Forwards", "x", 400),
            ("Accept", "text/x, application/*;q=0.1", 0), ("Accept", "*/*", 0), ("Max-Forwards", "0", 0),
            ("Max-Forwards", None, 0),
        ):  # fmt: skip
            self.setUp()
            self.assertEqual(self.refused(name, value), status, (name, value))

    def test_the_same_request_by_another_path(self) -> None:
        self.assertEqual(self.refused("Subject", "1"), 0)
        self.assertEqual(self.refused("Subject", "2", branch="z9hG4bKother"), 482)
        self.assertEqual(len(self.agent.sessions), 1)

    def test_another_scheme(self) -> None:
        for uri, status in (("tel:+15550100", 0), ("sips:b@h", 0), ("http://h", 416), ("urn:service:sos", 416)):
            self.setUp()
            self.assertEqual(self.refused("Subject", "x", uri=uri), status, uri)

    def refused(self, name: str, value: str | None, branch: str = "z9hG4bK1", uri: str = "sip:b@192.0.2.2") -> int:
        """The status a raw INVITE is refused with, 0 when it becomes a session; this header is set, or removed."""
        rows = [
            ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}"),
            ("From", "<sip:ann@192.0.2.1>;tag=1"),
            ("To", "<sip:b@h>"),
        ]
        rows += [("Call-ID", "c"), ("CSeq", "1 INVITE"), ("Contact", "<sip:ann@192.0.2.1>"), ("Content-Type", "application/sdp")]
        headers = Headers(rows)
        headers.remove(name)
        if value is not None:
            headers.add(name, value)
        before = len(self.agent.sessions)
        since = self.network.clock.seconds()
        self.agent.layer.receive(Request("INVITE", uri, headers, OFFER).to_bytes(), Peer("udp", "192.0.2.1", 5060))
        statuses = [int(title.split()[1]) for title in self.network.titles("192.0.2.2", since)]
        self.network.run(0.01)
        self.assertEqual(len(self.agent.sessions) - before, int(statuses[-1] == 100))
        return 0 if statuses[-1] == 100 else statuses[-1]


class Outside(Rig):
    """Requests that belong to no call."""

    def answer(self, method: str, to_tag: str = "", **headers: str) -> Response:
        to = f"<sip:b@h>;tag={to_tag}" if to_tag else "<sip:b@h>"
        rows = [("Via", f"SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK{method}{to_tag}"), ("From", "<sip:a@h>;tag=1"), ("To", to)]
        rows += [("Call-ID", "c"), ("CSeq", f"1 {method}"), *headers.items()]
        self.agent.layer.receive(Request(method, "sip:b@192.0.2.2", Headers(rows)).to_bytes(), Peer("udp", "192.0.2.1", 5060))
        message = self.network.seen[-1][2]
        (answer,) = [m for m in self.network.messages(self.network.titles()[-1]) if m.to_bytes() == message]
        assert isinstance(answer, Response)
        return answer

    def test_options_says_what_we_can_and_not_what_we_are(self) -> None:
        answer = self.answer("OPTIONS")
        self.assertEqual(answer.status, 200)
        self.assertEqual((answer.headers.get("Accept"), "INVITE" in answer.headers.get_all("Allow")), ("application/sdp", True))
        self.assertIsNone(answer.headers.get("Server"))
        self.assertIsNotNone(answer.to.tag)

    def test_statuses(self) -> None:
        for method, tag, status in (
            ("BYE", "", 481), ("BYE", "x", 481), ("INFO", "x", 481), ("CANCEL", "", 481), ("NOTIFY", "", 481),
            ("INVITE", "x", 481), ("REGISTER", "", 405), ("MESSAGE", "", 405), ("FROBNICATE", "", 501),
        ):  # fmt: skip
            answer = self.answer(method, tag)
            self.assertEqual(answer.status, status, method)
            self.assertIsNotNone(answer.to.tag)
            if status in (405, 501):
                self.assertIn("INVITE", answer.headers.get_all("Allow"))

    def test_unsupported_names_each_extension(self) -> None:
        self.assertEqual(self.answer("OPTIONS", Require="a, b").headers.get_all("Unsupported"), ["a", "b"])

    def test_an_ack_for_nothing_is_counted(self) -> None:
        self.agent.layer.receive(
            b"ACK sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n"
            b"Call-ID: c\r\nCSeq: 1 ACK\r\n\r\n",
            Peer("udp", "192.0.2.1", 5060),
        )
        self.assertEqual((self.network.seen, self.agent.counters.values["sip.stray_ack", ""]), ([], 1))


class Nobody(TestCase):
    def test_a_listener_may_leave_everything_as_it_is(self) -> None:
        listener, session = SessionListener(), object()
        with self.assertRaises(RemoteError) as caught:
            listener.on_reinvite(session, b"")  # type: ignore[arg-type]
        self.assertEqual(caught.exception.status, 488)
        self.assertFalse(listener.on_refer(session, NameAddr.parse("<sip:x@h>"), Request("REFER", "sip:h", Headers())))  # type: ignore[arg-type]
