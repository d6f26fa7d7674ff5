from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st
from pocketsphinx import Decoder

from smartalex.ai.receptionist.grammar import FIXED, OPERATOR, Intent, Names, answering, asking, read, words
from smartalex.interfaces import Destination
from tests.ai.receptionist.office import OFFICE

NAMES = Names.of(OFFICE)


def destination(*ids: str) -> Intent:
    return Intent("destination", ids)


class Reading(TestCase):
    def test_what_sentences_ask_for(self) -> None:
        for said, wanted in (
            ("connect me to sarah in billing", destination("sarah")),
            ("can i speak to sarah mitchell please", destination("sarah")),
            ("tom", destination("tom", "tom2")),
            ("tom in billing", destination("tom2")),
            ("tom from accounts", destination("tom2")),  # an alias of the department is as good as its name
            ("thomas", destination("tom")),
            ("sales", destination("sales")),
            ("the billing department please", destination("billing")),
            ("i need to speak to someone in accounts", destination("billing")),
            ("no jose nunez", destination("jose")),
            ("operator", Intent("operator")),
            ("can i talk to a real person please", Intent("operator")),
            ("can i talk to someone in technical", Intent("none")),
            ("the second one", Intent("choice", ("2",))),
            ("sarah in", Intent("none")),
            ("connect me to", Intent("none")),
            ("", Intent("none")),
        ):
            self.assertEqual(read(said, NAMES), wanted, said)

    def test_every_fixed_phrase_means_what_it_stands_for(self) -> None:
        for kind, phrases in FIXED.items():
            for phrase in phrases:
                self.assertEqual(read(phrase, NAMES).kind, kind, phrase)
        for phrase in OPERATOR:
            self.assertEqual(read(phrase, NAMES).kind, "operator", phrase)

    def test_a_name_within_a_word_is_no_name(self) -> None:
        self.assertEqual(read("tomorrow", NAMES).kind, "none")

    @given(st.text(max_size=60))
    def test_any_text_can_be_read(self, text: str) -> None:
        intent = read(text, NAMES)
        self.assertLessEqual(set(intent.candidates), {one.id for one in OFFICE} | {"1", "2", "3"})

    def test_words_are_what_a_caller_would_say(self) -> None:
        self.assertEqual(words("José O'Brien, Building 7"), ["jose", "o'brien", "building", "seven"])


class TheGrammar(TestCase):
    def compiled(self, jsgf: str, names: Names = NAMES) -> None:
        decoder = Decoder(lm=None, loglevel="FATAL")
        for word in names.vocabulary():
            if decoder.lookup_word(word) is None:
                decoder.add_word(word, "AH", False)
        decoder.add_jsgf_string("said", jsgf)
        decoder.activate_search("said")

    def test_the_decoder_takes_it_whatever_the_directory_holds(self) -> None:
        person, department = OFFICE[0], OFFICE[4]
        for office in (OFFICE, (person,), (department,), (), (Destination("x", "株式会社"),), (Destination("y", ""),)):
            names = Names.of(office)
            self.compiled(asking(names), names)
            self.compiled(answering(names, 3), names)

    def test_people_are_looked_for_in_their_own_department_only(self) -> None:
        self.assertRegex(asking(NAMES), r"\([^()]*sarah[^()]*\) \(in \| from \| at\) \(billing \| accounts\)")
        self.assertNotRegex(asking(NAMES), r"\([^()]*sarah[^()]*\) \(in \| from \| at\) \(sales")

    def test_whom_the_caller_refused_is_left_out(self) -> None:
        left = NAMES.without({"sarah", "sales"})
        self.assertNotIn("sarah", left.people)
        self.assertNotIn("sales", left.departments)
        self.assertEqual(left.people["tom"], {"tom", "tom2"})
