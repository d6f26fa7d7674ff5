"""Conversations on a Clock: a caller in 20 ms frames, scripted backends, the real tables."""

from __future__ import annotations

from typing import Any

from smartalex.ai.prompts import ENGLISH
from smartalex.errors import Refused
from smartalex.media.level import FLOOR_DBFS
from tests.ai.fakes import (
    GREETING,
    Backend,
    LoggedCase,
    Phone,
    answering,
    loud,
    never,
    raises,
    refuses,
)


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

    def test_our_own_voice_on_its_way_back_is_no_barge_in(self) -> None:
        """The speech of the caller here is at -12 dBFS."""
        for echo, cut in ((-12.0, False), (-18.0, False), (-22.0, True), (FLOOR_DBFS, True)):
            backend = Backend(end_of_turn=answering("Long.", 5000))
            phone = Phone(backend).answer(quiet_ms=700)
            phone.speak(400).wait(1500)
            phone.leg.echo = echo
            phone.speak(600)
            self.assertEqual(phone.leg.queued_ms == 0, cut, echo)

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
