from __future__ import annotations

from collections.abc import Callable
from unittest import TestCase, skipUnless

from zope.interface.verify import verifyObject

from smartalex.interfaces import IVoiceDetector, IVoiceDetectorFactory
from smartalex.media.seams import voice_detectors
from smartalex.media.vad import Energy, EnergyVad, Vad, WebrtcVad
from tests.bench import vad_quality
from tests.media import recordings
from tests.media.sounds import frames, noise, pcm, samples, tone, voice

EACH: tuple[Callable[..., Vad | Energy], ...] = (Vad, Energy)


def share(pcm: bytes, vad: Vad | Energy | None = None, size: int = 320) -> float:
    """The part of the frames that is called speech."""
    vad = vad or Vad()
    found = [vad.speech(frame) for frame in frames(pcm, size)]
    return sum(found) / len(found)


class Decisions(TestCase):
    def test_silence_and_soft_hiss_are_no_speech(self) -> None:
        for make in EACH:
            self.assertEqual(share(bytes(16000), make()), 0)
            self.assertEqual(share(noise(2000, -65), make()), 0)

    def test_a_voice_is_speech_soft_or_loud(self) -> None:
        for make in EACH:
            for level, least in ((-45, 0.4), (-35, 0.7), (-20, 0.9), (-10, 0.9)):  # half of each soft syllable is under -55
                vad = make()
                share(bytes(8000), vad)
                self.assertGreater(share(voice(2000, level), vad), least, (make, level))

    def test_steady_noise_stops_being_taken_for_speech(self) -> None:
        for make, settle_ms in ((Vad, 3000), (Energy, 7000)):
            vad = make()
            for level in (-50, -40, -30, -20):
                share(noise(settle_ms, level, seed=-level), vad)
                self.assertLess(share(noise(1000, level, seed=7), vad), 0.05, (make, level))

    def test_a_voice_is_found_again_in_noise(self) -> None:
        for make in EACH:
            for snr, least in ((25, 0.85), (10, 0.8), (5, 0.7)):
                vad = make()
                share(noise(12_000, -30), vad)
                both = samples(noise(2000, -30, seed=3)) + samples(voice(2000, -30 + snr))
                self.assertGreater(share(pcm(both), vad), least, (make, snr))

    def test_after_a_loud_voice_the_floor_lets_a_soft_one_through(self) -> None:
        for make in EACH:
            vad = make()
            share(voice(3000, -12), vad)
            share(bytes(16000), vad)
            self.assertGreater(share(voice(1500, -38), vad), 0.6, make)

    def test_somebody_who_talks_for_a_minute_without_a_pause_is_heard_to_the_end(self) -> None:
        for make in EACH:
            vad = make()
            share(bytes(16000), vad)
            self.assertGreater(share(voice(60_000, -20), vad), 0.75, make)

    def test_in_silence_the_end_is_seen_at_once(self) -> None:
        """What drowns in noise is waited for; here it does not."""
        for make in EACH:
            vad = make()
            share(noise(2000, -60), vad)
            share(voice(2000, -20), vad)
            after = [vad.speech(frame) for frame in frames(noise(400, -60, seed=2))]
            self.assertFalse(any(after[8:]), make)  # WebRTC's own hangover

    def test_other_rates(self) -> None:
        for make in EACH:
            vad = make(16000)
            self.assertFalse(vad.speech(bytes(640)))
            self.assertFalse(any(vad.speech(frame) for frame in frames(tone(0, 400, 16000), 640)))
            self.assertGreater(share(voice(2000, -20, rate=16000), vad, 640), 0.9)

    def test_only_whole_frames(self) -> None:
        for make in EACH:
            for size in (0, 318, 322, 640):
                self.assertRaises(ValueError, make().speech, bytes(size))

    def test_as_plugins(self) -> None:
        for name, kind, factory in (("webrtc", Vad, WebrtcVad), ("energy", Energy, EnergyVad)):
            found = voice_detectors(name)
            self.assertIsInstance(found, factory)
            verifyObject(IVoiceDetectorFactory, found)
            self.assertIsInstance(found.detector(16000), kind)
            verifyObject(IVoiceDetector, found.detector(8000))


@skipUnless(recordings.installed(), recordings.WHY_NOT)
class InNoise(TestCase):
    """Recorded speech through mu-law; what python -m tests.bench.vad_quality prints, with some room."""

    def check(self, make: Callable[[], Vad | Energy], bars: dict[str, tuple[int, int]]) -> None:
        speech, truth = vad_quality.material()
        for name, kind, snr in vad_quality.CONDITIONS:
            vad = make()
            found = [vad.speech(frame) for frame in frames(pcm(vad_quality.noisy(speech, kind, snr)))]
            hits, alarms = vad_quality.rates(found, truth)
            least, most = bars[f"{name} {snr}"]
            self.assertGreater(hits, least, (name, snr))
            self.assertLess(alarms, most, (name, snr))

    def test_webrtc(self) -> None:
        self.check(Vad, {
            "clean 0": (97, 15), "white 10": (90, 15), "white 5": (85, 15), "pink 10": (85, 15), "pink 5": (70, 15),
            "babble 15": (92, 25), "babble 10": (85, 25), "babble 5": (75, 30),
        })  # fmt: skip

    def test_energy(self) -> None:
        self.check(Energy, {
            "clean 0": (97, 15), "white 10": (88, 15), "white 5": (80, 15), "pink 10": (80, 15), "pink 5": (60, 15),
            "babble 15": (90, 20), "babble 10": (82, 20), "babble 5": (62, 20),
        })  # fmt: skip
