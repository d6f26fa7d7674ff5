"""Each header absent, empty, doubled or nonsense, in requests to a whole user agent: one final answer and no fault of ours."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from smartalex.errors import RemoteError
from smartalex.sip.digest import DigestClient, Secret, challenge
from smartalex.sip.message import Headers, Request, Response, parse, response_to
from smartalex.sip.session import Session
from tests.sip.network import Agent, Network, ring_and_answer
from tests.sip.torture import send

USUAL = {
    "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "Max-Forwards": "70", "From": "<sip:ann@192.0.2.1>;tag=1",
    "To": "<sip:bob@192.0.2.200>", "Call-ID": "odd", "CSeq": "1 INVITE", "Contact": "<sip:ann@192.0.2.1>",
    "Content-Type": "application/sdp", "Accept": "application/sdp", "Allow": "INVITE, ACK, BYE", "Supported": "timer, 100rel",
    "Record-Route": "<sip:192.0.2.1;lr>",
}  # fmt: skip
REQUIRED = ("Via", "From", "To", "Call-ID", "CSeq")
OTHERS = (
    "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow-Events", "Authentication-Info",
    "Authorization", "Call-Info", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length", "Date",
    "Diversion", "Error-Info", "Event", "Expires", "History-Info", "Identity", "Identity-Info", "In-Reply-To", "Info-Package",
    "Join", "Min-Expires", "Min-SE", "MIME-Version", "Organization", "P-Asserted-Identity", "P-Preferred-Identity", "Path",
    "Priority", "Privacy", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "Reason", "Recv-Info",
    "Refer-Sub", "Refer-To", "Referred-By", "Remote-Party-ID", "Replaces", "Reply-To", "Request-Disposition", "Require",
    "Retry-After", "Route", "RSeq", "Server", "Session-Expires", "Subject", "Subscription-State", "Target-Dialog", "Timestamp",
    "Unsupported", "User-Agent", "Warning", "WWW-Authenticate", "X",
)  # fmt: skip
NONSENSE = (
    "", ",", ";", ";;;", "<", '"', "*", "\x00\x1b[31m", "\udcff\udcfe", "=", "a=b", "<sip:>;tag", "-1", "9" * 400, "0x10",
    "\u0661", "," * 199, "<sip:a@h>," * 150, "a;" * 500, "%00%ff%", "sip:[::1", '"' + "\\" * 801, "Digest ", "b" * 16_000,
)  # fmt: skip


def message(method: str, rows: dict[str, str | None], *more: tuple[str, str]) -> bytes:
    rows = {**USUAL, "CSeq": f"1 {method}", **rows}
    lines = [f"{name}: {value}" for name, value in (*rows.items(), *more) if value is not None]
    body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n" if method == "INVITE" else ""
    length = [] if "Content-Length" in dict((*rows.items(), *more)) else [f"Content-Length: {len(body)}"]
    head = "\r\n".join((f"{method} sip:bob@192.0.2.200 SIP/2.0", *lines, *length, "", body))
    return head.encode("utf-8", "surrogateescape")


INSIDE = {
    "INVITE": (
        "Contact",
        "Content-Type",
        "Content-Length",
        "Session-Expires",
        "Min-SE",
        "Replaces",
        "Require",
        "Supported",
        "RSeq",
    ),
    "UPDATE": ("Contact", "Content-Type", "Session-Expires", "Min-SE", "Require"),
    "INFO": ("Content-Type", "Info-Package", "Content-Disposition", "Content-Length"),
    "NOTIFY": ("Event", "Subscription-State", "Content-Type"),
    "REFER": ("Refer-To", "Referred-By", "Refer-Sub", "Target-Dialog", "Contact"),
    "PRACK": ("RAck", "Content-Type"),
    "OPTIONS": ("Accept", "Contact", "Max-Forwards"),
    "MESSAGE": ("Content-Type",),
}

ANSWERS: dict[int, dict[str, str]] = {
    183: {"Contact": "<sip:bob@192.0.2.9>", "Record-Route": "<sip:192.0.2.9;lr>", "Require": "100rel", "RSeq": "1", "To": ""},
    200: {
        "Contact": "<sip:bob@192.0.2.9>", "Record-Route": "<sip:192.0.2.9;lr>", "Session-Expires": "1800", "Require": "timer",
        "Content-Type": "application/sdp", "Allow": "UPDATE", "Supported": "timer", "To": "", "From": "", "CSeq": "", "Via": "",
        "Content-Length": "0",
    },
    302: {"Contact": "<sip:bob@192.0.2.7>;q=0.5", "Retry-After": "1"},
    401: {"WWW-Authenticate": challenge("r", "n", "MD5"), "Contact": ""},
    407: {"Proxy-Authenticate": challenge("r", "n", "MD5")},
    422: {"Min-SE": "3600"},
    491: {"Retry-After": "1"},
    503: {"Retry-After": "1", "Warning": "", "Reason": ""},
}  # fmt: skip
"""By status, what a response to our INVITE may hold that is read; "" stands for what it holds anyway."""


class Odd(TestCase):
    def finals(self, data: bytes) -> list[int]:
        return [status for status in send(data, "udp", 0.1).statuses if status >= 200]

    def test_the_usual_ones_are_fine(self) -> None:
        for method in ("INVITE", "OPTIONS"):
            self.assertEqual(self.finals(message(method, {})), [200])

    def test_absent(self) -> None:
        for method in ("INVITE", "OPTIONS"):
            for name in USUAL:
                with self.subTest(method=method, name=name):
                    answers = self.finals(message(method, {name: None}))
                    if name == "Via":
                        self.assertEqual(answers, [], "nowhere to answer to")
                    elif name in REQUIRED or (name, method) == ("Contact", "INVITE"):
                        self.assertEqual(answers, [400])
                    elif (name, method) == ("Content-Type", "INVITE"):
                        self.assertEqual(answers, [415])
                    else:
                        self.assertEqual(answers, [200])

    def test_doubled(self) -> None:
        for method in ("INVITE", "OPTIONS"):
            for name, value in USUAL.items():
                with self.subTest(method=method, name=name):
                    value = f"1 {method}" if name == "CSeq" else value
                    answers = self.finals(message(method, {}, (name, value)))
                    self.assertEqual(answers, [400] if name in REQUIRED[1:] else [200])

    def test_nonsense(self) -> None:
        for name in (*USUAL, *OTHERS):
            for value in NONSENSE:
                with self.subTest(name=name, value=value[:20]):
                    answers = self.finals(message("INVITE", {name: value}))
                    if name != "Via":
                        self.assertEqual(len(answers), 1)
                    self.assertTrue(all(answer == 200 or 400 <= answer < 500 for answer in answers), answers)


class InsideACall(TestCase):
    """The call goes on whatever is said in it."""

    def setUp(self) -> None:
        self.network = Network()
        self.agent = Agent(self.network, "192.0.2.200")
        self.agent.take = ring_and_answer
        self.cseq, self.tag = 0, ""
        (answer,) = self.ask("INVITE", {"To": USUAL["To"]})
        self.tag = answer.to.tag or ""
        self.acknowledge()

    def ask(self, method: str, rows: dict[str, str | None]) -> list[Response]:
        """The final responses to this request."""
        self.cseq += 1
        before = len(self.network.seen)
        self.send(method, self.cseq, rows)
        answers = [parse(sent) for _, _, sent in self.network.seen[before:]]
        ours = [answer for answer in answers if isinstance(answer, Response) and answer.cseq.number == self.cseq]
        return [answer for answer in ours if answer.status >= 200]

    def acknowledge(self) -> None:
        self.send("ACK", self.cseq, {})

    def send(self, method: str, cseq: int, rows: dict[str, str | None]) -> None:
        via, to = f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKin{cseq}{method}", f"<sip:bob@192.0.2.200>;tag={self.tag}"
        data = message(method, {"Via": via, "To": to, "CSeq": f"{cseq} {method}", **rows})
        self.network.udp["192.0.2.200", 5060].datagramReceived(data, ("192.0.2.1", 5060))
        self.network.run(0.3)  # what cannot be parsed is answered five times a second

    def test_nonsense(self) -> None:
        for method, names in INSIDE.items():
            for name in names:
                for value in (None, *NONSENSE):
                    with self.subTest(method=method, name=name, value=(value or "")[:20]):
                        (answer,) = self.ask(method, {name: value})
                        self.assertTrue(answer.status < 500 or answer.status in (501, 603), answer.start_line())
                        if method == "INVITE" and answer.status == 200:
                            self.acknowledge()
        self.assertEqual(self.agent.counters.values["sip.fault", ""], 0)
        self.assertEqual([answer.status for answer in self.ask("BYE", {})], [200])


class Answers(TestCase):
    """Whatever comes back, our call is answered or over in the end, and nothing of it is left."""

    address = "192.0.2.9"

    def setUp(self) -> None:
        self.network = Network()
        self.us = Agent(self.network, "192.0.2.200")
        self.rows: list[tuple[str, str]] = []
        self.status, self.body = 0, b""
        self.network.udp[self.address, 5060] = self

    def datagramReceived(self, data: bytes, source: tuple[str, int]) -> None:
        """Each INVITE gets the odd response, everything else a plain 200."""
        message = parse(data)
        if not isinstance(message, Request) or message.method == "ACK":
            return
        answer = response_to(message, 200, to_tag="t")
        if message.method == "INVITE":
            odd = {name.lower() for name, _ in self.rows}
            usual = [row for row in answer.headers.items() if row[0].lower() not in odd]
            answer = Response(self.status, "Odd", Headers(usual + self.rows), self.body)
        written = answer.to_bytes()
        if self.rows and self.rows[-1][0] == "Content-Length":
            written = written.replace(b"Content-Length: 0", self.rows[-1][1].encode("utf-8", "surrogateescape"))
        self.network.udp["192.0.2.200", 5060].datagramReceived(written, (self.address, 5060))

    def call(self, status: int, *rows: tuple[str, str], **options: Any) -> Session:
        self.status, self.rows = status, list(rows)
        session = self.us.call(self, **options)  # type: ignore[arg-type]
        self.network.run(1)
        return session

    def test_nonsense(self) -> None:
        for status, usual in ANSWERS.items():
            for name in usual:
                for value in (*NONSENSE, None):
                    with self.subTest(status=status, name=name, value=(value or "")[:20]):
                        self.setUp()
                        rows = {**{key: text for key, text in usual.items() if text}, name: value}
                        digest = DigestClient("ann", Secret("x"), lambda: "c")
                        said = [(key, text) for key, text in rows.items() if text is not None]
                        session = self.call(status, *said, digest=digest, redirects=lambda uri: True)
                        if not self.us.recorder.heard("ended") and not self.us.recorder.heard("failed"):
                            session.hangup()
                        self.network.run(400)
                        self.assertEqual(self.us.counters.values["sip.fault", ""], 0)
                        self.assertTrue(self.us.idle())

    def test_an_early_offer_that_is_refused_leaves_a_call_that_can_be_given_up(self) -> None:
        def refuse(session: Session, body: bytes) -> bytes:
            raise RemoteError(488, "not this one")

        self.us.recorder.on_early_offer = refuse  # type: ignore[method-assign]
        self.body = b"v=0\r\n"
        rows = (("Contact", "<sip:bob@192.0.2.9>"), ("Require", "100rel"), ("RSeq", "1"), ("Content-Type", "application/sdp"))
        self.call(183, *rows, body=b"").hangup()
        self.network.run(400)
        self.assertEqual(self.network.titles("192.0.2.200"), ["INVITE", "CANCEL"])
        self.assertTrue(self.us.idle())

    def test_a_listener_that_fails_does_not_keep_the_transaction(self) -> None:
        def fail(session: Session, response: Response) -> None:
            raise ValueError("a fault of the listener's")

        for status, told in ((200, "on_answered"), (486, "on_failed")):
            self.setUp()
            setattr(self.us.recorder, told, fail)
            self.call(status, ("Contact", "<sip:bob@192.0.2.9>"))
            self.assertEqual(self.us.counters.values["sip.fault", ""], 1)
            self.network.run(400)
            self.assertEqual(len(self.us.layer), 0)
