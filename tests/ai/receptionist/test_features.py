from __future__ import annotations

from unittest import TestCase

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smartalex.ai.receptionist.features import HOP, cepstra, mel_energies, telephone_features, telephone_filters, trimmed
from smartalex.media.resample import resample


def speechlike(seconds: float, rate: int = 8000) -> bytes:
    """Noise shaped by syllables, most of it low, as speech is."""
    random = np.random.default_rng(4)
    count = int(seconds * rate)
    slow = np.convolve(random.normal(0, 1, count + 31), np.hanning(32) / 16, "valid")
    loud = 3000 * np.abs(np.sin(np.arange(count) / rate * 2 * np.pi * 2))
    return (slow * loud).clip(-32768, 32767).astype(np.int16).tobytes()


class Features(TestCase):
    def test_thirteen_values_each_ten_milliseconds(self) -> None:
        self.assertEqual(mel_energies(speechlike(1.0)).shape, (98, 25))
        found = cepstra(speechlike(1.0))
        self.assertEqual((found.shape[1], found.dtype), (13, np.float32))

    def test_the_telephone_band_is_as_of_wide_band_speech(self) -> None:
        wide = speechlike(1.0, 16000)
        low = telephone_filters() - 1  # the last one reaches into the slope of the resampling filter
        narrow, full = mel_energies(resample(wide, 16000, 8000)), mel_energies(wide, 16000)
        frames = min(len(narrow), len(full))
        np.testing.assert_allclose(narrow[:frames, :low].mean(axis=0), full[:frames, :low].mean(axis=0), atol=0.15)

    def test_silence_around_speech_is_cut_to_a_margin(self) -> None:
        speech = speechlike(0.5)
        cut = trimmed(bytes(2 * 8000) + speech + bytes(2 * 8000))
        self.assertLess(len(cut), len(speech) + 2 * 2 * 800 + 4 * HOP)
        self.assertGreaterEqual(len(cut), len(speech))

    def test_the_prediction_goes_by_speech_relative_to_its_own_level(self) -> None:
        loud = mel_energies(speechlike(1.0))
        (inputs, level), (quieter, lower) = telephone_features(loud), telephone_features(loud - 2.0)
        np.testing.assert_allclose(inputs, quieter, atol=1e-9)
        self.assertAlmostEqual(level - lower, 2.0)

    @given(st.binary(max_size=4000).map(lambda data: data[: len(data) // 2 * 2]))
    def test_any_sound_has_finite_features(self, pcm: bytes) -> None:
        self.assertTrue(np.isfinite(cepstra(pcm)).all())

    def test_nothing_has_none(self) -> None:
        for pcm in (b"", bytes(100), bytes(16000)):
            self.assertEqual(cepstra(pcm).shape, (0, 13))
