"""Thousands of INVITEs at once, each from its own address and answered to as RFC 3261 wants; what became of each."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterable

import attrs

AGAIN_S, PATIENCE_S = 1.0, 60.0

SDP = (
    "v=0\r\no=- 7 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0 101\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


@attrs.define
class Attempt:
    """`status` 0 while there is no final response; `to` is its To header, `contact` where its dialog is."""

    number: int
    source: str
    to: str
    call_id: str
    status: int = 0
    retry_after: int = 0
    tagged: str = ""
    contact: str = ""
    took_s: float = 0.0


class Flood:
    """`sources` are local addresses; calls go to `user` at 127.0.0.1:`port`."""

    def __init__(self, port: int, user: str, sources: Iterable[str]) -> None:
        self._target, self._user = ("127.0.0.1", port), user
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[str, socket.socket] = {}
        for source in sources:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            made.setblocking(False)
            made.bind((source, 0))
            self._sockets[source] = made
            self._selector.register(made, selectors.EVENT_READ, source)
        self.attempts: dict[str, Attempt] = {}
        self.spurious: Counter[str] = Counter()
        self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # for audio
        self._sink.bind(("127.0.0.1", 0))

    def close(self) -> None:
        self._selector.close()
        for made in (*self._sockets.values(), self._sink):
            made.close()

    def call(self, times: int) -> list[Attempt]:
        """So many INVITEs, one source after the other; returns when each has its final response."""
        names, began = list(self._sockets), time.monotonic()
        new = []
        for _ in range(times):
            number = len(self.attempts)
            source = names[number % len(names)]
            attempt = Attempt(number, source, f"<sip:{self._user}@127.0.0.1>", f"flood-{self._port(source)}-{number}")
            self.attempts[attempt.call_id] = attempt
            new.append(attempt)
            self._invite(attempt)
            self._read(0)
        again = time.monotonic() + AGAIN_S
        while waiting := [attempt for attempt in new if not attempt.status]:
            self._read(0.05)
            if time.monotonic() > began + PATIENCE_S:
                raise AssertionError(f"{len(waiting)} INVITEs have no answer")
            if time.monotonic() > again:
                again = time.monotonic() + AGAIN_S
                for attempt in waiting:
                    self._invite(attempt)
                    self._read(0)
        return new

    def hang_up(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            uri = attempt.contact or f"sip:{self._user}@127.0.0.1"
            self._send(attempt.source, self._request("BYE", attempt, uri, attempt.tagged))
        self._read(0.2)

    def _invite(self, attempt: Attempt) -> None:
        body = SDP.format("127.0.0.1", self._sink.getsockname()[1])
        self._send(attempt.source, self._request("INVITE", attempt, f"sip:{self._user}@127.0.0.1", attempt.to, body))

    def _request(self, method: str, attempt: Attempt, uri: str, to: str, body: str = "") -> bytes:
        cseq = 2 if method == "BYE" else 1
        own = f"{attempt.source}:{self._port(attempt.source)}"
        branch = f"z9hG4bK{attempt.call_id}{'ack' if method == 'ACK' and attempt.status < 300 else '' if cseq == 1 else method}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={branch};rport\r\nMax-Forwards: 70\r\n"
            f"From: <sip:+15550001@{own}>;tag={attempt.number}\r\nTo: {to}\r\nCall-ID: {attempt.call_id}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:{own}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _port(self, source: str) -> int:
        return int(self._sockets[source].getsockname()[1])

    def _send(self, source: str, data: bytes) -> None:
        self._sockets[source].sendto(data, self._target)

    def _read(self, seconds: float) -> None:
        while ready := self._selector.select(seconds):
            seconds = 0
            for key, _ in ready:
                try:
                    self._received(key.data, self._sockets[key.data].recv(65536).decode())
                except BlockingIOError:
                    continue

    def _received(self, source: str, text: str) -> None:
        first, _, _ = text.partition("\r\n")
        if not first.startswith("SIP/2.0"):
            self.spurious[first.split()[0]] += 1
            kept = [line for line in text.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
            self._send(source, "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""]).encode())
            return
        status, attempt = int(first.split()[1]), self.attempts.get(_header(text, "Call-ID"))
        if attempt is None or status < 200 or not _header(text, "CSeq").endswith("INVITE"):
            return
        attempt.status, attempt.tagged = status, _header(text, "To")
        attempt.retry_after = int(_header(text, "Retry-After") or 0)
        attempt.contact = _header(text, "Contact").strip("<>")
        uri = attempt.contact if status < 300 else f"sip:{self._user}@127.0.0.1"
        self._send(source, self._request("ACK", attempt, uri, attempt.tagged))


def _header(text: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}:\s*(.*?)\r?$", text)
    return found[1] if found else ""
