"""Every way a backend can go wrong: the call goes on, and something is heard."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from smartalex.ai.breaker import Breakers
from smartalex.ai.prompts import ENGLISH
from smartalex.errors import Refused, Unavailable
from tests.ai.fakes import (
    GREETING,
    SPEECH,
    Backend,
    LoggedCase,
    Phone,
    answering,
    dies,
    loud,
    raises,
    refuses,
)


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

    def test_what_is_said_to_a_backend_that_is_still_starting_is_not_lost(self) -> None:
        for spoken, ended in ((400, False), (400, True)):
            starting: Deferred[None] = Deferred()
            frames: list[bytes] = []
            note = lambda session, frame, frames=frames: frames.append(frame)  # noqa: E731
            backend = Backend(start=lambda session, starting=starting: starting, end_of_turn=answering("Sales."), write=note)
            phone = Phone(backend)
            phone.ring()
            phone.conversation.begin()
            phone.wait(700).speak(spoken).wait(600 if ended else 0)
            starting.callback(None)
            phone.wait(1200)
            self.assertEqual(backend.last.verbs(), ["start", "speech_started", "end_of_turn"])
            self.assertEqual(frames.count(SPEECH), spoken // 20)
            self.assertLess(frames.index(SPEECH), 16, "and not all the silence before it")
            self.assertEqual(phone.control.lines[-1], ("agent", "Sales."))
            self.assertNotIn(ENGLISH["one-moment"], phone.leg.clips)

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
