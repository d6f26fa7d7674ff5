"""Bodies in parts: what is read, what is refused, and the session description in a call's INVITE."""

from __future__ import annotations

from unittest import TestCase, skipUnless

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.message import Headers, Request, parse
from smartalex.sip.multipart import MOST_PARTS, Part, parts, unwrap
from tests.sip.test_torture import FOUND, request

MIXED = "multipart/mixed; boundary=b1"
SDP = b"v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\n"


def one(content_type: str, body: bytes, *headers: str, boundary: str = "b1") -> bytes:
    lines = [f"--{boundary}", *([f"Content-Type: {content_type}"] if content_type else []), *headers, "", ""]
    return "\r\n".join(lines).encode() + body + b"\r\n"


def whole(*pieces: bytes, boundary: str = "b1") -> bytes:
    return b"".join(pieces) + f"--{boundary}--".encode()


def told(found: list[Part]) -> list[tuple[str, bytes]]:
    return [(part.content_type, part.body) for part in found]


class Reading(TestCase):
    def test_parts_with_their_headers(self) -> None:
        body = whole(one("Application/SDP; x=y", SDP, "Content-ID: <1@h>"), one("application/isup", b"\x01\r\n\x00\xff"))
        found = parts(MIXED, body)
        self.assertEqual(told(found), [("application/sdp", SDP), ("application/isup", b"\x01\r\n\x00\xff")])
        self.assertEqual(found[0].headers.get("content-id"), "<1@h>")

    def test_what_surrounds_them_is_ignored(self) -> None:
        """As pjsip's clutter: text before and after, a part without a type, and one that ends without a line end."""
        body = b"A preamble.\n\n--123:45\nContent-Type: text/plain\n\nnot SDP\n\n--123:45\n\nplain\n--123:45 \t\n"
        body += b"Content-Type: application/sdp\n\nv=0\no=-\n\n--123:45--\nAn epilogue, and --123:45 in it.\n--123:45\n"
        found = parts('multipart/mixed; boundary="123:45"', body)
        self.assertEqual(
            told(found), [("text/plain", b"not SDP\n"), ("text/plain", b"plain"), ("application/sdp", b"v=0\no=-\n")]
        )

    def test_empty_parts(self) -> None:
        for body, bodies in (
            (b"--b1\r\n--b1--", [b""]),
            (b"--b1\r\n\r\n--b1--", [b""]),
            (b"--b1\r\n\r\n\r\n--b1--", [b""]),
            (b"--b1\r\n\r\n\r\n\r\n--b1--", [b"\r\n"]),
            (b"--b1\r\nX: y\r\n--b1\r\nX: y\r\n\r\n--b1--", [b"", b""]),
        ):
            with self.subTest(body=body):
                self.assertEqual([part.body for part in parts(MIXED, body)], bodies)

    def test_only_a_whole_line_is_a_delimiter(self) -> None:
        for inside in (b"--b", b"--b12", b"--b1x", b"--b1-", b"x--b1", b"- -b1", b"--B1", b"--b1--x"):
            with self.subTest(inside=inside):
                body = whole(one("text/x", b"before\r\n" + inside + b"\r\nafter"))
                self.assertEqual(told(parts(MIXED, body)), [("text/x", b"before\r\n" + inside + b"\r\nafter")])

    def test_parts_inside_a_part_stand_in_its_place(self) -> None:
        inner = whole(one("text/plain", b"1", boundary="b2"), one("application/sdp", SDP, boundary="b2"), boundary="b2")
        body = whole(one("a/b", b"0"), one('multipart/alternative; boundary="b2"', inner), one("c/d", b"3"))
        self.assertEqual(told(parts(MIXED, body)), [("a/b", b"0"), ("text/plain", b"1"), ("application/sdp", SDP), ("c/d", b"3")])

    def test_folded_headers(self) -> None:
        body = whole(b"--b1\r\nContent-Type: application/sdp;\r\n charset=utf-8\r\n\r\n" + SDP + b"\r\n")
        self.assertEqual(told(parts(MIXED, body)), [("application/sdp", SDP)])

    @skipUnless(FOUND, "no RFC 4475 messages: see test_torture.py")
    def test_rfc_4475_binary_parts(self) -> None:
        message = request("mpart01")
        found = parts(message.headers.get("Content-Type") or "", message.body)
        self.assertEqual([part.content_type for part in found], ["text/plain", "application/octet-stream"])
        self.assertEqual((found[0].body, found[1].body[:4], len(found[1].body)), (b"Hello", b"0\x82\x01\x52", 4 + 0x152))


class Refusing(TestCase):
    def test_boundaries_that_are_none(self) -> None:
        for tail in ("", ";", "; boundary", "; boundary=", '; boundary=""', "; boundary=" + "b" * 71, '; boundary="b "', ";=b1"):
            with self.subTest(tail=tail), self.assertRaises(RemoteError) as caught:
                parts("multipart/mixed" + tail, whole(one("a/b", b"")))
            self.assertEqual(caught.exception.status, 400)

    def test_bodies_without_a_whole_part(self) -> None:
        good = one("a/b", b"x")
        for body in (
            b"", b"x", b"--b1", b"--b1\r\n", b"--b1--", b"\r\n--b1--\r\n", good, good + b"--b1", good + b"--b1-",
            good + b"--b2--", b"--b1--\r\n" + good, b"--b1\r\nno colon\r\n\r\nx\r\n--b1--", b"--b1\r\nX: a\rb\r\n\r\nx\r\n--b1--",
        ):  # fmt: skip
            with self.subTest(body=body), self.assertRaises(RemoteError) as caught:
                parts(MIXED, body)
            self.assertEqual(caught.exception.status, 400)

    def test_limits(self) -> None:
        good = one("a/b", b"x")
        self.assertEqual(len(parts(MIXED, whole(*[good] * MOST_PARTS))), MOST_PARTS)
        self.assertRaises(RemoteError, parts, MIXED, whole(*[good] * (MOST_PARTS + 1)))
        inner = whole(*[one("a/b", b"", boundary="b2")] * 9, boundary="b2")
        self.assertRaises(RemoteError, parts, MIXED, whole(*[one("multipart/mixed;boundary=b2", inner)] * 2))

    def test_depth(self) -> None:
        body, boundary = b"x", ""
        for depth in range(4):
            content_type = f"multipart/mixed;boundary={boundary}" if depth else "a/b"
            boundary = f"d{depth}"
            body = whole(one(content_type, body, boundary=boundary), boundary=boundary)
            if depth < 2:
                self.assertEqual(told(parts(f"multipart/mixed;boundary={boundary}", body)), [("a/b", b"x")])
            else:
                self.assertRaises(RemoteError, parts, f"multipart/mixed;boundary={boundary}", body)

    @given(
        st.lists(
            st.sampled_from(
                (b"--b1", b"--b2", b"--", b"\r\n", b"\n", b" ", b"A: b", b"Content-Type: multipart/x;boundary=b2", b"x")
            )
        )
    )
    def test_any_body_is_read_or_refused(self, pieces: list[bytes]) -> None:
        body = b"".join(pieces)
        try:
            found = parts(MIXED, body)
        except RemoteError as error:
            self.assertEqual(error.status, 400)
        else:
            self.assertTrue(1 <= len(found) <= MOST_PARTS)
            self.assertLessEqual(sum(len(part.body) for part in found), len(body))

    @given(st.lists(st.tuples(st.sampled_from(("a/b", "application/sdp")), st.binary(max_size=30)), min_size=1, max_size=6))
    def test_what_was_put_together_comes_apart(self, pieces: list[tuple[str, bytes]]) -> None:
        boundary = "mZ0.unlikely"
        body = whole(*(one(*piece, boundary=boundary) for piece in pieces), boundary=boundary)
        self.assertEqual(told(parts(f"multipart/mixed;boundary={boundary}", body)), pieces)


class Descriptions(TestCase):
    def unwrapped(self, content_type: str, body: bytes) -> Request:
        message = Request("INVITE", "sip:h", Headers([("c", content_type), ("X", "y")]), body)
        unwrap(message)
        return message

    def test_the_description_takes_the_bodys_place(self) -> None:
        for position in (0, 1):
            pieces = [one("application/isup", b"\x01", "Content-Disposition: signal;handling=optional")]
            pieces.insert(position, one("application/sdp", SDP))
            message = self.unwrapped(MIXED, whole(*pieces))
            self.assertEqual((message.content_type, message.body), ("application/sdp", SDP))

    def test_of_alternatives_the_last(self) -> None:
        body = whole(one("application/sdp", SDP), one("application/sdp", b"v=0\r\n"))
        self.assertEqual(self.unwrapped(MIXED, body).body, SDP)
        self.assertEqual(self.unwrapped("multipart/alternative;boundary=b1", body).body, b"v=0\r\n")

    def test_what_cannot_be_used_stays_as_it_is(self) -> None:
        for content_type, body in (
            ("application/sdp", SDP),
            ("text/plain", whole(one("application/sdp", SDP))),
            (MIXED, whole(one("application/notsdp", SDP), one("text/plain", b"x"))),
            (MIXED, whole(one("application/sdp", SDP, "Content-Transfer-Encoding: base64"))),
            (MIXED, whole(one("application/sdp", SDP), one("a/b", b"", "Content-Disposition: signal; handling=Required"))),
        ):
            with self.subTest(body=body):
                message = self.unwrapped(content_type, body)
                self.assertEqual((message.headers.get("c"), message.body), (content_type, body))

    def test_a_broken_one_is_refused(self) -> None:
        for content_type, body in ((MIXED, SDP), ("multipart/mixed", whole(one("application/sdp", SDP)))):
            self.assertRaises(RemoteError, self.unwrapped, content_type, body)

    def test_the_message_is_right_on_the_wire_afterwards(self) -> None:
        rows = [("Via", "SIP/2.0/UDP h;branch=z9hG4bK1"), ("From", "<sip:a@h>;tag=1"), ("To", "<sip:b@h>"), ("Call-ID", "c")]
        rows += [("CSeq", "1 INVITE"), ("Content-Type", MIXED)]
        message = Request("INVITE", "sip:b@h", Headers(rows), whole(one("application/sdp", SDP)))
        unwrap(message)
        again = parse(message.to_bytes())
        self.assertEqual((again.content_type, again.body), ("application/sdp", SDP))
