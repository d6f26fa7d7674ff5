"""The cascade, driven through its session verbs with scripted parts."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

import attrs
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from smartalex.ai.pipeline import CascadeFactory
from smartalex.errors import BackendError, ProtocolError, TimedOut, Unavailable
from smartalex.interfaces import CallTool, Expect, Hints, IVoiceAgentFactory, IVoiceAgentSession, Say, Utterance
from tests.ai.fakes import BRIEF, SPEECH, Dialogue, Recognizer, Synthesizer


class Host:
    """Notes everything; plays nothing unless told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.said: list[str] = []
        self.heard: list[str] = []
        self.ms: dict[str, int] = {}
        self.done: list[str] = []
        self.marks: list[str] = []
        self.kinds: list[str] = []
        self.tools: list[tuple[str, str, Any]] = []
        self.failures: list[BackendError] = []
        self.protected: list[str] = []
        self.on_caller: Any = lambda text: None

    def audio(self, item_id: str, data: bytes) -> None:
        self.ms[item_id] = self.ms.get(item_id, 0) + len(data) // 16

    def item_done(self, item_id: str) -> None:
        self.done.append(item_id)

    def discard(self, item_id: str | None = None) -> None:
        pass

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def protect(self, item_id: str) -> None:
        self.protected.append(item_id)

    def transcript(self, role: str, text: str, final: bool = True, item_id: str = "") -> None:
        if role == "agent":
            self.said.append(text)
        elif final:
            self.heard.append(text)
            self.on_caller(text)

    def expect(self, text_kind: str) -> None:
        self.kinds.append(text_kind)

    def tool_call(self, tool_call_id: str, name: str, arguments: Any) -> None:
        self.tools.append((tool_call_id, name, arguments))

    def going_away(self, seconds: float) -> None:
        pass

    def failed(self, error: BackendError) -> None:
        self.failures.append(error)

    def ended(self, reason: str) -> None:
        pass


class CascadeCase(TestCase):
    def build(self, dialogue: Dialogue, *plan: Any, answers: tuple[str, ...] = (), brief: Any = BRIEF) -> None:
        self.clock = Clock()
        self.recognizer = Recognizer(self.clock, *answers)
        self.synthesizer = Synthesizer(self.clock, *plan)
        self.dialogue = dialogue
        self.factory = CascadeFactory(self.recognizer, lambda brief: dialogue, self.synthesizer, "test")
        self.host = Host(self.clock)
        self.session = self.factory.session(brief)
        self.started: list[Any] = []
        self.session.start(self.host).addBoth(self.started.append)

    def utter(self, frames: int = 30) -> None:
        self.session.speech_started()
        for _ in range(frames):
            self.session.write(SPEECH)
        self.session.end_of_turn()

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.02] * int(seconds / 0.02))


class Turns(CascadeCase):
    def test_provides_the_seams(self) -> None:
        self.build(Dialogue())
        verifyObject(IVoiceAgentFactory, self.factory)
        verifyObject(IVoiceAgentSession, self.session)
        self.assertEqual(self.started, [None])

    def test_first_words_only_where_there_was_no_greeting(self) -> None:
        self.build(Dialogue(start=[(Say("Hello, Acme."),)]))
        self.assertEqual(self.dialogue.told, [("start", False)])
        self.assertEqual(self.host.said, ["Hello, Acme."])

    def test_a_turn_goes_round(self) -> None:
        self.build(
            Dialogue(heard=[(Say("Billing. One moment."), Expect("confirm", Hints(grammar="g")))]), answers=("billing please",)
        )
        self.utter()
        self.pass_time(0.2)
        self.assertEqual(self.host.heard, ["billing please"])
        self.assertEqual(self.dialogue.told[-1], ("heard", "billing please"))
        self.assertEqual(self.host.said, ["Billing.", "One moment."])
        self.assertEqual(self.host.ms, {"1": 300})
        self.assertEqual(self.host.done, ["1"])
        self.assertEqual(self.host.marks, ["1"])
        self.assertEqual(self.host.kinds, ["confirm"])
        self.assertEqual(self.recognizer.opened[0].hints[-1].grammar, "g")

    def test_the_recogniser_hears_the_turn_and_300_ms_before_it_only(self) -> None:
        self.build(Dialogue())
        for n in range(100):
            self.session.write(bytes([n]) * 320)
        self.session.speech_started()
        self.session.write(SPEECH)
        self.session.end_of_turn()
        self.session.write(SPEECH)
        frames = self.recognizer.opened[0].frames
        self.assertEqual([frame[0] for frame in frames], [*range(85, 100), SPEECH[0]])

    def test_expectations_count_while_the_question_is_still_being_spoken(self) -> None:
        self.build(Dialogue(silence=[(Say("Shall I connect you to Sarah?"), Expect("confirm", Hints()))]), "stall")
        self.session.silence(1)
        self.assertEqual(self.host.kinds, ["confirm"])

    def test_a_tool_is_called_after_the_words_before_it(self) -> None:
        self.build(Dialogue(heard=[(Say("Connecting you.", interruptible=False), CallTool("transfer", {"destination": "301"}))]))
        self.utter()
        self.pass_time(0.06)
        self.assertEqual(self.host.tools, [])
        self.pass_time(0.1)
        self.assertEqual(self.host.tools, [("tool-2", "transfer", {"destination": "301"})])
        self.assertEqual(self.host.done, ["1"])
        self.assertEqual(self.host.protected, ["1"])
        self.session.tool_result("tool-2", False, {"cause": "busy"})
        self.assertEqual(self.dialogue.told[-1], ("tool_result", "transfer", False, {"cause": "busy"}))

    def test_a_reply_of_nothing_settles_the_turn(self) -> None:
        self.build(Dialogue(heard=[()]))
        self.utter()
        self.pass_time(0.1)
        self.assertEqual(self.host.done, [""])

    def test_a_turn_that_never_began_is_settled(self) -> None:
        self.build(Dialogue())
        self.session.end_of_turn()
        self.assertEqual(self.host.done, [""])

    def test_a_key_replaces_what_was_being_said_and_heard(self) -> None:
        self.build(Dialogue(pressed=[(Say("Sales."),)], heard=[(Say("Never."),)]), answers=("something",))
        self.session.speech_started()
        self.session.write(SPEECH)
        self.session.dtmf("1", 100)
        self.pass_time(0.3)
        self.assertEqual(self.host.said, ["Sales."])
        self.session.marked("1")
        self.utter()
        self.pass_time(0.3)
        self.assertEqual(self.dialogue.told[-1][0], "heard", "the next turn is a turn again")


class BargeIn(CascadeCase):
    def test_the_dialogue_learns_what_was_heard(self) -> None:
        self.build(Dialogue(silence=[(Say("One two three four. Five six."), CallTool("end_call", {}))]))
        self.session.silence(1)
        self.session.interrupted("1", 200)
        self.pass_time(0.2)
        self.assertEqual(self.dialogue.told[-1], ("cut_off", "One two"))
        self.assertEqual(self.host.tools, [], "a tool that stood behind what was cut is not called")
        self.assertEqual(self.session.snapshot()[-1], ("agent", "One two ..."))

    def test_what_plays_on_was_no_turn(self) -> None:
        self.build(Dialogue(silence=[(Say("Are you still there?"),)]), answers=("", "okay"))
        self.session.silence(1)
        self.utter(5)
        self.pass_time(0.2)
        self.utter(5)
        self.pass_time(0.2)
        self.assertEqual(self.host.heard, ["", "okay"])
        self.assertNotIn("heard", [told[0] for told in self.dialogue.told])

    def test_words_that_cut_are_answered(self) -> None:
        self.build(Dialogue(silence=[(Say("Are you still there?"),)]), answers=("operator",))
        self.session.silence(1)
        self.host.on_caller = lambda text: self.session.interrupted("1", 100)
        self.utter(10)
        self.pass_time(0.2)
        self.assertEqual([told[0] for told in self.dialogue.told], ["start", "silence", "cut_off", "heard"])

    def test_words_over_what_may_not_be_cut_are_answered_too(self) -> None:
        self.build(Dialogue(silence=[(Say("This call is recorded.", interruptible=False),)]), answers=("sales",))
        self.session.silence(1)
        self.utter(10)
        self.pass_time(0.2)
        self.assertEqual(self.dialogue.told[-1], ("heard", "sales"))

    def test_played_items_are_over(self) -> None:
        self.build(Dialogue(silence=[(Say("Hello?"),)]), answers=("sales",))
        self.session.silence(1)
        self.pass_time(0.1)
        self.session.marked("1")
        self.utter(10)
        self.pass_time(0.2)
        self.assertEqual(self.dialogue.told[-1], ("heard", "sales"))
        self.assertEqual(self.session.snapshot(), (("agent", "Hello?"), ("caller", "sales")))


class Deaths(CascadeCase):
    def test_a_recogniser_that_dies_in_a_turn_is_reopened_and_hears_it_again(self) -> None:
        self.build(Dialogue(), answers=("sales",))
        self.session.speech_started()
        for n in range(10):
            self.session.write(bytes([n]) * 320)
        self.recognizer.opened[0].listener.failed(Unavailable("child died"))
        self.session.write(bytes([10]) * 320)
        self.session.end_of_turn()
        self.pass_time(0.2)
        self.assertEqual(self.host.failures, [])
        self.assertEqual([frame[0] for frame in self.recognizer.opened[1].frames], list(range(11)))
        self.assertEqual(self.host.heard, ["sales"])

    def test_one_that_dies_while_it_owes_a_final(self) -> None:
        self.build(Dialogue(), answers=("sales", "sales"))
        self.recognizer.mute = True
        self.utter()
        self.recognizer.mute = False
        self.recognizer.opened[0].listener.failed(Unavailable("child died"))
        self.pass_time(0.2)
        self.assertEqual(self.recognizer.opened[1].finalized, 1)
        self.assertEqual(self.host.heard, ["sales"])

    def test_one_that_never_answers_is_replaced_then_given_up(self) -> None:
        self.build(Dialogue())
        self.recognizer.mute = True
        self.utter()
        self.pass_time(1.0)
        self.assertEqual(len(self.recognizer.opened), 2)
        self.assertEqual(self.host.failures, [])
        self.pass_time(1.0)
        self.assertIsInstance(self.host.failures[0], TimedOut)
        self.assertEqual(len(self.host.failures), 1)

    def test_one_that_raises_when_written_to(self) -> None:
        self.build(Dialogue(), answers=("sales",))
        self.recognizer.faults["write"] = [None, None, OSError("broken pipe")]
        self.utter()
        self.pass_time(0.2)
        self.assertEqual(self.host.heard, ["sales"])
        self.assertEqual(len(self.recognizer.opened[1].frames), 30)

    def test_a_final_that_is_no_utterance(self) -> None:
        self.build(Dialogue())
        for _ in range(2):
            self.session.speech_started()
            self.recognizer.opened[-1].listener.final(None)
        self.assertIsInstance(self.host.failures[0], ProtocolError)

    def test_late_words_of_a_dead_recogniser_have_no_effect(self) -> None:
        self.build(Dialogue(), answers=("a", "b"))
        self.session.speech_started()
        dead = self.recognizer.opened[0].listener
        dead.failed(Unavailable("gone"))
        self.session.end_of_turn()
        dead.final(Utterance("ghost"))
        dead.partial("ghost")
        dead.failed(Unavailable("again"))
        self.pass_time(0.2)
        self.assertEqual(self.host.heard, ["a"])
        self.assertEqual(self.host.failures, [])

    def test_a_sentence_is_spoken_again_once(self) -> None:
        for fault in (Unavailable("child died"), "stall", "empty"):
            self.build(Dialogue(silence=[(Say("One two. Three."),)]), fault)
            self.session.silence(1)
            self.pass_time(2.5)
            self.assertEqual(self.synthesizer.texts, ["One two.", "One two.", "Three."], fault)
            self.assertEqual(self.host.failures, [])
            self.assertEqual(self.host.done, ["1"])

    def test_a_second_death_is_a_failure_of_the_backend(self) -> None:
        for fault in (Unavailable("child died"), "stall", "empty"):
            self.build(Dialogue(silence=[(Say("One two. Three."),)]), fault, fault)
            self.session.silence(1)
            self.pass_time(4.5)
            self.assertEqual(len(self.host.failures), 1, fault)
            self.assertNotIn("Three.", self.synthesizer.texts)

    def test_a_dialogue_that_raises_or_babbles_is_a_failure(self) -> None:
        for reply in (ZeroDivisionError(), None, "text", (1, 2), Unavailable("llm")):
            self.build(Dialogue(heard=[reply]), answers=("x",))
            self.utter()
            self.pass_time(0.2)
            self.assertEqual(len(self.host.failures), 1, reply)

    def test_after_close_nothing_comes_out(self) -> None:
        self.build(Dialogue(heard=[(Say("Late."),)]), answers=("x",))
        self.utter()
        self.session.close("over")
        self.session.close("over")
        self.pass_time(3)
        self.assertEqual((self.host.heard, self.host.said, self.host.failures), ([], [], []))
        self.assertTrue(self.recognizer.opened[0].closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TakingOver(CascadeCase):
    def test_the_callers_unanswered_words_are_answered(self) -> None:
        history = (("agent", "Hello."), ("caller", "sales please"))
        self.build(Dialogue(heard=[(Say("Sales."),)]), brief=attrs.evolve(BRIEF, history=history))
        self.assertEqual(self.dialogue.told, [("start", True)])
        self.session.inject("event", "restored", True)
        self.assertEqual(self.dialogue.told[-1], ("heard", "sales please"))
        self.session.inject("event", "restored", True)
        self.assertEqual(self.dialogue.told[-1], ("heard", ""))

    def test_a_key_too(self) -> None:
        self.build(Dialogue(), brief=attrs.evolve(BRIEF, history=(("caller", "[pressed 2]"),)))
        self.session.inject("event", "restored", True)
        self.assertEqual(self.dialogue.told[-1], ("pressed", "2"))
