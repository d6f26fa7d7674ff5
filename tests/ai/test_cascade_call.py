"""The real pipeline inside the real runtime; only engines and dialogue are scripted."""

from __future__ import annotations

from smartalex.ai.pipeline import CascadeFactory
from smartalex.errors import Unavailable
from smartalex.interfaces import CallTool, Say
from tests.ai.fakes import (
    GREETING,
    Dialogue,
    LoggedCase,
    Phone,
    Recognizer,
    Synthesizer,
)


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
