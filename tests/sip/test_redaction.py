"""No secret of a message is kept, however it is written; the rest stays, and stays a message."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.sip.message import parse
from smartalex.sip.redaction import redact, redact_all

SECRET = b"hUnTeR2SeCrEt"
"""Wherever it stands below, it must not be found afterwards."""

HEAD = (
    b"INVITE sip:alex@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-1\r\nFrom: <sip:bob@pbx>;tag=1\r\n"
    b"To: <sip:alex@192.0.2.1>\r\nCall-ID: 7@pbx\r\nCSeq: 1 INVITE\r\n"
)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/SAVP 8\r\n"

HEADERS = {
    "digest": b'Authorization: Digest username="bob", realm="pbx.example", nonce="%s", uri="sip:alex@x", response="%s"',
    "bare": b"Authorization: Digest nonce=%s,response=%s==,cnonce=%s",
    "proxy": b'Proxy-Authorization: Digest cnonce="%s", opaque="o"',
    "escaped": b'Authorization: Digest response="a\\"%s", realm="r"',
    "open quote": b'Authorization: Digest realm="r", response="%s',
    "no equals sign": b"Authorization: Digest response %s",
    "challenge": b'WWW-Authenticate: Digest realm="r", nonce="%s", algorithm=MD5',
    "next": b'Authentication-Info: nextnonce="%s", rspauth="%s"',
    "basic": b"Authorization: Basic %s",
    "bearer": b"Proxy-Authorization: Bearer %s.%s",
    "no scheme": b"Authorization: %s",
    "password": b"Contact: <sip:bob:%s@192.0.2.7>",
    "password with an at": b"Contact: sip:bob:a@%s@192.0.2.7;expires=5",
    "password on the web": b"Call-Info: <https://bob:%s@example.com/card>",
    "password in a parameter": b'Authorization: Digest uri="sip:bob:%s@pbx"',
    "header in a URI": b"Refer-To: <sip:bob@pbx?Authorization=Digest%%20%s&Subject=x>",
    "identity": b"Identity: eyJhbGciOiJFUzI1NiJ9.eyJhdHRlc3QiOiJBIn0.%s;info=<https://ca.example/c.pem>;alg=ES256",
    "identity in compact form": b"Identity: ..%s;info=<https://ca.example/c.pem>",
    "two identities": b"Identity: a.b.%s;info=<x>, a.b.%s;info=<y>",
    "identity of RFC 4474": b'Identity: "%s="',
}
LINES = {
    "crypto": b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s|2^20|1:4;inline:%s FEC_KEY=inline:%s",
    "crypto in a capability": b"a=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s",
    "another key method": b"a=crypto:1 SUITE uri:%s",
    "two key methods": b"a=crypto:1 SUITE uri:%s;inline:%s WSH=64 uri:%s inline:%s",
    "a space before the key": b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline: %s",
    "no suite": b"a=crypto:1 inline:%s",
    "no suite and another method": b"a=crypto:1 uri:%s",
    "no method": b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 %s",
    "a wrong tag": b"a=crypto:x AES_CM_128_HMAC_SHA1_80 uri:%s",
    "a space before the tag": b"a=crypto: 1\tAES_CM_128_HMAC_SHA1_80\tInline:%s|2^48 UNENCRYPTED_SRTP FEC_KEY=uri:%s",
    "key-mgmt": b"a=key-mgmt:mikey %s",
    "k": b"k=clear:%s",
    "k alone": b"k=%s",
    "ice": b"a=ice-pwd:%s",
}
SPELLINGS = {
    "as it is": lambda text: text,
    "upper case": lambda text: text.upper().replace(SECRET.upper(), SECRET),
    "lower case": lambda text: text.lower().replace(SECRET.lower(), SECRET),
    "space before the colon": lambda text: text.replace(b":", b" \t:", 1),
    "folded after the colon": lambda text: text.replace(b": ", b":\r\n\t", 1),
    "folded before the colon": lambda text: text.replace(b":", b"\r\n :", 1),
    "folded everywhere": lambda text: text.replace(b", ", b",\r\n "),
    "compact": lambda text: text.replace(b"Identity:", b"y:"),
    "LF only": lambda text: text.replace(b", ", b",\n\t"),
}


def filled(text: bytes) -> bytes:
    return text.replace(b"%s", SECRET).replace(b"%%", b"%")


class Secrets(TestCase):
    def assertSafe(self, data: bytes) -> bytes:
        hidden = redact(data)
        self.assertNotIn(SECRET.lower(), hidden.lower(), hidden)
        return hidden

    def test_each_header_in_each_spelling(self) -> None:
        for name, text in HEADERS.items():
            for spelling, spell in SPELLINGS.items():
                for end in (b"\r\n", b"\n", b"\r"):
                    with self.subTest(name=name, spelling=spelling, end=end):
                        data = (HEAD + spell(filled(text)) + b"\r\nX-Kept: yes\r\n\r\n").replace(b"\r\n", end)
                        hidden = self.assertSafe(data)
                        self.assertTrue(hidden.startswith(HEAD.replace(b"\r\n", end)))
                        self.assertTrue(hidden.endswith(b"X-Kept: yes" + end * 2))

    def test_each_line_of_sdp(self) -> None:
        for name, text in LINES.items():
            for end in (b"\r\n", b"\n"):
                with self.subTest(name=name, end=end):
                    body = (SDP + filled(text) + b"\r\na=sendrecv\r\n").replace(b"\r\n", end)
                    hidden = self.assertSafe(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    after = parse(hidden)
                    self.assertTrue(hidden.endswith(after.body))
                    self.assertTrue(after.body.endswith(b"a=sendrecv" + end))
                    self.assertTrue(after.body.startswith(SDP.replace(b"\r\n", end)))

    def test_a_message_in_a_message(self) -> None:
        inner = HEAD + filled(HEADERS["digest"]) + b"\r\n\r\n"
        self.assertSafe(HEAD + b"Content-Type: message/sip\r\n\r\n" + inner)

    def test_in_the_request_line(self) -> None:
        self.assertEqual(
            redact(b"INVITE sip:alex:%s@h;x=y SIP/2.0\r\n\r\n" % SECRET), b"INVITE sip:alex:********@h;x=y SIP/2.0\r\n\r\n"
        )

    def test_no_message_at_all(self) -> None:
        for text in HEADERS.values():
            self.assertSafe(filled(text))

    @given(st.sampled_from(sorted(HEADERS)), st.sampled_from(sorted(SPELLINGS)), st.binary(max_size=40), st.binary(max_size=40))
    def test_among_any_bytes(self, name: str, spelling: str, before: bytes, after: bytes) -> None:
        data = before + b"\r\n" + SPELLINGS[spelling](filled(HEADERS[name])) + b"\r\n" + after
        self.assertNotIn(SECRET.lower(), redact(data).lower())


class TheRest(TestCase):
    def test_a_message_without_secrets_is_the_same_object(self) -> None:
        data = HEAD + b"P-Asserted-Identity: <sip:+1555@pbx:5060;user=phone>\r\nContent-Length: %d\r\n\r\n" % len(SDP) + SDP
        self.assertIs(redact(data), data)

    def test_what_is_public_stays(self) -> None:
        given = b'Authorization: DIGEST username="bob", realm="a, b", algorithm=SHA-256,\r\n nonce="0123", qop=auth, nc=00000001'
        kept = given.replace(b"0123", b"****")
        self.assertEqual(redact(HEAD + given + b"\r\n\r\n"), HEAD + kept + b"\r\n\r\n")
        identity = b"y: eyJh.eyJi.%s;info=<https://ca.example/c.pem>;alg=ES256;ppt=shaken"
        self.assertEqual(redact(identity % b"c2ln"), identity % b"****")

    def test_foreign_headers_stay(self) -> None:
        data = HEAD + b"X-Nonce: nonce=1, response=2\r\nX-Authorization-Note: Basic x\r\nX-Bytes: \xff\xfe\x00\r\n\r\n"
        self.assertEqual(redact(data), data)

    def test_addresses_with_ports_stay(self) -> None:
        for text in (b"<sip:192.0.2.1:5060;lr>", b"<sip:bob@[2001:db8::1]:5060>", b"sip:bob@h:5060, sip:h2:5061"):
            self.assertEqual(redact(b"Contact: " + text), b"Contact: " + text)

    def test_lengths_stay_where_they_tell_nothing(self) -> None:
        for text in (HEADERS["digest"], HEADERS["identity"], LINES["crypto"], LINES["key-mgmt"]):
            self.assertEqual(len(redact(filled(text))), len(filled(text)))

    def test_content_length_follows_the_body(self) -> None:
        body = SDP + b"k=clear:x\r\n"
        for name in (b"Content-Length", b"l", b"CONTENT-LENGTH "):
            for beyond in (b"", b"k=clear:x\r\n"):
                after = parse(redact(HEAD + name + b": %d\r\n\r\n" % len(body) + body + beyond))
                self.assertEqual(after.body, SDP + b"k=clear:********\r\n")

    def test_a_wrong_content_length_stays_wrong(self) -> None:
        data = redact(HEAD + b"Content-Length: 900\r\n\r\nk=x\r\n")
        self.assertIn(b"Content-Length: 907\r\n", data)

    def test_keys_pressed_are_kept_unless_asked(self) -> None:
        for kind, body, hidden in (
            (b"Content-Type: application/dtmf-relay", b"Signal= 5\r\nDuration= 160\r\n", b"Signal= x\r\nDuration= 160\r\n"),
            (b"c:application/DTMF", b"5", b"x"),
        ):
            data = HEAD.replace(b"INVITE", b"INFO") + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.assertEqual(redact(data + body), data + body)
            self.assertEqual(redact(data + body, sensitive_digits=True), data + hidden)
        text = HEAD + b"Content-Type: text/plain\r\n\r\nSignal=5"
        self.assertEqual(redact(text, sensitive_digits=True), text)


PIECES = [*map(filled, HEADERS.values()), *map(filled, LINES.values()), HEAD, SDP]
PIECES += [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b'"',
    b"\\",
    b"=",
    b":",
    b"@",
    b",",
    b";",
    b"\xff",
    b"l: 7\r\n",
    b"sip:",
    b"y",
]


class AnyBytes(TestCase):
    @given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.booleans())
    def test_it_never_raises_and_the_length_stays_plausible(self, data: bytes, digits: bool) -> None:
        hidden = redact(data, sensitive_digits=digits)
        self.assertLessEqual(abs(len(hidden) - len(data)), len(data) * 3 + 16)
        self.assertEqual(hidden.count(b"\n"), data.count(b"\n"))

    @given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
    def test_a_second_time_brings_nothing_back(self, data: bytes) -> None:
        """What runs into a mask may be hidden too: a header without a line end before it."""
        once = redact(data)
        twice = redact(once)
        self.assertEqual(len(twice), len(once))
        self.assertTrue(all(after in (before, ord("*")) for before, after in zip(once, twice, strict=True)), (once, twice))

    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=60), max_size=6))
    def test_together_as_one_by_one(self, messages: list[bytes]) -> None:
        self.assertEqual(redact_all(messages), [redact(data) for data in messages])
