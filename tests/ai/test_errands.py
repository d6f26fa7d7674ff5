"""The tools of a conversation, on a Clock."""

from __future__ import annotations

from typing import Any

import attrs

from smartalex.ai.prompts import ENGLISH
from smartalex.errors import Unavailable
from tests.ai.fakes import (
    BRIEF,
    Backend,
    LoggedCase,
    Phone,
    answering,
    calls,
    loud,
    raises,
)


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

    def test_what_is_not_allowed(self) -> None:
        backend = Backend(end_of_turn=calls("transfer", destination="301"), tool_result=answering("Sorry."))
        phone = Phone(backend, brief=attrs.evolve(BRIEF, allowed=("take_message",))).answer(quiet_ms=700)
        phone.speak(400).wait(1000)
        _, _, ok, data = next(call for call in backend.last.calls if call[0] == "tool_result")
        self.assertEqual((ok, data["cause"], data["near"]), (False, "not allowed", ["take_message"]))
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
