from __future__ import annotations

from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media.resample import Resampler, resample
from tests.media.sounds import noise, pcm, rms, samples, tone

PAIRS = [(8000, 16000), (16000, 8000), (8000, 24000), (24000, 8000), (22050, 8000), (8000, 48000), (48000, 8000)]
EDGE_S = 0.02
"""What the filter still rings at both ends."""


def inner(data: bytes, rate: int) -> np.ndarray:
    edge = int(EDGE_S * rate)
    return samples(data)[edge:-edge]


class WholeClips(TestCase):
    def test_the_duration_is_kept_to_a_sample(self) -> None:
        for source, target in PAIRS:
            for count in (1, 2, 159, 160, 161, 4001):
                out = resample(pcm(np.zeros(count)), source, target)
                self.assertEqual(len(out), 2 * round(count * target / source), (source, target, count))

    def test_no_delay_and_no_gain_in_the_pass_band(self) -> None:
        for source, target in PAIRS:
            for hz, tolerance in ((300, 0.001), (1000, 0.001), (2500, 0.01), (3000, 0.06)):
                out = inner(resample(tone(hz, 500, source), source, target), target)
                wanted = inner(tone(hz, 500, target), target)
                error = rms(out[: len(wanted)] - wanted[: len(out)])
                self.assertLess(error, tolerance * rms(wanted), (source, target, hz))

    def test_what_would_alias_is_rejected_by_40_db(self) -> None:
        for source in (16000, 24000, 48000):
            for hz in (5000, 6000, 7900):
                heard = resample(tone(hz, 500, source), source, 8000)
                self.assertLess(rms(inner(heard, 8000)), 0.01 * rms(samples(tone(hz, 500, source))), (source, hz))

    def test_upwards_no_image_appears(self) -> None:
        spectrum = np.abs(np.fft.rfft(inner(resample(tone(1000, 1000), 8000, 24000), 24000)))
        bins_hz = np.linspace(0, 12000, len(spectrum))
        self.assertLess(spectrum[bins_hz > 4500].max(), spectrum.max() / 100)

    def test_full_scale_is_clipped_and_never_wraps(self) -> None:
        square = pcm(np.sign(np.sin(2 * np.pi * 200 * np.arange(8000) / 8000)) * 32767)
        out, high = samples(resample(square, 8000, 16000)), samples(square) > 0
        middles = np.arange(20, 7900, 20) + 10  # of each half wave
        self.assertTrue(np.all((out[2 * middles] > 0) == high[middles]))

    def test_the_same_rate_and_nothing_are_left_alone(self) -> None:
        self.assertEqual(resample(b"\1\2\3\4", 8000, 8000), b"\1\2\3\4")
        self.assertEqual(resample(b"", 8000, 16000), b"")


class Streams(TestCase):
    @given(st.sampled_from(PAIRS), st.lists(st.integers(0, 1500), max_size=12))
    @settings(max_examples=60, deadline=None)
    def test_cuts_do_not_matter_even_within_a_sample(self, rates: tuple[int, int], cuts: list[int]) -> None:
        source = noise(400, -20)
        stream, out, at = Resampler(*rates), b"", 0
        for cut in cuts:
            out += stream.process(source[at : at + cut])
            at += cut
        out += stream.process(source[at:]) + stream.finish()
        whole = Resampler(*rates)
        wanted = whole.process(source) + whole.finish()
        count = min(len(out), len(wanted))
        self.assertLessEqual(abs(len(out) - len(wanted)), 4)
        self.assertLessEqual(np.abs(samples(out[:count]) - samples(wanted[:count])).max(), 1)

    def test_it_holds_back_milliseconds_only(self) -> None:
        for rates in PAIRS:
            stream = Resampler(*rates)
            sent = sum(len(stream.process(bytes(2 * (rates[0] // 50)))) for _ in range(50)) // 2
            self.assertGreater(sent, rates[1] * 0.97)

    def test_after_finish_a_new_stream_begins(self) -> None:
        stream = Resampler(8000, 16000)
        first = stream.process(tone(440, 100) + b"\1") + stream.finish()
        self.assertEqual(stream.process(tone(440, 100)) + stream.finish(), first)

    def test_the_same_rate_passes_through(self) -> None:
        stream = Resampler(8000, 8000)
        self.assertEqual(stream.process(b"\1\2\3") + stream.process(b"\4") + stream.finish(), b"\1\2\3\4")
