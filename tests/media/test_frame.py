from __future__ import annotations

import gc
import weakref
from unittest import TestCase

from smartalex.media.frame import PCM8K, PCM16K, AudioFormat, Clip


class Formats(TestCase):
    def test_bytes_of_a_frame(self) -> None:
        found = [PCM8K, PCM16K, AudioFormat("pcm16", 24000), AudioFormat("pcmu", 8000), AudioFormat("pcma", 8000)]
        self.assertEqual([format.frame_bytes for format in found], [320, 640, 960, 160, 160])


class Clips(TestCase):
    def test_duration(self) -> None:
        self.assertEqual(
            [Clip(bytes(320)).duration_ms, Clip(bytes(32000), 16000).duration_ms, Clip(b"").duration_ms], [20, 1000, 0]
        )

    def test_two_clips_of_the_same_sound_are_two(self) -> None:
        self.assertNotEqual(Clip(bytes(320)), Clip(bytes(320)))

    def test_a_clip_can_be_remembered_without_being_kept(self) -> None:
        clip = Clip(bytes(320), text="hello")
        remembered = weakref.WeakKeyDictionary({clip: 1})
        self.assertIn(clip, remembered)
        self.assertNotIn("\\x00", repr(clip))
        del clip
        gc.collect()
        self.assertEqual(len(remembered), 0)
