"""Damaged SIP for a whole platform: does it stay alive, free of faults, and small?

    python -m tests.fuzz.sip_mutations --transport udp --count 100000 --seed 1

Every message is made from the seed, so a finding can be repeated.  An OPTIONS
asks each thousand messages whether the platform still answers.  Prints one JSON
line; the exit status is 1 after a fault of ours or an OPTIONS without answer.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.interop.platform import Platform

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "REFER", "NOTIFY", "INFO", "UPDATE", "PRACK", "MESSAGE", "X")
EXTRAS = (
    "", "Replaces: a;to-tag=b;from-tag=c", "Require: 100rel", "Session-Expires: 10", "P-Asserted-Identity: <tel:+1>",
    "Diversion: <sip:2@h>;reason=x", "Record-Route: <sip:127.0.0.1;lr>", "Refer-To: <sip:x@y?Replaces=a>",
    'Authorization: Digest username="a",realm="smartalex",nonce="x",uri="sip:x",response="y"', "Event: refer",
)  # fmt: skip
NUMBERS = ("0", "-1", str(2**31), str(2**32), str(2**64), str(10**40))
SPECIAL = (b"<", b">", b'"', b";", b",", b"%", b"\0", b"\r\n", b":", b"[", b"\\", b"\xff")
LARGEST = 60_000
PROBE_EACH = 1000


class Mutator:
    """Endless damaged messages, the same for the same seed."""

    def __init__(self, seed: int, port: int, transport: str = "udp") -> None:
        self._random = Random(seed)
        self._port = port
        self._transport = transport.upper()
        self._changes: tuple[Callable[[bytearray, int], None], ...] = (
            self._flip, self._insert, self._delete, self._repeat, self._double_a_line, self._change_numbers, self._cut,
            self._special,
        )  # fmt: skip

    def message(self) -> bytes:
        random = self._random
        data = bytearray(self._whole())
        if random.random() < 0.1:
            data[: data.find(b"\r\n")] = b"SIP/2.0 %d X" % random.choice((100, 180, 200, 401, 486, 503))
        for _ in range(random.choice((0, 1, 1, 2, 4, 10))):
            random.choice(self._changes)(data, random.randrange(len(data) + 1))
        return bytes(data[:LARGEST])

    def _whole(self) -> bytes:
        random = self._random
        method, number, extra = random.choice(METHODS), random.randrange(100_000), random.choice(EXTRAS)
        body = SDP if method in ("INVITE", "UPDATE") else ""
        rows = [
            f"{method} sip:play@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/{self._transport} 127.0.0.1:{self._port};rport;branch=z9hG4bKf{number}",
            "Max-Forwards: 70", f'From: "F" <sip:f@127.0.0.1>;tag={number}', "To: <sip:play@127.0.0.1>",
            f"Call-ID: fuzz{number // 3}",
            f"CSeq: {number % 5 + 1} {method}", f"Contact: <sip:f@127.0.0.1:{self._port}>", *([extra] if extra else []),
            "Content-Type: application/sdp", f"Content-Length: {len(body)}", "", body,
        ]  # fmt: skip
        return "\r\n".join(rows).encode()

    def _flip(self, data: bytearray, at: int) -> None:
        if at < len(data):
            data[at] ^= 1 << self._random.randrange(8)

    def _insert(self, data: bytearray, at: int) -> None:
        data[at:at] = self._random.randbytes(self._random.randrange(1, 20))

    def _delete(self, data: bytearray, at: int) -> None:
        del data[at : at + self._random.randrange(1, 30)]

    def _repeat(self, data: bytearray, at: int) -> None:
        start = self._random.randrange(len(data) + 1)
        data[at:at] = data[start : start + self._random.randrange(200)]

    def _double_a_line(self, data: bytearray, at: int) -> None:
        lines = bytes(data).split(b"\r\n")
        lines.insert(self._random.randrange(len(lines)), self._random.choice(lines))
        data[:] = b"\r\n".join(lines)

    def _change_numbers(self, data: bytearray, at: int) -> None:
        def other(found: re.Match[bytes]) -> bytes:
            return self._random.choice(NUMBERS).encode() if self._random.random() < 0.1 else found[0]

        data[:] = re.sub(rb"\d+", other, bytes(data))

    def _cut(self, data: bytearray, at: int) -> None:
        del data[at:]

    def _special(self, data: bytearray, at: int) -> None:
        data[at:at] = self._random.choice(SPECIAL) * self._random.choice((1, 1, 50))


class Prober:
    """An honest neighbour: `ask` is the seconds until its OPTIONS was answered, infinity when it was not."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(3)
        self._asked = 0

    def ask(self) -> float:
        self._asked += 1
        own, began = self._socket.getsockname()[1], time.monotonic()
        self._socket.send(
            f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};rport;branch=z9hG4bKp{self._asked}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:p@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: p{self._asked}-{own}\r\n"
            f"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
        )
        try:
            answered = self._socket.recv(4096).startswith(b"SIP/2.0 200")
        except OSError:
            return float("inf")
        return time.monotonic() - began if answered else float("inf")

    def close(self) -> None:
        self._socket.close()


class Datagrams:
    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._to = ("127.0.0.1", port)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._to)
            while self._socket.recv(65536):
                pass
        except OSError:
            time.sleep(0.0001)  # nothing to read: the usual end; or the queue is full

    def close(self) -> None:
        self._socket.close()


class Streams:
    """One connection until it is cut off, or for so many messages: a damaged one may eat up those that follow."""

    MESSAGES = 10

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._to, self._context = ("127.0.0.1", port), context
        self._socket: socket.socket | None = None
        self._left = 0
        self.connections = 0

    def send(self, data: bytes) -> None:
        if self._socket is None or not self._left:
            self.close()
            self._socket, self._left = self._connect(), self.MESSAGES
        self._left -= 1
        try:
            self._socket.settimeout(5)
            self._socket.sendall(data)
            self._socket.settimeout(0)
            while self._socket.recv(65536):
                pass
            self.close()  # the platform has ended it
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.close()

    def _connect(self) -> socket.socket:
        self.connections += 1
        plain = socket.create_connection(self._to, timeout=5)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain if self._context is None else self._context.wrap_socket(plain)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def sender_of(platform: Platform, transport: str) -> Datagrams | Streams:
    if transport == "udp":
        return Datagrams(platform.sip)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Streams(platform.sip, None) if transport == "tcp" else Streams(platform.tls, context)


def fuzz(platform: Platform, count: int, seed: int, transport: str = "udp") -> dict[str, Any]:
    """Send them all; what came of it."""
    prober, before, worst = Prober(platform.sip), memory_kib(platform), 0.0
    sender, mutator, began = sender_of(platform, transport), Mutator(seed, 5060, transport), time.monotonic()
    for number in range(count):
        sender.send(mutator.message())
        if number % PROBE_EACH == 0:
            worst = max(worst, prober.ask())
    took_s = time.monotonic() - began
    sender.close()
    worst = max(worst, prober.ask())
    prober.close()
    metrics = platform.metrics()
    faults = sum(value for name, value in metrics.items() if "_fault_total" in name) + platform.logged().count("Traceback")
    malformed = metrics.get(f'smartalex_sip_malformed_total{{label="{transport}"}}', 0)
    grown = memory_kib(platform) - before
    return {
        "transport": transport,
        "sent": count,
        "per_s": round(count / took_s),
        "seed": seed,
        "malformed": malformed,
        "faults": faults,
        "worst_probe_s": round(worst, 4),
        "grown_kib": grown,
    }


def memory_kib(platform: Platform) -> int:
    status = Path(f"/proc/{platform.ready['pid']}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    platform = Platform("31000-32000").start()
    try:
        platform.add_trunk("fuzz", "127.0.0.1")
        result = fuzz(platform, given.count, given.seed, given.transport)
    finally:
        platform.remove()
    print(json.dumps(result))
    return int(bool(result["faults"]) or result["worst_probe_s"] == float("inf"))


if __name__ == "__main__":
    sys.exit(main())
