"""Digest: the RFCs' own examples, nonces, and what a client answers and what it does not."""

from __future__ import annotations

from unittest import TestCase

import attrs
from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.digest import Credentials, DigestClient, NonceSource, Secret, challenge, ha1, response_for, speaks_for, verify
from smartalex.sip.headers import AuthParams
from smartalex.sip.message import Headers, Response

# RFC 2617 3.5 and RFC 7616 3.9.1, with the qop they use and (RFC 2069's form) without.
OLD = Credentials(
    username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html",
    response="6629fae49393a05397450978507c4ef1", qop="auth", cnonce="0a4f113b", nc="00000001",
)  # fmt: skip
NEW = Credentials(
    username="Mufasa", realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html",
    response="8ca523f5e9506fed4657c9700eebdbec", qop="auth", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", nc="00000001",
)  # fmt: skip
NEW_SHA = attrs.evolve(NEW, algorithm="SHA-256", response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")
PLAIN = attrs.evolve(OLD, qop="", cnonce="", nc="", response="670fd8c2df070c60b045671b8b24ff02")
EXAMPLES = ((OLD, "Circle Of Life"), (NEW, "Circle of Life"), (NEW_SHA, "Circle of Life"), (PLAIN, "Circle Of Life"))


class Arithmetic(TestCase):
    def test_the_rfcs_examples(self) -> None:
        for given_, password in EXAMPLES:
            known = ha1(given_.username, given_.realm, password, given_.algorithm)
            self.assertEqual(response_for(known, "GET", given_), given_.response)
            self.assertTrue(verify(given_, known, "GET"))
            self.assertTrue(verify(attrs.evolve(given_, response=given_.response.upper()), known, "GET"))

    def test_anything_else_than_what_was_hashed_fails(self) -> None:
        known = ha1("Mufasa", NEW.realm, "Circle of Life", "SHA-256")
        for changed in (
            {"nonce": "x"}, {"uri": "/"}, {"cnonce": "x"}, {"nc": "00000002"}, {"qop": ""}, {"response": ""},
            {"response": "\u00e9"}, {"algorithm": "MD5"}, {"algorithm": "TOKEN"},
        ):  # fmt: skip
            self.assertFalse(verify(attrs.evolve(NEW_SHA, **changed), known, "GET"), changed)
        self.assertFalse(verify(NEW_SHA, known, "POST"))
        self.assertFalse(verify(NEW_SHA, ha1("Mufasa", NEW.realm, "wrong", "SHA-256"), "GET"))


class Reading(TestCase):
    TEXT = (
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'uri="/dir/index.html", qop=AUTH, nc=00000001, cnonce="0a4f113b", '
        'response="6629fae49393a05397450978507c4ef1", algorithm=md5, opaque="5c"'
    )

    def test_a_header_as_phones_write_it(self) -> None:
        self.assertEqual(Credentials.parse(self.TEXT), OLD)

    def test_what_is_missing_is_refused(self) -> None:
        for name in ("username", "realm", "nonce", "uri", "response"):
            with self.assertRaises(RemoteError) as caught:
                Credentials.parse(self.TEXT.replace(f"{name}=", f"x-{name}=", 1))
            self.assertEqual(caught.exception.status, 400)

    def test_another_scheme_is_refused(self) -> None:
        self.assertRaises(RemoteError, Credentials.parse, "Basic dXNlcjpwYXNz")
        self.assertRaises(RemoteError, Credentials.parse, "Bearer x=1")

    @given(st.text('Digest ="\\,abc%\x00\u00e9', max_size=80))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            read = Credentials.parse(text)
        except RemoteError as error:
            self.assertEqual(error.status, 400)
        else:
            self.assertFalse(verify(read, ha1("a", "b", "c", "MD5"), "INVITE"))


class Hiding(TestCase):
    def test_a_secret_shows_nowhere(self) -> None:
        secret = Secret("hunter2", {"MD5": "0123abcd"})
        for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr(DigestClient("u", secret, lambda: "c"))):
            self.assertNotIn("hunter2", text)
            self.assertNotIn("0123abcd", text)
        self.assertEqual(repr(secret), "<secret>")

    def test_the_response_is_not_in_a_repr(self) -> None:
        self.assertNotIn(OLD.response, repr(OLD))


class Nonces(TestCase):
    def setUp(self) -> None:
        self.nonces = NonceSource(b"key", lifetime_s=60.0)
        self.nonce = self.nonces.issue("192.0.2.1", 1000.0)

    def test_good_for_a_while(self) -> None:
        self.assertEqual(self.nonces.check(self.nonce, "192.0.2.1", 1000.0), "ok")
        self.assertEqual(self.nonces.check(self.nonce, "192.0.2.1", 1060.0), "ok")
        self.assertEqual(self.nonces.check(self.nonce, "192.0.2.1", 1060.5), "stale")

    def test_two_challenges_at_one_moment_have_nonces_of_their_own(self) -> None:
        issued = [self.nonces.issue("192.0.2.1", 1000.0) for _ in range(500)]
        self.assertEqual(len(set(issued)), 500)
        self.assertTrue(all(self.nonces.use(nonce, "00000001", 1000.0) for nonce in issued))
        self.assertEqual({self.nonces.check(nonce, "192.0.2.1", 1000.0) for nonce in issued}, {"ok"})

    def test_bad_from_elsewhere_or_with_another_key(self) -> None:
        self.assertEqual(self.nonces.check(self.nonce, "192.0.2.2", 1000.0), "bad")
        self.assertEqual(NonceSource(b"other").check(self.nonce, "192.0.2.1", 1000.0), "bad")

    def test_one_from_the_future_is_not_ok(self) -> None:
        self.assertNotEqual(self.nonces.check(self.nonce, "192.0.2.1", 990.0), "ok")

    def test_two_of_one_source_differ_with_time(self) -> None:
        self.assertNotEqual(self.nonce, self.nonces.issue("192.0.2.1", 1000.1))

    @given(st.text(max_size=40) | st.binary(min_size=24, max_size=24).map(lambda raw: raw.hex()))
    def test_what_we_did_not_issue_is_bad(self, text: str) -> None:
        self.assertEqual(NonceSource(b"key").check(text, "192.0.2.1", 1000.0), "bad")

    def uses(self, *counts: str) -> list[bool]:
        return [self.nonces.use(self.nonce, nc, 1000.0) for nc in counts]

    def test_the_count_must_rise(self) -> None:
        self.assertEqual(self.uses("00000001", "00000001", "00000003", "00000002", "00000004"), [True, False, True, False, True])

    def test_without_a_count_a_nonce_serves_once(self) -> None:
        self.assertEqual(self.uses("", "", "00000001", "00000002"), [True, False, False, True])

    def test_a_count_that_is_none(self) -> None:
        wrong = ("x", "-1", "0", "00000000", "0000000g", "0x1", "1_0", " 1", "+1", "\u0661", "1" * 9, "f" * 20_000)
        self.assertEqual(self.uses(*wrong), [False] * len(wrong))


class Replays(TestCase):
    """What was used once is not used again, however many nonces there are."""

    def setUp(self) -> None:
        self.nonces = NonceSource(b"key", lifetime_s=60.0, most=3)

    def issue(self, count: int, now: float = 1000.0) -> list[str]:
        return [self.nonces.issue("192.0.2.1", now) for _ in range(count)]

    def use(self, nonce: str, now: float = 1000.0, nc: str = "00000001") -> bool:
        return self.nonces.check(nonce, "192.0.2.1", now) == "ok" and self.nonces.use(nonce, nc, now)

    def test_a_full_table_refuses_rather_than_forgets(self) -> None:
        first, *others = self.issue(10)
        self.assertTrue(self.use(first))
        self.assertEqual([self.use(nonce) for nonce in others], [True, True] + [False] * 7)
        self.assertEqual((self.use(first), len(self.nonces)), (False, 3))
        self.assertTrue(self.use(first, nc="00000002"), "those in the table go on")

    def test_room_is_made_by_age_alone(self) -> None:
        early = self.issue(3)
        self.assertTrue(all(self.use(nonce, 1030.0) for nonce in early))
        late = self.issue(4, 1059.0)
        self.assertFalse(self.use(late[0], 1060.0))
        self.assertEqual([self.use(nonce, 1060.5) for nonce in late], [True, True, True, False])
        self.assertEqual((len(self.nonces), [self.use(nonce, 1060.5) for nonce in early]), (3, [False] * 3))

    def test_what_is_only_issued_or_checked_takes_no_room(self) -> None:
        for nonce in self.issue(1000):
            self.nonces.check(nonce, "192.0.2.1", 1000.0)
        self.assertEqual(len(self.nonces), 0)

    def test_another_way_to_write_a_nonce_is_none(self) -> None:
        (nonce,) = self.issue(1)
        for other in (nonce + "=", nonce + "\n", nonce[:-1], nonce.replace("A", "A!", 1), f" {nonce}", nonce + "A" * 20_000, ""):
            self.assertEqual(self.nonces.check(other, "192.0.2.1", 1000.0), "bad")

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.floats(0, 40)), max_size=60))
    def test_each_count_of_each_nonce_serves_once(self, steps: list[tuple[int, int, float]]) -> None:
        self.setUp()
        now, used, nonces = 1000.0, set(), self.issue(3)
        for which, nc, later_s in steps:
            now += later_s
            nonces += self.issue(1, now)
            nonce = nonces[-1 - which % len(nonces)]
            if self.use(nonce, now, f"{nc:08x}"):
                self.assertNotIn((nonce, nc), used)
                used.add((nonce, nc))
            self.assertLessEqual(len(self.nonces), 3)


class Speaking(TestCase):
    """Which Request-URI a digest's uri is good for."""

    def test_the_user_decides_and_else_the_host(self) -> None:
        asked = "sip:+27215550100@192.0.2.1:5060;transport=tcp"
        for said in (
            asked, "sip:+27215550100@sbc.example.com", "sips:%2B27215550100@192.0.2.1", "tel:+27215550100",
            "sip:192.0.2.1", "sip:192.0.2.1:5080", "sip:pbx.example.com", "sip:PBX.example.com;transport=udp",
        ):  # fmt: skip
            self.assertTrue(speaks_for(said, asked, "pbx.example.com"), said)

    def test_another_number_or_host_is_another_resource(self) -> None:
        for said, asked in (
            ("sip:+27215550199@192.0.2.1", "sip:+27215550100@192.0.2.1"), ("sip:alice@h", "sip:Alice@h"),
            ("sip:other", "sip:alice@h"), ("sip:alice@h", "sip:h"), ("", "sip:h"), ("*", "sip:h"), ("/", "sip:h"),
            ("sip:", "sip:h"), ("sip:[::1]", "sip:[::2]"), ("urn:service:sos", "sip:h"), ("sip:h", "urn:service:sos"),
            ("urn:a", "urn:b"), ("sip:" + "a" * 20_000, "sip:h"),
        ):  # fmt: skip
            self.assertFalse(speaks_for(said, asked, "realm"), (said[:40], asked))

    @given(st.text("sip:@a;%4[]", max_size=12), st.text("sip:@a;%4[]", max_size=12))
    def test_any_text(self, said: str, asked: str) -> None:
        self.assertTrue(speaks_for(asked, asked, "r"))
        self.assertIn(speaks_for(said, asked, "r"), (True, False))


def challenged(*values: str, status: int = 401) -> Response:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    return Response(status, "", Headers([(name, value) for value in values]))


class Client(TestCase):
    def setUp(self) -> None:
        self.client = DigestClient("ann", Secret("pw"), lambda: "c0")

    def answer(self, response: Response) -> Credentials | None:
        rows = self.client.authorization(response, "INVITE", "sip:h")
        return Credentials.parse(rows[-1][1]) if rows else None

    def test_what_it_says_is_right(self) -> None:
        for algorithm in ("MD5", "SHA-256"):
            client = DigestClient("ann", Secret("pw"), lambda: "c0")
            (header,) = client.authorization(challenged(challenge("r", "n", algorithm)), "INVITE", "sip:h")
            given_ = Credentials.parse(header[1])
            self.assertEqual((header[0], given_.qop, given_.nc, given_.cnonce), ("Authorization", "auth", "00000001", "c0"))
            self.assertTrue(verify(given_, ha1("ann", "r", "pw", algorithm), "INVITE"))

    def test_a_proxy_is_answered_in_its_own_header(self) -> None:
        (header,) = self.client.authorization(challenged(challenge("r", "n", "MD5"), status=407), "INVITE", "sip:h")
        self.assertEqual(header[0], "Proxy-Authorization")

    def test_without_qop_the_old_form(self) -> None:
        given_ = self.answer(challenged('Digest realm="r", nonce="n", opaque="o\\"p"'))
        assert given_ is not None
        self.assertEqual((given_.qop, given_.nc, given_.algorithm), ("", "", "MD5"))
        self.assertTrue(verify(given_, ha1("ann", "r", "pw", "MD5"), "INVITE"))

    def test_the_first_challenge_it_can_answer(self) -> None:
        given_ = self.answer(challenged(
            "Basic realm=x", 'Digest realm="r", nonce="n", algorithm=SHA-512-256', "nonsense", challenge("r", "n", "SHA-256"),
            challenge("r", "n", "MD5"),
        ))  # fmt: skip
        assert given_ is not None
        self.assertEqual(given_.algorithm, "SHA-256")

    def test_a_stored_ha1_serves_its_algorithm_only(self) -> None:
        self.client = DigestClient("ann", Secret(ha1s={"SHA-256": ha1("ann", "r", "pw", "SHA-256")}), lambda: "c0")
        given_ = self.answer(challenged(challenge("r", "n", "MD5"), challenge("r", "n", "SHA-256")))
        assert given_ is not None
        self.assertEqual(given_.algorithm, "SHA-256")

    def test_quotes_in_what_the_server_sent_stay_inside(self) -> None:
        nonce = 'n", uri="sip:evil'
        (header,) = self.client.authorization(challenged('Digest realm="r", nonce="n\\", uri=\\"sip:evil"'), "INVITE", "sip:h")
        self.assertEqual(
            (AuthParams.parse(header[1]).params["nonce"], AuthParams.parse(header[1]).params["uri"]), (nonce, "sip:h")
        )
