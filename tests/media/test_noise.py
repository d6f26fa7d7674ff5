"""Noise suppression and echo cancellation by the libraries that are installed."""

from __future__ import annotations

from importlib.util import find_spec
from unittest import TestCase, skipUnless

import numpy as np
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IAudioFilter, IAudioFilterFactory
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.resample import resample
from smartalex.media.seams import audio_filters
from tests.bench import noise_quality, vad_quality
from tests.media import recordings
from tests.media.sounds import Samples, frames, noise, pcm, rms, samples, voice


def installed(package: str) -> bool:
    return find_spec(package) is not None


def cleaned(spec: str, heard: bytes, played: bytes = b"", rate: int = 8000) -> Samples:
    size = rate // 25
    made = audio_filters(spec).filter(rate)
    far = frames(played, size) or [b""] * (len(heard) // size)
    return samples(b"".join(made.process(near, other) for near, other in zip(frames(heard, size), far, strict=True)))


def dropped_db(before: Samples, after: Samples) -> float:
    return 20 * float(np.log10(rms(before) / max(1.0, rms(after))))


@skipUnless(installed("webrtc_noise_gain"), "pip install webrtc-noise-gain")
class Webrtc(TestCase):
    def test_as_a_plugin(self) -> None:
        factory = audio_filters("webrtc")
        verifyObject(IAudioFilterFactory, factory)
        for rate in (8000, 16000):
            made = factory.filter(rate)
            verifyObject(IAudioFilter, made)
            for frame in frames(voice(200, rate=rate), rate // 25):
                self.assertEqual(len(made.process(frame, b"")), rate // 25)

    def test_levels(self) -> None:
        hiss, before = noise(4000, -30), 0.0
        for level in "1234":
            after = cleaned(f"webrtc:level={level}", hiss)
            fallen = dropped_db(samples(hiss)[16000:], after[16000:])
            self.assertGreater(fallen, before + 1)
            before = fallen
        self.assertGreater(before, 12)
        for wrong in ("0", "5", "high", ""):
            self.assertRaises(ConfigurationError, audio_filters, f"webrtc:level={wrong}")

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    def test_a_voice_stays_as_loud_and_is_as_late_as_it_says(self) -> None:
        for rate in (8000, 16000):
            heard = resample(pcm(recordings.talk(12, 3)), 8000, rate)
            before, after = samples(heard)[4 * rate :], cleaned("webrtc", heard, rate=rate)[4 * rate :]
            self.assertAlmostEqual(dropped_db(before, after), 0, delta=1)
            late = audio_filters("webrtc").filter(rate).delay_ms * rate // 1000
            likeness = np.correlate(before[1700 : 2000 + 6 * rate], after[2000 : 2000 + 6 * rate], "valid")
            self.assertAlmostEqual(300 - int(likeness.argmax()), late, delta=2)

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    @skipUnless(installed("pesq"), "pip install pesq (needs a compiler)")
    def test_pesq_rises_in_noise_and_hardly_falls_without(self) -> None:
        speech, _ = vad_quality.material()
        for name, snr, gain in (("", 0, -0.15), ("white", 10, 0.15), ("pink", 10, 0.2), ("babble", 10, 0.1)):
            heard = PCMU().decode(PCMU().encode(pcm(vad_quality.noisy(speech, name, snr))))
            before = noise_quality.mean_pesq(speech, samples(heard))
            after = noise_quality.mean_pesq(speech, cleaned("webrtc", heard))
            self.assertGreater(after, before + gain, name)


@skipUnless(installed("livekit"), "pip install livekit")
class Livekit(TestCase):
    def test_as_a_plugin(self) -> None:
        factory = audio_filters("livekit")
        verifyObject(IAudioFilterFactory, factory)
        made = factory.filter(8000)
        verifyObject(IAudioFilter, made)
        self.assertTrue(made.wants_played)
        self.assertEqual(len(made.process(bytes(320), bytes(320))), 320)
        self.assertEqual(len(made.process(bytes(320), b"")), 320)
        self.assertFalse(audio_filters("livekit:echo=no:noise=yes").filter(16000).wants_played)
        self.assertRaises(ConfigurationError, audio_filters, "livekit:echo=no")
        self.assertRaises(ConfigurationError, audio_filters, "livekit:noise=2")

    def test_our_own_voice_is_taken_out_and_the_caller_is_left(self) -> None:
        rng = np.random.default_rng(4)
        far = samples(pcm(rng.normal(0, 1, 8000 * 12) * np.repeat(rng.lognormal(6.5, 0.9, 120), 800)))
        echo = np.concatenate([np.zeros(8 * 150), far])[: len(far)] * 0.25
        caller = np.zeros(len(far))
        caller[8000 * 9 :] = samples(voice(3000, -20))
        after = cleaned("livekit", pcm(echo + caller), pcm(far))
        self.assertGreater(dropped_db(echo[8000 * 5 : 8000 * 9], after[8000 * 5 : 8000 * 9]), 20)
        self.assertAlmostEqual(dropped_db(caller[8000 * 10 :], after[8000 * 10 :]), 0, delta=6)
