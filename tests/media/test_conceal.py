from __future__ import annotations

from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media.conceal import FADE_MS, HOLD_MS, Concealer
from tests.media.sounds import frames, noise, pcm, rms, samples, tone, voice


def through(sent: list[bytes], lost: set[int], concealer: Concealer | None = None) -> list[bytes]:
    concealer = concealer or Concealer()
    return [concealer.lost(320) if n in lost else concealer.good(frame) for n, frame in enumerate(sent)]


def largest_jump(pcm: bytes) -> float:
    return float(np.abs(np.diff(samples(pcm))).max())


SOUNDS = {
    "low": tone(150, 400),
    "high": tone(1900, 400),
    "voice": voice(400),
    "deep": voice(400, pitch_hz=80),
    "hiss": noise(400, -25),
}


class NoClicks(TestCase):
    def test_no_jump_is_larger_than_those_of_the_signal(self) -> None:
        for name, sound in SOUNDS.items():
            for lost in ({6}, {6, 7}, {6, 7, 8, 9, 10}, {4, 6, 8}, {1}, {5, 6, 8, 9}):
                heard = b"".join(through(frames(sound), lost))
                self.assertLessEqual(largest_jump(heard), 1.3 * largest_jump(sound), (name, lost))

    @given(st.sets(st.integers(0, 19)), st.integers(0, 1000), st.sampled_from(sorted(SOUNDS)))
    @settings(max_examples=80, deadline=None)
    def test_whatever_is_lost_nothing_is_louder_than_it_was(self, lost: set[int], seed: int, name: str) -> None:
        gain = np.random.default_rng(seed).uniform(0.01, 3)
        sound = pcm(samples(SOUNDS[name]) * gain)
        heard = through(frames(sound), lost)
        self.assertEqual([len(frame) for frame in heard], [320] * 20)
        self.assertLessEqual(np.abs(samples(b"".join(heard))).max(), np.abs(samples(sound)).max() + 1)


class LikeTheOriginal(TestCase):
    def test_a_lost_frame_of_a_steady_voice_is_nearly_the_one_that_was_sent(self) -> None:
        for hz in (80, 120, 160, 190):
            sent = frames(tone(hz, 200, amplitude=6000))
            made = samples(through(sent, {6})[6])
            self.assertLess(rms(made[:80] - samples(sent[6])[:80]), 0.25 * rms(samples(sent[6])[:80]), hz)

    def test_it_beats_silence_on_a_voice(self) -> None:
        sent = frames(voice(3000))
        lost = set(range(10, 150, 9))
        heard = through(sent, lost)
        error = rms(np.concatenate([samples(heard[n]) - samples(sent[n]) for n in lost]))
        silence = rms(np.concatenate([samples(sent[n]) for n in lost]))
        self.assertLess(error, 0.8 * silence)

    def test_what_was_received_passes_unchanged(self) -> None:
        sent = frames(voice(400))
        self.assertEqual(through(sent, set()), sent)
        heard = through(sent, {5})
        self.assertEqual(heard[:5] + heard[7:], sent[:5] + sent[7:])
        self.assertEqual(heard[6][64:], sent[6][64:])  # 4 ms of joint


class Fading(TestCase):
    def test_it_fades_to_silence_and_says_so(self) -> None:
        concealer = Concealer()
        for frame in frames(tone(200, 100)):
            concealer.good(frame)
        levels = []
        while not concealer.silent:
            levels.append(rms(samples(concealer.lost(320))))
        self.assertEqual(len(levels), (HOLD_MS + FADE_MS) // 20)
        self.assertEqual(levels, sorted(levels, reverse=True))
        self.assertLess(levels[-1], 0.25 * levels[0])
        for _ in range(3):
            self.assertEqual(concealer.lost(320), bytes(320))
        self.assertFalse(any(samples(concealer.good(bytes(320)))))
        self.assertFalse(concealer.silent)

    def test_before_anything_came_there_is_silence(self) -> None:
        concealer = Concealer()
        self.assertTrue(concealer.silent)
        self.assertEqual(concealer.lost(320), bytes(320))
        self.assertEqual(concealer.good(b"\1\2" * 160), b"\1\2" * 160)

    def test_other_sizes_and_rates(self) -> None:
        for rate, size in ((16000, 640), (8000, 160), (8000, 480), (8000, 2)):
            concealer = Concealer(rate)
            for _ in range(4):
                concealer.good(b"\1\2" * (size // 2))
            self.assertEqual(len(concealer.lost(size)), size)
            self.assertEqual(len(concealer.good(bytes(size))), size)
            self.assertEqual(concealer.good(b""), b"")
