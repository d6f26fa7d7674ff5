"""Many short calls of every fate against a whole platform: is anything of them left?

    python -m tests.bench.leak --calls 100000 --rate 250

Answered, cancelled, refused, without a codec, and challenged ones in turn.  Memory is read at every tenth; 40 s
after the last call the gauges and the open files are compared with those before the first.  Prints one JSON line;
the exit status is 1 when anything is left.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from typing import Any

from tests.fuzz.sip_mutations import memory_kib
from tests.interop.house import House
from tests.interop.peers import PBX

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP {codec}\r\n"
KINDS = ("answered", "cancelled", "refused", "without a codec", "challenged")
STRANGER = "127.0.0.77"
USERS = {"cancelled": "slow", "ringing": "slow", "refused": "nobody"}
FINAL_S, QUIET_S = 5.0, 40.0
WARM_UP = 20


class Callers:
    """All calls of one source, each driven by the responses it gets."""

    def __init__(self, source: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((source, 0))
        self._socket.setblocking(False)
        self._to = ("127.0.0.1", port)
        self._source = source
        self.fates: Counter[str] = Counter()
        self._open: dict[str, str] = {}
        self.heard_of: set[str] = set()  # calls that were given any answer
        self.ended: dict[str, str] = {}
        self._up: dict[str, str] = {}  # calls that are held, and what their To says

    def __len__(self) -> int:
        return len(self._open)

    def fileno(self) -> int:
        return self._socket.fileno()

    def begin(self, kind: str, number: int) -> None:
        self._open[f"{kind[0]}{number}"] = kind
        self._send(f"{kind[0]}{number}", "INVITE", 1, "i", body=SDP.format(codec=18 if kind == "without a codec" else 0))

    def _send(self, call: str, method: str, cseq: int, branch: str, to: str = "", body: str = "") -> None:  # noqa: PLR0917
        kind = self._open[call]
        uri = f"sip:{USERS.get(kind, 'cps')}@127.0.0.1"
        port = self._socket.getsockname()[1]
        self._socket.sendto(
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {self._source}:{port};branch=z9hG4bK{call}{branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:x@{self._source}>;tag=f\r\nTo: {to or f'<{uri}>'}\r\nCall-ID: {call}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:x@{self._source}:{port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode(),
            self._to,
        )

    def read(self) -> None:
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            self._heard(data.decode())

    def hang_up(self, call: str) -> None:
        self._send(call, "BYE", 2, "b", self._up.pop(call))

    @property
    def held(self) -> list[str]:
        """Calls that are up and wait for somebody to `hang_up`."""
        return list(self._up)

    def _heard(self, text: str) -> None:
        line, _, rest = text.partition("\r\n")
        if not line.startswith("SIP/2.0"):
            return
        headers = dict(row.partition(": ")[::2] for row in rest.partition("\r\n\r\n")[0].split("\r\n"))
        call, status, method = headers["Call-ID"], int(line.split()[1]), headers["CSeq"].split()[1]
        if call not in self._open:
            return
        self.heard_of.add(call)
        if method == "INVITE" and status == 180 and self._open[call] == "cancelled":
            self._send(call, "CANCEL", 1, "i")
        elif method == "INVITE" and 200 <= status < 300:
            self._send(call, "ACK", 1, "a", headers["To"])
            self._up[call] = headers["To"]
            if self._open[call] != "held":
                self.hang_up(call)
        elif method == "INVITE" and status >= 300:
            self._send(call, "ACK", 1, "i", headers["To"])
            self._over(call, status)
        elif method == "BYE":
            self._over(call, status)

    def _over(self, call: str, status: int) -> None:
        self.ended[call] = f"{self._open.pop(call)} {status}"
        self.fates[self.ended[call]] += 1


def run(house: House, calls: int, rate: float) -> dict[str, Any]:
    known, stranger = Callers(PBX, house.sip), Callers(STRANGER, house.sip)
    for number in range(WARM_UP):
        known.begin("answered", calls + number)
    drain([known], QUIET_S)
    known.fates.clear()
    before, began, memory = state_of(house), time.monotonic(), []
    for number in range(calls):
        kind = KINDS[number % len(KINDS)]
        (stranger if kind == "challenged" else known).begin(kind, number)
        drain([known, stranger], began + (number + 1) / rate - time.monotonic())
        if (number + 1) % max(1, calls // 10) == 0:
            memory.append(memory_kib(house))
    took_s = time.monotonic() - began
    drain([known, stranger], FINAL_S)
    unfinished = len(known) + len(stranger)
    time.sleep(QUIET_S)
    after = state_of(house)
    half = memory[len(memory) // 2 :]
    return {
        "calls": calls, "per_s": round(calls / took_s, 1), "fates": dict(known.fates + stranger.fates), "unfinished": unfinished,
        "left": {name: after[name] - before[name] for name in after if after[name] != before[name]},
        "memory_mib": [round(kib / 1024, 1) for kib in memory],
        "grown_mib_per_10000": round((half[-1] - half[0]) / 1024 / max(1, calls * (len(half) - 1) / 10) * 10_000, 2),
        "faults": sum(v for k, v in house.metrics().items() if "fault" in k) + house.logged().count("Traceback"),
    }  # fmt: skip


def drain(callers: list[Callers], seconds: float) -> None:
    """Answer what comes, for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for caller in select.select(callers, [], [], left)[0]:
            caller.read()


def state_of(house: House) -> dict[str, float]:
    """What has to be again as it was."""
    metrics, pid = house.metrics(), house.ready["pid"]
    gauges = ("calls", "legs", "sip_transactions", "sip_dialogs", "sip_timers", "records_pending")
    open_files = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    sockets = sum(name.startswith("socket:") for name in open_files)
    return {**{name: metrics[f"smartalex_{name}"] for name in gauges}, "sockets": sockets}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=250.0)
    given = parser.parse_args()
    house = House("20000-60000", "[rtp]\nquarantine_s = 5.0\n[limits]\nmax_calls = 2000\n").start()
    try:
        house.command("trunks", "set", "pbx", "--max-calls", "1000")
        house.command("dids", "add", "cps", "--trunk", "pbx", "--agent", "cps")
        result = run(house, given.calls, given.rate)
    finally:
        house.remove()
    print(json.dumps(result))
    return int(bool(result["left"] or result["unfinished"] or result["faults"]))


if __name__ == "__main__":
    sys.exit(main())
