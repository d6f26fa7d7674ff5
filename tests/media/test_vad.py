from __future__ import annotations

from unittest import TestCase

from smartalex.media.vad import Vad
from tests.media.sounds import frames, noise, pcm, samples, tone, voice


def share(pcm: bytes, vad: Vad | None = None) -> float:
    """The part of the frames that is called speech."""
    vad = vad or Vad()
    found = [vad.speech(frame) for frame in frames(pcm)]
    return sum(found) / len(found)


class Decisions(TestCase):
    def test_silence_and_soft_hiss_are_no_speech(self) -> None:
        self.assertEqual(share(bytes(16000)), 0)
        self.assertEqual(share(noise(2000, -65)), 0)

    def test_a_voice_is_speech_soft_or_loud(self) -> None:
        for level, least in ((-45, 0.4), (-35, 0.7), (-20, 0.9), (-10, 0.9)):  # half of each soft syllable is under -55
            vad = Vad()
            share(bytes(8000), vad)
            self.assertGreater(share(voice(2000, level), vad), least, level)

    def test_steady_noise_stops_being_taken_for_speech(self) -> None:
        vad = Vad()
        for level in (-50, -40, -30):
            share(noise(3000, level, seed=-level), vad)
            self.assertLess(share(noise(1000, level, seed=7), vad), 0.05, level)

    def test_a_voice_is_found_again_in_noise(self) -> None:
        vad = Vad()
        share(noise(4000, -50), vad)
        both = samples(noise(2000, -50, seed=3)) + samples(voice(2000, -22))
        self.assertGreater(share(pcm(both), vad), 0.6)

    def test_after_a_loud_voice_the_floor_lets_a_soft_one_through(self) -> None:
        vad = Vad()
        share(voice(3000, -12), vad)
        share(bytes(16000), vad)
        self.assertGreater(share(voice(1500, -38), vad), 0.6)

    def test_other_rates(self) -> None:
        vad = Vad(16000)
        self.assertFalse(vad.speech(bytes(640)))
        self.assertFalse(any(vad.speech(frame) for frame in frames(tone(0, 400, 16000), 640)))

    def test_only_whole_frames(self) -> None:
        for size in (0, 318, 322, 640):
            self.assertRaises(ValueError, Vad().speech, bytes(size))
