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
        self.assertEqual(ToBackend(PCM8K, 8000).frames(frame), (frame,))
        self.assertEqual(FromBackend(PCM8K, 8000).pcm(frame), frame)

    def test_half_samples_are_kept_for_later(self) -> None:
        back = FromBackend(PCM8K, 8000)
        self.assertEqual(back.pcm(b"\1\2\3") + back.pcm(b"\4"), b"\1\2\3\4")

    def test_there_and_back(self) -> None:
        pcm = sine(440, 1000)
        for format in (PCM16K, PCM24K, PCMU):
            there, back = ToBackend(format, 8000), FromBackend(format, 8000)
            frames = [frame for at in range(0, len(pcm), 320) for frame in there.frames(pcm[at : at + 320])]
            self.assertEqual({len(frame) for frame in frames}, {format.frame_bytes})
            self.assertGreaterEqual(len(frames), 48)
            out = np.frombuffer(b"".join(map(back.pcm, frames)), "<i2").astype(float)
            self.assertAlmostEqual(float(np.sqrt(np.mean(out[800:-800] ** 2))) / 32768, 10 ** (-18 / 20), delta=0.01)
