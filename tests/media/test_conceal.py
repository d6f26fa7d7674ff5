from __future__ import annotations

from collections.abc import Callable
from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media.conceal import FADE_MS, HOLD_MS, Concealer
from smartalex.media.level import dbfs
from tests.media.sounds import distance, frames, noise, pcm, rms, samples, tone, voice


def through(sent: list[bytes], lost: set[int], concealer: Concealer | None = None) -> list[bytes]:
    concealer = concealer or Concealer()
    return [concealer.lost(len(frame)) if n in lost else concealer.good(frame) for n, frame in enumerate(sent)]


def bridged(sent: list[bytes], lost: set[int], concealer: Concealer | None = None) -> list[bytes]:
    """As `through`, where the next frame that is not lost has come already."""
    concealer, heard = concealer or Concealer(), []
    for n, frame in enumerate(sent):
        end = next((m for m in range(n, len(sent)) if m not in lost), None)
        if n not in lost:
            heard.append(concealer.good(frame))
        elif end is None:
            heard.append(concealer.lost(len(frame)))
        else:
            heard.append(concealer.lost(len(frame), sent[end], (end - n) * len(frame)))
    return heard


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
                for way in (through, bridged):
                    heard = b"".join(way(frames(sound), lost))
                    self.assertLessEqual(largest_jump(heard), 1.3 * largest_jump(sound), (name, lost, way))

    @given(st.sets(st.integers(0, 19)), st.integers(0, 1000), st.sampled_from(sorted(SOUNDS)))
    @settings(max_examples=80, deadline=None)
    def test_whatever_is_lost_nothing_is_louder_than_it_was(self, lost: set[int], seed: int, name: str) -> None:
        gain = np.random.default_rng(seed).uniform(0.01, 3)
        sound = pcm(samples(SOUNDS[name]) * gain)
        for way in (through, bridged):
            heard = way(frames(sound), lost)
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

    def error(self, sent: list[bytes], heard: list[bytes], lost: set[int]) -> float:
        return rms(np.concatenate([samples(heard[n]) - samples(sent[n]) for n in lost]))

    def test_it_is_nearer_the_truth_when_the_other_side_is_known(self) -> None:
        for rate, size in ((8000, 320), (16000, 640)):
            sent = frames(voice(3000, rate=rate), size)
            for lost in (set(range(10, 150, 9)), {n for k in range(10, 140, 11) for n in (k, k + 1)}):
                known = self.error(sent, bridged(sent, lost, Concealer(rate)), lost)
                self.assertLess(known, 0.8 * self.error(sent, through(sent, lost, Concealer(rate)), lost), (rate, len(lost)))

    def test_an_onset_behind_the_gap_is_led_up_to(self) -> None:
        sent = [bytes(320)] * 5 + frames(tone(200, 100))
        self.assertEqual(rms(samples(through(sent, {5})[5])), 0)
        self.assertGreater(rms(samples(bridged(sent, {5})[5])[80:]), 0.4 * rms(samples(sent[5])))

    def test_what_follows_a_bridge_is_as_it_was_received(self) -> None:
        sent = frames(voice(400))
        heard = bridged(sent, {5, 9, 10})
        self.assertEqual([n for n in range(20) if heard[n] != sent[n]], [5, 9, 10])

    def test_after_a_decoder_with_a_state_its_first_milliseconds_are_bridged_too(self) -> None:
        sent = frames(voice(400, rate=16000), 640)
        spoilt = pcm(np.random.default_rng(1).normal(0, 3000, 64)) + sent[6][128:]
        heard = bridged([*sent[:6], spoilt, *sent[7:]], {5}, Concealer(16000, stateful=True))
        self.assertEqual(heard[6][128:], sent[6][128:])
        self.assertLess(rms(samples(heard[6][:128]) - samples(sent[6][:128])), 0.5 * rms(samples(sent[6])))

    def test_where_what_was_promised_does_not_follow_it_goes_on(self) -> None:
        sent = frames(tone(150, 200))
        concealer = Concealer()
        for frame in sent[:5]:
            concealer.good(frame)
        concealer.lost(320, sent[6])
        levels = [rms(samples(concealer.lost(320))) for _ in range(7)]
        self.assertGreater(levels[0], 0.5 * rms(samples(sent[0])))
        self.assertEqual(levels[-1], 0)

    def test_what_was_received_passes_unchanged(self) -> None:
        sent = frames(voice(400))
        self.assertEqual(through(sent, set()), sent)
        heard = through(sent, {5})
        self.assertEqual(heard[:5] + heard[7:], sent[:5] + sent[7:])
        self.assertEqual(heard[6][64:], sent[6][64:])  # 4 ms of joint


class Distance(TestCase):
    """From what was sent, where it was lost, in dB of the spectrum; the mean of three voices, one of them in noise."""

    SOUNDS = (voice(4000), voice(4000, pitch_hz=210), pcm(samples(voice(4000, pitch_hz=150)) + samples(noise(4000, -45))))

    def distances(self, way: Callable[[list[bytes], set[int]], list[bytes]], run: int) -> float:
        found = []
        for sound in self.SOUNDS:
            sent = frames(sound)
            lost = {n + k for n in range(10, 190, 8 + run) for k in range(run)}
            made = way(sent, lost)
            found += [distance(sent[n], made[n]) for n in sorted(lost)]
        return float(np.mean(found))

    def test_it_is_much_nearer_than_silence_and_than_repeating_frames(self) -> None:
        for run, silent, faded, blind, known in ((1, 30, 5.5, 4.0, 2.0), (2, 30, 12, 6.2, 3.4), (3, 30, 15, 7.0, 4.5)):
            self.assertGreater(self.distances(zeroed, run), silent)
            self.assertGreater(self.distances(repeated, run), faded)
            self.assertLess(self.distances(through, run), blind, run)
            self.assertLess(self.distances(bridged, run), known, run)


def zeroed(sent: list[bytes], lost: set[int]) -> list[bytes]:
    return [bytes(len(frame)) if n in lost else frame for n, frame in enumerate(sent)]


def repeated(sent: list[bytes], lost: set[int]) -> list[bytes]:
    """The last frame again, 6 dB less each time, for 40 ms."""
    heard, gain, last = [], 1.0, b""
    for n, frame in enumerate(sent):
        last, gain = (last, gain / 2) if n in lost else (frame, 1.0)
        heard.append(pcm(samples(last) * (gain if gain >= 0.25 else 0)))
    return heard


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

    def test_it_fades_to_the_noise_that_the_line_had(self) -> None:
        concealer = Concealer()
        for frame in frames(pcm(samples(noise(200, -60)) + samples(voice(100, -20) + bytes(1600)))):
            concealer.good(frame)
        levels = [dbfs(concealer.lost(320)) for _ in range(20)]
        self.assertTrue(concealer.silent)
        for level in levels[(HOLD_MS + FADE_MS) // 20 :]:
            self.assertAlmostEqual(level, -60, delta=1.5)
        self.assertGreater(min(levels), -63)

    def test_speech_is_not_taken_for_noise(self) -> None:
        concealer = Concealer()
        for frame in frames(voice(200)):
            concealer.good(frame)
        made = [concealer.lost(320) for _ in range(10)]
        self.assertEqual(made[-1], bytes(320))

    def test_noise_that_has_grown_is_followed_and_speech_forgotten(self) -> None:
        concealer = Concealer()
        for dbfs_ in (-70, -56):
            for _ in range(12):
                for frame in frames(noise(80, dbfs_)):
                    concealer.good(frame)
                made = [concealer.lost(320) for _ in range(7)]
            self.assertAlmostEqual(dbfs(made[-1]), dbfs_, delta=2)

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

    @given(
        st.lists(st.tuples(st.integers(0, 500), st.sampled_from("glb"), st.integers(0, 2000)), max_size=40),
        st.sampled_from((8000, 16000)),
        st.booleans(),
    )
    @settings(max_examples=60, deadline=None)
    def test_any_lengths_in_any_order(self, steps: list[tuple[int, str, int]], rate: int, stateful: bool) -> None:
        concealer, sound = Concealer(rate, stateful=stateful), noise(300, -20)
        for count, what, ahead in steps:
            piece = sound[: 2 * count]
            made = concealer.good(piece) if what == "g" else concealer.lost(2 * count, piece if what == "b" else b"", 2 * ahead)
            self.assertEqual(len(made), 2 * count)
            self.assertLess(sum(map(len, concealer._history)), 5000)
