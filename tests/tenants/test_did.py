"""DIDs: what matches, and what was nearly right."""

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.tenants.did import Did, Routes, routed
from smartalex.tenants.directory import Directory, Extension


def routes(*numbers: str) -> Routes:
    """Each leads to an agent of its own name."""
    return Routes((number, "t1", number) for number in numbers)


LISTED = routes("+27215550100", "+27215550200", "alex")


class Matching(TestCase):
    def leads(self, called: str, *numbers: str) -> str | None:
        found = routes(*numbers).find(called)
        return found.number if found else None

    def test_the_whole_number_and_nothing_else(self) -> None:
        for wanted, found in (
            ("+27215550100", Did("+27215550100", "t1", "+27215550100")),
            ("27215550100", None),
            ("+2721555010", None),
            ("+27215550100 ", None),
            ("", None),
        ):
            self.assertEqual(LISTED.find(wanted), found, wanted)

    def test_names_in_any_case(self) -> None:
        found = LISTED.find("Alex")
        self.assertEqual(found and found.number, "alex")

    def test_a_number_beats_a_prefix_and_a_long_one_a_short_one(self) -> None:
        listed = ("+2721555*", "+27*", "+27215550100", "*")
        for called, number in (
            ("+27215550100", "+27215550100"),
            ("+27215550101", "+2721555*"),
            ("+2721555", "+2721555*"),
            ("+272155", "+27*"),
            ("+1", "*"),
            ("", "*"),
        ):
            self.assertEqual(self.leads(called, *listed), number, called)
        self.assertIsNone(self.leads("+1", "+27*"))

    def test_what_is_written_so_and_not_what_fits(self) -> None:
        listed = routes("+27*", "+27", "*", "Alex*")
        for number in ("+27*", "+27", "*", "Alex*"):
            found = listed.written(number.upper())
            self.assertEqual(found and found.number, number)
        for number in ("+271", "alex", ""):
            self.assertIsNone(listed.written(number))
        self.assertIsNone(routes("+27").written("+27*"))

    NUMBERS = st.text("+1234", min_size=1, max_size=5)

    @given(st.sets(NUMBERS), st.sets(NUMBERS), st.booleans(), st.text("+1234", max_size=6))
    def test_exact_before_the_longest_prefix_before_the_default(
        self, exact: set[str], prefixes: set[str], default: bool, called: str
    ) -> None:
        fitting = sorted((p for p in prefixes if called.startswith(p)), key=len)
        expected = called if called in exact else f"{fitting[-1]}*" if fitting else "*" if default else None
        listed = [*exact, *(f"{p}*" for p in prefixes), *(["*"] if default else [])]
        self.assertEqual(self.leads(called, *listed), expected)
        self.assertEqual(sorted(did.number for did in routes(*listed)), sorted(listed))

    def test_each_trunk_has_its_own(self) -> None:
        two = routed([Did("1", "t1", "a"), Did("1", "t2", "b")])
        self.assertEqual([(trunk, found.agent_id) for trunk, mine in two.items() for found in mine], [("t1", "a"), ("t2", "b")])


class NearMisses(TestCase):
    def test_the_same_digits_in_another_notation_come_first(self) -> None:
        for number in ("27215550200", "0027215550200", "+0027215550200"):
            self.assertEqual(LISTED.near(number), "+27215550200", number)

    def test_one_digit_or_letter_wrong_missing_or_too_many(self) -> None:
        for number in ("+27215550101", "+2721555100", "+272155501000", "+37215550100"):
            self.assertEqual(LISTED.near(number), "+27215550100", number)
        for name in ("alec", "alx", "aleex", "lex"):
            self.assertEqual(LISTED.near(name), "alex")

    def test_with_nothing_near_any_shows_what_a_did_looks_like(self) -> None:
        self.assertEqual(LISTED.near("zzz"), "+27215550100")
        self.assertIsNone(routes().near("zzz"))

    @given(st.text(max_size=40))
    def test_whatever_is_dialled_it_names_a_did_of_the_trunk(self, number: str) -> None:
        self.assertIn(LISTED.near(number), [did.number for did in LISTED])


class InTheDirectory(TestCase):
    def test_only_by_its_id(self) -> None:
        sarah = Extension("sarah", "301", "Sarah")
        directory = Directory((sarah,), "sarah")
        self.assertIs(directory.find("sarah"), sarah)
        for other in ("301", "Sarah", "", "SARAH"):
            self.assertIsNone(directory.find(other), other)
