"""A call's SIP messages by command: the ladder, whole messages, JSON, and a capture that Wireshark reads."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest import TestCase

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from smartalex.cli.ladder import ASCII, MARKS, UNICODE, WIDTH, ladder, title, whole
from smartalex.cli.main import main
from smartalex.cli.pcap import pcap
from smartalex.sip.headers import Peer
from smartalex.sip.trace import Trace, Traced
from tests.cli.commands import Commands
from tests.cli.test_calls import INVITE, Recorded
from tests.interop.peers import needs
from tests.sip.test_trace import traced

BEGAN = 1_700_000_000.0
PBX, OURS = Peer("udp", "192.0.2.7", 5060), Peer("udp", "192.0.2.1", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"


def message(start: str, cseq: str, body: bytes = b"", *headers: str) -> bytes:
    kind = ["Content-Type: application/sdp"] if body else []
    lines = ["Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1", "From: <sip:bob@pbx>;tag=1", "To: <sip:alex@x>", "Call-ID: 7@pbx"]
    head = [start, *lines, f"CSeq: {cseq}", *headers, *kind, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


def at(later: float, data: bytes, *, incoming: bool = True, peer: Peer = PBX, local: Peer = OURS) -> Traced:
    return Traced(BEGAN + later, incoming, peer, local, data)


ASKED = message("INVITE sip:alex@192.0.2.1 SIP/2.0", "1 INVITE", SDP)
CALL = (
    at(0, ASKED),
    at(0.5, ASKED),
    at(0.502, message("SIP/2.0 200 OK", "1 INVITE", SDP), incoming=False),
    at(0.6, message("ACK sip:alex@192.0.2.1 SIP/2.0", "1 ACK")),
    at(7.0, message("INVITE sip:alex@192.0.2.1 SIP/2.0", "2 INVITE", SDP + b"a=sendonly\r\n")),
    at(9.25, message("BYE sip:bob@192.0.2.8 SIP/2.0", "1 BYE"), incoming=False, peer=Peer("tcp", "192.0.2.8", 5070)),
)


class Ladder(TestCase):
    def test_a_call(self) -> None:
        self.assertEqual(
            list(ladder(Trace(CALL), ASCII)),
            [
                "A   192.0.2.7:5060 by UDP",
                "B   192.0.2.8:5070 by TCP",
                "us  192.0.2.1:5060",
                "",
                "  seconds   A               us              B",
                "    0.000   |-------------->|               |  INVITE 1, SDP",
                "    0.500   |-------------->|               |  INVITE 1, SDP, again",
                "    0.502   |<--------------|               |  200 OK (INVITE 1), SDP",
                "    0.600   |-------------->|               |  ACK 1",
                "    7.000   |-------------->|               |  INVITE 2, SDP sendonly",
                "    9.250   |               |-------------->|  BYE 1",
            ],
        )

    def test_drawn_with_lines(self) -> None:
        self.assertEqual(list(ladder(Trace(CALL[2:3]), UNICODE))[-1], "    0.000   │◀──────────────────│  200 OK (INVITE 1), SDP")

    def test_what_was_not_kept_is_counted(self) -> None:
        self.assertEqual(list(ladder(Trace(CALL, 12)))[-1], "12 more not kept")
        self.assertEqual(list(ladder(Trace())), [])

    def test_many_peers_share_the_last_column(self) -> None:
        peers = [Peer("tcp", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", port) for port in range(40_000, 40_009)]
        lines = list(ladder(Trace(tuple(at(n, ASKED, peer=peer) for n, peer in enumerate(peers))), ASCII))
        self.assertEqual([line[:3].strip() for line in lines[: len(MARKS) + 1]], [*MARKS, "us"])
        self.assertEqual({line.index("<") for line in lines[-5:]}, {lines[-1].index("<")})

    def test_a_long_reason_gives_way_first(self) -> None:
        long = message("SIP/2.0 407 Proxy Authentication Required", "7 INVITE", SDP)
        self.assertEqual(title(long, 60), "407 Proxy Authentication Required (INVITE 7), SDP")
        self.assertEqual(title(long, 35), "407 Proxy Authent.. (INVITE 7), SDP")

    def test_what_is_no_sip(self) -> None:
        self.assertEqual(title(b"", 50), "? ?")
        self.assertEqual(title(b"\xff\x1b[31m x", 50), "\\xff\\x1b[31m ?")

    @given(st.lists(traced(), max_size=9), st.integers(0, 3))
    def test_it_fits_and_holds_no_control_characters(self, messages: list[Traced], dropped: int) -> None:
        trace = Trace(tuple(messages), dropped)
        for pen in (ASCII, UNICODE):
            for line in ladder(trace, pen):
                self.assertLessEqual(len(line), WIDTH)
                self.assertTrue(line.isprintable(), line)
        for line in whole(trace):
            self.assertTrue(line.isprintable(), line)


class AnyTrace(TestCase):
    @given(st.lists(traced(), max_size=5))
    def test_any_bytes_make_a_file(self, messages: list[Traced]) -> None:
        self.assertGreaterEqual(len(pcap(messages)), 24 + 16 * sum(bool(m.data) for m in messages))


class Command(Recorded):
    def kept(self, trace: Trace, call_id: str = "01AAA") -> None:
        self.recorded(
            call_id,
            (0, lambda record: record.open(INVITE)),
            (1, lambda record: record.event("said", data={"role": "agent", "text": "Hello."})),
            (1, lambda record: record.event("sip", data=trace.to_data())),
            (0, lambda record: record.close("completed", "caller hung up")),
        )

    def test_the_ladder(self) -> None:
        self.kept(Trace(CALL))
        for name in ("01aa", "abc@pbx"):
            self.assertEqual(self.output("calls", "trace", name).splitlines(), list(ladder(Trace(CALL), UNICODE)))

    def test_on_a_terminal_that_knows_ascii_only(self) -> None:
        data = message("SIP/2.0 200 Schön", "1 INVITE")
        self.kept(Trace((at(0, data),)))
        for options in ((), ("--messages",)):
            command = ["calls", "trace", "01AAA", *options]
            done = CliRunner(charset="ascii").invoke(main, command, env={"SMARTALEX_STATE": str(self.state)})
            self.assertEqual((done.exit_code, done.stdout_bytes.isascii()), (0, True))
            self.assertIn(b"Sch?n", done.stdout_bytes)

    def test_whole_messages(self) -> None:
        self.kept(Trace((at(0, ASKED), at(0.5, b"BYE \x1b[31m\xff\r\n\r\n", incoming=False)), 3))
        shown = self.output("calls", "trace", "01AAA", "--messages").splitlines()
        first = ASKED.decode().splitlines()
        self.assertEqual(shown[: len(first) + 1], ["--- 0.000 s, from 192.0.2.7:5060 by UDP", *first])
        self.assertEqual(shown[-5:], ["--- 0.500 s, to 192.0.2.7:5060 by UDP", "BYE \\x1b[31m\\xff", "", "", "3 more not kept"])

    def test_as_json(self) -> None:
        self.kept(Trace((*CALL[:1], at(1, b"\xff\x9b", incoming=False)), 3))
        line = self.line("calls", "trace", "01AAA")
        self.assertEqual((line["id"], line["dropped"], len(line["messages"])), ("01AAA", 3, 2))
        first = {"at": BEGAN, "direction": "in", "transport": "udp", "peer": "192.0.2.7:5060", "local": "192.0.2.1:5060"}
        self.assertEqual(line["messages"][0], {**first, "text": ASKED.decode()})
        self.assertEqual((line["messages"][1]["direction"], line["messages"][1]["text"]), ("out", "\\xff\\x9b"))

    def test_a_capture_file(self) -> None:
        self.kept(Trace(CALL))
        file = self.folder / "call.pcap"
        self.assertEqual(self.output("calls", "trace", "01AAA", "--pcap", str(file)), "")
        self.assertEqual(file.read_bytes(), pcap(CALL))
        self.assertEqual(self.run_command("calls", "trace", "01AAA", "--pcap", "-").stdout_bytes, pcap(CALL))

    def test_errors(self) -> None:
        self.transferred()
        self.recorded("01BBB", (5, lambda record: record.open(INVITE)))
        self.assertIn("smartalex calls", self.error("calls", "trace", "zzz"))
        self.assertIn("not kept", self.error("calls", "trace", "01AAA"))
        self.assertIn("a moment after its end", self.error("calls", "trace", "01BBB"))
        self.now = time.time() - 1
        self.recorded("01EEE", (0, lambda record: record.open(INVITE)), (0, lambda record: record.close("failed", "lost")))
        self.assertIn("a moment after its end", self.error("calls", "trace", "01EEE"))
        self.assertIn("exclude", self.error("calls", "trace", "01AAA", "--json", "--messages"))
        self.recorded("01CCC", (0, lambda record: record.open(INVITE)), (0, lambda record: record.event("sip", data={})))
        self.assertIn("cannot be read", self.error("calls", "trace", "01CCC"))
        self.kept(Trace(CALL), "01DDD")
        self.assertIn("nowhere", self.error("calls", "trace", "01DDD", "--pcap", str(self.folder / "nowhere" / "x.pcap")))

    def test_no_other_command_shows_it(self) -> None:
        self.kept(Trace(CALL))
        shown = json.loads(self.output("calls", "show", "01AAA", "--json"))
        self.assertEqual([event["kind"] for event in shown["events"]], ["invite", "said", "end"])
        followed = self.opened().repository.records.story_since("abc@pbx", BEGAN - 1, -1)
        self.assertEqual([(event["kind"], event["seq"]) for event in followed], [("invite", 0), ("said", 1), ("end", 3)])
        packed = Trace(CALL).to_data()["messages"][:20]
        for command in (("calls",), ("calls", "--json"), ("calls", "show", "01AAA")):
            self.assertNotIn(packed, self.output(*command))


@needs("tshark")
class Capture(Commands):
    """What tshark makes of the file."""

    def read(self, messages: tuple[Traced, ...], *fields: str) -> list[list[str]]:
        file = Path(self.folder / "x.pcap")
        file.write_bytes(pcap(messages))
        checks: list[Any] = [word for name in ("ip", "udp", "tcp") for word in ("-o", f"{name}.check_checksum:TRUE")]
        command = ["tshark", "-r", str(file), *checks, "-Y", "sip", "-T", "fields", "-E", "separator=|"]
        command += [word for field in fields for word in ("-e", field)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [line.split("|") for line in done.stdout.splitlines()]

    def test_each_message_is_sip(self) -> None:
        read = self.read(CALL, "sip.Method", "sip.Status-Code", "frame.time_epoch", "ip.src", "udp.dstport", "tcp.dstport")
        expected = [
            ["INVITE", "", "0.000000", "192.0.2.7", "5060", ""],
            ["INVITE", "", "0.500000", "192.0.2.7", "5060", ""],
            ["", "200", "0.502000", "192.0.2.1", "5060", ""],
            ["ACK", "", "0.600000", "192.0.2.7", "5060", ""],
            ["INVITE", "", "7.000000", "192.0.2.7", "5060", ""],
            ["BYE", "", "9.250000", "192.0.2.1", "", "5070"],
        ]
        self.assertEqual([[*row[:2], f"{float(row[2]) - BEGAN:.6f}", *row[3:]] for row in read], expected)

    def test_both_families_and_every_transport_with_right_checksums(self) -> None:
        messages = []
        pairs = (("192.0.2.7", "192.0.2.1"), ("2001:db8::7", "2001:db8::1"), ("fe80::7%eth0", "sip.example.com"))
        for port, transport in enumerate(("udp", "tcp", "tls", "ws", "wss"), 40_001):
            for theirs, ours in pairs:
                for number, size in enumerate((0, 1, 62_000, 10), 1):
                    data = message("OPTIONS sip:x@y SIP/2.0", f"{number} OPTIONS", b"x" * size)
                    local = Peer(transport, ours, {"tls": 5061, "wss": 443, "ws": 80}.get(transport, 5060))
                    messages.append(at(number, data, incoming=size > 1, peer=Peer(transport, theirs, port), local=local))
        read = self.read(tuple(messages), "sip.CSeq.seq", "udp.checksum.status", "tcp.checksum.status", "ip.checksum.status")
        self.assertEqual([row[0] for row in read], ["1", "2", "3", "4"] * 15)
        self.assertEqual({tuple(row[1:]) for row in read}, {("1", "", "1"), ("1", "", ""), ("", "1", "1"), ("", "1", "")})

    def test_no_segment_is_missing(self) -> None:
        peer, local = Peer("tcp", "192.0.2.7", 40_000), Peer("tcp", "192.0.2.1", 5060)
        both = tuple(
            at(n, message("INFO sip:x@y SIP/2.0", f"{n} INFO", b"x" * n * 9000), incoming=n % 2 > 0, peer=peer, local=local)
            for n in range(1, 7)
        )
        self.assertEqual(len(self.read(both, "sip.Method")), 6)
        self.assertEqual({row[0] for row in self.read(both, "tcp.analysis.flags")}, {""})
