"""The torture messages of RFC 4475: what the parser says of each, and what a whole user agent answers.

The messages are the RFC's and not part of this project: unpack its archive (Appendix A) into
tests/data/rfc4475, or name a directory in SMARTALEX_RFC4475; without them these tests are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest import TestCase, skipUnless

from smartalex.errors import RemoteError
from smartalex.sip.message import Request, Response, UnparsableRequest, parse
from tests.sip.torture import send

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    Path(os.environ.get("SMARTALEX_RFC4475", "tests/data/rfc4475")),
    ROOT / "tests/data/rfc4475",
    ROOT.parent / "shared/data/rfc4475",
)
FOUND = next((place for place in PLACES if (place / "wsinv.dat").exists()), None)

OK, NONE = "ok", "none"
VERDICTS: dict[str, tuple[int | str, tuple[int, ...]]] = {
    # 3.1.1 valid
    "wsinv": (OK, (481,)), "intmeth": (OK, (501,)), "esc01": (OK, (180, 200)), "escnull": (OK, (405,)),
    "esc02": (OK, (501,)), "lwsdisp": (OK, (200,)), "longreq": (OK, (180, 200)), "dblreq": (OK, (405,)),
    "semiuri": (OK, (200,)), "transports": (OK, (200,)), "mpart01": (OK, (405,)), "unreason": (OK, ()), "noreason": (OK, ()),
    # 3.1.2 invalid: what can be ignored (white space in < sip:... >, headers in a URI, a bad Date) is
    "badinv01": (OK, (400,)), "clerr": (400, (400,)), "ncl": (400, (400,)), "scalar02": (400, (400,)), "scalarlg": (NONE, ()),
    "quotbal": (400, (400,)), "ltgtruri": (400, (400,)), "lwsruri": (400, (400,)), "lwsstart": (400, (400,)),
    "trws": (OK, (200,)), "escruri": (OK, (180, 200)),
    "baddate": (OK, (180, 200)), "regbadct": (OK, (405,)), "badaspec": (OK, (200,)),
    "baddn": (400, (400,)), "badvers": (505, (505,)), "mismatch01": (400, (400,)), "mismatch02": (400, (400,)),
    "bigcode": (NONE, ()),
    # 3.2 to 3.4
    "badbranch": (OK, (200,)), "insuf": (400, (400,)), "unkscm": (OK, (416,)), "novelsc": (OK, (416,)), "unksm2": (OK, (405,)),
    "bext01": (OK, (420,)), "invut": (OK, (415,)), "regaut01": (OK, (405,)), "multi01": (400, (400,)), "mcl01": (400, (400,)),
    "bcast": (OK, ()), "zeromf": (OK, (200,)), "cparam01": (OK, (405,)), "cparam02": (OK, (405,)), "regescrt": (OK, (405,)),
    "sdp01": (OK, (406,)), "inv2543": (OK, (180, 200)),
    # of the archive, but of no section
    "test": (NONE, ()),
}  # fmt: skip
"""The parser's verdict (a status; NONE: nothing that could be answered) and the statuses a UAS that is no registrar sends."""

ON_A_STREAM = {"clerr": (), "baddn": (), "dblreq": (405, 400)}
"""What differs there: a message without its end is awaited, and the second request of dblreq is one, without a Contact."""

UNFRAMED = {"ncl", "mcl01"}
"""Where the next message begins cannot be known: the connection goes with the answer."""

UNENDED = {"clerr", "baddn", "dblreq", "inv2543", "test"}
"""What follows on the stream belongs to them, or to what is left over of them."""

OPTIONS = (
    b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKafter\r\nFrom: <sip:a@h>;tag=1\r\n"
    b"To: <sip:h>\r\nCall-ID: after\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def read(name: str) -> bytes:
    assert FOUND is not None
    return (FOUND / f"{name}.dat").read_bytes()


def request(name: str) -> Request:
    message = parse(read(name))
    assert isinstance(message, Request)
    return message


@skipUnless(FOUND, "no RFC 4475 messages: see this file's first lines")
class Verdicts(TestCase):
    def test_every_message_has_one(self) -> None:
        assert FOUND is not None
        self.assertEqual({path.stem for path in FOUND.glob("*.dat")}, set(VERDICTS))

    def test_the_parser(self) -> None:
        for name, (verdict, _) in VERDICTS.items():
            with self.subTest(name=name):
                try:
                    parse(read(name))
                    found: int | str = OK
                except UnparsableRequest as error:
                    found = error.status if error.request is not None else NONE
                self.assertEqual(found, verdict)

    def test_a_user_agent_by_datagram(self) -> None:
        for name, (_, statuses) in VERDICTS.items():
            with self.subTest(name=name):
                self.assertEqual(send(read(name), "udp").statuses, statuses)

    def test_a_user_agent_by_stream(self) -> None:
        for name, (_, statuses) in VERDICTS.items():
            with self.subTest(name=name):
                reaction = send(read(name), "tcp")
                self.assertEqual(reaction.statuses, ON_A_STREAM.get(name, statuses))
                self.assertEqual(reaction.cut, name in UNFRAMED)

    def test_what_never_ends_on_a_stream_is_cut_off_without_an_answer(self) -> None:
        for name in ("clerr", "baddn"):
            reaction = send(read(name), "tcp", 31.0)
            self.assertEqual((reaction.statuses, reaction.cut, reaction.counted["sip.slow_sender", "tcp"]), ((), True, 1), name)

    def test_a_stream_goes_on_after_each(self) -> None:
        for name, (_, statuses) in VERDICTS.items():
            if name not in UNFRAMED | UNENDED:
                with self.subTest(name=name):
                    self.assertEqual(send(read(name) + OPTIONS, "tcp").statuses, (*ON_A_STREAM.get(name, statuses), 200))

    def test_everything_in_them_is_read_or_refused(self) -> None:
        for name in VERDICTS:
            try:
                message = parse(read(name))
            except UnparsableRequest:
                continue
            for what in (
                "via",
                "vias",
                "from_",
                "to",
                "call_id",
                "cseq",
                "contact",
                "content_type",
                "max_forwards",
                "request_uri",
            ):
                try:
                    getattr(message, what, None)
                except RemoteError as error:
                    self.assertEqual(error.status, 400, (name, what))
            self.assertEqual(parse(message.to_bytes()).to_bytes(), message.to_bytes(), name)


@skipUnless(FOUND, "no RFC 4475 messages: see this file's first lines")
class Details(TestCase):
    def test_white_space_and_folding(self) -> None:
        message = request("wsinv")
        self.assertEqual(
            (message.to.tag, message.from_.tag, message.from_.display), ("1918181833n", "98asjd8", 'J Rosenberg \\"')
        )
        self.assertEqual((str(message.cseq), message.max_forwards, message.headers.get("Subject")), ("9 INVITE", 68, ""))
        self.assertEqual([via.transport for via in message.vias], ["UDP", "TCP", "UDP"])
        self.assertEqual([via.branch for via in message.vias], ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"])
        self.assertEqual(message.headers.get("NewFangledHeader"), "newfangled value continued newfangled value")
        assert message.contact is not None
        self.assertEqual((message.contact.display, message.contact.param("newparam")), ('Quoted string ""', "newvalue"))

    def test_escapes_stay_as_they_are(self) -> None:
        self.assertEqual(request("esc01").request_uri.user, "sips%3Auser%40example.com")
        self.assertEqual(request("esc02").method, "RE%47IST%45R")
        self.assertEqual(request("escnull").to.uri.user, "null-%00-null")

    def test_odd_but_legal(self) -> None:
        message = request("intmeth")
        self.assertTrue(message.from_.param("fromparam''~+*_!.-%") or "", "non-ASCII text in a quoted parameter")
        self.assertEqual(message.call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{")
        self.assertEqual(request("semiuri").request_uri.user, "user;par=u%40example.net")
        self.assertEqual(request("lwsdisp").from_.display, "caller")
        self.assertEqual(len(request("longreq").vias), 34)

    def test_a_second_message_in_a_datagram_is_no_message(self) -> None:
        self.assertEqual((request("dblreq").method, request("dblreq").body), ("REGISTER", b""))

    def test_a_binary_body_survives(self) -> None:
        data = read("mpart01")
        self.assertEqual(parse(data).to_bytes().partition(b"\r\n\r\n")[2], data.partition(b"\r\n\r\n")[2])

    def test_reasons(self) -> None:
        unreason, noreason = parse(read("unreason")), parse(read("noreason"))
        assert isinstance(unreason, Response) and isinstance(noreason, Response)
        self.assertTrue(unreason.reason.startswith("= 2**3 * 5**2"), unreason.reason)
        self.assertEqual((noreason.status, noreason.reason), (100, ""))

    def test_parameters_where_they_belong(self) -> None:
        contacts = [request(name).contact for name in ("cparam01", "cparam02")]
        assert contacts[0] is not None and contacts[1] is not None
        self.assertEqual((contacts[0].uri.params, contacts[0].param("unknownparam")), ((), ""))
        self.assertEqual((contacts[1].uri.param("unknownparam"), contacts[1].params), ("", ()))

    def test_a_header_in_a_contact_is_kept_and_not_run(self) -> None:
        message = request("regescrt")
        assert message.contact is not None
        self.assertEqual(message.contact.uri.headers, (("Route", "%3Csip:sip.example.com%3E"),))
        self.assertIsNone(message.headers.get("Route"))

    def test_refusals_say_what_would_do(self) -> None:
        for name, header, values in (
            ("bext01", "Unsupported", ["nothingSupportsThis", "nothingSupportsThisEither"]),
            ("invut", "Accept", ["application/sdp"]),
        ):
            for transport in ("udp", "tcp"):
                (response,) = send(read(name), transport).responses
                self.assertEqual(parse(response).headers.get_all(header), values, (name, transport))
