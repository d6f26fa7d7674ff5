from __future__ import annotations

import time
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.ai.text import MAX_TEXT, SENTENCE_LIMIT, sentences, speakable


class Speakable(TestCase):
    def test_markup_links_and_emoji_go(self) -> None:
        self.assertEqual(speakable("**Hello** _there_ 😀\n- one\n- two"), "Hello there one two")
        self.assertEqual(speakable("See https://www.example.com/a?b=c."), "See example dot com")
        self.assertEqual(speakable("[our site](https://example.com) costs $5 + 10%"), "our site costs $5 + 10%")
        self.assertEqual(speakable("a\x00b\x1b[31m\u202ec"), "ab31mc")

    @settings(max_examples=80, deadline=None)
    @given(st.text(max_size=300))
    def test_any_text(self, text: str) -> None:
        clean = speakable(text)
        self.assertLessEqual(len(clean), MAX_TEXT)
        self.assertEqual(clean, " ".join(clean.split()))
        for piece in sentences(clean):
            self.assertLessEqual(len(piece), SENTENCE_LIMIT)
            self.assertTrue(any(c.isalnum() for c in piece))

    def test_hostile_text_takes_no_time(self) -> None:
        began = time.perf_counter()
        for text in ("." * 200_000, "[" * 200_000, "http://" * 30_000, "www." * 50_000, " " * 200_000 + "x", "- " * 100_000):
            sentences(speakable(text))
        self.assertLess(time.perf_counter() - began, 5)


class Sentences(TestCase):
    def test_split(self) -> None:
        self.assertEqual(
            sentences("Hello. I can connect you to Mr. Baker, ext. 201! Is 3.5 p.m. fine? Yes"),
            ["Hello.", "I can connect you to Mr. Baker, ext. 201!", "Is 3.5 p.m. fine?", "Yes"],
        )

    def test_nothing_to_say(self) -> None:
        self.assertEqual(sentences(" ... !? -"), [])

    def test_long_ones_are_cut_at_commas(self) -> None:
        text = ", ".join(["and this goes on"] * 40)
        pieces = sentences(text)
        self.assertGreater(len(pieces), 2)
        self.assertEqual(" ".join(pieces), text)
        self.assertTrue(all(piece.endswith(",") for piece in pieces[:-1]))
