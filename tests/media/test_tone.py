from __future__ import annotations

from unittest import TestCase

import numpy as np

from smartalex.media import tone
from smartalex.media.frame import Clip
from smartalex.media.level import dbfs
from tests.media.sounds import samples


def strongest(pcm: bytes, rate: int, count: int) -> list[float]:
    """The `count` strongest frequencies in ascending order."""
    spectrum = np.abs(np.fft.rfft(samples(pcm) * np.hanning(len(pcm) // 2), 1 << 16))
    found: list[float] = []
    for _ in range(count):
        peak = int(spectrum.argmax())
        found.append(peak * rate / (1 << 16))
        spectrum[max(0, peak - 400) : peak + 400] = 0
    return sorted(found)


class Tones(TestCase):
    def test_pitch_length_and_level(self) -> None:
        for rate in (8000, 16000):
            for hz in (440.0, 1000.0):
                made = tone.sine(hz, 500, rate, -18)
                self.assertEqual(len(made), rate)
                self.assertAlmostEqual(strongest(made, rate, 1)[0], hz, delta=2)
                self.assertAlmostEqual(dbfs(made), -18, delta=0.3)

    def test_they_begin_and_end_without_a_click(self) -> None:
        for made in (tone.sine(1000, 100), tone.dtmf("5"), tone.beep().pcm, tone.sine(1000, 3)):
            wave = samples(made)
            self.assertLess(abs(wave[0]), 200)
            self.assertLess(abs(wave[-1]), 200)

    def test_keys_have_the_frequencies_of_q23(self) -> None:
        for key, pair in {"1": (697, 1209), "5": (770, 1336), "0": (941, 1336), "*": (941, 1209), "D": (941, 1633)}.items():
            made = tone.dtmf(key, 200)
            for found, wanted in zip(strongest(made, 8000, 2), pair, strict=True):
                self.assertAlmostEqual(found, wanted, delta=wanted * 0.015)  # the receiver's tolerance, Q.24
        self.assertEqual(len(set(tone.DTMF_HZ.values())), 16)
        self.assertRaises(KeyError, tone.dtmf, "x")

    def test_no_length_at_all(self) -> None:
        self.assertEqual((tone.sine(440, 0), tone.silence(0)), (b"", b""))
        self.assertEqual(tone.silence(20, 16000), bytes(640))

    def test_a_beep_and_a_spaced_phrase(self) -> None:
        self.assertEqual(tone.beep(250).duration_ms, 310)
        phrase = Clip(tone.sine(300, 400), 8000, "please hold")
        spaced = tone.spaced(phrase, 2000)
        self.assertEqual((spaced.duration_ms, spaced.text), (2000, "please hold"))
        self.assertTrue(spaced.pcm.startswith(phrase.pcm))
        self.assertEqual(tone.spaced(phrase, 100).duration_ms, 400)
