"""Damaged RTP and RTCP for a live call: does the call stay as it was, and what it says?

    python -m tests.fuzz.rtp_mutations --count 100000 --seed 1

A caller speaks with a number that echoes, once in peace and then under fire: at both ports of the call, from elsewhere with
the call's own SSRC and with others, and from the caller's own address with others (who has the address and the SSRC *is* the
caller, as far as plain RTP can tell; SRTP knows better).  Prints one JSON line; the exit status is 1 after a fault of ours, a
lost call, or where the echo sounds worse (PESQ; needs the package pesq, and goes without it otherwise).
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np

from smartalex.media.codecs.g711 import PCMU
from tests.fuzz.sip_mutations import Prober, memory_kib
from tests.interop.platform import Platform
from tests.interop.voice import voice

try:
    from pesq import pesq
except ImportError:
    pesq = None

SSRC = 0x5EED5EED
FRAME = 160
TICK_S = 0.02
SPEECH_S = 6
WORST_DROP = 0.05
ELSEWHERE = "127.0.9.3"


class Mutator:
    """Endless damaged packets, the same for the same seed: (data, port "rtp" or "rtcp", whether from the caller's address)."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._changes: tuple[Callable[[bytearray], None], ...] = (self._flip, self._cut, self._grow, self._field, self._noise)

    def packet(self, genuine: bytes) -> tuple[bytes, str, bool]:
        random = self._random
        data = bytearray(random.choice((self._rtp, self._rtcp, self._other))(genuine))
        for _ in range(random.choice((0, 1, 1, 2, 5))):
            random.choice(self._changes)(data)
        port, ours = random.choice(("rtp", "rtcp")), random.random() < 0.3
        return bytes(data[:1500]), port, ours and not self._is_the_callers(data)

    def _is_the_callers(self, data: bytearray) -> bool:
        return (len(data) >= 12 and struct.unpack_from("!I", data, 8)[0] == SSRC) or SSRC.to_bytes(4, "big") in data

    def _rtp(self, genuine: bytes) -> bytes:
        """What might be next in the stream, or a stream of its own."""
        random = self._random
        sequence, timestamp = struct.unpack_from("!HI", genuine, 2)
        ssrc = random.choice((SSRC, SSRC, random.getrandbits(32)))
        header = struct.pack(
            "!BBHII", random.choice((0x80, 0x80, 0x90, 0xA0, 0x8F)), random.choice((0, 0, 8, 9, 13, 101, 127, 128)),
            (sequence + random.choice((0, 1, 2, -1, 500, 30000))) & 0xFFFF,
            (timestamp + FRAME * random.choice((0, 1, 2, -1, 10**6))) & 0xFFFFFFFF, ssrc,
        )  # fmt: skip
        return header + random.randbytes(random.choice((0, 1, FRAME, FRAME, 1000)))

    def _rtcp(self, genuine: bytes) -> bytes:
        random = self._random
        parts = []
        for _ in range(random.choice((1, 1, 2, 5))):
            words = random.choice((0, 1, 6, 7, 12))
            count = random.randrange(32)
            body = random.choice((SSRC, random.getrandbits(32))).to_bytes(4, "big") + random.randbytes(4 * max(0, words - 1))
            parts.append(struct.pack("!BBH", 0x80 | count, random.randrange(192, 224), words) + body[: 4 * words])
        return b"".join(parts)

    def _other(self, genuine: bytes) -> bytes:
        """STUN, DTLS, and what is nothing."""
        random = self._random
        stun = struct.pack("!HHI", 1, random.choice((0, 8, 0xFFFF)), 0x2112A442) + random.randbytes(12)
        dtls = bytes((random.randrange(20, 64), 0xFE, 0xFD)) + random.randbytes(random.randrange(60))
        return random.choice((stun, dtls, random.randbytes(random.randrange(100)), b""))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)

    def _cut(self, data: bytearray) -> None:
        del data[self._random.randrange(len(data) + 1) :]

    def _grow(self, data: bytearray) -> None:
        data += self._random.randbytes(self._random.choice((1, 3, 700)))

    def _field(self, data: bytearray) -> None:
        at = self._random.randrange(12)
        if len(data) > at:
            data[at] = self._random.choice((0, 0x7F, 0x80, 0xFF))

    def _noise(self, data: bytearray) -> None:
        data[:] = data[:12] + self._random.randbytes(max(0, len(data) - 12))


class Caller:
    """One call to `user`, by hand; `speak` says something and gives back what came."""

    def __init__(self, port: int, user: str) -> None:
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind(("127.0.0.1", 0))
        self._sip.connect(("127.0.0.1", port))
        self._sip.settimeout(10)
        self.rtp, self.rtcp = _pair()
        self.elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.elsewhere.bind((ELSEWHERE, 0))
        self._user, self._own = user, self._sip.getsockname()[1]
        self._sequence, self._timestamp = 1, 1000
        self.sent: dict[str, int] = {"elsewhere": 0, "own address": 0}

    def dial(self) -> None:
        media = self.rtp.getsockname()[1]
        sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {media} RTP/AVP 0\r\n"
        self._say("INVITE", 1, "", sdp)
        while not (answer := self._sip.recv(8192).decode()).startswith("SIP/2.0 200"):
            if not answer.startswith("SIP/2.0 1"):
                raise AssertionError(answer)
        found, tag = re.search(r"m=audio (\d+)", answer), re.search(r"\r\nTo:[^\r]*;tag=([^;\r]+)", answer)
        assert found and tag
        self._port, self._tag = int(found[1]), f";tag={tag[1]}"
        self._say("ACK", 1, self._tag)

    def hang_up(self) -> None:
        self._say("BYE", 2, self._tag)
        self._sip.recv(8192)
        for one in (self._sip, self.rtp, self.rtcp, self.elsewhere):
            one.close()

    def _say(self, method: str, number: int, tag: str, body: str = "") -> None:
        rows = (
            f"{method} sip:{self._user}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self._own};rport;branch=z9hG4bKr{method}{self._own}",
            "Max-Forwards: 70", "From: <sip:f@127.0.0.1>;tag=r", f"To: <sip:{self._user}@127.0.0.1>{tag}",
            f"Call-ID: rtp{self._own}", f"CSeq: {number} {method}", f"Contact: <sip:f@127.0.0.1:{self._own}>",
            "Content-Type: application/sdp", f"Content-Length: {len(body)}", "", body,
        )  # fmt: skip
        self._sip.send("\r\n".join(rows).encode())

    def speak(self, payloads: list[bytes], fire: Iterator[None] | None = None) -> bytes:
        """In time; each 20 ms `fire` is let loose.  The payloads that came back, half a second longer."""
        came, began = [], time.monotonic()
        for number, payload in enumerate([*payloads, *[b"\xff" * FRAME] * 25]):
            time.sleep(max(0.0, began + number * TICK_S - time.monotonic()))
            self.genuine = struct.pack("!BBHII", 0x80, 0, self._sequence, self._timestamp, SSRC) + payload
            self.rtp.sendto(self.genuine, ("127.0.0.1", self._port))
            self._sequence, self._timestamp = self._sequence + 1 & 0xFFFF, self._timestamp + FRAME & 0xFFFFFFFF
            if fire is not None:
                next(fire, None)
            came += list(_taken(self.rtp))
        return b"".join(data[12:] for data in came if len(data) == 12 + FRAME and data[0] == 0x80)

    def fire(self, mutator: Mutator, count: int, each: int) -> Iterator[None]:
        """`each` damaged packets at a time, `count` in all."""
        while sum(self.sent.values()) < count:
            for _ in range(each):
                data, port, ours = mutator.packet(self.genuine)
                to = ("127.0.0.1", self._port + (port == "rtcp"))
                source = (self.rtp if port == "rtp" else self.rtcp) if ours else self.elsewhere
                source.sendto(data, to)
                self.sent["own address" if ours else "elsewhere"] += 1
            yield


def _pair() -> tuple[socket.socket, socket.socket]:
    while True:
        pair = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        pair[0].bind(("127.0.0.1", 0))
        try:
            pair[1].bind(("127.0.0.1", pair[0].getsockname()[1] + 1))
        except (OSError, OverflowError):
            continue
        pair[0].setblocking(False)
        return pair[0], pair[1]


def _taken(sock: socket.socket) -> Iterator[bytes]:
    try:
        while True:
            yield sock.recv(4096)
    except OSError:
        return


def mos(said: np.ndarray, came: bytes) -> float | None:
    """PESQ of what came back, None without the package."""
    if pesq is None:
        return None
    heard = np.frombuffer(PCMU().decode(came), "<i2") / 32768
    return float(pesq(8000, said.astype(np.float32), heard.astype(np.float32), "nb"))


def fuzz(platform: Platform, count: int, seed: int, each: int = 40) -> dict[str, Any]:
    said = voice(SPEECH_S)
    encoded = PCMU().encode((said * 32767).astype("<i2").tobytes())
    payloads = [encoded[at : at + FRAME] for at in range(0, len(encoded) - FRAME + 1, FRAME)]
    prober, before = Prober(platform.sip), memory_kib(platform)
    caller = Caller(platform.sip, "echo")
    caller.dial()
    peaceful = [mos(said, caller.speak(payloads)) for _ in range(2)][1:]  # the first begins before there is a jitter buffer
    fire, under_fire, worst = caller.fire(Mutator(seed), count, each), [], 0.0
    while sum(caller.sent.values()) < count:
        under_fire.append(mos(said, caller.speak(payloads, fire)))
        worst = max(worst, prober.ask())
    grown = memory_kib(platform) - before
    caller.hang_up()
    prober.close()
    time.sleep(1)
    [row] = platform.calls("--limit", "1")
    faults = sum(value for name, value in platform.metrics().items() if "_fault_total" in name) + platform.logged().count(
        "Traceback"
    )
    return {
        "sent": caller.sent, "seed": seed, "faults": faults, "worst_probe_s": round(worst, 4), "grown_kib": grown,
        "ended": f"{row['disposition']}: {row['cause']}",
        "strangers": row["rtp"]["strangers"], "malformed": row["rtp"]["malformed"], "received": row["rtp"]["packets_received"],
        "mos": None if pesq is None else round(float(np.mean(peaceful)), 3),
        "mos_under_fire": None if pesq is None else [round(one, 3) for one in under_fire if one is not None],
    }  # fmt: skip


def harmed(result: dict[str, Any]) -> str:
    """What is wrong with it, or nothing."""
    if result["faults"] or result["worst_probe_s"] == float("inf"):
        return "faults"
    if result["ended"] != "completed: caller hung up":
        return result["ended"]
    if result["mos"] is not None and np.mean(result["mos_under_fire"]) < result["mos"] - WORST_DROP:
        return "it sounds worse"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    platform = Platform("31000-32000").start()
    try:
        platform.add_trunk("fuzz", "127.0.0.1")
        result = fuzz(platform, given.count, given.seed)
    finally:
        platform.remove()
    print(json.dumps(result))
    return int(bool(harmed(result)))


if __name__ == "__main__":
    sys.exit(main())
