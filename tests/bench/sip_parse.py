"""CPU microseconds to read one INVITE of about 1 kB, with the headers that the path of a call touches.

python -m tests.bench.sip_parse [seconds]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from smartalex.sip.message import Request, parse

SDP = (
    "v=0\r\no=- 3900000001 1 IN IP4 192.0.2.17\r\ns=bench\r\nc=IN IP4 192.0.2.17\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0 8 101\r\n"
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
    "a=sendrecv\r\n"
)
INVITE = (
    "INVITE sip:+27215550100@192.0.2.1:5060 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK1a2b3c4d{0};rport\r\n"
    "Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bKabcdef{0};received=198.51.100.7;rport=5060\r\n"
    "Max-Forwards: 69\r\n"
    "Record-Route: <sip:192.0.2.17;lr;ftag=f1a2b3c4d17>\r\n"
    'From: "Bench Caller" <sip:+15550{0}@192.0.2.17:5060>;tag=f1a2b3c4d{0}\r\n'
    "To: <sip:+27215550100@192.0.2.1:5060>\r\n"
    "Call-ID: 1a2b3c4d-{0}@bench.invalid\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:+15550{0}@192.0.2.17:5060>\r\n"
    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY\r\n"
    "Supported: replaces, timer\r\n"
    "User-Agent: bench/1.0\r\n"
    'P-Asserted-Identity: "Bench Caller" <sip:+15550{0}@bench.invalid>\r\n'
    "Content-Type: application/sdp\r\n"
    f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
)
"""Every call has its own caller, tag, branch and Call-ID, so that no cache flatters the figure."""


def touch(request: Request) -> object:
    """What a call reads of its INVITE."""
    return (
        request.via, request.from_.tag, request.to.tag, request.call_id, request.cseq, request.contact, request.request_uri,
        request.max_forwards, request.content_type, request.headers.get_all("Require"), request.headers.get_all("Record-Route"),
        request.headers.get("P-Asserted-Identity"),
    )  # fmt: skip


def parse_only(data: bytes) -> object:
    return parse(data)


def parse_and_touch(data: bytes) -> object:
    message = parse(data)
    assert isinstance(message, Request)
    return touch(message)


def parse_and_write(data: bytes) -> object:
    return parse(data).to_bytes()


def microseconds(work: Callable[[bytes], object], data: list[bytes], seconds: float) -> float:
    """Median over five rounds of CPU time per message."""
    rounds = []
    for _ in range(5):
        count, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds / 5:
            for one in data:
                work(one)
            count += len(data)
        rounds.append(spent / count * 1e6)
    return statistics.median(rounds)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    data = [INVITE.format(number).encode() for number in range(100_000, 104_000)]
    print(f"INVITE of {len(data[0])} bytes")
    for name, work in (("parse", parse_only), ("parse + headers of a call", parse_and_touch), ("parse + write", parse_and_write)):
        print(f"{name:28} {microseconds(work, data, seconds):6.1f} us")


if __name__ == "__main__":
    main()
