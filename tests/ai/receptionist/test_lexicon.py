from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.ai.receptionist.lexicon import phones, variants

ARPABET = set("AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split())


class Pronunciation(TestCase):
    def test_letters_become_phones(self) -> None:
        self.assertEqual(phones("naidoo"), "N EY D UW")
        self.assertEqual(phones("kapp"), "K AA P")

    def test_other_readings_follow_the_likeliest(self) -> None:
        self.assertEqual(variants("naidoo")[0], "N EY D UW")
        self.assertIn("N AY D UW", variants("naidoo"))

    @given(st.text(max_size=30))
    def test_whatever_the_word_the_decoder_knows_the_phones(self, word: str) -> None:
        for reading in variants(word):
            self.assertTrue(reading)
            self.assertLessEqual(set(reading.split()), ARPABET)
        self.assertEqual(len(set(variants(word))), len(variants(word)))
