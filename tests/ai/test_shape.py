from __future__ import annotations

from unittest import TestCase

import numpy as np

from smartalex.ai.shape import FromBackend, ToBackend, choose
from smartalex.media.frame import PCM8K, PCM16K, AudioFormat
from smartalex.media.tone import sine

PCMU = AudioFormat("pcmu", 8000)
PCM24K = AudioFormat("pcm16", 24000)


class Shape(TestCase):
    def test_the_least_work_is_chosen(self) -> None:
        self.assertEqual(choose((PCM16K, PCM8K), 8000), PCM8K)
        self.assertEqual(choose((PCM24K, PCM16K), 8000), PCM24K)
        self.assertEqual(choose((), 8000), PCM8K)

    def test_what_needs_no_change_is_not_changed(self) -> None:
        frame = sine(440, 20)
        self.assertEqual(ToBackend(PCM8K).frames(frame), (frame,))
        self.assertEqual(FromBackend(PCM8K).pcm(frame), frame)

    def test_half_samples_are_kept_for_later(self) -> None:
        back = FromBackend(PCM8K)
        self.assertEqual(back.pcm(b"\1\2\3") + back.pcm(b"\4"), b"\1\2\3\4")

    def test_there_and_back(self) -> None:
        pcm = sine(440, 1000)
        for format in (PCM16K, PCM24K, PCMU):
            there, back = ToBackend(format), FromBackend(format)
            frames = [frame for at in range(0, len(pcm), 320) for frame in there.frames(pcm[at : at + 320])]
            self.assertEqual({len(frame) for frame in frames}, {format.frame_bytes})
            self.assertGreaterEqual(len(frames), 48)
            self.assertEqual(back.rate, format.rate)
            out = np.frombuffer(b"".join(map(back.pcm, frames)), "<i2").astype(float)
            self.assertAlmostEqual(float(np.sqrt(np.mean(out[2400:-2400] ** 2))) / 32768, 10 ** (-18 / 20), delta=0.01)

    def test_the_calls_rate_may_change_in_mid_stream(self) -> None:
        for format in (PCM8K, PCM16K, PCM24K, PCMU):
            there, frames = ToBackend(format), []
            for rate in (8000, 16000, 8000, 16000):
                tone = sine(440, 500, rate)
                frames += [frame for at in range(0, len(tone), rate // 25) for frame in there.frames(tone[at : at + rate // 25])]
            self.assertEqual({len(frame) for frame in frames}, {format.frame_bytes})
            self.assertGreaterEqual(len(frames), 96)
            heard = b"".join(map(FromBackend(format).pcm, frames))
            spectrum = np.abs(np.fft.rfft(np.frombuffer(heard, "<i2").astype(float)))
            self.assertAlmostEqual(spectrum.argmax() * format.rate / (len(heard) / 2), 440, delta=3)
