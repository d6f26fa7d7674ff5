"""What callers hear out of hours: the message, then a beep or the end."""

from __future__ import annotations

import attrs

from smartalex.ai.pipeline import CascadeFactory
from smartalex.ai.receptionist.notice import AFTERWARDS, Deaf, NoticeDialogue
from smartalex.errors import Unavailable
from smartalex.media.frame import Clip
from tests.ai.fakes import BRIEF, GREETING, LoggedCase, Phone, Synthesizer

CLOSED = attrs.evolve(BRIEF, first_message="We are closed.")


class Notice(LoggedCase):
    def answered(self, then: str = "message", greeting: Clip | None = GREETING, **changes: object) -> Phone:
        phone = Phone()
        self.deaf, self.voice = Deaf(phone.clock), Synthesizer(phone.clock)
        factory = CascadeFactory(self.deaf, lambda brief: NoticeDialogue(brief, AFTERWARDS[then]), self.voice)
        built = Phone(factory, brief=attrs.evolve(CLOSED, **changes), greeting=greeting)
        self.deaf._clock = self.voice.clock = built.clock
        return built.answer()

    def test_a_message_is_taken_when_it_was_said(self) -> None:
        phone = self.answered()
        spoken_ms = phone.until(lambda: bool(phone.control.messages))
        self.assertEqual(phone.control.messages, [""])
        self.assertGreaterEqual(spoken_ms, GREETING.duration_ms - 40)
        self.assertEqual(phone.control.lines, [("agent", GREETING.text)])

    def test_it_is_said_by_the_voice_when_nobody_has_rendered_it(self) -> None:
        phone = self.answered(greeting=None)
        phone.until(lambda: bool(phone.control.messages))
        self.assertEqual(phone.control.lines, [("agent", "We are closed.")])

    def test_or_the_call_ends(self) -> None:
        phone = self.answered("hang-up")
        phone.until(lambda: bool(phone.control.ended))
        self.assertEqual((phone.control.messages, phone.control.lines), ([], [("agent", GREETING.text)]))

    def test_where_no_message_may_be_taken_the_call_ends(self) -> None:
        phone = self.answered(allowed=("end_call",))
        phone.until(lambda: bool(phone.control.ended))
        self.assertEqual(phone.control.messages, [])

    def test_who_speaks_meanwhile_is_not_asked_to_repeat_it(self) -> None:
        phone = self.answered()
        phone.speak(900).until(lambda: bool(phone.control.messages))
        self.assertEqual([text for who, text in phone.control.lines if who == "agent"], [GREETING.text])

    def test_without_a_voice_a_message_is_taken_all_the_same(self) -> None:
        phone = self.answered(greeting=None)
        self.voice.plan = [Unavailable("dead")] * 50
        phone.until(lambda: bool(phone.control.messages), 20_000)
