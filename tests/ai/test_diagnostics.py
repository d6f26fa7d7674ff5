from __future__ import annotations

from unittest import TestCase

from zope.interface.verify import verifyObject

from smartalex.ai.diagnostics import EchoFactory, PlayFactory, SilentFactory, melody
from smartalex.interfaces import IVoiceAgentFactory, IVoiceAgentSession
from smartalex.media.level import dbfs
from smartalex.media.vad import Vad
from tests.ai.fakes import BRIEF, QUIET, SPEECH, Phone


class Seams(TestCase):
    def test_they_are_what_they_say(self) -> None:
        for factory in (PlayFactory(), EchoFactory(), SilentFactory()):
            verifyObject(IVoiceAgentFactory, factory)
            verifyObject(IVoiceAgentSession, factory.session(BRIEF))
            self.assertEqual(factory.validate(), [])
            self.assertFalse(factory.greets)
        self.assertEqual([f.receives for f in (PlayFactory(), EchoFactory(), SilentFactory())], [False, True, False])
        self.assertTrue(PlayFactory(listen="yes").receives)
        self.assertRaises(ValueError, PlayFactory, listen="perhaps")


class Agents(TestCase):
    def test_play_loops_until_the_call_ends(self) -> None:
        phone = Phone(PlayFactory()).answer()
        for _ in range(1000):
            phone.leg.tick()  # no frames arrive: it does not receive
        self.assertGreater(sum(phone.leg.heard), 980)
        phone.conversation.dtmf("1", 100)
        self.assertGreater(phone.leg.queued_ms, 0)
        phone.conversation.close("over")
        self.assertEqual((phone.leg.queued_ms, phone.clock.getDelayedCalls()), (0, []))

    def test_its_sound_is_loud_and_partly_a_voice(self) -> None:
        clip, detector = melody(), Vad(8000)
        self.assertEqual(clip.duration_ms, 8000)
        self.assertTrue(-26 < dbfs(clip.pcm) < -12, dbfs(clip.pcm))
        frames = [clip.pcm[at : at + 320] for at in range(64_000, len(clip.pcm), 320)]
        self.assertGreater(sum(map(detector.speech, frames)), len(frames) // 4)

    def test_echo_sends_back_each_frame_at_once(self) -> None:
        phone = Phone(EchoFactory()).answer()
        for n in range(1, 6):
            phone.frame(bytes([n]) * 320)
            self.assertEqual(phone.leg.queue[-320:], bytes([n]) * 320)
            self.assertEqual(phone.leg.queued_ms, 20)

    def test_silent_says_nothing_and_is_not_asked(self) -> None:
        phone = Phone(SilentFactory()).answer()
        for pcm in (QUIET, SPEECH) * 1000:
            phone.frame(pcm)
        self.assertEqual((phone.leg.clips, phone.control.ended, phone.control.events), ([], [], []))

    def test_the_longest_call_counts_for_them_too(self) -> None:
        phone = Phone(PlayFactory(), max_duration_s=60.0).answer()
        for _ in range(62 * 50):
            phone.clock.advance(0.02)
            phone.leg.tick()
        self.assertEqual(phone.control.ended, ["maximum duration"])
