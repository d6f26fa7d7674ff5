from __future__ import annotations

import random
from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media.codecs.g711 import PCMU
from smartalex.media.frame import FRAME_MS
from smartalex.media.level import dbfs
from smartalex.rtp.hearing import CONCEALED, NOTHING, Hearing
from tests.media.sounds import distance, frames, voice

FRAME = 160


class Plain:
    """A codec whose payload is its PCM, at any rate."""

    name = "PLAIN"

    def __init__(self, rate: int = 8000, clock: int = 8000) -> None:
        self.rate, self.clock, self.payload_type, self.stateful = rate, clock, None, False

    def encode(self, pcm: bytes) -> bytes:
        return pcm

    decode = encode


Arrivals = dict[int, list[tuple[int, bytes]]]


def heard(hearing: Hearing, arrivals: Arrivals, ticks: int, jitter: float = 0.0, lost: bool = False) -> list[tuple[bytes, int]]:
    """Frames of so many ticks; `arrivals` has the (timestamp, payload) that are there before each, in the order of sending.

    `lost`: what is not there was sent (20 ms in each packet).
    """
    out, count = [], 0
    for tick in range(ticks):
        for timestamp, payload in arrivals.get(tick, ()):
            hearing.push(timestamp, payload, jitter, (65000 + (timestamp // FRAME if lost else count)) & 0xFFFF)
            count += 1
        out.append(hearing.hear())
    return out


def sent(pcm: bytes, size: int = 2 * FRAME) -> Arrivals:
    """In time, `size` octets a packet."""
    arrivals: Arrivals = {}
    for n, payload in enumerate(frames(pcm, size)):
        arrivals.setdefault(-(-(n + 1) * size // (2 * FRAME)) - 1, []).append((n * size // 2, payload))
    return arrivals


class Clean(TestCase):
    def test_all_of_it_goes_through_bit_by_bit(self) -> None:
        pcm = voice(400)
        for ms in (10, 20, 30, 40, 60):
            frames_ = heard(Hearing(Plain()), sent(pcm, ms * 16), 25)
            out = b"".join(frame for frame, _ in frames_)
            self.assertIn(pcm[: 380 // ms * ms * 16], out, ms)
            self.assertEqual({len(frame) for frame, _ in frames_}, {320})

    def test_wide_and_with_a_clock_of_its_own(self) -> None:
        pcm = bytes(np.random.default_rng(1).integers(0, 255, 640 * 20, np.uint8))
        for clock in (8000, 16000, 48000):
            arrivals = {n: [(n * clock // 50, pcm[n * 640 : n * 640 + 640])] for n in range(20)}
            frames_ = heard(Hearing(Plain(16000, clock)), arrivals, 21)
            self.assertEqual(b"".join(frame for frame, _ in frames_[1:]), pcm)
            self.assertEqual([flags for _, flags in frames_], [NOTHING] + [0] * 20)

    def test_before_anything_came_there_is_silence(self) -> None:
        self.assertEqual(heard(Hearing(PCMU()), {}, 3), [(bytes(320), NOTHING)] * 3)

    def test_the_frame_to_spare_is_taken_out_in_a_pause(self) -> None:
        before, after = voice(6000), voice(900)
        hearing = Hearing(Plain())
        out = b"".join(frame for frame, _ in heard(hearing, sent(before + bytes(16 * 500) + after), 370))
        self.assertIn(before, out)
        self.assertIn(after[:-640], out)
        self.assertAlmostEqual(hearing.shorter_ms, 18, delta=5)
        self.assertEqual((hearing.concealed, hearing.jitter.waits), (0, 0))

    def test_where_there_is_no_pause_it_is_taken_out_of_the_voice(self) -> None:
        hearing = Hearing(Plain())
        heard(hearing, sent(voice(12_000)), 590)
        self.assertAlmostEqual(hearing.shorter_ms, 18, delta=5)


class Broken(TestCase):
    def test_what_is_lost_is_made_up_and_said(self) -> None:
        arrivals = sent(voice(400))
        del arrivals[7], arrivals[12]
        hearing = Hearing(Plain())
        flags = [flags for _, flags in heard(hearing, arrivals, 19, lost=True)]
        self.assertEqual([n for n, flag in enumerate(flags) if flag == CONCEALED], [8, 13])
        self.assertEqual(hearing.concealed, 2)

    def test_what_is_lost_is_led_to_what_follows_it(self) -> None:
        pcm = voice(3000)
        for stateful in (False, True):
            for lost in (set(range(10, 140, 9)), {n for k in range(10, 140, 11) for n in (k, k + 1)}):
                hearing, codec = Hearing(PCMU()), Plain()
                codec.stateful = stateful
                hearing.change(codec)
                arrivals = {n: [(n * FRAME, frame)] for n, frame in enumerate(frames(pcm)) if n not in lost}
                out = heard(hearing, arrivals, 151, lost=True)
                apart = [distance(frames(pcm)[n], out[n + 1][0]) for n in lost]
                self.assertLess(np.mean(apart), 2.0 if len(lost) < 20 else 4.2, (stateful, len(lost)))

    def test_when_it_ceases_it_fades_and_then_there_is_nothing(self) -> None:
        flags = [flags for _, flags in heard(Hearing(Plain()), sent(voice(200)), 30)]
        self.assertEqual(flags[:1] + flags[-10:], [NOTHING] + [NOTHING] * 10)
        self.assertIn(CONCEALED, flags)

    def test_comfort_noise_until_audio_comes_again(self) -> None:
        hearing = Hearing(Plain())
        heard(hearing, sent(voice(200)), 12)
        hearing.noise(50)
        noisy = heard(hearing, {}, 40)
        self.assertEqual({flags for _, flags in noisy[2:]}, {NOTHING})
        self.assertAlmostEqual(dbfs(b"".join(frame for frame, _ in noisy[10:])), -50, delta=1.5)
        pcm = voice(100)
        out = heard(hearing, {n: [(52 * FRAME + n * FRAME, frame)] for n, frame in enumerate(frames(pcm, 320))}, 6)
        self.assertIn(pcm[640:1280], b"".join(frame for frame, _ in out))

    def test_another_codec_in_the_middle(self) -> None:
        hearing = Hearing(PCMU())
        heard(hearing, {n: [(n * FRAME, b"\x55" * FRAME)] for n in range(10)}, 10)
        hearing.change(Plain(16000))
        frames_ = heard(hearing, {n: [(1600 + n * FRAME, b"ab" * 320)] for n in range(5)}, 5)
        self.assertEqual({len(frame) for frame, _ in frames_}, {640})
        self.assertEqual(frames_[-1], (b"ab" * 320, 0))


class Senders(TestCase):
    """As they are."""

    def test_one_that_sends_nothing_in_pauses_has_lost_nothing(self) -> None:
        hearing = Hearing(Plain())
        arrivals = {n: [(n * FRAME, frame)] for n, frame in enumerate(frames(voice(12_000))) if n % 50 < 35}
        flags = [flags for _, flags in heard(hearing, arrivals, 600)]
        self.assertEqual((hearing.concealed, hearing.concealed_ms), (0, 0))
        self.assertEqual((hearing.jitter.pauses, hearing.jitter.missing, hearing.jitter.waits), (11, 0, 0))
        self.assertLess(flags.count(CONCEALED), 12 * 6)
        self.assertLess(hearing.jitter.depth_ms, 35)

    def test_nor_where_the_buffer_is_deep(self) -> None:
        for pause in (2, 5, 20):
            hearing = Hearing(Plain())
            arrivals = {n: [(n * FRAME, frame)] for n, frame in enumerate(frames(voice(12_000))) if n % 50 < 50 - pause}
            heard(hearing, arrivals, 600, jitter=50 * 8)
            self.assertGreater(hearing.jitter.depth_ms, 60)
            self.assertEqual((hearing.concealed, hearing.jitter.pauses, hearing.jitter.missing), (0, 11, 0), pause)

    def test_what_is_lost_at_the_end_of_a_pause_is_lost(self) -> None:
        hearing, sent_ = Hearing(Plain()), frames(voice(2000))
        for n in range(100):
            if not 40 <= n < 61:
                hearing.push(n * FRAME, sent_[n], 0.0, n - 20 * (n > 40))
            hearing.hear()
        self.assertEqual((hearing.jitter.pauses, hearing.jitter.missing), (0, 1))
        self.assertGreater(hearing.concealed, 0)

    def test_what_breaks_off_for_ever_is_not_counted(self) -> None:
        hearing = Hearing(Plain())
        heard(hearing, sent(voice(400)), 40)
        self.assertEqual(hearing.concealed, 0)

    def test_one_that_counts_wrong(self) -> None:
        """Packets of 30 ms whose timestamps say 20, of 20 that say 40 (G.722 at 16 kHz), of 20 that say nothing."""
        pcm = voice(12_000)
        for ms, step in ((30, 160), (20, 320), (20, 0)):
            hearing, size = Hearing(Plain()), ms * 16
            arrivals = {tick: [(at * 2 // size * step, payload) for at, payload in row] for tick, row in sent(pcm, size).items()}
            out = heard(hearing, arrivals, 580)
            self.assertEqual([flags for _, flags in out[-350:]], [0] * 350, (ms, step))
            whole, pieces = b"".join(frame for frame, _ in out), frames(pcm[9000 * 16 : 11_000 * 16], 200 * 16)
            self.assertGreaterEqual(sum(piece in whole for piece in pieces), 8, (ms, step))  # others are cut, to be less deep

    def test_one_whose_clock_differs_by_200_parts_in_a_million(self) -> None:
        """Over five minutes: 60 ms too much are cut out, or 60 ms made up, 20 at a time."""
        phrase = frames(voice(1600) + bytes(16 * 400))
        for ppm in (-200, 200):
            hearing = Hearing(Plain())
            arrivals: Arrivals = {}
            for n in range(15_000):
                arrivals.setdefault(int(n * (1 + ppm * 1e-6) + 0.15), []).append((n * FRAME, phrase[n % 100]))
            deepest = 0.0
            for tick in range(15_000):
                for timestamp, payload in arrivals.get(tick, ()):
                    hearing.push(timestamp, payload, 0.0, timestamp // FRAME)
                hearing.hear()
                deepest = max(deepest, hearing.jitter.depth_ms)
            self.assertLess(deepest, 45)
            self.assertLessEqual(hearing.jitter.waits, 3)
            self.assertEqual((hearing.jitter.late, hearing.jitter.missing, hearing.jitter.dropped), (0, 0, 0))
            self.assertEqual(hearing.concealed, hearing.jitter.waits)

    def test_packets_of_any_length_that_are_lost(self) -> None:
        pcm = voice(3000)
        for ms in (10, 20, 30, 40, 60):
            arrivals = sent(pcm, ms * 16)
            numbered = [(tick, at, payload) for tick, row in arrivals.items() for at, payload in row]
            hearing, n = Hearing(Plain()), 0
            out = []
            for tick in range(140):
                while n < len(numbered) and numbered[n][0] == tick:
                    if n % 9 != 8:
                        hearing.push(numbered[n][1], numbered[n][2], 0.0, n)
                    n += 1
                out.append(hearing.hear())
            lost = len([k for k in range(n) if k % 9 == 8])
            self.assertAlmostEqual(hearing.concealed_ms, lost * ms, delta=ms, msg=str(ms))
            self.assertEqual({len(frame) for frame, _ in out}, {320})
            self.assertEqual((hearing.jitter.late, hearing.jitter.waits), (0, 0), ms)
            self.assertLess(hearing.longer_ms, 40)

    def test_the_first_packets_of_all_are_lost(self) -> None:
        pcm = voice(600)
        arrivals = sent(pcm)
        for missing in (1, 2):
            hearing = Hearing(Plain())
            for n in range(1, 1 + missing):
                arrivals.pop(n, None)
            out = b"".join(frame for frame, _ in heard(hearing, arrivals, 28))
            self.assertIn(pcm[640 * 2 : 640 * 12], out)


class Jittery(TestCase):
    """A network that delays each packet by a time of its own."""

    def through(self, spread_ms: int, seconds: int = 20) -> Hearing:
        draw = random.Random(spread_ms)
        arrivals: Arrivals = {}
        for n, payload in enumerate(frames(voice(1000 * seconds), 320)):
            arrivals.setdefault(n + int(draw.uniform(0, spread_ms) / FRAME_MS + 0.5), []).append((n * FRAME, payload))
        hearing = Hearing(Plain())
        heard(hearing, arrivals, 150, jitter=spread_ms / 3 * 8)
        self.learned = hearing.jitter.late + hearing.jitter.waits
        heard(hearing, {tick - 150: row for tick, row in arrivals.items()}, 50 * seconds - 150, jitter=spread_ms / 3 * 8)
        return hearing

    def test_it_becomes_as_deep_as_it_must(self) -> None:
        for spread_ms in (40, 80, 160):
            hearing = self.through(spread_ms)
            late = hearing.jitter.late + hearing.jitter.waits
            self.assertLess(self.learned, 20, spread_ms)
            self.assertLess(late - self.learned, 12, spread_ms)  # of 850
            self.assertLess(hearing.jitter.depth_ms, spread_ms / 2 + 40, spread_ms)

    def test_and_never_deeper_than_the_highest(self) -> None:
        hearing = self.through(600)
        self.assertLessEqual(hearing.jitter.depth_ms, 200)
        self.assertLess(len(hearing.jitter), 25)


class AnyArrivals(TestCase):
    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.lists(st.tuples(st.integers(0, 1 << 32), st.binary(max_size=1000)), max_size=5), max_size=40),
        st.floats(0, 1e6),
        st.sampled_from(((8000, 8000), (16000, 8000), (16000, 48000))),
    )
    def test_always_one_frame_and_bounded(
        self, arrivals: list[list[tuple[int, bytes]]], jitter: float, rates: tuple[int, int]
    ) -> None:
        hearing = Hearing(Plain(*rates))
        even = {tick: [(at & 0xFFFFFFFF, data[: len(data) // 2 * 2]) for at, data in row] for tick, row in enumerate(arrivals)}
        for frame, _ in heard(hearing, even, len(arrivals) + 20, jitter):
            self.assertEqual(len(frame), rates[0] // 25)
        self.assertLess(len(hearing._rest), rates[0])
