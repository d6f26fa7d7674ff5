"""Messages: what is read, what is refused and with what, and that bytes survive the way in and out."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.headers import CSeq
from smartalex.sip.message import (
    LISTS,
    MAX_HEADERS,
    MAX_LINE,
    MAX_MESSAGE,
    MAX_VALUES,
    Headers,
    Request,
    Response,
    UnparsableRequest,
    parse,
    response_to,
)

INVITE = (
    b"INVITE sip:alex@192.0.2.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport, SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK0\r\n"
    b"Max-Forwards: 70\r\n"
    b"Record-Route: <sip:192.0.2.9;lr>\r\n"
    b'From: "Ann, B" <sip:ann@example.com>;tag=f1\r\n'
    b"To: <sip:alex@192.0.2.1>\r\n"
    b"Call-ID: c1@example.com\r\n"
    b"CSeq: 7 INVITE\r\n"
    b"Contact: <sip:ann@192.0.2.9:5062>\r\n"
    b"Content-Type: Application/SDP ; charset=utf-8\r\n"
    b"Content-Length: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)

HEADER_NAMES = st.from_regex(r"X-[A-Za-z0-9.!%*_+`'~-]{1,12}", fullmatch=True)
HEADER_VALUES = st.binary(max_size=30).map(
    lambda raw: raw.translate(None, b"\r\n").decode("utf-8", "surrogateescape").strip(" \t")
)


def without(name: str) -> bytes:
    return b"\r\n".join(line for line in INVITE.split(b"\r\n") if not line.lower().startswith(name.lower().encode() + b":"))


def read(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


class Reading(TestCase):
    def test_a_request(self) -> None:
        request = read(INVITE)
        self.assertEqual(
            (request.method, request.uri, str(request.request_uri)), ("INVITE", "sip:alex@192.0.2.1", "sip:alex@192.0.2.1")
        )
        self.assertEqual([via.branch for via in request.vias], ["z9hG4bK1", "z9hG4bK0"])
        self.assertEqual(request.via, request.vias[0])
        self.assertEqual((request.from_.display, request.from_.tag, request.to.tag), ("Ann, B", "f1", None))
        self.assertEqual((request.call_id, request.cseq, request.max_forwards), ("c1@example.com", CSeq(7, "INVITE"), 70))
        assert request.contact is not None
        self.assertEqual((str(request.contact.uri), request.content_type), ("sip:ann@192.0.2.9:5062", "application/sdp"))
        self.assertEqual(request.body, b"v=0\r\n")

    def test_a_response(self) -> None:
        response = parse(INVITE.replace(b"INVITE sip:alex@192.0.2.1 SIP/2.0", b"SIP/2.0 486 Busy \xc3\xa9"))
        assert isinstance(response, Response)
        self.assertEqual((response.status, response.reason, response.cseq.method), (486, "Busy \u00e9", "INVITE"))

    def test_a_response_may_have_no_reason(self) -> None:
        for line in (b"SIP/2.0 200 ", b"SIP/2.0 200"):
            response = parse(INVITE.replace(b"INVITE sip:alex@192.0.2.1 SIP/2.0", line))
            assert isinstance(response, Response)
            self.assertEqual((response.status, response.reason), (200, ""))

    def test_compact_forms_and_any_case(self) -> None:
        names = {
            b"Via": b"v",
            b"From": b"F",
            b"To": b"t",
            b"Call-ID": b"i",
            b"Contact": b"m",
            b"Content-Type": b"c",
            b"Content-Length": b"L",
        }
        data = INVITE
        for long, compact in names.items():
            data = data.replace(b"\r\n" + long + b":", b"\r\n" + compact + b" :")
        request, plain = read(data.replace(b"CSeq:", b"cSEQ:")), read(INVITE)
        for name in ("vias", "from_", "to", "call_id", "cseq", "contact", "content_type", "body"):
            self.assertEqual(getattr(request, name), getattr(plain, name), name)

    def test_folded_lines_are_one(self) -> None:
        data = INVITE.replace(b"Max-Forwards: 70", b"Subject: one\r\n\ttwo\r\n   three\r\nMax-Forwards:\r\n 70")
        request = read(data)
        self.assertEqual((request.headers.get("s"), request.max_forwards), ("one two three", 70))

    def test_line_ends_before_the_message_are_ignored(self) -> None:
        self.assertEqual(read(b"\r\n\r\n" + INVITE).call_id, "c1@example.com")

    def test_bytes_beyond_the_content_length_are_ignored_in_a_datagram(self) -> None:
        self.assertEqual(read(INVITE + b"garbage").body, b"v=0\r\n")

    def test_without_content_length_a_datagram_ends_the_body_and_a_stream_has_none(self) -> None:
        data = without("Content-Length")
        self.assertEqual(read(data).body, b"v=0\r\n")
        self.assertEqual(parse(data, stream=True).body, b"")

    def test_a_star_contact_is_no_address(self) -> None:
        self.assertIsNone(read(INVITE.replace(b"<sip:ann@192.0.2.9:5062>", b"*")).contact)

    def test_list_headers_are_split_and_others_are_not(self) -> None:
        headers = Headers([("Allow", "INVITE, ACK"), ("allow", "BYE"), ("Subject", "a, b")])
        self.assertEqual(headers.get_all("Allow"), ["INVITE", "ACK", "BYE"])
        self.assertEqual(headers.get_all("Subject"), ["a, b"])

    def test_an_unknown_method_is_read(self) -> None:
        self.assertEqual(read(INVITE.replace(b"INVITE", b"re'FRESH+1")).method, "re'FRESH+1")


class Refusing(TestCase):
    def refused(self, data: bytes, status: int = 400) -> UnparsableRequest:
        with self.assertRaises(UnparsableRequest) as caught:
            parse(data)
        self.assertEqual(caught.exception.status, status, caught.exception.reason)
        return caught.exception

    def test_what_is_wrong_is_named_and_can_be_answered(self) -> None:
        for old, new in (
            (b"Content-Length: 5", b"Content-Length: 6"),
            (b"Content-Length: 5", b"Content-Length: -5"),
            (b"Content-Length: 5", b"Content-Length: \xd9\xa5"),
            (b"Content-Length: 5", b"Content-Length: 99999999999999999999"),
            (b"Content-Length: 5", b"Content-Length: 5\r\nl: 5"),
            (b"Content-Length: 5", b"no colon here"),
            (b"Content-Length: 5", b": no name"),
            (b"Content-Length: 5", b"Allow"),
            (b"Content-Length: 5", b"X "),
            (b"CSeq: 7 INVITE", b"CSeq: 7 BYE"),
            (b"CSeq: 7 INVITE", b"CSeq: 2147483648 INVITE"),
            (b"CSeq: 7 INVITE", b"CSeq: 7 INVITE\r\nCSeq: 7 INVITE"),
            (b"To: <sip:alex@192.0.2.1>", b"To: <sip:alex@192.0.2.1>\r\nt: <sip:other@192.0.2.1>"),
            (b"To: <sip:alex@192.0.2.1>", b'To: "alex <sip:alex@192.0.2.1>'),
            (b"INVITE sip:alex@192.0.2.1 SIP", b"INVITE sip:alex@192.0.2.1  SIP"),
            (b"INVITE sip:alex@192.0.2.1 SIP", b"INVITE <sip:alex@192.0.2.1> SIP"),
            (b"INVITE sip:alex@192.0.2.1 SIP", b"INVITE  SIP"),
        ):
            with self.subTest(new=new):
                request = self.refused(INVITE.replace(old, new, 1)).request
                assert request is not None
                self.assertEqual(response_to(request, 400).via.branch, "z9hG4bK1")

    def test_each_required_header(self) -> None:
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            self.assertIn(name.lower(), self.refused(without(name)).reason.lower())

    def test_another_version(self) -> None:
        for data in (INVITE.replace(b" SIP/2.0", b" SIP/7.0", 1), INVITE.replace(b"SIP/2.0", b"SIP/7.0")):
            request = self.refused(data, 505).request
            assert request is not None
            self.assertEqual(request.via.branch, "z9hG4bK1")

    def test_headers_that_do_not_end_can_be_answered(self) -> None:
        request = self.refused(INVITE.partition(b"\r\n\r\n")[0]).request
        assert request is not None
        self.assertEqual(request.call_id, "c1@example.com")

    def test_no_message_at_all(self) -> None:
        for data in (b"", b"\r\n\r\n", b"\0\0\0\0", b"hello", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", INVITE[:20]):
            self.assertIsNone(self.refused(data).request, data)

    def test_a_status_line_that_is_none(self) -> None:
        for line in (b"SIP/2.0 4294967301 better not", b"SIP/2.0 099 x", b"SIP/2.0 700 x", b"SIP/2.0 \xd9\xa1\xd9\xa1\xd9\xa1 x"):
            self.assertIsNone(self.refused(INVITE.replace(b"INVITE sip:alex@192.0.2.1 SIP/2.0", line)).request)

    def test_a_bare_line_end_is_not_carried_on(self) -> None:
        for end in (b"\n", b"\r"):
            self.refused(INVITE.replace(b'"Ann, B"', b'"Ann' + end + b'Evil: 1"'))
            self.refused(INVITE.replace(b"sip:alex@192.0.2.1 SIP", b"sip:alex@192.0.2.1" + end + b"Evil: SIP"))

    def test_a_bad_max_forwards_is_found_when_asked_for(self) -> None:
        for value in (b"256", b"-1", b"x", b""):
            request = read(INVITE.replace(b"Max-Forwards: 70", b"Max-Forwards: " + value))
            with self.assertRaises(RemoteError) as caught:
                _ = request.max_forwards
            self.assertEqual(caught.exception.status, 400)


def with_lines(*lines: bytes) -> bytes:
    return INVITE.replace(b"Content-Length", b"\r\n".join((*lines, b"Content-Length")), 1)


class Limits(TestCase):
    """Each is met exactly, and passed by one."""

    def refused(self, data: bytes, status: int = 400) -> UnparsableRequest:
        with self.assertRaises(UnparsableRequest) as caught:
            parse(data)
        self.assertEqual(caught.exception.status, status, caught.exception.reason)
        return caught.exception

    def test_a_message(self) -> None:
        data = without("Content-Length")
        data += b"x" * (MAX_MESSAGE - len(data))
        self.assertEqual(len(read(data).to_bytes()), MAX_MESSAGE + len("Content-Length: 65000\r\n"))
        self.assertIsNone(self.refused(data + b"x", 513).request)

    def test_the_number_of_lines(self) -> None:
        more = [b"X: 1"] * (MAX_HEADERS - len(list(read(INVITE).headers.items())))
        self.assertEqual(len(list(read(with_lines(*more)).headers.items())), MAX_HEADERS)
        self.refused(with_lines(*more, b"X: 1"))

    def test_a_line_folded_or_not(self) -> None:
        for line in (b"X: " + b"1" * (MAX_LINE - 3), b"X: 1" + b"\r\n 1" * ((MAX_LINE - 4) // 2)):
            self.assertEqual(len(read(with_lines(line)).headers.get("X") or ""), MAX_LINE - 3)
            self.refused(with_lines(line + b"1"))

    def test_the_values_of_a_list_on_one_line_or_many(self) -> None:
        for name in sorted(LISTS - {"via", "contact", "record-route"}):
            for lines, values in ((1, MAX_VALUES), (100, 2), (40, 5)):
                line = name.encode() + b": " + b", ".join([b"<sip:v>"] * values)
                self.assertEqual(len(read(with_lines(*[line] * lines)).headers.get_all(name)), MAX_VALUES)
                error = self.refused(with_lines(*[line] * lines, name.encode() + b": <sip:v>"))
                assert error.request is not None
                self.assertEqual(response_to(error.request, 400).via.branch, "z9hG4bK1")

    def test_commas_in_quotes_and_brackets_and_elsewhere_part_no_values(self) -> None:
        for line in (b'Route: "%b" <sip:a>' % (b"," * 1000), b"Route: <sip:a%b@h>" % (b"," * 1000), b"Subject: " + b"," * 1000):
            self.assertEqual(read(with_lines(line)).call_id, "c1@example.com")

    def test_what_would_have_to_carry_too_many_vias_is_not_answered(self) -> None:
        error = self.refused(with_lines(b"Via: " + b", ".join([b"SIP/2.0/UDP h;branch=z9hG4bK2"] * MAX_VALUES)))
        assert error.request is not None
        self.assertEqual(error.request.headers.get_all("Via"), [])
        with self.assertRaises(RemoteError):
            _ = error.request.via

    def test_numbers(self) -> None:
        for name, good, bad in (
            (b"CSeq", (b"0 INVITE", b"2147483647 INVITE", b"0000000001 INVITE"),
             (b"2147483648 INVITE", b"4294967296 INVITE", b"9" * 5000 + b" INVITE", b"-1 INVITE", b"1.0 INVITE", b"1e3 INVITE")),
            (b"Content-Length", (b"0", b"5", b"000000005"),
             (b"6", b"65536", b"4294967301", b"9" * 5000, b"5.", b"+5", b"0x5", b"5 5", b"5,5", b"\xb2")),
        ):  # fmt: skip
            line = next(line for line in INVITE.split(b"\r\n") if line.startswith(name))
            for value in good:
                self.assertEqual(read(INVITE.replace(line, name + b": " + value)).call_id, "c1@example.com", value)
            for value in bad:
                self.refused(INVITE.replace(line, name + b": " + value))


class Writing(TestCase):
    def test_a_message_comes_out_as_it_came_in(self) -> None:
        self.assertEqual(read(INVITE).to_bytes(), INVITE)

    def test_the_content_length_is_the_bodys(self) -> None:
        request = read(INVITE)
        request.body = b"longer than before"
        self.assertIn(b"Content-Length: 18\r\n\r\nlonger", bytes(request))

    def test_headers_change_in_place(self) -> None:
        headers = Headers([("a", "1"), ("B", "2"), ("b", "3"), ("c", "4")])
        headers.set("b", "5")
        headers.set("d", "6")
        headers.insert_first("e", "7")
        headers.remove("A")
        self.assertEqual(list(headers.items()), [("e", "7"), ("b", "5"), ("c", "4"), ("d", "6")])

    def test_the_top_via_is_replaced_alone(self) -> None:
        request = read(INVITE)
        request.set_via(request.via.with_param("rport", "5062"))
        again = read(request.to_bytes())
        self.assertEqual([via.rport for via in again.vias], ["5062", None])

    def test_header_names_only_in_repr(self) -> None:
        self.assertNotIn("secret", repr(Headers([("Authorization", "secret")])))

    @given(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=5), st.binary(max_size=40))
    def test_any_header_and_body_survive(self, rows: list[tuple[str, str]], body: bytes) -> None:
        request = read(INVITE)
        for name, value in rows:
            request.headers.add(name, value)
        request.body = body
        again = read(request.to_bytes())
        self.assertEqual([row for row in again.headers.items() if row[0].startswith("X-")], rows)
        self.assertEqual((again.body, again.to_bytes()), (body, request.to_bytes()))


BLANKS = st.sampled_from((b"", b" ", b"\t", b"\r\n ", b" \r\n\t "))
SPELLINGS = {
    b"Via": (b"v", b"V", b"VIA", b"via"), b"From": (b"f", b"FROM"), b"To": (b"t", b"tO"), b"Call-ID": (b"i", b"call-id"),
    b"Contact": (b"m", b"CONTACT"), b"Content-Type": (b"c", b"content-type"), b"CSeq": (b"cseq", b"CSEQ"),
    b"Max-Forwards": (b"max-forwards",), b"Content-Length": (b"l", b"L"), b"Record-Route": (b"RECORD-ROUTE",),
}  # fmt: skip


class RoundTrips(TestCase):
    """A message that was read and written is read as the same."""

    def same(self, one: Request | Response, other: Request | Response) -> None:
        self.assertEqual((one.start_line(), one.body), (other.start_line(), other.body))
        for name in ("vias", "from_", "to", "call_id", "cseq", "contact", "content_type"):
            self.assertEqual(getattr(one, name), getattr(other, name), name)
        self.assertEqual(one.headers.get_all("Record-Route"), other.headers.get_all("Record-Route"))

    @given(st.data())
    def test_however_it_is_spelt_and_folded(self, data: st.DataObject) -> None:
        head, _, body = INVITE.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        respelt = []
        for line in data.draw(st.permutations(lines)):
            name, _, value = line.partition(b": ")
            name = data.draw(st.sampled_from((name, *SPELLINGS[name])))
            respelt.append(name + data.draw(st.sampled_from((b"", b" "))) + b":" + data.draw(BLANKS) + value + data.draw(BLANKS))
        message = read(b"\r\n".join((first, *respelt, b"", body)))
        self.same(message, read(INVITE))
        again = parse(message.to_bytes(), stream=True)
        self.same(again, message)
        self.assertEqual(again.to_bytes(), message.to_bytes())

    @given(st.binary(max_size=20).map(lambda raw: b"n" + raw.translate(None, b'\r\n"\\')), st.binary(max_size=20))
    def test_bytes_that_are_no_text_go_through_a_call_unharmed(self, name: bytes, body: bytes) -> None:
        """A display name in what encoding ever comes back in the response as it was, and a body byte for byte."""
        data = INVITE.replace(b'"Ann, B"', b'"' + name + b'"').replace(b"Content-Length: 5", b"Content-Length: %d" % len(body))
        request = read(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body)
        answer = response_to(request, 200, to_tag="t", body=request.body).to_bytes()
        self.assertIn(b'From: "' + name + b'" <sip:ann@example.com>;tag=f1\r\n', answer)
        self.assertEqual(answer.partition(b"\r\n\r\n")[2], body)
        self.assertEqual(str(request.from_).encode("utf-8", "surrogateescape"), b'"' + name + b'" <sip:ann@example.com>;tag=f1')

    @given(st.integers(100, 699), st.text(max_size=20).map(lambda text: "".join(filter(str.isprintable, text)).strip()))
    def test_responses(self, status: int, reason: str) -> None:
        answer = response_to(read(INVITE), status, reason or "x", to_tag="t")
        again = parse(answer.to_bytes())
        self.same(again, answer)
        self.assertEqual(again.to_bytes(), answer.to_bytes())


class Answering(TestCase):
    def test_what_a_response_copies(self) -> None:
        answer = response_to(
            read(INVITE), 200, to_tag="t1", headers=(("Server", "x"),), body=b"v=0", content_type="application/sdp"
        )
        again = parse(answer.to_bytes())
        self.assertEqual([via.branch for via in again.vias], ["z9hG4bK1", "z9hG4bK0"])
        self.assertEqual((again.from_.tag, again.to.tag, again.call_id, again.cseq.number), ("f1", "t1", "c1@example.com", 7))
        self.assertEqual(again.headers.get_all("Record-Route"), ["<sip:192.0.2.9;lr>"])
        self.assertEqual((again.content_type, again.body, again.headers.get("Server")), ("application/sdp", b"v=0", "x"))

    def test_a_refusal_has_no_route(self) -> None:
        self.assertIsNone(response_to(read(INVITE), 486).headers.get("Record-Route"))

    def test_a_tag_that_is_there_stays(self) -> None:
        request = read(INVITE.replace(b"To: <sip:alex@192.0.2.1>", b"To: <sip:alex@192.0.2.1>;tag=old"))
        self.assertEqual(response_to(request, 200, to_tag="new").to.tag, "old")

    def test_a_to_without_brackets_takes_a_tag(self) -> None:
        request = read(INVITE.replace(b"To: <sip:alex@192.0.2.1>", b"To: sip:alex@192.0.2.1"))
        self.assertEqual(response_to(request, 180, to_tag="t").to.tag, "t")


class AnyBytes(TestCase):
    def read_or_refused(self, data: bytes) -> None:
        try:
            message = parse(data)
        except UnparsableRequest as error:
            self.assertIn(error.status, (400, 505, 513))
            return
        for name in ("via", "vias", "from_", "to", "call_id", "cseq", "contact", "content_type"):
            try:
                getattr(message, name)
            except RemoteError as error:
                self.assertEqual(error.status, 400)
        self.assertEqual(parse(message.to_bytes()).to_bytes(), message.to_bytes())

    @given(st.binary(max_size=200))
    def test_noise(self, data: bytes) -> None:
        self.read_or_refused(data)

    @given(st.integers(0, len(INVITE) - 1), st.integers(0, 12), st.binary(max_size=12))
    def test_a_request_with_a_hole_or_a_patch(self, at: int, cut: int, patch: bytes) -> None:
        self.read_or_refused(INVITE[:at] + patch + INVITE[at + cut :])

    @given(st.lists(st.sampled_from(INVITE.split(b"\r\n")), max_size=20))
    def test_lines_in_any_order(self, lines: list[bytes]) -> None:
        self.read_or_refused(b"INVITE sip:h SIP/2.0\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
