"""G.711 against its own tables 1 and 2: decision values, quantized values, character signals."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, pairwise
from unittest import TestCase

import numpy as np
from zope.interface.verify import verifyObject

from smartalex.interfaces import ICodec
from smartalex.media.codecs.g711 import PCMA, PCMU

EVERY_SAMPLE = range(-32768, 32768)
EVERY_CODE = bytes(range(256))

MU_DECISIONS = [0, *accumulate([1] + [2] * 15 + [step for step in (4, 8, 16, 32, 64, 128, 256) for _ in range(16)])]
"""Table 2, column 3, in units of 14 bits; the last is the virtual decision value 8159."""

A_DECISIONS = [0, *accumulate([2] * 32 + [step for step in (4, 8, 16, 32, 64, 128) for _ in range(16)])]
"""Table 1, column 3, in units of 13 bits; the last is the virtual decision value 4096."""


def quantized(decisions: list[int]) -> list[int]:
    """The middle of each interval."""
    return [(low + high) // 2 for low, high in pairwise(decisions)]


MU_VALUES = [0, *quantized(MU_DECISIONS)[1:]]
A_VALUES = quantized(A_DECISIONS)


def interval(decisions: list[int], sample: int, bits: int) -> int:
    """Number of the interval of a 16-bit sample; a negative one counts from -1, as in ITU's software tools (G.191)."""
    magnitude = (sample if sample >= 0 else -sample - 1) >> (16 - bits)
    return min(127, bisect_right(decisions, magnitude) - 1)


def mu_code(sample: int) -> int:
    return (0xFF if sample >= 0 else 0x7F) - interval(MU_DECISIONS, sample, 14)


def a_code(sample: int) -> int:
    return ((0x80 if sample >= 0 else 0) | interval(A_DECISIONS, sample, 13)) ^ 0x55


def as_pcm(samples: object) -> bytes:
    return np.array(samples, "<i2").tobytes()


class Tables(TestCase):
    def test_the_references_own_ends(self) -> None:
        self.assertEqual((len(MU_VALUES), MU_DECISIONS[-1], MU_VALUES[-1]), (128, 8159, 8031))
        self.assertEqual((len(A_VALUES), A_DECISIONS[-1], A_VALUES[-1]), (128, 4096, 4032))

    def test_every_sample_is_encoded_by_the_tables(self) -> None:
        pcm = as_pcm(EVERY_SAMPLE)
        self.assertEqual(PCMU().encode(pcm), bytes(map(mu_code, EVERY_SAMPLE)))
        self.assertEqual(PCMA().encode(pcm), bytes(map(a_code, EVERY_SAMPLE)))

    def test_every_code_is_decoded_by_the_tables(self) -> None:
        mu = [(4 if code & 0x80 else -4) * MU_VALUES[~code & 0x7F] for code in EVERY_CODE]
        a = [(8 if code & 0x80 else -8) * A_VALUES[(code ^ 0x55) & 0x7F] for code in EVERY_CODE]
        self.assertEqual(PCMU().decode(EVERY_CODE), as_pcm(mu))
        self.assertEqual(PCMA().decode(EVERY_CODE), as_pcm(a))


class Codec(TestCase):
    def test_what_was_decoded_is_encoded_to_itself(self) -> None:
        for codec, twice in ((PCMU(), {0x7F: 0xFF}), (PCMA(), {})):  # mu-law has two zeros
            again = codec.encode(codec.decode(EVERY_CODE))
            self.assertEqual(list(again), [twice.get(code, code) for code in EVERY_CODE])

    def test_silence_is_the_code_of_zero(self) -> None:
        for codec in (PCMU(), PCMA()):
            self.assertEqual(codec.encode(bytes(320)), codec.silence * 160)

    def test_sizes_and_the_empty_frame(self) -> None:
        for codec in (PCMU(), PCMA()):
            self.assertTrue(verifyObject(ICodec, codec))
            self.assertEqual((codec.encode(b""), codec.decode(b"")), (b"", b""))
            self.assertEqual((len(codec.encode(bytes(6))), len(codec.decode(bytes(3)))), (3, 6))
        self.assertEqual((PCMU.payload_type, PCMA.payload_type), (0, 8))  # RFC 3551 table 4
