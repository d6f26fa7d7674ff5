"""DIDs: what matches, and what was nearly right."""

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.tenants.did import Did, match, near_miss
from smartalex.tenants.directory import Directory, Extension

DIDS = tuple(Did(number, "t1", "a1") for number in ("+27215550100", "+27215550200", "alex"))


class Matching(TestCase):
    def test_the_whole_number_and_nothing_else(self) -> None:
        for wanted, found in (
            ("+27215550100", DIDS[0]),
            ("27215550100", None),
            ("+2721555010", None),
            ("+27215550100 ", None),
            ("", None),
        ):
            self.assertEqual(match(DIDS, wanted), found, wanted)

    def test_names_in_any_case(self) -> None:
        self.assertEqual(match(DIDS, "Alex"), DIDS[2])


class NearMisses(TestCase):
    def test_the_same_digits_in_another_notation_come_first(self) -> None:
        for number in ("27215550200", "0027215550200", "+0027215550200"):
            self.assertEqual(near_miss(DIDS, number), "+27215550200", number)

    def test_one_digit_or_letter_wrong(self) -> None:
        self.assertEqual(near_miss(DIDS, "+27215550101"), "+27215550100")
        self.assertEqual(near_miss(DIDS, "alec"), "alex")

    def test_with_nothing_near_any_shows_what_a_did_looks_like(self) -> None:
        self.assertEqual(near_miss(DIDS, "zzz"), "+27215550100")
        self.assertIsNone(near_miss((), "zzz"))

    @given(st.text(max_size=40))
    def test_whatever_is_dialled_it_names_a_did_of_the_trunk(self, number: str) -> None:
        self.assertIn(near_miss(DIDS, number), [did.number for did in DIDS])


class InTheDirectory(TestCase):
    def test_only_by_its_id(self) -> None:
        sarah = Extension("sarah", "301", "Sarah")
        directory = Directory((sarah,), "sarah")
        self.assertIs(directory.find("sarah"), sarah)
        for other in ("301", "Sarah", "", "SARAH"):
            self.assertIsNone(directory.find(other), other)
