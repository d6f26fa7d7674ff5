"""Whole conversations on a Clock: a caller in 20 ms frames, scripted backends, the real tables."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import TestCase

from smartalex.ai.breaker import Breakers
from smartalex.ai.pipeline import CascadeFactory
from smartalex.ai.prompts import ENGLISH
from smartalex.errors import BackendError, ProtocolError, Refused, Unavailable
from smartalex.interfaces import CallTool, Say
from tests.ai.fakes import BRIEF, GREETING, QUIET, SPEECH, Backend, Dialogue, Phone, Recognizer, Synthesizer, answering, loud


def never(session: Any, *_: Any) -> Deferred[None]:
    return Deferred()


def refuses(error: BackendError) -> Any:
    return lambda session, *_: fail(error)


def raises(session: Any, *_: Any) -> None:
    raise ZeroDivisionError("plugin bug")


def dies(session: Any, *_: Any) -> None:
    session.host.failed(Unavailable("gone"))


def calls(name: str, **arguments: Any) -> Any:
    return lambda session, *_: session.host.tool_call("t1", name, arguments)


class LoggedCase(TestCase):
    def tearDown(self) -> None:
        self.flushLoggedErrors(ZeroDivisionError, ProtocolError)

    def near(self, value: float, expected: float, tolerance: float) -> None:
        self.assertLessEqual(abs(value - expected), tolerance, (value, expected))


class Answering(LoggedCase):
    def test_ready_at_once_and_greeting_in_the_first_frame(self) -> None:
        phone = Phone(Backend())
        self.assertTrue(phone.ring())
        self.assertEqual(phone.leg.queued_ms, 0)
        phone.conversation.begin()
        self.assertEqual(phone.leg.clips, [GREETING.text])
        self.assertEqual(phone.leg.queued_ms, 600)
        phone.wait(700)
        self.assertEqual(phone.control.lines, [("agent", GREETING.text)])

    def test_the_session_knows_the_greeting_was_said(self) -> None:
        backend = Backend()
        Phone(backend).answer()
        self.assertEqual(backend.last.brief.history, (("agent", GREETING.text),))

    def test_prepare_fires_within_3_s_whatever_happens(self) -> None:
        for chain in (
            (Backend(start=never),) * 4,
            (Backend(start=raises),),
            (Backend(session=raises),),
            (),
            (Backend(start=refuses(Refused("key"))),),
        ):
            phone = Phone(*chain)
            phone.ring()
            phone.clock.pump([0.1] * 31)
            self.assertEqual(phone.fired, [None], chain)

    def test_first_words_before_the_answer_wait_for_it(self) -> None:
        backend = Backend(start=answering("Hello, Acme."))
        phone = Phone(backend, greeting=None)
        phone.ring()
        self.assertEqual(phone.leg.queued_ms, 0)
        phone.conversation.begin()
        self.assertEqual(phone.leg.queued_ms, 400)
        phone.wait(500)
        self.assertEqual(phone.control.lines, [("agent", "Hello, Acme.")])

    def test_a_slow_backend_is_replaced_while_it_rings(self) -> None:
        slow, quick = Backend("slow", start=never), Backend("quick")
        phone = Phone(slow, quick)
        phone.ring()
        phone.clock.advance(2.4)
        self.assertEqual(phone.fired, [])
        phone.clock.advance(0.1)
        self.assertEqual(phone.fired, [None])
        self.assertEqual(slow.last.closed, "failed")
        phone.conversation.begin()
        self.assertEqual(phone.leg.clips, [GREETING.text], "nothing to be sorry for yet")

    def test_a_caller_who_gives_up_while_it_rings(self) -> None:
        backend = Backend(start=never)
        phone = Phone(backend)
        phone.ring()
        phone.conversation.close("cancelled")
        self.assertEqual(phone.fired, [None])
        self.assertEqual(backend.last.closed, "cancelled")
        self.assertEqual(phone.clock.getDelayedCalls(), [])


class Talking(LoggedCase):
    def test_a_turn(self) -> None:
        backend = Backend(end_of_turn=answering("Certainly."))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(1000).wait(1000)
        self.assertEqual(backend.last.verbs(), ["start", "speech_started", "end_of_turn"])
        self.assertEqual(phone.control.lines[-1], ("agent", "Certainly."))

    def test_marks_come_back_when_played(self) -> None:
        def answer(session: Any, *_: Any) -> None:
            session.host.audio("a", loud(200))
            session.host.mark("end of a")

        backend = Backend(end_of_turn=answer)
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(600)
        self.assertNotIn("marked", backend.last.verbs())
        phone.wait(200)
        self.assertEqual(backend.last.calls[-1], ("marked", "end of a"))

    def test_a_backend_that_takes_turns_itself_is_not_told_of_ours(self) -> None:
        backend = Backend(capabilities=frozenset({"server_turns"}))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(600)
        self.assertEqual(backend.last.verbs(), ["start"])
        self.assertGreater(backend.last.frames, 50)

    def test_barge_in_stops_the_playing_and_says_how_far_it_came(self) -> None:
        backend = Backend(end_of_turn=answering("One two three four five six seven eight nine ten.", 5000))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(1500)
        before = len(phone.leg.heard)
        phone.speak(600)
        self.assertLessEqual(sum(phone.leg.heard[before:]), 10, "silent within 200 ms")
        self.assertEqual(phone.leg.queued_ms, 0)
        _, item, played = next(call for call in backend.last.calls if call[0] == "interrupted")
        self.assertEqual(item, "item-3")
        self.near(played, 1000 + 200, 60)
        self.assertEqual(phone.control.lines[-1], ("agent", "One two ..."))

    def test_a_cough_is_played_over_from_where_it_was(self) -> None:
        backend = Backend(end_of_turn=answering("Long.", 5000))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(1500)
        backend.on = {}
        phone.speak(260).wait(6000)
        self.assertNotIn("interrupted", backend.last.verbs())
        self.assertEqual(phone.control.lines[-1], ("agent", "Long."))
        self.assertFalse(phone.leg.paused)

    def test_a_key_interrupts_at_once(self) -> None:
        backend = Backend(end_of_turn=answering("Long.", 5000), dtmf=answering("Sales."))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(1500)
        phone.conversation.dtmf("1", 100)
        self.assertEqual(phone.leg.queued_ms, 400)
        self.assertEqual(backend.last.verbs()[-2:], ["interrupted", "dtmf"])
        self.assertIn(("caller", "[pressed 1]"), phone.control.lines)

    def test_audio_that_is_late_for_what_was_cut_is_not_played(self) -> None:
        def more(session: Any, *_: Any) -> None:
            session.host.audio("a", loud(1000))

        backend = Backend(end_of_turn=more, interrupted=more)
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(1000).speak(600)
        self.assertEqual(phone.leg.queued_ms, 0)

    def test_a_flush_by_the_backend(self) -> None:
        backend = Backend(end_of_turn=answering("Long.", 5000))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(1000)
        backend.last.host.discard()
        self.assertEqual(phone.leg.queued_ms, 0)


class Silence(LoggedCase):
    def test_two_reprompts_by_the_backend_then_goodbye(self) -> None:
        backend = Backend(silence=answering("Hello?"))
        phone = Phone(backend).answer()
        phone.until(lambda: bool(phone.control.ended))
        self.assertEqual([call for call in backend.last.calls if call[0] == "silence"], [("silence", 1), ("silence", 2)])
        self.assertEqual(phone.leg.clips[-1], ENGLISH["goodbye"])
        self.assertEqual(phone.control.ended, ["caller silent"])
        self.assertIn("silent-caller", phone.control.kinds())
        self.assertEqual(phone.leg.queued_ms, 0, "the goodbye was heard to its end")

    def test_by_ourselves_where_the_backend_does_not_react(self) -> None:
        phone = Phone(Backend()).answer()
        phone.until(lambda: bool(phone.control.ended), 60_000)
        self.assertEqual(phone.leg.clips[1:], [ENGLISH["still-there"], ENGLISH["still-there-2"], ENGLISH["goodbye"]])

    def test_an_answer_that_does_not_come_is_filled_and_then_given_up(self) -> None:
        deaf, second = Backend("deaf"), Backend("second", inject=answering("Here I am."))
        phone = Phone(deaf, second).answer(quiet_ms=700)
        phone.speak(400)
        waited = phone.until(lambda: ENGLISH["thinking"] in phone.leg.clips)
        self.near(waited, 500 + 1200, 60)
        waited += phone.until(lambda: ENGLISH["thinking-2"] in phone.leg.clips)
        self.near(waited, 500 + 4000, 60)
        waited += phone.until(lambda: bool(deaf.sessions[0].closed))
        self.near(waited, 500 + 8000, 60)
        self.assertIn(ENGLISH["one-moment"], phone.leg.clips)

    def test_silence_instead_of_speech_is_a_failure(self) -> None:
        def hiss(session: Any, *_: Any) -> None:
            session.host.audio("a", bytes(16 * 30_000))

        backend, second = Backend(end_of_turn=hiss), Backend(inject=answering("Here."))
        phone = Phone(backend, second).answer(quiet_ms=700)
        phone.speak(400).wait(600)
        self.assertEqual(backend.sessions[0].closed, "failed")

    def test_a_backend_that_stops_in_mid_sentence_is_replaced(self) -> None:
        def half(session: Any, *_: Any) -> None:
            session.host.audio("a", loud(500))

        backend = Backend(end_of_turn=half, inject=answering("Again."))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400)
        waited = phone.until(lambda: len(backend.sessions) == 2)
        self.assertLess(waited, 6000)
        phone.wait(3000)
        self.assertIn(("agent", "Again."), phone.control.lines)


class Failing(LoggedCase):
    """Every way a backend can go wrong: the call goes on, and something is heard within 2 s."""

    FAULTS = {
        "reports a failure": dies,
        "raises": raises,
        "garbage audio": lambda session, *_: session.host.audio("a", "text"),
        "garbage item": lambda session, *_: session.host.audio(None, b""),
        "garbage failure": lambda session, *_: session.host.failed("bad"),
    }

    def test_mid_call_faults_are_heard_as_one_moment_and_the_same_backend_goes_on(self) -> None:
        for name, fault in self.FAULTS.items():
            backend = Backend(end_of_turn=fault, inject=answering("Where were we?"))
            phone = Phone(backend).answer(quiet_ms=700)
            phone.speak(400).wait(500)
            self.assertEqual(phone.leg.clips[-1], ENGLISH["one-moment"], name)
            phone.wait(2000)
            self.assertEqual(len(backend.sessions), 2, name)
            self.assertIn(("agent", "Where were we?"), phone.control.lines, name)
            self.assertEqual(backend.sessions[0].closed, "failed")
            self.assertIn("backend-failed", phone.control.kinds())
            self.assertEqual(phone.control.ended, [])

    def test_every_verb_may_raise(self) -> None:
        for verb in ("write", "speech_started", "end_of_turn", "dtmf", "silence", "interrupted", "marked", "close"):
            backend = Backend("a", **{verb: raises, **({"end_of_turn": answering()} if verb != "end_of_turn" else {})})
            second = Backend("b", inject=answering("Here."))
            phone = Phone(backend, second).answer(quiet_ms=700)
            phone.speak(600).wait(600).speak(600).wait(700)
            phone.conversation.dtmf("1", 100)
            phone.wait(12_000)
            phone.conversation.close("over")
            self.assertEqual(phone.clock.getDelayedCalls(), [], verb)

    def test_the_next_backend_gets_the_history(self) -> None:
        def understands(session: Any, *_: Any) -> None:
            session.host.transcript("caller", "sales please")
            dies(session)

        first = Backend("first", end_of_turn=understands, inject=dies)
        second = Backend("second", inject=answering("Sales it is."))
        phone = Phone(first, second).answer(quiet_ms=700)
        phone.speak(400).wait(4000)
        self.assertEqual(len(first.sessions), 2, "one retry")
        self.assertEqual(second.last.brief.history, (("agent", GREETING.text), ("caller", "sales please")))
        self.assertIn(("agent", "Sales it is."), phone.control.lines)

    def test_refused_is_never_retried(self) -> None:
        first, second = Backend("first", start=refuses(Refused("no quota"))), Backend("second")
        Phone(first, second).answer()
        self.assertEqual((len(first.sessions), len(second.sessions)), (1, 1))

    def test_a_wish_to_come_back_much_later_is_no_retry(self) -> None:
        first, second = Backend("first", start=refuses(Unavailable("busy", retry_after=30))), Backend("second")
        Phone(first, second).answer()
        self.assertEqual((len(first.sessions), len(second.sessions)), (1, 1))

    def test_no_backend_left_is_message_taking(self) -> None:
        phone = Phone(Backend(start=refuses(Refused("key")))).answer()
        phone.until(lambda: bool(phone.control.messages), 5000)
        self.assertEqual(phone.leg.clips, [GREETING.text, ENGLISH["sorry-trouble"]])
        self.assertEqual(phone.leg.queued_ms, 0, "the apology was heard before the call took over")
        phone.wait(30_000)
        self.assertEqual(phone.control.messages, [""])
        self.assertEqual(phone.control.ended, [])

    def test_without_a_greeting_the_caller_is_greeted_all_the_same(self) -> None:
        phone = Phone(greeting=None).answer()
        self.assertEqual(phone.leg.clips[0], ENGLISH["fallback-greeting"])

    def test_dying_again_and_again_ends_in_message_taking_too(self) -> None:
        backend = Backend(end_of_turn=dies, inject=dies)
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400)
        phone.until(lambda: bool(phone.control.messages), 8000)
        self.assertEqual(len(backend.sessions), 2)

    def test_no_message_then_the_operator_then_goodbye(self) -> None:
        phone = Phone()
        phone.control.message_outcome = {"ok": False, "cause": "disk full"}
        phone.answer()
        phone.until(lambda: bool(phone.control.transfers), 8000)
        self.assertEqual(phone.control.transfers[0][0], "100")
        assert phone.control.outcome is not None
        phone.control.outcome.callback({"ok": False, "cause": "busy"})
        phone.until(lambda: bool(phone.control.ended), 8000)
        self.assertEqual(phone.leg.clips[-1], ENGLISH["goodbye"])

    def test_a_dead_session_has_no_voice(self) -> None:
        backend = Backend(end_of_turn=dies, inject=answering("Yes?"))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(3000)
        dead, lines = backend.sessions[0], len(phone.control.lines)
        answering("Boo.")(dead)
        dead.host.tool_call("x", "end_call", {})
        dead.host.failed(Unavailable("again"))
        dead.host.ended("ha")
        phone.wait(1000)
        self.assertEqual(len(phone.control.lines), lines)
        self.assertEqual((phone.control.ended, len(backend.sessions)), ([], 2))

    def test_the_breaker_is_shared_by_calls(self) -> None:
        breakers, bad, good = Breakers(), Backend("bad", start=refuses(Unavailable("down"))), Backend("good")
        for _ in range(3):
            phone = Phone(bad, good, breakers=breakers)
            phone.ring()
            phone.clock.pump([0.1] * 10)
            phone.conversation.close("over")
        tried = len(bad.sessions)
        phone = Phone(bad, good, breakers=breakers)
        self.assertTrue(phone.ring())
        self.assertEqual(len(bad.sessions), tried, "left alone")
        self.assertEqual(len(good.sessions), 4)

    def test_a_failure_while_the_caller_is_away_is_not_heard(self) -> None:
        backend = Backend(end_of_turn=answering())
        phone = Phone(backend).answer(quiet_ms=700)
        phone.conversation.suspend()
        backend.last.host.failed(Unavailable("gone"))
        backend.last.host.audio("a", loud(1000))
        phone.wait(3000)
        self.assertEqual((len(backend.sessions), phone.leg.queued_ms), (2, 0))
        phone.conversation.resume("the transfer failed", True)
        self.assertEqual(backend.last.calls[-1], ("inject", "event", "the transfer failed", True))


class Tools(LoggedCase):
    def transferring(self, **on: Any) -> Phone:
        def connect(session: Any, *_: Any) -> None:
            answering("Connecting you to Sarah.", 800)(session)
            calls("transfer", destination="301", reason="invoice")(session)

        self.backend = Backend(end_of_turn=connect, **on)
        phone = Phone(self.backend).answer(quiet_ms=700)
        phone.speak(400).wait(600)
        return phone

    def test_say_first_and_uninterruptibly_then_transfer(self) -> None:
        phone = self.transferring()
        self.assertEqual(phone.control.transfers, [])
        phone.speak(640)
        self.assertEqual(phone.control.transfers, [])
        self.assertNotIn("interrupted", self.backend.last.verbs())
        phone.wait(300)
        self.assertEqual(phone.control.transfers, [("301", "invoice")])
        self.assertNotIn(ENGLISH["connecting"], phone.leg.clips)
        self.assertEqual(phone.control.lines[-1], ("agent", "Connecting you to Sarah."))

    def test_who_says_nothing_before_a_transfer_is_helped_out(self) -> None:
        phone = Phone(Backend(end_of_turn=calls("transfer", destination="301"))).answer(quiet_ms=700)
        phone.speak(400).wait(520)
        self.assertEqual(phone.leg.clips[-1], ENGLISH["connecting"])
        phone.wait(1000)
        self.assertEqual(len(phone.control.transfers), 1)

    def test_a_failed_transfer_is_told_and_the_caller_is_back(self) -> None:
        phone = self.transferring(tool_result=answering("Sarah is busy."))
        phone.wait(1000)
        phone.conversation.suspend()  # the PBX took it on
        phone.wait(20_000)
        assert phone.control.outcome is not None
        self.assertFalse(any(phone.leg.heard[-900:]), "the caller is not ours to speak to")
        phone.control.outcome.callback({"ok": False, "cause": "busy", "name": "Sarah Mitchell"})
        self.assertIn(
            ("tool_result", "t1", False, {"ok": False, "cause": "busy", "name": "Sarah Mitchell"}), self.backend.last.calls
        )
        phone.wait(500)
        self.assertEqual(phone.control.lines[-1], ("agent", "Sarah is busy."))
        phone.speak(400).wait(600)
        self.assertEqual(self.backend.last.verbs()[-1], "end_of_turn")

    def test_a_transfer_that_takes_long_is_commented(self) -> None:
        phone = self.transferring()
        phone.wait(20_000)
        self.assertEqual(phone.leg.clips.count(ENGLISH["please-hold"]), 2)
        self.assertEqual(phone.control.ended, [])

    def test_a_backend_that_dies_during_a_transfer(self) -> None:
        phone = self.transferring(inject=answering("Sorry about that."))
        phone.wait(1000)
        self.backend.last.host.failed(Unavailable("gone"))
        phone.wait(2000)
        assert phone.control.outcome is not None
        phone.control.outcome.callback({"ok": False, "cause": "busy"})
        self.assertIn(ENGLISH["transfer-failed"], phone.leg.clips)
        phone.wait(3000)
        self.assertEqual(self.backend.last.verbs(), ["start", "inject"])
        self.assertEqual(phone.control.lines[-1], ("agent", "Sorry about that."))

    def test_a_call_that_breaks_inside_a_tool(self) -> None:
        phone = self.transferring(tool_result=answering("Sorry."))
        phone.control.transfer = raises  # type: ignore[assignment]
        phone.wait(1500)
        self.assertEqual(self.backend.last.calls[-1][:3], ("tool_result", "t1", False))

    def test_a_transfer_without_an_outcome_comes_to_an_end(self) -> None:
        phone = self.transferring(tool_result=answering("Sorry."))
        phone.wait(1000)
        phone.conversation.suspend()
        phone.wait(121_000)
        self.assertIn("tool_result", self.backend.last.verbs())

    def test_refusals(self) -> None:
        for name, arguments, cause, near in (
            ("transfer", {"destination": "sara mitchel"}, "unknown destination", ["301"]),
            ("transfer", {}, "unknown destination", []),
            ("transfer", {"destination": {"$ne": 1}}, "unknown destination", []),
            ("transfer", {"destination": "sip:thief@example.com"}, "unknown destination", []),
            ("tranfser", {"destination": "301"}, "unknown tool", ["transfer"]),
        ):
            backend = Backend(end_of_turn=calls(name, **arguments), tool_result=answering("Sorry?"))
            phone = Phone(backend).answer(quiet_ms=700)
            phone.speak(400).wait(1000)
            _, _, ok, data = next(call for call in backend.last.calls if call[0] == "tool_result")
            self.assertFalse(ok)
            self.assertEqual((data["cause"], data["near"]), (cause, near))
            self.assertEqual(phone.control.transfers, [])

    def test_one_at_a_time_and_three_in_all(self) -> None:
        backend = Backend(end_of_turn=calls("transfer", destination="301"), tool_result=answering("No."))
        phone = Phone(backend).answer(quiet_ms=700)
        for attempt in range(4):
            phone.speak(600).wait(1500)
            backend.last.host.tool_call("t2", "transfer", {"destination": "200"})
            phone.wait(40)
            if attempt < 3:
                busy = backend.last.calls[-1]
                self.assertEqual((busy[1], busy[3]["cause"]), ("t2", "busy"))
                assert phone.control.outcome is not None
                phone.control.outcome.callback({"ok": False, "cause": "no answer"})
                phone.wait(1000)
        self.assertEqual(len(phone.control.transfers), 3)
        self.assertEqual(backend.last.calls[-1][3]["cause"], "too many transfers")

    def test_a_message_for_somebody(self) -> None:
        for wanted, expected in (("301", "301"), ("nobody", ""), (None, "")):
            backend = Backend(end_of_turn=calls("take_message", **{"for": wanted}))
            phone = Phone(backend).answer(quiet_ms=700)
            phone.speak(400).wait(1000)
            self.assertEqual(phone.control.messages, [expected])
            backend.last.host.audio("x", loud(5000))
            self.assertEqual(phone.leg.queued_ms, 0, "a message is being recorded")

    def test_the_end_comes_after_the_last_word_and_a_moment_to_object(self) -> None:
        def goodbye(session: Any, *_: Any) -> None:
            answering("Goodbye.", 600)(session)
            calls("end_call", reason="done")(session)

        backend = Backend(end_of_turn=goodbye, tool_result=answering("Yes?"))
        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(500)
        waited = phone.until(lambda: bool(phone.control.ended))
        self.near(waited, 600 + 300, 80)
        self.assertEqual(phone.control.ended, ["done"])

        phone = Phone(backend).answer(quiet_ms=700)
        phone.speak(400).wait(500 + 700)
        backend.on = {"end_of_turn": answering("Of course.")}
        phone.speak(400).wait(1500)
        self.assertIn(("tool_result", "t1", False, {"ok": False, "cause": "the caller went on"}), backend.last.calls)
        self.assertEqual(phone.control.ended, [])
        self.assertIn(("agent", "Of course."), phone.control.lines)


class Ending(LoggedCase):
    def test_after_playout(self) -> None:
        phone = Phone(Backend()).answer()
        done: list[None] = []
        phone.conversation.end_after_playout(False).addCallback(done.append)
        phone.wait(580)
        self.assertEqual(done, [])
        phone.wait(60)
        self.assertEqual(done, [None])

    def test_with_a_goodbye(self) -> None:
        phone = Phone(Backend()).answer()
        done: list[None] = []
        phone.conversation.end_after_playout(True).addCallback(done.append)
        self.assertEqual(phone.leg.clips, [GREETING.text, ENGLISH["goodbye"]])
        self.assertEqual(phone.leg.queued_ms, 500, "the greeting is dropped")
        phone.wait(540)
        self.assertEqual(done, [None])

    def test_bounded_when_nothing_is_sent(self) -> None:
        phone = Phone(Backend()).answer()
        phone.leg.pause()
        phone.leg.resume = lambda: None  # type: ignore[method-assign]
        done: list[None] = []
        phone.conversation.end_after_playout(False).addCallback(done.append)
        phone.wait(15_100)
        self.assertEqual(done, [None])

    def test_fires_when_closed_before_and_meanwhile(self) -> None:
        phone = Phone(Backend()).answer()
        done: list[None] = []
        phone.conversation.end_after_playout(False).addCallback(done.append)
        phone.conversation.close("over")
        phone.conversation.close("over")
        phone.conversation.end_after_playout(True).addCallback(done.append)
        self.assertEqual(done, [None, None])
        self.assertEqual(phone.clock.getDelayedCalls(), [])

    def test_the_longest_call(self) -> None:
        phone = Phone(Backend(end_of_turn=answering()), max_duration_s=200.0).answer()
        while not phone.control.ended:
            phone.speak(1000).wait(2000)
        self.near(phone.clock.seconds(), 201, 2)
        self.assertEqual(
            [c for c in phone.leg.clips if "minute" in c or "limit" in c], [ENGLISH["max-duration-soon"], ENGLISH["max-duration"]]
        )
        self.assertEqual(phone.control.ended, ["maximum duration"])

    def test_the_backend_ends_it(self) -> None:
        def bye(session: Any, *_: Any) -> None:
            answering("Bye.", 500)(session)
            session.host.ended("finished")

        phone = Phone(Backend(end_of_turn=bye)).answer(quiet_ms=700)
        phone.speak(400).wait(700)
        self.assertEqual(phone.control.ended, [])
        phone.wait(500)
        self.assertEqual(phone.control.ended, ["finished"])

    def test_closing_in_mid_sentence_records_what_was_heard(self) -> None:
        phone = Phone(Backend(end_of_turn=answering("One two three four five six.", 3000))).answer(quiet_ms=700)
        phone.speak(400).wait(1500)
        phone.conversation.close("caller hung up")
        self.assertEqual(phone.control.lines[-1], ("agent", "One two ..."))


class WholeCascade(LoggedCase):
    """The real pipeline inside the real runtime; only engines and dialogue are scripted."""

    def build(self, dialogue: Dialogue, *answers: str) -> Phone:
        phone = Phone()
        self.recognizer = Recognizer(phone.clock, *answers)
        self.synthesizer = Synthesizer(phone.clock)
        self.dialogue = dialogue
        factory = CascadeFactory(self.recognizer, lambda brief: dialogue, self.synthesizer)
        built = Phone(factory)
        self.recognizer.clock = self.synthesizer.clock = built.clock
        return built.answer(quiet_ms=700)

    def test_ask_confirm_transfer(self) -> None:
        connect = (
            Say("Connecting you to Sarah.", interruptible=False),
            CallTool("transfer", {"destination": "301", "reason": "asked"}),
        )
        phone = self.build(Dialogue(heard=[(Say("Shall I connect you to Sarah?"),), connect]), "sarah please", "yes")
        phone.speak(600).wait(2000).speak(300).wait(1500)
        self.assertEqual(phone.control.transfers, [("301", "asked")])
        self.assertEqual(
            phone.control.lines,
            [
                ("agent", GREETING.text),
                ("caller", "sarah please"),
                ("agent", "Shall I connect you to Sarah?"),
                ("caller", "yes"),
                ("agent", "Connecting you to Sarah."),
            ],
        )

    def test_cutting_in_with_a_short_word(self) -> None:
        """300 ms are too short to take the floor; the word that was understood is not."""
        dialogue = Dialogue(
            heard=[(Say("I have one two three four five six seven eight nine names for you."),), (Say("The operator."),)]
        )
        phone = self.build(dialogue, "who is there", "operator")
        phone.speak(600).wait(1400).speak(300).wait(2000)
        self.assertEqual([told[0] for told in dialogue.told], ["start", "heard", "cut_off", "heard"])
        self.assertEqual(phone.control.lines[-1], ("agent", "The operator."))

    def test_an_mm_hm_is_no_turn(self) -> None:
        dialogue = Dialogue(heard=[(Say("I have one two three four five six seven eight nine names for you."),)])
        phone = self.build(dialogue, "who is there", "uh-huh")
        phone.speak(600).wait(1400).speak(300).wait(3000)
        self.assertEqual([told[0] for told in dialogue.told], ["start", "heard"])
        self.assertEqual(phone.control.lines[-1][1][-14:], "names for you.")

    def test_a_recogniser_that_is_gone_for_good_ends_in_a_message(self) -> None:
        phone = self.build(Dialogue())
        self.recognizer.faults["finalize"] = [Unavailable("dead")] * 50
        phone.speak(600).wait(4000).speak(600)
        phone.until(lambda: bool(phone.control.messages), 20_000)

    def test_a_voice_that_is_gone_for_good_ends_in_a_message(self) -> None:
        phone = self.build(Dialogue(heard=[(Say("Hello."),)] * 9), "a", "b", "c")
        self.synthesizer.plan = [Unavailable("dead")] * 50
        phone.speak(600)
        phone.until(lambda: bool(phone.control.messages), 20_000)


# ------------------------------------------------------------------------- the promise

VERBS = (
    "start",
    "speech_started",
    "end_of_turn",
    "interrupted",
    "silence",
    "dtmf",
    "inject",
    "tool_result",
    "write",
    "marked",
    "close",
)
DEEDS = {
    "answer": answering("Yes.", 600),
    "long answer": answering("A very long answer indeed.", 6000),
    "nothing": lambda session, *_: None,
    "raise": raises,
    "die": dies,
    "refuse": lambda session, *_: session.host.failed(Refused("quota")),
    "half an item": lambda session, *_: session.host.audio("half", loud(100)),
    "silent audio": lambda session, *_: session.host.audio("mute", bytes(16 * 5000)),
    "empty audio": lambda session, *_: session.host.audio("empty", b""),
    "garbage": lambda session, *_: session.host.audio("a", None),
    "done with nothing": lambda session, *_: session.host.item_done("nothing"),
    "settle": lambda session, *_: session.host.item_done(""),
    "transfer": calls("transfer", destination="301"),
    "bad tool": calls("launch", missiles=True),
    "empty words": lambda session, *_: session.host.transcript("caller", ""),
    "words": lambda session, *_: session.host.transcript("caller", "operator please"),
    "flush": lambda session, *_: session.host.discard(),
    "never": never,
}


class Promise(LoggedCase):
    """Nothing a backend does leaves a caller in silence."""

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    @settings(max_examples=120, deadline=None)
    @given(
        scripts=st.lists(
            st.dictionaries(st.sampled_from(VERBS), st.sampled_from(sorted(DEEDS)), max_size=8), min_size=1, max_size=3
        ),
        caller=st.lists(
            st.tuples(st.sampled_from(["speech", "quiet", "key", "cough"]), st.integers(1, 12)), min_size=1, max_size=8
        ),
        greeted=st.booleans(),
    )
    def test_never_more_than_10_s_of_silence(
        self, scripts: list[dict[str, str]], caller: list[tuple[str, int]], greeted: bool
    ) -> None:
        backends = [Backend(f"b{n}", **{verb: DEEDS[deed] for verb, deed in script.items()}) for n, script in enumerate(scripts)]
        phone = Phone(*backends, greeting=GREETING if greeted else None)
        phone.ring()
        phone.clock.pump([0.1] * 30)
        self.assertEqual(phone.fired, [None])
        phone.conversation.begin()
        quiet_ms = 0
        for what, seconds in [*caller, ("quiet", 40)]:
            if what == "key":
                phone.conversation.dtmf("1", 100)
                quiet_ms = 0
            for n in range(seconds * 50):
                speech = what == "speech" or (what == "cough" and n < 12)
                phone.frame(SPEECH if speech else QUIET)
                quiet_ms = 0 if speech or phone.leg.heard[-1] else quiet_ms + 20
                if phone.control.ended or phone.control.messages:
                    break
                self.assertLessEqual(quiet_ms, 10_000, (phone.conversation._turns.state, phone.conversation._supervisor.state))
        phone.conversation.close("over")
        self.assertEqual(phone.clock.getDelayedCalls(), [])

    def test_the_brief_is_not_touched(self) -> None:
        phone = Phone(Backend(), brief=attrs.evolve(BRIEF, history=(("event", "third call today"),)))
        phone.ring()
        self.assertEqual(partial(getattr, phone.conversation)("_brief").history, (("event", "third call today"),))
