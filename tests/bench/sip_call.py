"""CPU microseconds per complete call through two user agents over an in-memory transport.

    python -m tests.bench.sip_call [calls]

Both sides are counted: INVITE, 180, 200, ACK, BYE, 200, each parsed and written for real, with all timers.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque

from smartalex.counters import Counters
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.message import Request, Response
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import TransportOptions, Transports
from smartalex.sip.ua import InviteOptions, UserAgent, UserAgentOptions
from smartalex.sip.uri import Uri
from tests.bench.sip_parse import SDP

BODY = SDP.encode()


class Idle:
    """A clock that stands still until told; nothing it is asked to call later is due in this benchmark."""

    def __init__(self) -> None:
        self.now = 0.0

    def seconds(self) -> float:
        return self.now

    def callLater(self, seconds: float, call: object, *args: object) -> Idle:
        return self

    def cancel(self) -> None:
        pass


class Wire(Transports):
    """Datagrams go straight into the other side's queue."""

    def __init__(self, clock: Idle, counters: Counters, own: Peer, queue: deque[tuple[Peer, bytes]]) -> None:
        super().__init__(clock, counters, TransportOptions(advertised=own.host))
        self.own = own
        self.queue = queue
        self.sent = 0

    def send(self, peer: Peer, data: bytes) -> None:
        self.sent += 1
        self.queue.append((peer, data))


class Answering(SessionListener):
    def on_invite(self, session: Session) -> None:
        session.listener = self
        session.ring()
        session.answer(BODY)

    def on_options(self, request: Request) -> int:
        return 200


class Calling(SessionListener):
    ended = 0

    def on_answered(self, session: Session, response: Response) -> None:
        session.ack()
        session.hangup()

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self.ended += 1


def agent(clock: Idle, host: str, queue: deque[tuple[Peer, bytes]], wires: dict[str, Wire]) -> UserAgent:
    counters = Counters()
    wires[host] = Wire(clock, counters, Peer("udp", host, 5060), queue)
    wires[host].budget.trusted = lambda host: True
    layer = TransactionLayer(wires[host], TimerQueue(clock), counters, clock.seconds)
    ua = UserAgent(layer, os.urandom, counters, UserAgentOptions())
    ua.owner = Answering()
    return ua


def run(calls: int) -> tuple[float, float]:
    """(CPU microseconds, messages) per call."""
    clock, queue, wires = Idle(), deque[tuple[Peer, bytes]](), dict[str, Wire]()
    caller, called = agent(clock, "192.0.2.1", queue, wires), agent(clock, "192.0.2.2", queue, wires)
    listener = Calling()
    others = {"192.0.2.1": wires["192.0.2.2"].own, "192.0.2.2": wires["192.0.2.1"].own}
    target = Uri.parse("sip:alex@192.0.2.2")
    start = time.process_time()
    for number in range(calls):
        caller_address = NameAddr("Bench Caller", Uri("sip", f"+1555{number:07}", host="192.0.2.1"))
        caller.invite(InviteOptions(target, Peer("udp", "192.0.2.2", 5060), caller_address, NameAddr("", target), BODY), listener)
        while queue:
            peer, data = queue.popleft()
            wires[peer.host].receive(data, others[peer.host])
        clock.now += 0.02  # 50 calls a second
        if number % 50 == 49:
            for ua in (caller, called):
                ua.timers._ring()
    spent = time.process_time() - start
    assert listener.ended == calls and len(called) == 0
    return spent / calls * 1e6, sum(wire.sent for wire in wires.values()) / calls


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    run(200)
    gc.collect()
    spent, messages = run(calls)
    print(f"{calls} calls, {messages:.1f} messages each: {spent:.0f} us of CPU per call for both sides, {spent / 2:.0f} for one")


if __name__ == "__main__":
    main()
