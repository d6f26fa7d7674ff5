from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.headers import NameAddr
from smartalex.sip.message import Headers, Request
from smartalex.sip.privacy import MOST_WORDS, Privacy, caller_identity, is_anonymous, telephone_number, trusted_identities
from smartalex.sip.uri import Uri


def asked(*values: str) -> Privacy:
    return Privacy.of(Headers([("Privacy", value) for value in values]))


def asserted(*values: str) -> list[str]:
    return [str(one.uri) for one in trusted_identities(Headers([("P-Asserted-Identity", value) for value in values]))]


def invite(*rows: tuple[str, str], from_: str = "<sip:+27215550100@carrier>;tag=1") -> Request:
    return Request("INVITE", "sip:alex@h", Headers([("From", from_), *rows]))


class Asking(TestCase):
    def test_nothing_asked(self) -> None:
        self.assertEqual(asked(), Privacy())
        self.assertFalse(asked().withheld)
        self.assertEqual(asked().headers(), ())

    def test_which_words_withhold_the_number(self) -> None:
        table = {
            "id": True, "user": True, "user;id": True, "ID": True, "header; id ;critical": True, "none": False, "header": False,
            "session": False, "history": False, "identity": False, "": False,
        }  # fmt: skip
        for value, withheld in table.items():
            with self.subTest(value):
                self.assertIs(asked(value).withheld, withheld)

    def test_none_does_not_undo_what_another_word_asks(self) -> None:
        self.assertTrue(asked("none;id").withheld)

    def test_words_may_stand_on_several_lines_and_behind_commas(self) -> None:
        self.assertEqual(asked("user, id", "header;ID").words, ("user", "id", "header"))

    def test_it_goes_on_as_it_came(self) -> None:
        self.assertEqual(asked("Header; id;critical").headers(), (("Privacy", "header;id;critical"),))
        self.assertEqual(asked("none").headers(), (("Privacy", "none"),))

    def test_an_unknown_word_matters_only_when_critical(self) -> None:
        self.assertEqual(asked("id;veil").words, ("id", "veil"))
        with self.assertRaises(RemoteError) as refused:
            asked("id;veil;critical")
        self.assertEqual((refused.exception.status, refused.exception.reason), (500, "Privacy veil Not Supported"))

    def test_known_words_may_be_critical(self) -> None:
        self.assertEqual(asked("session;critical").words, ("session", "critical"))

    def test_what_is_no_word_goes_nowhere(self) -> None:
        self.assertEqual(asked('id;"x";a b;\x00;' + "y" * 33).headers(), (("Privacy", "id"),))

    def test_their_number_is_bounded(self) -> None:
        self.assertEqual(len(asked(";".join(f"w{n}" for n in range(100))).words), MOST_WORDS)


class Asserted(TestCase):
    def test_one_of_each_kind_on_one_line_or_two(self) -> None:
        sip, tel = "sip:+1215@carrier;user=phone", "tel:+1215"
        self.assertEqual(asserted(f'"Bob" <{sip}>, <{tel}>'), [sip, tel])
        self.assertEqual(asserted(f"<{tel}>", f"<{sip}>"), [tel, sip])

    def test_no_more_than_one_of_a_kind(self) -> None:
        self.assertEqual(asserted("<sip:1@a>, <sip:2@b>, <sips:3@c>, <tel:4>, <tel:5>"), ["sip:1@a", "tel:4"])

    def test_neither_broken_ones_nor_other_schemes(self) -> None:
        self.assertEqual(asserted("<sip:1@a", "<mailto:bob@a>", "<tel:+4>"), ["tel:+4"])


class TheCaller(TestCase):
    def test_is_the_asserted_one_before_from(self) -> None:
        found = caller_identity(invite(("P-Asserted-Identity", '"Bob" <sip:+1215@carrier>')))
        self.assertEqual((found.display, found.uri.user_text), ("Bob", "+1215"))

    def test_is_the_one_with_a_number(self) -> None:
        self.assertEqual(str(caller_identity(invite(("P-Asserted-Identity", "<sip:bob@pbx>, <tel:+1215>"))).uri), "tel:+1215")

    def test_is_the_first_when_both_have_one(self) -> None:
        self.assertEqual(caller_identity(invite(("P-Asserted-Identity", '"B" <sip:1@a>, <tel:+1>'))).display, "B")

    def test_may_be_no_number_at_all(self) -> None:
        self.assertEqual(str(caller_identity(invite(("P-Asserted-Identity", "<sip:bob@pbx>"))).uri), "sip:bob@pbx")

    def test_is_from_when_nothing_is_asserted(self) -> None:
        self.assertEqual(caller_identity(invite(("P-Asserted-Identity", "<sip:"))).tag, "1")


class Anonymous(TestCase):
    def test_who_is(self) -> None:
        for text, anonymous in {
            '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1': True,
            "<sip:Anonymous@ANONYMOUS.invalid.>": True,
            "<sip:unknown@unknown.invalid>": True,
            "<sip:c8oqz84@anonymous.invalid>": True,
            "<sip:anonymous@carrier.example>": True,
            "<sip:+1215@carrier.example>": False,
            "<sip:bob@invalid.example>": False,
            '"Anonymous" <sip:+1215@carrier.example>': False,
            "<tel:+1215>": False,
        }.items():
            with self.subTest(text):
                self.assertIs(is_anonymous(NameAddr.parse(text)), anonymous)


class Numbers(TestCase):
    def test_their_canonical_form(self) -> None:
        for text, number in {
            "tel:+1-215-555-1212": "12155551212",
            "tel:+1.215(555)1212;ext=7": "12155551212",
            "sip:+12155551212@gw;user=phone": "12155551212",
            "sip:%2B12155551212;npdi;rn=+1999@gw": "12155551212",
            "sips:0215550100@gw": "0215550100",
            "sip:*97@gw": "*97",
            "sip:%23@gw": "#",
            "sip:bob@gw": "",
            "sip:bob7@gw": "",
            "sip:12+3@gw": "",
            "sip:gw": "",
            "sip:---@gw": "",
            "sip:" + "1" * 50 + "@gw": "",
            "sip:１２@gw": "",
            "urn:service:sos": "",
        }.items():
            with self.subTest(text):
                self.assertEqual(telephone_number(Uri.parse(text)), number)


class AnyText(TestCase):
    @given(st.text(max_size=80), st.booleans())
    def test_privacy_raises_nothing_but_its_500(self, text: str, critical: bool) -> None:
        try:
            privacy = asked(text, "critical" if critical else "id")
        except RemoteError as error:
            self.assertEqual(error.status, 500)
            self.assertTrue(error.reason.isprintable())
        else:
            self.assertTrue(all(value.isascii() and value.isprintable() for _, value in privacy.headers()))

    @given(st.text(max_size=80))
    def test_identities_never_raise(self, text: str) -> None:
        self.assertLessEqual(len(asserted(text)), 2)
        self.assertIsInstance(caller_identity(invite(("P-Asserted-Identity", text))), NameAddr)
