"""G.722 against ITU's own test sequence, against FFmpeg's, and by ear.

ITU's sequence (G.191: inpsp.bin, codspw.cod, outsp1.bin) is not ours to publish.  Put it into tests/data/g722, or name a
directory in SMARTALEX_G722; without it these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import TestCase, skipUnless

import numpy as np

from smartalex.media.codecs.g722 import G722
from smartalex.media.tone import chord
from tests.media.sounds import voice

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    Path(os.environ.get("SMARTALEX_G722", "tests/data/g722")),
    ROOT / "tests/data/g722",
    ROOT.parent / "shared/data/g722",
)
SEQUENCE = next((place for place in PLACES if (place / "inpsp.bin").exists()), None)
DELAY = 22
"""Samples that the two filter banks take."""

SPEECH = voice(3000, rate=16000)


def ffmpeg(pcm: bytes, *options: str) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", *options, "-"], input=pcm, capture_output=True, check=True).stdout


def snr_db(sent: bytes, heard: bytes, delay: int = DELAY) -> float:
    wanted, got = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (sent, heard))
    wanted, got = wanted[: len(wanted) - delay], got[delay:]
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((wanted - got) ** 2)))


@skipUnless(SEQUENCE, "ITU's test sequence is not here")
class Reference(TestCase):
    def setUp(self) -> None:
        assert SEQUENCE is not None
        self.codes = np.frombuffer((SEQUENCE / "codspw.cod").read_bytes(), "<u2").astype(np.uint8).tobytes()
        self.place = SEQUENCE

    def test_every_code_in_packets_of_any_length(self) -> None:
        pcm = (self.place / "inpsp.bin").read_bytes()
        for size in (320, 640, 1920, len(pcm)):
            codec = G722()
            self.assertTrue(b"".join(codec.encode(pcm[at : at + size]) for at in range(0, len(pcm), size)) == self.codes)

    def test_every_sample(self) -> None:
        self.assertTrue(G722().decode(self.codes) == (self.place / "outsp1.bin").read_bytes())


@skipUnless(shutil.which("ffmpeg"), "FFmpeg is not installed")
class OtherImplementation(TestCase):
    def test_it_hears_what_we_send_as_we_would(self) -> None:
        codes = G722().encode(SPEECH)
        self.assertTrue(ffmpeg(codes, "-f", "g722", "-i", "-", "-f", "s16le") == G722().decode(codes))

    def test_we_hear_what_it_sends(self) -> None:
        codes = ffmpeg(SPEECH, "-f", "s16le", "-ar", "16000", "-i", "-", "-f", "g722")
        self.assertGreater(snr_db(SPEECH, G722().decode(codes)), 15)


class Codec(TestCase):
    def test_speech_comes_through(self) -> None:
        self.assertGreater(snr_db(SPEECH, G722().decode(G722().encode(SPEECH))), 15)

    def test_the_upper_band_comes_through_too(self) -> None:
        tones = chord((1000, 5000), 1000, 16000)
        heard = np.frombuffer(G722().decode(G722().encode(tones)), "<i2").astype(float)
        spectrum = np.abs(np.fft.rfft(heard[4000:12000]))
        self.assertEqual(sorted(np.argsort(spectrum)[-2:] * 2), [1000, 5000])

    def test_both_directions_are_apart(self) -> None:
        alone, busy = G722(), G722()
        for at in range(0, len(SPEECH), 640):
            busy.decode(bytes(range(160)))
            self.assertEqual(busy.encode(SPEECH[at : at + 640]), alone.encode(SPEECH[at : at + 640]))

    def test_an_odd_sample_gets_a_neighbour(self) -> None:
        self.assertEqual(len(G722().encode(bytes(6))), 2)
        self.assertEqual(G722().encode(SPEECH[:6]), G722().encode(SPEECH[:6] + bytes(2)))
