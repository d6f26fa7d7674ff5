"""Whole calls: SIP, RTP and the agent together, from INVITE to the last line of the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from smartalex.ai.diagnostics import PlayFactory
from smartalex.calls.call import SETTLE_S, CallOptions
from smartalex.calls.lifecycle import State
from smartalex.errors import Refused, RemoteError, Unavailable
from smartalex.sip.message import Request
from smartalex.tenants.directory import Directory
from tests.ai.fakes import Backend, answering, calls, never, refuses
from tests.calls.exchange import DIRECTORY, SPEECH, Caller, Exchange, headers_of, sdp
from tests.calls.test_switchboard import ExchangeCase

SILENCE = b"\xff" * 160


class Answering(ExchangeCase):
    def test_it_rings_at_once_and_answers_when_the_agent_is_ready(self) -> None:
        ready: Deferred[None] = Deferred()
        self.exchange.backends = (Backend(start=lambda session: ready),)
        caller = self.exchange.dial()
        self.exchange.run(0.05)
        titles = self.exchange.network.titles("192.0.2.2")
        self.assertEqual(titles, ["SIP/2.0 180 INVITE"])
        self.exchange.run(1)
        self.assertEqual(caller.statuses(), [180])
        ready.callback(None)
        self.exchange.run(0.05)
        self.assertEqual(caller.statuses(), [180, 200])
        self.assertEqual((self.exchange.row["codec"], self.exchange.row["story"]), ("PCMU", ["invite", "identified", "answer"]))

    def test_the_greeting_is_heard_from_its_first_frame(self) -> None:
        caller = self.exchange.connected()
        self.exchange.run(1)
        self.assertEqual(caller.sounds(), 600 // 20)

    def test_an_agent_that_is_never_ready_is_not_waited_for(self) -> None:
        self.exchange.backends = (Backend(start=never),)
        caller = self.exchange.dial()
        self.exchange.run(2.4)
        self.assertEqual(caller.statuses(), [180])
        self.exchange.run(0.7)
        self.assertEqual(caller.statuses(), [180, 200])
        self.exchange.run(20)
        self.assertIn(("agent", "I am sorry, I am having some trouble at the moment."), self.exchange.row["said"])
        self.assertEqual(self.exchange.row["steps"][:1], ["started"])

    def test_hanging_up_ends_it(self) -> None:
        caller = self.exchange.connected()
        self.exchange.talk(caller, 2)
        caller.session.hangup()
        self.exchange.run(0.5)
        row = self.exchange.row
        self.assertEqual((row["disposition"], row["cause"], row["status"]), ("completed", "caller hung up", 200))
        self.assertEqual((row["rtp"]["packets_received"], row["rtp"]["lost"]), (100, 0))
        self.assertEqual(row["duration_s"], round(row["ended_at"] - row["answered_at"], 3))

    def test_the_agent_hangs_up(self) -> None:
        caller = self.exchange.connected()
        self.exchange.call_of(caller).end("said goodbye \udce9")
        self.exchange.run(0.5)
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("completed", "said goodbye "))

    def test_cancelled_while_it_rings(self) -> None:
        self.exchange.backends = (Backend(start=never),)
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        caller.session.hangup()
        self.exchange.run(0.5)
        self.assertEqual(len(self.exchange.sent("SIP/2.0 487 INVITE")), 1)
        row = self.exchange.row
        self.assertEqual((row["disposition"], row["cause"], row["duration_s"]), ("cancelled", "cancelled", 0.0))

    def test_we_hang_up_while_it_rings(self) -> None:
        self.exchange.backends = (Backend(start=never),)
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        self.exchange.call_of(caller).hang_up("drain")
        self.exchange.run(0.5)
        self.assertEqual((caller.statuses(), self.exchange.row["cause"]), ([180, 480], "drain"))

    def test_the_ack_never_comes(self) -> None:
        caller = self.exchange.dial()
        caller.recorder.acks_itself = False
        self.exchange.run(40)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("failed", "no ACK for the 200"))
        caller.session.ack()

    def test_an_agent_that_becomes_ready_after_the_caller_left_is_no_matter(self) -> None:
        ready: Deferred[None] = Deferred()
        self.exchange.backends = (Backend(start=lambda session: ready),)
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        caller.session.hangup()
        self.exchange.run(0.5)
        if not ready.called:
            ready.callback(None)
        self.exchange.run(0.5)
        self.assertEqual(self.exchange.row["disposition"], "cancelled")


class AnswerLimit(ExchangeCase):
    options = {"options": CallOptions(answer_limit_s=1.0)}

    def test_it_is_the_configured_one(self) -> None:
        self.exchange.backends = (Backend(start=never),)
        caller = self.exchange.dial()
        self.exchange.run(0.9)
        self.assertEqual(caller.statuses(), [180])
        self.exchange.run(0.2)
        self.assertEqual(caller.statuses(), [180, 200])


class DelayedOffer(ExchangeCase):
    def answered_in_ack(self, body: Callable[[Caller], bytes]) -> Caller:
        caller = self.exchange.dial(offer=b"")
        caller.recorder.acks_itself = False
        self.exchange.run(0.3)
        caller.session.ack(body(caller))
        self.exchange.run(0.5)
        return caller

    def test_the_200_holds_our_offer_and_the_ack_its_answer(self) -> None:
        caller = self.answered_in_ack(lambda caller: sdp(caller.port, codecs="8 101"))
        [ok] = self.exchange.sent("SIP/2.0 200 INVITE")
        self.assertIn(b"RTP/AVP 0 8 9 101 13", ok.body)
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["codec"], self.exchange.call_of(caller).media.leg._codec.name), ("PCMA", "PCMA"))
        self.assertEqual(sum(caller.heard) > 0, True)

    def test_an_ack_without_an_answer_ends_the_call(self) -> None:
        caller = self.answered_in_ack(lambda caller: b"")
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])
        self.assertTrue(self.exchange.row["cause"].startswith("the answer in the ACK did not fit: "), self.exchange.row["cause"])

    def test_an_answer_that_does_not_fit_ends_the_call(self) -> None:
        caller = self.answered_in_ack(lambda caller: sdp(caller.port, codecs="18"))
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])


class Hold(ExchangeCase):
    """Re-INVITEs of a PBX: `held` is what every way of saying so has in common."""

    def setUp(self) -> None:
        super().setUp()
        self.backend = Backend(end_of_turn=answering("Certainly.", 2000))
        self.exchange.backends = (self.backend,)
        self.caller = self.exchange.connected()
        self.exchange.run(1)
        self.caller.sounds()
        self.version = 1

    def reinvite(self, body: bytes) -> Any:
        """Our answer's body, or the status of the refusal."""
        answers: list[Any] = []
        self.caller.session.request_in_dialog("INVITE", (("Content-Type", "application/sdp"),), body).addCallback(answers.append)
        self.exchange.run(0.1)
        [response] = answers
        if response.status == 200:
            self.acknowledge(b"")
        return response

    def acknowledge(self, body: bytes) -> None:
        session = self.caller.session
        assert session.dialog is not None
        headers = (("Content-Type", "application/sdp"),) if body else ()
        session._agent.send_ack(session, session.dialog.request("ACK", headers, body, seq=session.dialog.local_seq))
        self.exchange.run(0.1)

    def negotiate(self, direction: str) -> bytes:
        self.version += 1
        response = self.reinvite(sdp(self.caller.port, direction=direction, version=self.version))
        self.assertEqual(response.status, 200)
        return bytes(response.body)

    def spoken_to(self) -> int:
        """The caller says something and pauses; how many frames of sound came back."""
        self.exchange.talk(self.caller, 0.6)
        self.exchange.talk(self.caller, 1.5, SILENCE)
        return self.caller.sounds()

    def test_the_agent_neither_hears_nor_speaks_until_it_is_over(self) -> None:
        for direction, mirrored in (("sendonly", b"a=recvonly"), ("inactive", b"a=inactive")):
            self.assertIn(mirrored, self.negotiate(direction))
            packets = len(self.caller.heard)
            verbs = len(self.backend.last.calls)
            self.assertEqual(self.spoken_to(), 0)
            self.assertEqual((len(self.caller.heard), len(self.backend.last.calls)), (0, verbs), packets)
            self.assertIn(b"a=sendrecv", self.negotiate("sendrecv"))
            self.assertGreater(self.spoken_to(), 20)
            self.exchange.run(2)
            self.caller.sounds()
        self.assertEqual([k for k in self.exchange.row["story"] if k in ("hold", "media")], ["hold", "media"] * 2)

    def test_a_long_hold_is_not_taken_for_a_silent_caller(self) -> None:
        self.negotiate("sendonly")
        self.exchange.run(150)
        self.negotiate("sendrecv")
        self.assertGreater(self.spoken_to(), 20)
        self.assertNotIn("silent-caller", self.exchange.row["story"])

    def test_what_was_being_said_when_the_hold_came_is_dropped(self) -> None:
        self.assertGreater(self.spoken_to(), 0)
        self.negotiate("sendonly")
        self.caller.sounds()
        self.exchange.run(1)
        self.negotiate("sendrecv")
        self.exchange.run(1)
        self.assertEqual(self.caller.sounds(), 0)

    def test_hold_in_the_style_of_rfc_2543(self) -> None:
        body = sdp(self.caller.port, version=2).replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0")
        self.assertEqual(self.reinvite(body).status, 200)
        self.assertEqual(self.spoken_to(), 0)

    def test_a_refresh_changes_nothing(self) -> None:
        self.negotiate("sendrecv")
        self.assertGreater(self.spoken_to(), 20)

    def test_a_reinvite_that_does_not_fit_is_refused_and_the_call_goes_on(self) -> None:
        self.assertEqual(self.reinvite(sdp(self.caller.port, codecs="18", version=2)).status, 488)
        self.assertGreater(self.spoken_to(), 20)

    def test_our_descriptions_are_numbered_without_a_gap(self) -> None:
        versions = [body.split(b"\r\n")[1].split()[2] for body in (self.negotiate("sendonly"), self.negotiate("sendrecv"))]
        self.reinvite(sdp(self.caller.port, codecs="18", version=9))
        versions.append(self.negotiate("sendrecv").split(b"\r\n")[1].split()[2])
        self.assertEqual(versions, [b"2", b"3", b"4"])

    def test_a_reinvite_without_an_offer_gets_ours_and_its_ack_counts(self) -> None:
        session = self.caller.session
        answers: list[Any] = []
        session.request_in_dialog("INVITE").addCallback(answers.append)
        self.exchange.run(0.1)
        self.assertIn(b"a=sendrecv", answers[0].body)
        self.acknowledge(sdp(self.caller.port, direction="sendonly", version=2))
        self.assertEqual(self.exchange.row["story"][-1], "hold")
        self.assertEqual(self.spoken_to(), 0)

    def test_a_call_that_arrives_on_hold_is_greeted_when_somebody_is_there(self) -> None:
        self.caller = self.exchange.connected(direction="sendonly")
        self.exchange.run(20)
        self.assertEqual(self.caller.sounds(), 0)
        self.negotiate("sendrecv")
        self.exchange.run(1)
        self.assertEqual(self.caller.sounds(), 30)


class HoldWithoutIntelligence(ExchangeCase):
    def test_a_looped_sound_is_heard_again_after_a_hold(self) -> None:
        self.exchange.backends = (PlayFactory(),)
        caller = self.exchange.connected()
        self.assertGreater(caller.sounds(), 0)
        for direction, heard in (("sendonly", False), ("sendrecv", True)):
            session = caller.session
            body = sdp(caller.port, direction=direction, version=2)
            session.request_in_dialog("INVITE", (("Content-Type", "application/sdp"),), body)
            self.exchange.run(0.1)
            assert session.dialog is not None
            session._agent.send_ack(session, session.dialog.request("ACK", (), seq=session.dialog.local_seq))
            caller.sounds()
            self.exchange.run(1)
            self.assertEqual(caller.sounds() > 0, heard, direction)


class Transfers(ExchangeCase):
    def setUp(self) -> None:
        super().setUp()
        self.backend = Backend(
            dtmf=calls("transfer", destination="sarah", reason="billing"),
            tool_result=answering("Shall I take a message?"),
            inject=answering("Shall I take a message?"),
        )
        self.exchange.backends = (self.backend,)

    def asked(self, **options: Any) -> Caller:
        """A caller who was connected and asked for Sarah; the REFER has been answered as `accepts_refer` says."""
        caller = self.exchange.connected(**options)
        caller.recorder.accepts_refer = True
        self.exchange.run(1)
        self.exchange.press(caller, "2")
        return caller

    def referred(self, **options: Any) -> Caller:
        caller = self.asked(**options)
        self.exchange.run(2)
        self.assertEqual(caller.recorder.heard("asked to call"), [("sip:301@pbx.example.com",)])
        self.assertIs(self.exchange.call_of(caller).state, State.HANDED_OVER)
        return caller

    def told(self) -> list[dict[str, Any]]:
        return [call[3] for call in self.backend.last.calls if call[0] == "tool_result"]

    def speaks_again(self, caller: Caller, cause: str) -> None:
        """The caller is ours again, knows why, and is offered a message."""
        self.assertEqual([(t["ok"], t["cause"], t["name"]) for t in self.told()], [(False, cause, "Sarah Mitchell")])
        self.exchange.run(2)
        self.assertIn(("agent", "Shall I take a message?"), self.exchange.row["said"])
        self.assertEqual((self.exchange.row["steps"].count("failed"), self.exchange.row["flagged"]), (1, "transfer failed"))
        self.assertIs(self.exchange.call_of(caller).state, State.TALKING)

    def test_accepted_and_answered(self) -> None:
        caller = self.referred()
        caller.session.notify_refer(180, "Ringing", final=False)
        self.exchange.run(1)
        caller.session.notify_refer(200, "OK", final=True)
        self.exchange.run(1)
        row = self.exchange.row
        self.assertEqual((row["disposition"], row["transferred_to"], row["cause"]), ("transferred", "301", "transferred"))
        self.assertEqual(row["steps"], ["refer", "accepted", "progress", "progress", "progress", "done"])
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])

    def test_from_acceptance_on_nobody_of_ours_hears_or_is_heard(self) -> None:
        caller = self.referred()
        caller.heard.clear()
        frames = self.backend.last.frames
        for _ in range(25):
            caller.send(SPEECH)
            self.exchange.sockets.poll()
            self.exchange.run(0.02)
        self.assertEqual((caller.heard, self.backend.last.frames), ([], frames))

    def test_the_refer_says_who_calls_and_who_refers(self) -> None:
        self.referred()
        [refer] = self.exchange.sent("REFER")
        assert isinstance(refer, Request)
        self.assertEqual(headers_of(refer, "Refer-To"), ["<sip:301@pbx.example.com>"])
        self.assertEqual(headers_of(refer, "P-Asserted-Identity"), ['"Zoë" <sip:+15550001@192.0.2.1>'])
        self.assertEqual(headers_of(refer, "Referred-By"), ["<sip:+27215550100@192.0.2.2>"])
        self.assertEqual(headers_of(refer, "Privacy"), [])

    def test_where_a_call_was_sent_on_from_is_known_to_record_and_agent(self) -> None:
        headers = (("Diversion", "<sip:200@pbx.example.com>;reason=no-answer"), ("Diversion", "<sip:100@pbx.example.com>"))
        caller = self.asked(headers=headers)
        diverted = [(event.data["from"], event.data["reason"]) for event in self.exchange.events if event.kind == "diverted"]
        self.assertEqual(diverted, [("200", "no-answer"), ("100", None)])
        told = self.exchange.call_of(caller).conversation.brief().caller
        self.assertEqual((told["diverted_from"], told["diverted_because"]), ("200", "no-answer"))

    def test_an_asserted_and_private_caller_stays_both(self) -> None:
        self.referred(headers=(("P-Asserted-Identity", "<tel:+15559999>"), ("Privacy", "id")))
        [refer] = self.exchange.sent("REFER")
        self.assertEqual(headers_of(refer, "P-Asserted-Identity"), ["<tel:+15559999>"])
        self.assertEqual(headers_of(refer, "Privacy"), ["id"])

    def test_without_a_pbx_domain_it_goes_where_the_call_came_from(self) -> None:
        self.exchange.change(pbx_domain="")
        caller = self.asked()
        self.exchange.run(2)
        self.assertEqual(caller.recorder.heard("asked to call"), [("sip:301@192.0.2.1",)])

    def test_a_pbx_that_hangs_up_after_accepting_has_taken_the_caller(self) -> None:
        caller = self.referred()
        caller.session.hangup()
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["transferred_to"]), ("transferred", "301"))

    def test_refused(self) -> None:
        caller = self.asked()
        caller.recorder.accepts_refer = False
        self.exchange.run(2)
        self.speaks_again(caller, "declined")

    def test_the_target_is_busy(self) -> None:
        caller = self.referred()
        caller.session.notify_refer(486, "Busy Here", final=True)
        self.exchange.run(0.1)
        self.speaks_again(caller, "busy")

    def test_no_sign_of_progress_for_30_seconds(self) -> None:
        caller = self.referred()
        self.exchange.run(27)
        self.assertEqual(self.told(), [])
        self.exchange.run(2)
        self.speaks_again(caller, "no response")

    def test_the_refer_is_not_even_answered(self) -> None:
        caller = self.asked()
        self.exchange.network.fate = lambda data: () if data.startswith(b"REFER") else (0.01,)
        self.exchange.run(29)
        self.assertEqual(self.told(), [])
        self.exchange.run(3)
        self.exchange.network.fate = lambda data: (0.01,)
        self.speaks_again(caller, "no response")

    def test_it_rings_and_nobody_picks_up(self) -> None:
        caller = self.referred()
        self.exchange.run(20)
        caller.session.notify_refer(180, "Ringing", final=False)
        self.exchange.run(58)
        self.assertEqual(self.told(), [])
        self.exchange.run(3)
        self.speaks_again(caller, "no answer")

    def test_a_subscription_that_ends_without_an_outcome(self) -> None:
        caller = self.referred()
        caller.session.notify_refer(100, "Trying", final=True)
        self.exchange.run(0.1)
        self.speaks_again(caller, "outcome unknown")

    def test_an_outcome_that_comes_after_we_gave_up_changes_nothing(self) -> None:
        caller = self.referred()
        self.exchange.run(30)
        caller.session.notify_refer(486, "Busy Here", final=True)
        self.exchange.run(1)
        self.speaks_again(caller, "no response")

    def test_a_success_that_comes_after_we_gave_up_is_one(self) -> None:
        caller = self.referred()
        self.exchange.run(35)
        self.exchange.call_of(caller).take_message("")
        self.exchange.run(1)
        caller.session.notify_refer(200, "OK", final=True)
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["transferred_to"]), ("transferred", "301"))

    def test_a_second_try_may_succeed(self) -> None:
        caller = self.referred()
        caller.session.notify_refer(480, "Temporarily Unavailable", final=True)
        self.exchange.run(3)
        self.exchange.press(caller, "2")
        self.exchange.run(2)
        caller.session.notify_refer(200, "OK", final=True)
        self.exchange.run(1)
        self.assertEqual(self.exchange.row["disposition"], "transferred")

    def test_the_caller_hangs_up_while_the_refer_is_out(self) -> None:
        caller = self.asked()
        self.exchange.network.fate = lambda data: () if data.startswith(b"REFER") else (0.01,)
        self.exchange.run(2)
        caller.session.hangup()
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("completed", "caller hung up"))

    def test_a_failed_transfer_of_a_held_caller_waits_for_them(self) -> None:
        caller = self.referred()
        session = caller.session
        for direction in ("sendonly", "sendrecv"):
            session.request_in_dialog("INVITE", (("Content-Type", "application/sdp"),), sdp(caller.port, direction=direction))
            self.exchange.run(0.1)
            assert session.dialog is not None
            session._agent.send_ack(session, session.dialog.request("ACK", (), seq=session.dialog.local_seq))
            if direction == "sendonly":
                session.notify_refer(486, "Busy Here", final=True)
                caller.sounds()
                self.exchange.run(100)
                self.assertEqual(caller.sounds(), 0)
        self.exchange.talk(caller, 1, SILENCE)
        self.assertIs(self.exchange.call_of(caller).state, State.TALKING)
        told = [call[1:] for call in self.backend.last.calls if call[0] == "inject"]
        self.assertEqual(told, [("event", "The transfer failed: busy", True)])
        self.assertGreater(caller.sounds(), 10)

    def test_only_the_directory_can_be_reached(self) -> None:
        caller = self.exchange.connected()
        call = self.exchange.call_of(caller)
        for wish in ("301", "sip:evil@example.com", "", "SARAH"):
            self.assertEqual(
                self.successResultOf(call.transfer(wish, "")), {"ok": False, "cause": "unknown destination", "name": ""}
            )
        self.assertEqual(self.exchange.sent("REFER"), [])

    def test_an_agent_that_may_not_transfer_is_told_of_nobody(self) -> None:
        tenancy = self.exchange.admission.tenancy
        quiet = attrs.evolve(tenancy.agents["a1"], tools=("take_message",))
        self.exchange.admission.tenancy = attrs.evolve(tenancy, agents={"a1": quiet})
        self.exchange.connected()
        brief = self.backend.last.brief
        self.assertEqual((brief.destinations, brief.operator, brief.allowed), ((), None, ("take_message",)))

    def test_who_is_not_there_is_not_called(self) -> None:
        tenancy = self.exchange.admission.tenancy
        away = attrs.evolve(DIRECTORY.extensions[0], availability="off")
        owner = attrs.evolve(tenancy.workspaces["w1"], directory=Directory((away,)))
        self.exchange.admission.tenancy = attrs.evolve(tenancy, workspaces={"w1": owner})
        call = self.exchange.call_of(self.exchange.connected())
        found = self.successResultOf(call.transfer("sarah", ""))
        self.assertEqual(found, {"ok": False, "cause": "not available now", "name": "Sarah Mitchell"})
        self.assertEqual(self.exchange.sent("REFER"), [])

    def test_one_at_a_time(self) -> None:
        caller = self.referred()
        call = self.exchange.call_of(caller)
        self.assertEqual(self.successResultOf(call.transfer("desk", ""))["cause"], "not while handed over")
        self.assertEqual(self.successResultOf(call.take_message(""))["cause"], "not while handed over")


class Forwarding(Transfers):
    """The same, where the agent has a number for when the PBX is out of reach: it is tried once, and only then."""

    def setUp(self) -> None:
        super().setUp()
        tenancy = self.exchange.admission.tenancy
        agent = attrs.evolve(tenancy.agents["a1"], call_forwarding_number="+27115550000")
        self.exchange.admission.tenancy = attrs.evolve(tenancy, agents={"a1": agent})

    def answers_refer(self, status: int) -> None:
        """The PBX's answer to REFERs from now on."""

        def refuse(session: Any, refer_to: Any, request: Any) -> bool:
            raise RemoteError(status, "No")

        self.exchange.callers[0].recorder.on_refer = refuse  # type: ignore[method-assign]

    def test_the_refer_is_not_even_answered(self) -> None:
        caller = self.asked()
        self.exchange.network.fate = lambda data: () if b"sip:301@" in data else (0.01,)
        self.exchange.run(32)
        self.assertEqual(caller.recorder.heard("asked to call"), [("sip:+27115550000@pbx.example.com",)])
        caller.session.notify_refer(200, "OK", final=True)
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["transferred_to"]), ("transferred", "+27115550000"))

    def test_out_of_service(self) -> None:
        caller = self.asked()
        self.answers_refer(503)
        self.exchange.run(2)
        tried = [headers_of(refer, "Refer-To") for refer in self.exchange.sent("REFER")]
        self.assertEqual(tried, [["<sip:301@pbx.example.com>"], ["<sip:+27115550000@pbx.example.com>"]])
        self.speaks_again(caller, "unreachable")


class Messages(ExchangeCase):
    def recorded(self, **speech: float) -> Caller:
        """A caller who was asked for a message and has spoken."""
        caller = self.exchange.connected()
        self.exchange.call_of(caller).take_message("sarah")
        self.exchange.talk(caller, 1, SILENCE)
        self.exchange.talk(caller, speech.get("speech", 2.0))
        return caller

    def test_prompt_beep_recording_thanks_and_goodbye(self) -> None:
        caller = self.recorded()
        self.exchange.talk(caller, 1.6, SILENCE)
        self.exchange.run(1)
        [writer] = self.exchange.box.writers
        assert writer.committed is not None
        duration_ms, *to = writer.committed
        self.assertEqual(to, ["sarah", "Sarah Mitchell"])
        self.assertEqual(len(writer.pcm), duration_ms * 16)
        row = self.exchange.row
        self.assertEqual((row["disposition"], row["cause"], row["steps"]), ("message", "message taken", ["started", "kept"]))
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])

    def test_hanging_up_in_the_middle_keeps_it(self) -> None:
        caller = self.recorded()
        caller.session.hangup()
        self.exchange.run(0.5)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["steps"]), ("message", ["started", "kept"]))

    def test_without_a_word_nothing_is_kept(self) -> None:
        caller = self.recorded(speech=0)
        caller.session.hangup()
        self.exchange.run(0.5)
        self.assertTrue(self.exchange.box.writers[0].abandoned)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["steps"]), ("completed", ["started", "empty"]))

    def test_the_call_is_over_when_the_message_is_stored(self) -> None:
        stored: Deferred[str] = Deferred()
        self.exchange.box.stored = lambda call_id: stored
        caller = self.recorded()
        caller.session.hangup()
        drained = self.exchange.switchboard.drain()
        self.exchange.run(1)
        self.assertNoResult(drained)
        self.assertEqual(len(self.exchange.plane), 0)
        stored.callback("m1")
        self.successResultOf(drained)
        self.assertEqual(self.exchange.row["disposition"], "message")

    def test_a_disk_that_hangs_does_not_hold_the_call_for_ever(self) -> None:
        self.exchange.box.stored = lambda call_id: Deferred()
        caller = self.recorded()
        caller.session.hangup()
        self.exchange.run(SETTLE_S + 1)
        self.assertEqual((self.exchange.row["steps"], self.exchange.row["cause"]), (["started", "lost"], "caller hung up"))

    def test_a_disk_that_fails_is_told_to_the_caller(self) -> None:
        def fails(call_id: str) -> Deferred[str]:
            failed: Deferred[str] = Deferred()
            failed.errback(OSError("no space"))
            return failed

        self.exchange.box.stored = fails
        caller = self.recorded()
        caller.sounds()
        self.exchange.talk(caller, 1.6, SILENCE)
        self.exchange.run(1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual((caller.sounds(), self.exchange.row["steps"]), (20, ["started", "lost"]))


class FailingAgents(ExchangeCase):
    """Whatever fails, and wherever: the caller hears us say so, and is then asked for a message."""

    def tearDown(self) -> None:
        self.flushLoggedErrors(ZeroDivisionError, OSError)
        super().tearDown()

    def failing(self, *, key: str = "5", **script: Any) -> Exchange:
        self.exchange.backends = (Backend(**script),)
        caller = self.exchange.dial()
        self.exchange.run(1)
        self.exchange.talk(caller, 1)
        self.exchange.talk(caller, 0.6, SILENCE)
        if key:
            self.exchange.press(caller, key)
        self.exchange.run(25)
        return self.exchange

    def asked_for_a_message(self, exchange: Exchange) -> None:
        said = [text for role, text in exchange.row["said"] if role == "agent"]
        self.assertIn("I am sorry, I am having some trouble at the moment.", said)
        self.assertEqual((len(exchange.box.writers), exchange.row["steps"][0]), (1, "started"))
        self.assertIn("backend-failed", exchange.row["story"])
        self.assertEqual(exchange.row["flagged"], "backend-failed")

    def test_no_session_can_be_made(self) -> None:
        self.asked_for_a_message(self.failing(session=lambda *_: 1 / 0))

    def test_it_cannot_start(self) -> None:
        self.asked_for_a_message(self.failing(start=lambda *_: 1 / 0))

    def test_it_refuses_to_start(self) -> None:
        self.asked_for_a_message(self.failing(start=refuses(Refused("wrong key"))))

    def test_it_cannot_be_reached(self) -> None:
        self.asked_for_a_message(self.failing(start=refuses(Unavailable("connection refused"))))

    def test_it_never_starts(self) -> None:
        self.asked_for_a_message(self.failing(start=never))

    def test_it_fails_on_audio(self) -> None:
        self.asked_for_a_message(self.failing(write=lambda *_: 1 / 0))

    def test_it_fails_when_the_caller_begins_to_speak(self) -> None:
        self.asked_for_a_message(self.failing(speech_started=lambda *_: 1 / 0, start=once_then_refuses()))

    def test_it_fails_at_the_end_of_a_turn(self) -> None:
        self.asked_for_a_message(self.failing(end_of_turn=lambda *_: 1 / 0, start=once_then_refuses()))

    def test_it_fails_on_a_key(self) -> None:
        self.asked_for_a_message(self.failing(dtmf=lambda *_: 1 / 0, start=once_then_refuses(), end_of_turn=answering()))

    def test_it_dies_in_mid_sentence(self) -> None:
        def half(session: Any) -> None:
            answering(ms=200)(session)
            session.host.failed(Unavailable("gone"))

        self.asked_for_a_message(self.failing(end_of_turn=half, start=once_then_refuses()))

    def test_it_never_answers(self) -> None:
        self.asked_for_a_message(self.failing(key=""))

    def test_where_no_message_can_be_taken_the_operator_gets_the_caller(self) -> None:
        self.exchange.backends = (Backend(start=refuses(Refused("wrong key"))),)

        def full(call_id: str, caller: str) -> Any:
            raise OSError("no space")

        self.exchange.box.open = full  # type: ignore[method-assign]
        caller = self.exchange.connected()
        caller.recorder.accepts_refer = True
        self.exchange.run(5)
        self.assertEqual(caller.recorder.heard("asked to call"), [("sip:100@pbx.example.com",)])


def once_then_refuses() -> Callable[..., Any]:
    """The first start succeeds, those after it are refused."""
    started: list[Any] = []

    def start(session: Any) -> Any:
        started.append(session)
        return None if len(started) == 1 else refuses(Refused("not again"))(session)

    return start


class SilentLines(ExchangeCase):
    options = {"options": CallOptions(media_timeout_s=20.0)}

    def setUp(self) -> None:
        super().setUp()
        self.exchange.backends = (PlayFactory(),)

    def test_a_caller_who_vanished_does_not_hold_a_call_for_ever(self) -> None:
        caller = self.exchange.connected()
        self.exchange.talk(caller, 1)
        self.exchange.run(19)
        self.assertEqual(caller.recorder.heard("ended"), [])
        self.exchange.run(6)
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("failed", "media_timeout"))

    def test_one_who_never_sent_anything_neither(self) -> None:
        self.exchange.connected()
        self.exchange.run(21)
        self.assertEqual(self.exchange.row["cause"], "media_timeout")

    def test_a_packet_now_and_then_is_enough(self) -> None:
        caller = self.exchange.connected()
        for _ in range(10):
            caller.send(b"\x40", 13)
            self.exchange.sockets.poll()
            self.exchange.run(14)
        self.assertEqual(caller.recorder.heard("ended"), [])

    def test_on_hold_nothing_is_expected(self) -> None:
        caller = self.exchange.connected(direction="sendonly")
        self.exchange.run(100)
        self.assertEqual(caller.recorder.heard("ended"), [])
