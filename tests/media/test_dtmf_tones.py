"""Keys heard as tones, against the limits of ITU-T Q.24 and an hour of speech; levels in dBm0, through mu-law."""

from __future__ import annotations

from unittest import TestCase, skipUnless

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.dtmf_tones import ToneDetector
from smartalex.media.tone import DTMF_HZ, dtmf
from tests.media import recordings
from tests.media.sounds import Samples, frames, pcm, samples, voice

KEYS = "0123456789*#ABCD"
DBM0 = 22374.0
"""Amplitude of a sine of 0 dBm0 where +3.14 dBm0 is full scale."""


def tones(
    key: str, ms: float, *, level: float = -12.0, twist: float = 0.0, off: tuple[float, float] = (0.0, 0.0), rate: int = 8000
) -> Samples:
    """Row at `level`, column `twist` dB above it, their frequencies off by these parts of them."""
    time = np.arange(int(ms * rate / 1000)) / rate
    amplitude = DBM0 * 10 ** (level / 20)
    row, column = (hz * (1 + part) for hz, part in zip(DTMF_HZ[key], off, strict=True))
    phase = ord(key)  # any
    return amplitude * (
        np.sin(2 * np.pi * row * time + phase) + 10 ** (twist / 20) * np.sin(2 * np.pi * column * time + 2 * phase)
    )


def keys(
    on_ms: float = 40, off_ms: float = 40, *, begin: int = 0, snr: float | None = None, word: str = KEYS, **how: object
) -> bytes:
    """All keys one after the other, `begin` samples after the beginning of a frame; through mu-law."""
    gap, level = np.zeros(int(off_ms * 8)), float(how.get("level", -12.0))  # type: ignore[arg-type]
    parts = [np.zeros(480 + begin)] + [part for key in word for part in (tones(key, on_ms, **how), gap)]  # type: ignore[arg-type]
    wave = np.concatenate([*parts, np.zeros(1600)])
    if snr is not None:
        power = (DBM0 * 10 ** (level / 20)) ** 2 / 2 * (1 + 10 ** (float(how.get("twist", 0.0)) / 10))  # type: ignore[arg-type]
        wave = wave + np.random.default_rng(begin).normal(0, np.sqrt(power / 10 ** (snr / 10)), len(wave))
    return through(pcm(wave))


def through(heard: bytes, codec: PCMU | PCMA = PCMU()) -> bytes:  # noqa: B008 (it has no state)
    return codec.decode(codec.encode(heard))


def found(heard: bytes, rate: int = 8000) -> list[tuple[str, int]]:
    detector = ToneDetector(rate)
    return [press for frame in frames(heard, rate // 25) for press in detector.hear(frame)]


def word(heard: bytes) -> str:
    return "".join(key for key, _ in found(heard))


class Taken(TestCase):
    """What has to be heard, wherever in a frame it begins."""

    def always(self, **how: object) -> None:
        for begin in range(0, 160, 23):
            self.assertEqual(word(keys(begin=begin, **how)), KEYS, begin)  # type: ignore[arg-type]

    def test_every_key_of_40_ms_after_a_pause_of_40(self) -> None:
        for level in (0, -6, -12, -20, -25):
            self.always(level=level - 0.5 if not level else level)

    def test_frequencies_off_by_one_and_a_half_percent(self) -> None:
        for off in ((0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015)):
            self.always(off=off)

    def test_twist(self) -> None:
        for twist in (4.0, -8.0):
            self.always(twist=twist)

    def test_noise_15_db_below(self) -> None:
        for level in (-12, -25):
            self.always(level=level, snr=15.0)

    def test_all_of_it_at_once(self) -> None:
        self.always(level=-17.0, twist=-8.0, off=(-0.015, 0.015), snr=15.0)
        self.always(level=-21.0, twist=4.0, off=(0.015, -0.015), snr=15.0)

    def test_as_long_as_it_was(self) -> None:
        for ms in (40, 65, 100, 250, 1000, 12_000):
            ((key, heard_ms),) = found(keys(ms, word="6"))
            self.assertEqual(key, "6")
            self.assertAlmostEqual(heard_ms, ms, delta=20)

    def test_the_same_key_again(self) -> None:
        self.assertEqual(word(keys(word="1111155")), "1111155")

    def test_what_we_play_ourselves_a_law_and_16_khz(self) -> None:
        for key in KEYS:
            self.assertEqual([k for k, _ in found(through(bytes(640) + dtmf(key, 80) + bytes(1600), PCMA()))], [key])
            self.assertEqual([k for k, _ in found(bytes(1280) + dtmf(key, 80, 16000) + bytes(3200), 16000)], [key])

    def test_over_our_own_words_as_a_line_returns_them(self) -> None:
        spoken = samples(voice(100 * len(KEYS) + 400, -32))
        tone = samples(keys(60, 40, level=-15.0))
        self.assertEqual(word(pcm(tone[: len(spoken)] + spoken[: len(tone)])), KEYS)

    def test_ten_milliseconds_of_nothing_do_not_make_it_two(self) -> None:
        for begin in range(0, 160, 23):
            wave = np.concatenate([np.zeros(480 + begin), tones("8", 200), np.zeros(1600)])
            wave[480 + begin + 800 : 480 + begin + 880] = 0
            self.assertEqual([key for key, _ in found(pcm(wave))], ["8"], begin)

    @given(st.text(KEYS, min_size=1, max_size=6), st.integers(0, 159), st.floats(40, 150), st.floats(40, 150), st.floats(-25, -3))
    @settings(max_examples=60, deadline=None)
    def test_any_word(self, dialled: str, begin: int, on_ms: float, off_ms: float, level: float) -> None:
        self.assertEqual(word(keys(on_ms, off_ms, begin=begin, level=level, snr=20.0, word=dialled)), dialled)


class NotTaken(TestCase):
    def test_tones_of_20_ms(self) -> None:
        for begin in range(0, 160, 23):
            self.assertEqual(word(keys(20, 80, begin=begin)), "", begin)

    def test_frequencies_off_by_three_and_a_half_percent(self) -> None:
        for off in ((0.035, 0.0), (-0.035, 0.0), (0.0, 0.035), (0.0, -0.035)):
            self.assertEqual(word(keys(100, off=off)), "", off)

    def test_one_tone_alone(self) -> None:
        for twist in (15.0, -15.0, -80.0):
            self.assertEqual(word(keys(100, twist=twist)), "", twist)

    def test_what_is_too_soft_or_drowned(self) -> None:
        self.assertEqual(word(keys(100, level=-36.0)), "")
        self.assertEqual(word(keys(100, snr=-3.0)), "")

    def test_the_tones_of_the_network(self) -> None:
        time = np.arange(16000) / 8000
        for pair in ((350, 440), (440, 480), (480, 620), (425, 425), (1100, 2100), (950, 1400), (697, 770), (1209, 1336)):
            wave = sum(4000 * np.sin(2 * np.pi * hz * time) for hz in pair)
            self.assertEqual(word(pcm(wave)), "", pair)

    def test_noise(self) -> None:
        for seed, strength in enumerate((300, 2000, 6000)):
            self.assertEqual(word(pcm(np.random.default_rng(seed).normal(0, strength, 8000 * 30))), "", strength)

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    def test_more_than_an_hour_of_speech(self) -> None:
        """Talk-off: three throats and whatever else there is among the prompts."""
        minutes, false = 0.0, []
        for speed in (0.8, 1.0, 1.25):
            for name, wave in recordings.prompts(speech_only=False):
                heard = pcm(recordings.faster(wave, speed))
                minutes += len(heard) / 16000 / 60
                false += [(name, speed, press) for press in found(through(heard))]
        self.assertEqual(false, [])
        self.assertGreater(minutes, 60)
