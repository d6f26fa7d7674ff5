"""URIs: the forms that occur, what is refused, and that writing gives back what was read."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.uri import Uri, equivalent, parse_host_port

HOSTS = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
WORDS = st.text("abcXYZ019-_.!~*'%+", min_size=1, max_size=8)
NAMES = st.text("abc019-.", min_size=1, max_size=8)
URIS = st.builds(
    Uri,
    st.sampled_from(("sip", "sips")),
    st.none() | st.text("abcXYZ019-_.!~*'()&=+$,;?/%", min_size=1, max_size=12),
    st.none(),
    HOSTS,
    st.none() | st.integers(0, 65535),
    st.lists(st.tuples(NAMES, st.none() | WORDS), max_size=3).map(tuple),
    st.lists(st.tuples(NAMES, WORDS), max_size=2).map(tuple),
)


class Forms(TestCase):
    def test_everything_a_sip_uri_may_have(self) -> None:
        uri = Uri.parse("SIPS:al%69ce:pw@Example.com:5071;transport=tcp;LR?Subject=x&Priority=")
        self.assertEqual((uri.scheme, uri.user, uri.user_text, uri.password), ("sips", "al%69ce", "alice", "pw"))
        self.assertEqual((uri.host, uri.port), ("Example.com", 5071))
        self.assertEqual(uri.params, (("transport", "tcp"), ("lr", None)))
        self.assertEqual(uri.headers, (("Subject", "x"), ("Priority", "")))

    def test_parameters_read_as_text_flag_or_absent(self) -> None:
        uri = Uri.parse("sip:h;lr;a=1")
        self.assertEqual((uri.param("lr"), uri.param("a"), uri.param("b")), ("", "1", None))
        self.assertEqual(str(uri.with_params(("a", "2"), ("c", None))), "sip:h;lr;a=2;c")

    def test_ipv6_keeps_its_brackets(self) -> None:
        uri = Uri.parse("sip:bob@[2001:db8::1]:5070;lr")
        self.assertEqual((uri.host, uri.port), ("[2001:db8::1]", 5070))
        self.assertEqual(str(uri), "sip:bob@[2001:db8::1]:5070;lr")

    def test_a_tel_number_is_its_user(self) -> None:
        uri = Uri.parse("tel:+1-201-555-0123;phone-context=example.com")
        self.assertEqual((uri.scheme, uri.user_text, uri.host), ("tel", "+1-201-555-0123", ""))
        self.assertEqual(str(uri), "tel:+1-201-555-0123;phone-context=example.com")

    def test_a_scheme_we_do_not_read_is_kept_whole(self) -> None:
        self.assertEqual(str(Uri.parse("urn:service:sos;x?y")), "urn:service:sos;x?y")

    def test_the_user_may_hold_what_elsewhere_separates(self) -> None:
        uri = Uri.parse("sip:1;phone-context=a?b/c@h;lr")
        self.assertEqual((uri.user, uri.host, uri.params), ("1;phone-context=a?b/c", "h", (("lr", None),)))

    def test_bytes_that_are_no_utf8_read_as_replacement(self) -> None:
        self.assertEqual(Uri.parse("sip:%ff@h").user_text, "\ufffd")

    def test_a_password_is_not_shown(self) -> None:
        self.assertNotIn("hunter2", repr(Uri.parse("sip:a:hunter2@h")))

    def test_refused(self) -> None:
        wrong = (
            "", "sip:", "alice@h", "sip:@h", "sip:a@", "sip:a b@h", "sip:a@h h", "1sip:h", "sip:h:port", "sip:h:99999", "sip:h:",
            "sip:[::1", "sip:[]", "sip:[fe80::1%25eth0]", "sip:[::1]x", "sip:[1.2.3]", "sip:h;", "sip:h;=1", "sip:<h>", "tel:",
            "sip:a\r\nX: y@h", "sip:\udcff@h", "sip:h\u00e9", 'sip:"a"@h', "sip:" + "a" * 5000,
        )  # fmt: skip
        for text in wrong:
            with self.subTest(text=text[:40]), self.assertRaises(RemoteError) as caught:
                Uri.parse(text)
            self.assertEqual(caught.exception.status, 400)

    def test_only_short_ones_are_remembered(self) -> None:
        short, long = "sip:h" + ";ab" * 80, "sip:h" + ";ab" * 90
        self.assertIs(Uri.parse(short), Uri.parse(short))
        self.assertIsNot(Uri.parse(long), Uri.parse(long))
        self.assertEqual(Uri.parse(long), Uri.parse(long))

    def test_host_and_port(self) -> None:
        self.assertEqual(parse_host_port("h.example:0"), ("h.example", 0))
        self.assertEqual(parse_host_port("[::1]"), ("[::1]", None))

    def test_a_third_colon_is_left_out_before_an_ipv4_address_only(self) -> None:
        self.assertEqual(parse_host_port("[2001:db8:::192.0.2.1]:5070"), ("[2001:db8::192.0.2.1]", 5070))
        for text in ("[2001:db8:::1]", "[:::]", "[::::192.0.2.1]", "[1:::2:::192.0.2.1]", "[:::192.0.2]"):
            self.assertRaises(RemoteError, parse_host_port, text)


SAME = (
    # RFC 3261 19.1.4
    ("sip:%61lice@atlanta.example;transport=TCP", "sip:alice@AtLanTa.Example;Transport=tcp"),
    ("sip:carol@chicago.example", "sip:carol@chicago.example;newparam=5"),
    ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;newparam=5"),
    ("sip:b.example;transport=tcp;method=REGISTER?to=sip:bob%40b.example",
     "sip:b.example;method=REGISTER;transport=tcp?to=sip:bob%40b.example"),
    ("sip:alice@a.example?subject=project%20x&priority=urgent", "sip:alice@a.example?priority=urgent&subject=project%20x"),
    ("SIP:h", "sip:H"), ("sip:a%3bb@h", "sip:a%3Bb@h"), ("sip:a:p%41@h", "sip:a:pA@h"), ("sip:h;lr", "sip:h"),
    ("sip:[2001:DB8::1]", "sip:[2001:db8:0:0::1]"), ("sip:[::ffff:192.0.2.1]", "sip:[::ffff:c000:201]"),
    # RFC 3966 4
    ("tel:+1-201-555-0123", "tel:+1(201)555.0123"), ("TEL:+12015550123", "tel:+12015550123"),
    ("tel:7042;phone-context=example.com", "tel:70-42;Phone-Context=EXAMPLE.com"),
    ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1(914)555"),
    ("tel:+1201;ext=12-34;isub=1411", "tel:+1201;isub=1411;ext=1234"), ("tel:*A1;phone-context=h", "tel:*a1;phone-context=H"),
    ("urn:service:sos", "urn:service:sos"),
)  # fmt: skip
OTHER = (
    ("SIP:ALICE@AtLanTa.Example;Transport=udp", "sip:alice@AtLanTa.Example;Transport=UDP"),
    ("sip:bob@b.example", "sip:bob@b.example:5060"), ("sip:bob@b.example", "sip:bob@b.example;transport=udp"),
    ("sip:bob@b.example", "sip:bob@b.example:6000;transport=tcp"),
    ("sip:carol@chicago.example", "sip:carol@chicago.example?Subject=next%20meeting"),
    ("sip:bob@phone21.example", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;security=off"),
    ("sip:a@h", "sips:a@h"), ("sip:a@h", "sip:h"), ("sip:a:p@h", "sip:a@h"), ("sip:a:p@h", "sip:a:P@h"),
    ("sip:a;b@h", "sip:a%3Bb@h"), ("sip:h;ttl=1", "sip:h"), ("sip:h;user=phone", "sip:h"), ("sip:h", "sip:h;method=INVITE"),
    ("sip:h;maddr=192.0.2.1", "sip:h"), ("sip:[::1]", "sip:[::2]"), ("sip:[::ffff:192.0.2.1]", "sip:192.0.2.1"),
    ("sip:h?a=1", "sip:h?a=2"), ("sip:h?a=1&a=1", "sip:h?a=1"), ("sip:+1201@h;user=phone", "tel:+1201"),
    ("tel:+1201", "tel:1201"), ("tel:+1201", "tel:+1201;ext=1"), ("tel:+1201;ext=1", "tel:+1201;ext=2"), ("tel:+1", "tel:+2"),
    ("tel:1;phone-context=a", "tel:1;phone-context=b"), ("tel:1;phone-context=+44", "tel:1;phone-context=44"),
    ("urn:service:sos", "urn:service:SOS"),
)  # fmt: skip


class Equivalence(TestCase):
    def test_what_means_the_same(self) -> None:
        for a, b in SAME:
            with self.subTest(a=a, b=b):
                self.assertTrue(equivalent(Uri.parse(a), Uri.parse(b)))
                self.assertTrue(equivalent(Uri.parse(b), Uri.parse(a)))

    def test_what_does_not(self) -> None:
        for a, b in OTHER:
            with self.subTest(a=a, b=b):
                self.assertFalse(equivalent(Uri.parse(a), Uri.parse(b)))
                self.assertFalse(equivalent(Uri.parse(b), Uri.parse(a)))

    @given(URIS, URIS)
    def test_everything_is_its_own_equivalent_and_order_does_not_matter(self, a: Uri, b: Uri) -> None:
        self.assertTrue(equivalent(a, Uri.parse(str(a))))
        self.assertEqual(equivalent(a, b), equivalent(b, a))


class Properties(TestCase):
    @given(URIS)
    def test_writing_then_reading_gives_the_same(self, uri: Uri) -> None:
        self.assertEqual(Uri.parse(str(uri)), uri)

    @given(st.text(max_size=60) | st.text("sipel:@;=?[]<>%.a1 \r\n\x00", max_size=40).map(lambda tail: "sip:" + tail))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            uri = Uri.parse(text)
        except RemoteError as error:
            self.assertEqual(error.status, 400)
        else:
            self.assertEqual(Uri.parse(str(uri)), uri)
