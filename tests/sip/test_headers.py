"""Header values: lists, parameters, addresses, Via, CSeq, authentication parameters."""

from __future__ import annotations

from collections.abc import Callable
from unittest import TestCase

from hypothesis import example, given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.headers import AuthParams, CSeq, NameAddr, Via, parse_params, quote, split_list, unquote, write_params
from smartalex.sip.uri import Uri
from tests.sip.test_uri import HOSTS, NAMES, URIS, WORDS

PARAMS = st.lists(st.tuples(NAMES, st.none() | WORDS | st.text('ab;,<>\\" ', max_size=6).map(quote)), max_size=3).map(tuple)
NASTY = st.text('ab<>"\\;,:=/ \t@[]%\x00\x7f\u00e9', max_size=50) | st.text(max_size=50)


class Lists(TestCase):
    def test_commas_divide_outside_quotes_and_brackets_only(self) -> None:
        self.assertEqual(
            split_list('"a, \\", b" <sip:x,y@h>;p="1,2" , <sip:z>,,'), ['"a, \\", b" <sip:x,y@h>;p="1,2"', "<sip:z>"]
        )

    def test_plain_lists(self) -> None:
        self.assertEqual(split_list(" INVITE, ACK ,BYE"), ["INVITE", "ACK", "BYE"])
        self.assertEqual(split_list("  "), [])

    def test_parameters(self) -> None:
        params = parse_params('A=b ; c;d="x;y";')
        self.assertEqual(params, (("a", "b"), ("c", None), ("d", '"x;y"')))
        self.assertEqual(write_params(params), ';a=b;c;d="x;y"')

    def test_a_parameter_has_a_name(self) -> None:
        for text in ("=1", ";", "a;;b", " ;a", '"x";;b'):
            self.assertRaises(RemoteError, parse_params, text)
        self.assertEqual((parse_params(""), parse_params(" ")), ((), ()))

    @given(st.text())
    def test_quoting_is_undone_by_unquoting(self, text: str) -> None:
        self.assertEqual(unquote(quote(text)), text)

    @given(st.lists(st.text('ab,\\"', max_size=6).map(quote), max_size=5))
    def test_a_list_of_quoted_strings_comes_apart_where_it_was_joined(self, parts: list[str]) -> None:
        self.assertEqual(split_list(", ".join(parts)), parts)


class Addresses(TestCase):
    def test_forms(self) -> None:
        for text, display, uri, tag in (
            ('"J \\"R\\" <x>" <sip:j@h>;tag=1', 'J "R" <x>', "sip:j@h", "1"),
            ("Anne B <sip:a@h;lr>", "Anne B", "sip:a@h;lr", None),
            ("<sip:a@h>;x;tag=2", "", "sip:a@h", "2"),
            ("sip:a@h;tag=3", "", "sip:a@h", "3"),
            ('""<sip:a@h>', "", "sip:a@h", None),
            ("< sip:a@h > ; tag = 4", "", "sip:a@h", "4"),
            ("tel:+123;tag=5", "", "tel:+123", "5"),
        ):
            address = NameAddr.parse(text)
            self.assertEqual((address.display, str(address.uri), address.tag), (display, uri, tag), text)

    def test_without_brackets_parameters_are_the_headers(self) -> None:
        self.assertEqual(NameAddr.parse("sip:a@h;lr").uri.params, ())

    def test_a_tag_is_set_once(self) -> None:
        self.assertEqual(str(NameAddr.parse("<sip:a@h>;tag=1;x").with_tag("2")), "<sip:a@h>;x;tag=2")

    def test_refused(self) -> None:
        for text in ("", '"open <sip:a@h>', "<sip:a@h", "<sip:a@h> x", '"x" sip:a@h', "<>", "x <", '"a\\', "Bell"):
            with self.subTest(text=text), self.assertRaises(RemoteError) as caught:
                NameAddr.parse(text)
            self.assertEqual(caught.exception.status, 400)

    @given(st.builds(NameAddr, st.text('ab "\\<>,;\u00e9', max_size=8).map(str.strip), URIS, PARAMS))
    def test_writing_then_reading_gives_the_same(self, address: NameAddr) -> None:
        self.assertEqual(NameAddr.parse(str(address)), address)


class Vias(TestCase):
    def test_what_responses_need(self) -> None:
        via = Via.parse("SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1;received=192.0.2.9")
        self.assertEqual((via.transport, via.sent_by, via.branch), ("UDP", "192.0.2.1:5070", "z9hG4bK1"))
        self.assertEqual((via.rport, via.received), ("", "192.0.2.9"))

    def test_white_space_where_the_grammar_allows_it(self) -> None:
        via = Via.parse("SIP  / 2.0  / \tTCP     spindle.example.com : 5060  ;branch  =   z9hG4bK9ikj8 ; unknown= 1")
        self.assertEqual((via.transport, via.host, via.port, via.branch), ("TCP", "spindle.example.com", 5060, "z9hG4bK9ikj8"))

    def test_setting_a_parameter_keeps_its_place(self) -> None:
        via = Via.parse("SIP/2.0/UDP h;rport;branch=z9hG4bK1").with_param("rport", "9").with_param("received", "192.0.2.1")
        self.assertEqual(str(via), "SIP/2.0/UDP h;rport=9;branch=z9hG4bK1;received=192.0.2.1")

    def test_refused(self) -> None:
        for text in (
            "",
            "SIP/2.0/UDP",
            "SIP/x/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/ h",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP h:x",
            "SIP/2.0",
        ):
            with self.subTest(text=text), self.assertRaises(RemoteError) as caught:
                Via.parse(text)
            self.assertEqual(caught.exception.status, 400)

    @given(st.builds(Via, st.sampled_from(("UDP", "TCP", "TLS", "WSS")), HOSTS, st.none() | st.integers(0, 65535), PARAMS))
    def test_writing_then_reading_gives_the_same(self, via: Via) -> None:
        self.assertEqual(Via.parse(str(via)), via)


class Sequences(TestCase):
    def test_read(self) -> None:
        self.assertEqual(CSeq.parse("0009 \t INVITE"), CSeq(9, "INVITE"))
        self.assertEqual(CSeq.parse("1\tBYE"), CSeq(1, "BYE"))

    def test_the_number_ends_below_two_to_the_31(self) -> None:
        self.assertEqual(CSeq.parse("2147483647 ACK").number, 2**31 - 1)
        for text in ("2147483648 ACK", "36893488147419103232 REGISTER", "-1 ACK", "\u0661 ACK", "1", "ACK", "1ACK"):
            with self.subTest(text=text), self.assertRaises(RemoteError):
                CSeq.parse(text)


class Authentication(TestCase):
    def test_read(self) -> None:
        read = AuthParams.parse('DIGEST Realm="a, \\"b\\"", nonce=x,qop="auth,auth-int"')
        self.assertEqual(read.scheme, "digest")
        self.assertEqual(dict(read.params), {"realm": 'a, "b"', "nonce": "x", "qop": "auth,auth-int"})

    def test_any_white_space_ends_the_scheme(self) -> None:
        for text in ("Digest\t a=1", " Digest   a=1 "):
            self.assertEqual(AuthParams.parse(text), AuthParams("digest", {"a": "1"}))
        self.assertEqual((AuthParams.parse("Digest"), AuthParams.parse(" ")), (AuthParams("digest", {}), AuthParams("", {})))

    def test_a_parameter_stands_once_and_has_a_name(self) -> None:
        for text in ("Digest a=1, A=2", "Digest =1", "Digest a", "Digest " + ",".join(f"p{n}=1" for n in range(1000))):
            self.assertRaises(RemoteError, AuthParams.parse, text)

    def test_values_are_not_shown(self) -> None:
        self.assertNotIn("6629", repr(AuthParams.parse("Digest response=6629")))


READERS: tuple[Callable[[str], object], ...] = (NameAddr.parse, Via.parse, CSeq.parse, AuthParams.parse, parse_params)


class AnyText(TestCase):
    @given(NASTY, st.sampled_from(READERS))
    def test_is_read_or_refused(self, text: str, read: Callable[[str], object]) -> None:
        try:
            value = read(text)
        except RemoteError as error:
            self.assertEqual(error.status, 400)
        else:
            self.assertIsNotNone(value)

    @given(NASTY)
    def test_via_survives_any_parameters(self, text: str) -> None:
        try:
            via = Via.parse(f"SIP/2.0/UDP h;{text}")
        except RemoteError:
            return
        self.assertEqual(Via.parse(str(via)), via)

    @given(NASTY)
    @example("a:>")
    def test_what_an_address_reads_from_any_text_it_can_write(self, text: str) -> None:
        try:
            address = NameAddr.parse(text)
        except RemoteError:
            return
        self.assertEqual(NameAddr.parse(str(address)).uri, address.uri)
        self.assertIsInstance(address.uri, Uri)
