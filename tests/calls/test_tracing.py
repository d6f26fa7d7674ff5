"""SIP messages go into the record of the call they belong to: all of them, the last ones too, and of no call else."""

from __future__ import annotations

import attrs
from twisted.internet.defer import succeed

from smartalex.calls.tracing import LINGER_S, STRANGER_OCTETS, Tracing
from smartalex.interfaces import Verdict
from smartalex.sip.headers import Peer
from smartalex.sip.trace import Trace, TraceBook
from tests.ai.fakes import Backend, never
from tests.calls.exchange import sdp
from tests.calls.test_switchboard import ExchangeCase
from tests.sip.network import Agent, title_of

SETTLED_S = LINGER_S + 1


class TracedCase(ExchangeCase):
    only_failed = False

    def setUp(self) -> None:
        super().setUp()
        us, clock = self.exchange.us, self.exchange.network.clock
        self.book = TraceBook(clock.seconds, lambda peer: us.transports.advertised(peer.transport, peer))
        us.layer.tap = self.book.tap
        self.tracing = Tracing(self.book, clock, only_failed=self.only_failed)
        switchboard = self.exchange.switchboard
        switchboard._records = attrs.evolve(switchboard._records, tracer=self.tracing)

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(len(self.book), 0)

    def kept(self) -> list[Trace]:
        return [Trace.from_data(event.data) for event in self.exchange.events if event.kind == "sip"]

    def titles(self, trace: Trace) -> list[str]:
        """'> INVITE' came in, '< 200 INVITE' went out; 100s are left out."""
        seen = [("> " if m.incoming else "< ") + title_of(m.data).removeprefix("SIP/2.0 ") for m in trace.messages]
        return [title for title in seen if " 100 " not in title]


class All(TracedCase):
    def test_the_agent_hangs_up(self) -> None:
        caller = self.exchange.connected()
        self.exchange.call_of(caller).end("goodbye")
        self.exchange.run(SETTLED_S)
        (trace,) = self.kept()
        self.assertEqual(self.titles(trace)[-4:], ["< 200 INVITE", "> ACK", "< BYE", "> 200 BYE"])
        self.assertEqual(self.titles(trace)[0], "> INVITE")
        self.assertEqual({message.local for message in trace.messages}, {Peer("udp", "192.0.2.2", 5060)})
        self.assertEqual([event.kind for event in self.exchange.events][-2:], ["end", "sip"])

    def test_the_caller_hangs_up(self) -> None:
        self.exchange.connected().session.hangup()
        self.exchange.run(SETTLED_S)
        self.assertEqual(self.titles(*self.kept())[-2:], ["> BYE", "< 200 BYE"])

    def test_each_call_has_its_own(self) -> None:
        for caller in [self.exchange.connected() for _ in range(3)]:
            caller.session.hangup()
        self.exchange.run(SETTLED_S)
        ids = [{line for message in trace.messages for line in message.data.split(b"\r\n") if line.startswith(b"Call-ID")}
               for trace in self.kept()]  # fmt: skip
        self.assertEqual(([len(found) for found in ids], len(set.union(*ids))), ([1, 1, 1], 3))

    def test_a_refusal_with_its_ack(self) -> None:
        self.exchange.dial("999")
        self.exchange.run(SETTLED_S)
        self.assertEqual(self.titles(*self.kept()), ["> INVITE", "< 404 INVITE", "> ACK"])

    def test_cancelled(self) -> None:
        self.exchange.backends = (Backend(start=never),)
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        caller.session.hangup()
        self.exchange.run(SETTLED_S)
        self.assertEqual(sorted(self.titles(*self.kept())[2:]), sorted(["> CANCEL", "< 200 CANCEL", "< 487 INVITE", "> ACK"]))

    def test_a_challenge_alone_is_nothing(self) -> None:
        self.exchange.verdict.verdict = Verdict(challenges=('Digest realm="r", nonce="n"',))
        self.exchange.dial()
        self.exchange.run(SETTLED_S)
        self.assertEqual((self.kept(), len(self.book)), ([], 0))

    def test_of_a_stranger_little_is_kept(self) -> None:
        self.exchange.verdict.verdict = Verdict(why="nobody")
        self.exchange.dial(headers=(("X-Filler", "x" * STRANGER_OCTETS),))
        self.exchange.run(SETTLED_S)
        (trace,) = self.kept()
        self.assertEqual((self.titles(trace), trace.dropped > 0), (["< 403 INVITE", "> ACK"], True))

    def test_whoever_replaces_the_caller_is_in_it(self) -> None:
        dialog = self.exchange.connected().session.dialog
        assert dialog is not None
        call_id, ours, theirs = dialog.id
        other = self.exchange.dial("alex", headers=(("Replaces", f"{call_id};to-tag={theirs};from-tag={ours}"),))
        self.exchange.run(1.0)
        other.session.hangup()
        self.exchange.run(SETTLED_S)
        (trace,) = self.kept()
        self.assertEqual([title for title in self.titles(trace) if title == "> INVITE"], ["> INVITE"] * 2)
        self.assertEqual(self.titles(trace)[-2:], ["> BYE", "< 200 BYE"])
        self.assertEqual([m.at for m in trace.messages], sorted(m.at for m in trace.messages))

    def test_whom_we_are_referred_to_is_in_it(self) -> None:
        carol = Agent(self.exchange.network, "192.0.2.3")
        carol.take = lambda session: session.answer(sdp(40_000))
        self.exchange.change(refer_targets=("300",))
        self.exchange.us.ua.locate = lambda uri: succeed((Peer("udp", "192.0.2.3", 5060),))
        self.exchange.switchboard.dial = self.exchange.us.ua.invite
        caller = self.exchange.connected()
        caller.session.refer("<sip:300@pbx.example.com>", None)
        self.exchange.run(1.0)
        carol.session.hangup()
        self.exchange.run(SETTLED_S)
        (trace,) = self.kept()
        self.assertIn("< INVITE", self.titles(trace))
        self.assertEqual({message.peer.host for message in trace.messages}, {"192.0.2.1", "192.0.2.3"})

    def test_stopping_keeps_what_is_there(self) -> None:
        caller = self.exchange.connected()
        self.exchange.call_of(caller).end("drain")
        self.tracing.stop()
        self.assertEqual(self.titles(*self.kept())[-1], "< BYE")
        self.exchange.dial("999")
        self.exchange.run(SETTLED_S)
        self.assertEqual((len(self.kept()), self.exchange.rows()[-1]["status"]), (1, 404))


class FailedOnly(TracedCase):
    only_failed = True

    def test_a_good_call_leaves_none(self) -> None:
        self.exchange.connected().session.hangup()
        self.exchange.run(SETTLED_S)
        self.assertEqual((self.exchange.row["disposition"], self.kept()), ("completed", []))

    def test_a_refusal_does(self) -> None:
        self.exchange.dial("999")
        self.exchange.run(SETTLED_S)
        self.assertEqual(len(self.kept()), 1)

    def test_so_does_a_call_that_is_flagged(self) -> None:
        caller = self.exchange.connected()
        self.exchange.call_of(caller).event("misunderstood", {})
        caller.session.hangup()
        self.exchange.run(SETTLED_S)
        self.assertEqual((self.exchange.row["disposition"], len(self.kept())), ("completed", 1))
