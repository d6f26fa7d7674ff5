from __future__ import annotations

from unittest import TestCase

import numpy as np

from smartalex.media.level import FLOOR_DBFS, amplified, dbfs, peak_dbfs
from tests.media.sounds import noise, pcm, tone


class Level(TestCase):
    def test_reference_signals(self) -> None:
        square = pcm(np.full(800, -32768.0))
        self.assertAlmostEqual(dbfs(square), 0.0, places=3)
        self.assertAlmostEqual(dbfs(tone(1000, 1000, amplitude=32767)), -3.01, places=2)
        self.assertAlmostEqual(dbfs(noise(2000, -30)), -30, delta=0.2)
        self.assertAlmostEqual(peak_dbfs(square), 0.0, places=3)
        self.assertAlmostEqual(peak_dbfs(pcm(np.array([0.0, 16384, -3]))), -6.02, places=2)

    def test_silence_and_nothing_are_the_floor(self) -> None:
        for pcm_ in (b"", bytes(320)):
            self.assertEqual((dbfs(pcm_), peak_dbfs(pcm_)), (FLOOR_DBFS, FLOOR_DBFS))

    def test_one_bit_is_above_the_floor(self) -> None:
        self.assertGreater(dbfs(pcm(np.ones(160))), FLOOR_DBFS)

    def test_amplified_moves_the_level_and_clips(self) -> None:
        self.assertAlmostEqual(dbfs(amplified(tone(500, 500), -12)), dbfs(tone(500, 500)) - 12, delta=0.01)
        loud = np.frombuffer(amplified(pcm(np.array([20000.0, -20000, 1])), 12), "<i2")
        self.assertEqual(loud.tolist(), [32767, -32768, 4])
