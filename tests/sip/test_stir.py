from __future__ import annotations

import base64
import json
from typing import Any
from unittest import TestCase

import attrs
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import ConfigurationError, RemoteError
from smartalex.sip.credential import check_signature
from smartalex.sip.message import Headers, Request
from smartalex.sip.stir import (
    MAX_IDENTITY,
    NONE,
    Facts,
    Policy,
    Verification,
    best,
    canonical_uri,
    decide,
    facts_of,
    parse_identity,
    phrase,
    precheck,
    verify,
)
from smartalex.sip.uri import Uri
from tests.sip.authority import CALLED, CALLER, INFO, NOW, base64url, der, issue, one, root

ROOT = root()
SIGNER = ROOT.ca().signer()
FACTS = Facts((CALLER, f"sip:+{CALLER}@carrier"), (CALLED, f"sip:+{CALLED}@smartalex"), NOW)

# RFC 8225, appendix A, and the example of section 7.1, which appendix A's key has signed
A_HEADER = "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9jZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9"
A_PAYLOAD = "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19"
A_SIGNATURE = "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkba7UWYRM47ZbNFdOJquE35cw"
A_INFO = "https://cert.example.org/passport.cer"
SECTION_7_PAYLOAD = (
    "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI6IjE0NDMyMDgzNDUiLCJvcmlnIjp7InRuIjoiMTIxNTU1NTEyMTIifX0"
)
SECTION_7_SIGNATURE = "rq3pjT1hoRwakEGjHCnWSwUnshd0-zJ6F1VOgFWSjHBr8Qjpjlk-cpFYpFYsojNCpTzO3QfPOlckGaS6hEck7w"
A_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8HNbQd/TmvCKwPKHkMF9fScavGeH78YTU8qLS8I5HLHSSmlATLcslQMhNC/OhlWBYC626nIlo7XeebYS7Sb37g=="
)


def verified(identity: str, facts: Facts = FACTS, now: float = NOW, **how: Any) -> Verification:
    return verify(parse_identity(identity), how.pop("chain", SIGNER.pem), [ROOT.certificate], facts, now, **how)


class Refusals(TestCase):
    def unreadable(self, status: int, words: str, identity: str) -> None:
        with self.assertRaises(RemoteError) as caught:
            parse_identity(identity)
        self.assertEqual(caught.exception.status, status, caught.exception.reason)
        self.assertIn(words, caught.exception.reason)

    def fails(self, status: int, words: str, identity: str, *args: Any, **how: Any) -> None:
        found = verified(identity, *args, **how)
        self.assertEqual((found.status, found.status_code, found.attestation), ("failed", status, ""), found.reason)
        self.assertIn(words, found.reason)


class TheRfcsExamples(Refusals):
    def test_the_claims_of_appendix_a(self) -> None:
        passport = parse_identity(f"{A_HEADER}.{A_PAYLOAD}.{A_SIGNATURE};info=<{A_INFO}>")
        self.assertEqual((passport.orig, passport.dest, passport.iat), (CALLER, ("sip:alice@example.com",), 1471375418))
        self.assertEqual((passport.ppt, passport.info, passport.compact), ("", A_INFO, False))

    def test_a_folded_header(self) -> None:
        folded = (
            f"{A_HEADER[:40]} {A_HEADER[40:]} .{A_PAYLOAD}\t.{A_SIGNATURE[:9]} {A_SIGNATURE[9:]} ; info = <{A_INFO}> ; alg=ES256"
        )
        self.assertEqual(parse_identity(folded).signed, f"{A_HEADER}.{A_PAYLOAD}".encode())

    def test_the_compact_form_of_appendix_a(self) -> None:
        then, long_ago = 1471375418, (-5000.0, 1.0)
        anchor = root(days=long_ago)
        signer = anchor.signer(days=long_ago)
        compact = parse_identity(f"..{signer.sign(f'{A_HEADER}.{A_PAYLOAD}')};info=<{A_INFO}>")
        facts = Facts((CALLER, f"sip:{CALLER}@carrier"), ("sip:alice@example.com",), then)
        found = verify(compact, signer.pem, [anchor.certificate], facts, then + 1)
        self.assertEqual(found, Verification("verified"))

    def test_the_signature_of_section_7(self) -> None:
        key = load_der_public_key(base64.b64decode(A_KEY))
        certificate = issue("appendix A", ROOT, key=key).certificate
        signature = base64.urlsafe_b64decode(SECTION_7_SIGNATURE + "==")
        self.assertIsNone(check_signature(certificate, signature, f"{A_HEADER}.{SECTION_7_PAYLOAD}".encode()))

    def test_its_iat_is_a_text(self) -> None:  # RFC errata 5985
        self.unreadable(438, "iat", f"{A_HEADER}.{SECTION_7_PAYLOAD}.{SECTION_7_SIGNATURE};info=<{A_INFO}>")


class Reading(Refusals):
    def test_a_shaken_passport(self) -> None:
        passport = parse_identity(SIGNER.identity())
        self.assertEqual((passport.ppt, passport.attest, passport.origid[:8]), ("shaken", "A", "123e4567"))
        self.assertEqual((passport.orig, passport.dest, passport.iat, passport.div), (CALLER, (CALLED,), NOW, ""))

    def test_ppt_may_be_quoted_or_left_to_the_token(self) -> None:
        for params in (f';ppt="shaken";info=<{INFO}>', f";info=<{INFO}>", f";INFO=<{INFO}>;x;y=1"):
            self.assertEqual(parse_identity(SIGNER.identity(params=params)).ppt, "shaken")

    def test_a_diversion_is_read(self) -> None:
        div = SIGNER.identity({"ppt": "div"}, {"div": {"tn": "12155550000"}, "attest": None}, f";info=<{INFO}>;ppt=div")
        self.assertEqual(parse_identity(div).div, "12155550000")

    def test_the_info_must_be_an_https_resource(self) -> None:
        for info in (
            "", ";info", ";info=", ";info=x", f";info={INFO}", ";info=<http://h/c>", ";info=<cid:1@h>", ";info=<https://>",
            ";info=<https://user@h/c>", ";info=<https://h/c d>", ";info=<https://h:123456/c>", ";info=<https://h/\x7f>",
            ";info=<https://h\\@evil/c>", ";info=<https://hé/c>", ";info=<file:///etc/passwd>",
            ";info=<http\u017f://h/c>", ";info=<https://\u212a/c>", ";info=<https://\udcff/c>",
        ):  # fmt: skip
            with self.subTest(ascii(info)):
                self.unreadable(436, "https", SIGNER.token() + info)

    def test_x5u_must_be_the_info(self) -> None:
        self.unreadable(436, "x5u", SIGNER.identity({"x5u": INFO + "2"}))
        self.unreadable(436, "x5u", SIGNER.identity({"x5u": None}))

    def test_the_algorithm(self) -> None:
        self.unreadable(437, "alg", SIGNER.identity(params=f";info=<{INFO}>;alg=RS256"))
        for alg in ("none", "RS256", "HS256", "es256", None, 1):
            self.unreadable(437, "ES256", SIGNER.identity({"alg": alg}))

    def test_the_type(self) -> None:
        for typ in ("JWT", None, ["passport"]):
            self.unreadable(437, "PASSporT", SIGNER.identity({"typ": typ}))

    def test_two_words_for_ppt(self) -> None:
        self.unreadable(438, "ppt", SIGNER.identity(params=f";info=<{INFO}>;ppt=div"))
        self.unreadable(438, "ppt", SIGNER.identity({"ppt": 1}))

    def test_claims_that_are_not_what_they_should_be(self) -> None:
        for claims in (
            {"iat": None}, {"iat": "1900000000"}, {"iat": True}, {"iat": -1}, {"iat": float("nan")}, {"iat": float("inf")},
            {"iat": 10**30}, {"iat": [1]}, {"orig": None}, {"orig": CALLER}, {"orig": {}}, {"orig": {"tn": ""}},
            {"orig": {"tn": 12155551212}}, {"orig": {"tn": CALLER, "uri": "sip:a@b"}}, {"orig": {"tn": [CALLER, CALLER]}},
            {"orig": {"tn": "\ud800"}}, {"orig": {"uri": "no uri"}}, {"dest": None}, {"dest": {"tn": [CALLED, 1]}},
            {"dest": {"tn": [CALLED] * 33}}, {"dest": {"tn": {}}}, {"attest": 1}, {"attest": "A\n"}, {"origid": "x" * 129},
            {"origid": "\ud800"}, {"div": 1},
        ):  # fmt: skip
            with self.subTest(claims):
                self.unreadable(438, "", SIGNER.identity(claims=claims))

    def test_tokens_that_are_none(self) -> None:
        token = SIGNER.token()
        header, payload, signature = token.split(".")
        for bad in (
            "", ".", "..", "...", f"{header}.{payload}", f"{header}.{payload}.", f"{header}.{payload}.{signature}.x",
            f"{header}.{payload}.{signature}AA", f"{header}.{payload}.{signature[:-2]}", f"{header}.{payload}.{signature}=",
            f"{header}..{signature}", f".{payload}.{signature}", f"{header}+.{payload}.{signature}", f"é.{payload}.{signature}",
            f"\udcff{token}",
            f"{header}a.{payload}.{signature}", f"{base64url(b'[]')}.{payload}.{signature}",
            f"{base64url(bytes(3))}.{payload}.{signature}", f"{base64url(b'{' + b' ' * 9)}.{payload}.{signature}",
        ):  # fmt: skip
            with self.subTest(ascii(bad)):
                self.unreadable(438, "", f"{bad};info=<{INFO}>")

    def test_a_key_given_twice(self) -> None:
        header, _, signature = SIGNER.token().split(".")
        twice = base64url(b'{"iat":1900000000,"orig":{"tn":"1"},"orig":{"tn":"2"},"dest":{"tn":["3"]}}')
        self.unreadable(438, "JSON", f"{header}.{twice}.{signature};info=<{INFO}>")

    def test_json_is_not_nested_deeply(self) -> None:
        header, _, signature = SIGNER.token().split(".")
        for opening in (b"[", b'{"a":'):
            self.unreadable(438, "JSON", f"{header}.{base64url(opening * 1000)}.{signature};info=<{INFO}>")

    def test_a_number_of_thousands_of_digits(self) -> None:
        header, _, signature = SIGNER.token().split(".")
        long = base64url(b'{"iat":' + b"9" * 5000 + b"}")
        self.unreadable(438, "JSON", f"{header}.{long}.{signature};info=<{INFO}>")

    def test_the_length_is_bounded(self) -> None:
        self.unreadable(438, "long", SIGNER.identity() + ";x=" + "y" * MAX_IDENTITY)

    def test_parameters_that_are_none(self) -> None:
        for params in (";info=<https://h/c>;", ";;info=<https://h/c>", ";info=<https://h/c>;info=<https://h/c>", ";=", ";a=b c"):
            with self.subTest(params):
                self.unreadable(438, "parameters", SIGNER.token() + params)


class Verifying(Refusals):
    def test_a_good_one(self) -> None:
        for attestation in "ABC":
            found = verified(SIGNER.identity(claims={"attest": attestation}))
            self.assertEqual((found.status, found.attestation, found.status_code), ("verified", attestation, 0), found.reason)
            self.assertEqual(found.origid, "123e4567-e89b-12d3-a456-426655440000")

    def test_one_that_is_not_shaken_attests_nothing(self) -> None:
        found = verified(SIGNER.identity({"ppt": None}, {"attest": "A"}, f";info=<{INFO}>"))
        self.assertEqual((found.status, found.attestation), ("verified", ""), found.reason)

    def test_an_unsupported_ppt_is_ignored(self) -> None:
        found = verified(SIGNER.identity({"ppt": "rph"}, params=f";info=<{INFO}>"))
        self.assertEqual((found.status, found.status_code), ("none", 428))

    def test_stale(self) -> None:
        self.fails(403, "61 s ago", SIGNER.identity(), now=NOW + 61)
        self.fails(403, "61 s ahead", SIGNER.identity(), now=NOW - 61)
        self.assertEqual(verified(SIGNER.identity(), now=NOW + 60).status, "verified")

    def test_iat_and_date_apart(self) -> None:
        self.fails(403, "too far apart", SIGNER.identity(), attrs.evolve(FACTS, date=NOW - 61))

    def test_date_is_not_needed(self) -> None:
        self.assertEqual(verified(SIGNER.identity(), attrs.evolve(FACTS, date=None)).status, "verified")

    def test_another_caller(self) -> None:
        self.fails(438, "not the caller", SIGNER.identity(claims={"orig": {"tn": "12155551213"}}))

    def test_another_number_called(self) -> None:
        self.fails(438, "dest", SIGNER.identity(claims={"dest": {"tn": [CALLER]}}))
        self.fails(438, "dest", SIGNER.identity(claims={"dest": {"tn": []}}))

    def test_one_of_several_called(self) -> None:
        dest = {"tn": [CALLER, CALLED], "uri": ["sip:x@y"]}
        self.assertEqual(verified(SIGNER.identity(claims={"dest": dest})).status, "verified")

    def test_numbers_in_any_dress(self) -> None:
        claims = {"orig": {"tn": "+1-215-555-1212"}, "dest": {"tn": "+" + CALLED}}
        self.assertEqual(verified(SIGNER.identity(claims=claims)).status, "verified")

    def test_a_number_and_a_uri_are_two_things(self) -> None:
        facts = Facts(("300", "sip:300@pbx"), FACTS.called, NOW)
        self.fails(438, "not the caller", SIGNER.identity(claims={"orig": {"uri": "sip:300@elsewhere"}}), facts)

    def test_nobody_signs_for_uris_with_a_tnauthlist(self) -> None:
        facts = Facts(("sip:alice@example.com",), FACTS.called, NOW)
        self.fails(437, "does not cover", SIGNER.identity(claims={"orig": {"uri": "sip:Alice@Example.com"}}),
                   attrs.evolve(facts, caller=("sip:Alice@example.com",)))  # fmt: skip

    def test_attest_and_origid_are_needed(self) -> None:
        for claims in ({"attest": None}, {"attest": "D"}, {"attest": "AB"}, {"attest": ""}, {"origid": None}):
            with self.subTest(claims):
                self.fails(438, "attest or origid", SIGNER.identity(claims=claims))

    def test_another_signature(self) -> None:
        self.fails(438, "does not fit", ROOT.signer().identity())

    def test_changed_claims(self) -> None:
        header, _, signature = SIGNER.token(claims={"attest": "C"}).split(".")
        payload = SIGNER.token(claims={"attest": "A"}).split(".")[1]
        self.fails(438, "does not fit", f"{header}.{payload}.{signature};info=<{INFO}>")

    def test_an_untrusted_certificate(self) -> None:
        stranger = root().signer()
        self.fails(437, "not trusted", stranger.identity(), chain=stranger.pem)

    def test_an_expired_certificate(self) -> None:
        expired = ROOT.signer(days=(-2, -0.1))
        self.fails(437, "not valid", expired.identity(), chain=expired.pem)

    def test_no_certificate(self) -> None:
        self.fails(437, "read", SIGNER.identity(), chain=b"<html>")

    def test_a_certificate_without_tnauthlist(self) -> None:
        plain = ROOT.signer(None)
        self.fails(437, "no TNAuthList", plain.identity(), chain=plain.pem)
        self.assertEqual(verified(plain.identity(), chain=plain.pem, strict=False).status, "verified")

    def test_a_certificate_for_another_number(self) -> None:
        other = ROOT.signer(der(0x30, one("12155551213")))
        self.fails(437, "does not cover", other.identity(), chain=other.pem)

    def test_the_certificate_is_not_asked_for_in_vain(self) -> None:
        self.assertIsNone(precheck(parse_identity(SIGNER.identity()), FACTS, NOW))
        stale = precheck(parse_identity(SIGNER.identity()), FACTS, NOW + 100)
        self.assertEqual(stale and stale.status_code, 403)


class Compact(Refusals):
    def identity(self, **changes: Any) -> str:
        header = base64url(json.dumps({"alg": "ES256", "typ": "passport", "x5u": INFO}, separators=(",", ":")).encode())
        claims = {"dest": {"tn": [CALLED]}, "iat": int(NOW), "orig": {"tn": CALLER}, **changes}
        payload = base64url(json.dumps(claims, separators=(",", ":")).encode())
        return f"..{SIGNER.sign(f'{header}.{payload}')};info=<{INFO}>"

    def test_the_request_says_what_was_signed(self) -> None:
        self.assertEqual(verified(self.identity()).status, "verified")
        self.fails(438, "does not fit", self.identity(orig={"tn": "12155551213"}))
        self.fails(438, "does not fit", self.identity(iat=int(NOW) + 1))

    def test_date_is_needed_and_fresh(self) -> None:
        self.fails(438, "Date", self.identity(), attrs.evolve(FACTS, date=None))
        self.fails(403, "61 s ago", self.identity(), now=NOW + 61)

    def test_it_cannot_be_shaken(self) -> None:
        self.fails(438, "compact", self.identity() + ";ppt=shaken")


class TheRequest(TestCase):
    def invite(self, *rows: tuple[str, str]) -> Request:
        rows = (("From", f"<sip:+{CALLER}@carrier>;tag=1"), ("To", f"<sip:+{CALLED}@smartalex;user=phone>"), *rows)
        return Request("INVITE", "sip:300@smartalex", Headers(rows))

    def test_from_to_and_date(self) -> None:
        facts = facts_of(self.invite(("Date", "Tue, 16 Aug 2016 19:23:38 GMT")))
        self.assertEqual(facts, Facts((CALLER, f"sip:+{CALLER}@carrier"), (CALLED, f"sip:+{CALLED}@smartalex"), 1471375418))

    def test_the_asserted_identity_is_the_one_to_verify(self) -> None:
        facts = facts_of(self.invite(("P-Asserted-Identity", "<sip:bob@pbx>, <tel:+1-999>")))
        self.assertEqual(facts.caller, ("1999", "tel:+1-999"))

    def test_a_date_that_is_none(self) -> None:
        for date in ("", "soon", "Tue, 99 Aug 2016 19:23:38 GMT", "Tue, 16 Aug 2016 19:23:38", "Tue, 16 Aug 99999999 1:1:1 GMT"):
            with self.subTest(date):
                self.assertIsNone(facts_of(self.invite(("Date", date))).date)

    def test_uris_in_canonical_form(self) -> None:
        for text, canonical in {
            "SIP:al%69ce:secret@EXAMPLE.com:5060;transport=tcp?Subject=x": "sip:alice@example.com",
            "sips:Alice@h:5071;user=phone": "sips:Alice@h:5071",
            "sip:H": "sip:h",
            "tel:+1215": "tel:+1215",
        }.items():
            self.assertEqual(canonical_uri(Uri.parse(text)), canonical)


GOOD_A, GOOD_B, GOOD_C, GOOD = (Verification("verified", attestation) for attestation in ("A", "B", "C", ""))
BAD, STALE = Verification("failed", status_code=438), Verification("failed", status_code=403)
RESULTS = (GOOD_A, GOOD_B, GOOD_C, GOOD, BAD, STALE, NONE)


class Several(TestCase):
    def test_the_best_counts(self) -> None:
        for found, counts in (
            ((), NONE), ((NONE, BAD), BAD), ((BAD, STALE), BAD), ((STALE, BAD), STALE), ((BAD, GOOD_C), GOOD_C),
            ((GOOD_C, GOOD_A, GOOD_B), GOOD_A), ((GOOD, GOOD_C), GOOD_C), ((NONE, GOOD), GOOD),
        ):  # fmt: skip
            with self.subTest(found):
                self.assertEqual(best(found), counts)


class Policies(TestCase):
    def test_every_policy_with_every_result(self) -> None:
        taken = (None,) * len(RESULTS)
        for text, answers in {
            "off": taken,
            "record": taken,
            "require": (None, None, None, None, 438, 403, 428),
            "require-C": (None, None, None, 403, 438, 403, 428),
            "require-B": (None, None, 403, 403, 438, 403, 428),
            "require-A": (None, 403, 403, 403, 438, 403, 428),
        }.items():
            for result, answer in zip(RESULTS, answers, strict=True):
                with self.subTest(text, result=result):
                    self.assertEqual(decide(Policy.parse(text), result), answer)

    def test_the_words_that_go_with_it(self) -> None:
        words = [phrase(one) for one in (GOOD_C, STALE, NONE, BAD)]
        self.assertEqual(words, ["Forbidden", "Stale Date", "Use Identity Header", "Invalid Identity Header"])

    def test_other_words(self) -> None:
        for text in ("", "on", "require-", "require-D", "record-A", "Require", "require-A-B", "off-"):
            with self.subTest(text), self.assertRaises(ConfigurationError):
                Policy.parse(text)


TEXT = st.text(max_size=60) | st.text('eyJ.;=<>"infoalgptshkn:/ ', max_size=60)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from([CALLER, CALLED, "A"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tn", "uri"]), inner))


class Anything(TestCase):
    def read(self, identity: str) -> None:
        try:
            passport = parse_identity(identity)
        except RemoteError as error:
            self.assertIn(error.status, (436, 437, 438))
        else:
            self.assertIn(verify(passport, SIGNER.pem, [ROOT.certificate], FACTS, NOW).status, ("verified", "failed", "none"))

    @given(TEXT, TEXT)
    def test_any_text(self, text: str, params: str) -> None:
        for identity in (text, f"{text};info=<{INFO}>{params}", SIGNER.token() + params, f"..{'A' * 86}{text};info=<{INFO}>"):
            self.read(identity)

    @given(st.dictionaries(st.sampled_from(["iat", "orig", "dest", "attest", "origid", "div"]), VALUES), st.text(max_size=9))
    def test_any_claims_that_are_signed(self, claims: dict[str, Any], ppt: str) -> None:
        self.read(SIGNER.identity(claims=claims))
        self.read(SIGNER.identity({"ppt": ppt}, claims, f";info=<{INFO}>"))

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_any_bytes_in_the_token(self, header: bytes, payload: bytes) -> None:
        self.read(f"{base64url(header)}.{base64url(payload)}.{'A' * 86};info=<{INFO}>")

    @given(st.text(max_size=40))
    def test_any_date(self, date: str) -> None:
        found = facts_of(Request("INVITE", "sip:x", Headers([("From", "<sip:1@h>"), ("To", "<sip:2@h>"), ("Date", date)]))).date
        self.assertTrue(found is None or isinstance(found, float))

    @given(st.binary(max_size=80))
    def test_any_certificate(self, data: bytes) -> None:
        self.assertEqual(verified(SIGNER.identity(), chain=data).status_code, 437)
