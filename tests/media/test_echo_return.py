"""Echo of our own voice: found at its delay and strength, through mu-law and noise, and never in another voice."""

from __future__ import annotations

from unittest import TestCase, skipUnless

import numpy as np

from smartalex.media.codecs.g711 import PCMU
from smartalex.media.echo_return import EchoMeter, EchoReturn
from tests.media import recordings
from tests.media.sounds import Samples, pcm, rms, samples

SECOND = 8000


def syllables(seconds: float, seed: int, dbfs: float = -20.0) -> Samples:
    """Noise that comes and goes as syllables and pauses do."""
    rng, parts, wanted = np.random.default_rng(seed), [], int(seconds * SECOND)
    while sum(len(part) for part in parts) < wanted:
        length = int(rng.uniform(0.08, 0.3) * SECOND)
        strength = rng.lognormal(0, 0.7) * (rng.random() > 0.2)
        parts.append(strength * np.hanning(length) * rng.normal(0, 1, length))
    wave = np.concatenate(parts)[:wanted]
    return wave * 32768 * 10 ** (dbfs / 20) / rms(wave)


def line(played: Samples, delay_ms: int, loss_db: float, noise_dbfs: float = -60.0, seed: int = 1) -> Samples:
    """What comes back of it: another line that is later and softer, noise on top, through mu-law."""
    echo = np.concatenate([np.zeros(delay_ms * 8), played])[: len(played)] * 10 ** (-loss_db / 20)
    noise = np.random.default_rng(seed).normal(0, 32768 * 10 ** (noise_dbfs / 20), len(played))
    return samples(PCMU().decode(PCMU().encode(pcm(echo + noise))))


def verdicts(played: Samples, heard: Samples, meter: EchoMeter | None = None, rate: int = 8000) -> list[EchoReturn | None]:
    """After each second."""
    meter, found = meter or EchoMeter(), []
    for start in range(0, len(played) - rate + 1, rate):
        meter.compare(pcm(played[start : start + rate]), pcm(heard[start : start + rate]), rate)
        found.append(meter.found)
    return found


class Found(TestCase):
    def close(self, found: EchoReturn | None, delay_ms: int, loss_db: float, within_db: float = 2.0) -> None:
        assert found is not None
        self.assertAlmostEqual(found.delay_ms, delay_ms, delta=10)
        self.assertAlmostEqual(found.loss_db, loss_db, delta=within_db)

    def test_at_any_delay(self) -> None:
        played = syllables(6, 1)
        for delay_ms in (0, 20, 95, 250, 430, 590):
            self.close(verdicts(played, line(played, delay_ms, 15))[-1], delay_ms, 15)

    def test_at_any_strength(self) -> None:
        played = syllables(6, 2)
        for loss_db in (0, 6, 12, 20, 30):
            self.close(verdicts(played, line(played, 120, loss_db))[-1], 120, loss_db)

    def test_in_noise(self) -> None:
        played = syllables(8, 3)
        for loss_db, noise_dbfs in ((10, -35), (20, -45), (25, -50)):
            self.close(verdicts(played, line(played, 200, loss_db, noise_dbfs))[-1], 200, loss_db, 3.0)

    def test_within_five_seconds_and_not_before_two(self) -> None:
        played = syllables(6, 4)
        found = verdicts(played, line(played, 300, 12))
        self.assertEqual((found[:2], None in found[5:]), ([None, None], False))

    def test_over_several_short_sentences_with_pauses(self) -> None:
        """What the caller says in between is not looked at."""
        meter, found = EchoMeter(), []
        for n in range(5):
            played = np.concatenate([syllables(1.5, 10 + n), np.zeros(SECOND // 2)])
            found += verdicts(played, line(played, 160, 10, seed=n), meter)
            meter.pause()
        self.close(found[-1], 160, 10)

    def test_the_caller_talks_as_well(self) -> None:
        played = syllables(20, 5)
        heard = line(played, 240, 10)
        heard[6 * SECOND : 9 * SECOND] += syllables(3, 6)
        found = verdicts(played, heard)
        self.close(found[5], 240, 10)
        self.close(found[-1], 240, 10)

    def test_an_echo_that_ends_is_forgotten(self) -> None:
        """The peer's canceller has learned the line."""
        played = syllables(24, 7)
        heard = line(played, 80, 12)
        heard[6 * SECOND :] = line(played, 80, 90)[6 * SECOND :]
        found = verdicts(played, heard)
        self.assertIsNotNone(found[5])
        self.assertEqual(found[-6:], [None] * 6)

    def test_at_16_khz(self) -> None:
        rng = np.random.default_rng(8)
        played = np.repeat(syllables(6, 8), 2) + rng.normal(0, 1, 6 * 16000)
        heard = np.concatenate([np.zeros(16 * 130), played])[: len(played)] * 0.2
        self.close(verdicts(played, heard, rate=16000)[-1], 130, 14)

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    def test_of_real_speech(self) -> None:
        found = []
        for seed, (delay_ms, loss_db) in enumerate(((60, 8), (180, 15), (350, 20), (560, 26))):
            played = recordings.talk(12, seed)
            found.append(verdicts(played, line(played, delay_ms, loss_db, -55, seed))[-1])
            self.close(found[-1], delay_ms, loss_db, 3.0)


def glimpses(played: Samples, heard: Samples, rate: int = 8000) -> list[EchoReturn | None]:
    """What is known after each look, one every 80 ms from the second second on."""
    meter, found = EchoMeter(), []
    half, lead = rate // 2, rate * 6 // 10
    for end in range(2 * rate, min(len(played), len(heard)), rate * 8 // 100):
        meter.glimpse(pcm(played[end - half - lead : end]), pcm(heard[end - half : end]), rate)
        found.append(meter.found)
    return found


class Glimpsed(TestCase):
    def test_in_half_a_second_where_the_line_returns_it(self) -> None:
        played = syllables(4, 1)
        for delay_ms in (0, 40, 210, 590):
            for loss_db in (0, 10, 25):
                found = glimpses(played, line(played, delay_ms, loss_db))[4]
                assert found is not None, (delay_ms, loss_db)
                self.assertAlmostEqual(found.delay_ms, delay_ms, delta=10)
                self.assertAlmostEqual(found.loss_db, loss_db, delta=1.5)

    def test_at_16_khz_and_upside_down(self) -> None:
        played = np.repeat(syllables(4, 8), 2)
        heard = -0.2 * np.concatenate([np.zeros(16 * 130), played])[: len(played)]
        found = glimpses(played, heard, 16000)[4]
        assert found is not None
        self.assertEqual(found.delay_ms, 130)
        self.assertAlmostEqual(found.loss_db, 14, delta=1)

    def test_one_look_is_not_enough(self) -> None:
        played = syllables(4, 1)
        self.assertEqual(glimpses(played, line(played, 100, 10))[:2], [None, None])

    def test_in_silence_or_of_silence_there_is_nothing(self) -> None:
        played = syllables(6, 2)
        self.assertEqual(set(glimpses(played, np.zeros(len(played)))), {None})
        self.assertEqual(set(glimpses(np.zeros(len(played)), played)), {None})

    def test_what_was_glimpsed_and_is_not_so_is_forgotten(self) -> None:
        played, meter = syllables(10, 3), EchoMeter()
        echo = line(played, 100, 10)
        for end in (8000, 8640, 9280):
            meter.glimpse(pcm(played[:end]), pcm(echo[4800:end]), 8000)
        self.assertIsNotNone(meter.found)
        self.assertIsNone(verdicts(played, syllables(10, 30), meter)[-1])

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    def test_real_speech(self) -> None:
        played = recordings.talk(60, 4)
        found = glimpses(played, line(played, 180, 12, -55))
        self.assertGreater(sum(echo is not None for echo in found[20:]) / len(found[20:]), 0.9)
        for seed in range(2):
            self.assertEqual(
                set(glimpses(recordings.talk(300, seed), recordings.faster(recordings.talk(400, 60 + seed), 1.1))), {None}
            )


class NotFound(TestCase):
    def test_in_silence_and_noise(self) -> None:
        played = syllables(20, 1)
        for dbfs in (-90, -60, -30):
            noise = np.random.default_rng(2).normal(0, 32768 * 10 ** (dbfs / 20), len(played))
            self.assertEqual(set(verdicts(played, noise)), {None}, dbfs)

    def test_where_nothing_is_played(self) -> None:
        quiet = np.random.default_rng(1).normal(0, 3, 10 * SECOND)
        self.assertEqual(set(verdicts(quiet, syllables(10, 1))), {None})

    def test_in_another_voice(self) -> None:
        for seed in range(10):
            self.assertEqual(set(verdicts(syllables(60, seed), syllables(60, 100 + seed))), {None}, seed)

    def test_later_than_600_ms(self) -> None:
        played = syllables(20, 3)
        self.assertEqual(set(verdicts(played, line(played, 900, 10))), {None})

    @skipUnless(recordings.installed(), recordings.WHY_NOT)
    def test_in_half_an_hour_of_two_people_talking_at_once(self) -> None:
        for seed in range(3):
            played = recordings.talk(600, seed)
            heard = recordings.faster(recordings.talk(800, 50 + seed), 1.2)[: len(played)]
            self.assertEqual(set(verdicts(played, heard)), {None}, seed)
