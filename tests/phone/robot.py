"""The other end of a call, over real sockets: answers, beeps, hears keys, transfers, hangs up."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from smartalex.counters import Counters
from smartalex.media.tone import sine
from smartalex.rtp.plane import Leg, MediaParams, MediaPlane, PlaneOptions
from smartalex.sdp import negotiation
from smartalex.sdp.description import SessionDescription
from smartalex.sip.headers import Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.message import Request
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import Transports
from smartalex.sip.ua import UserAgent, UserAgentOptions

BEEP_MS = 400


class Robot(SessionListener):
    """`on_begin`, `on_key` and `on_outcome` are what a test wants to happen; `log` tells what did."""

    def __init__(self, reactor: Any, host: str = "127.0.0.1") -> None:
        self.reactor = reactor
        self.log: list[tuple[str, object]] = []
        self.on_begin: Callable[[], object] = self.beep
        self.on_key: Callable[[str], object] = lambda digit: self.bye()
        self.on_outcome: Callable[[int], object] = lambda status: self.bye()
        self.status = 200
        self.says = host  # where its audio is, in SDP
        self.ended: Deferred[None] = Deferred()
        self.heard = bytearray()
        self.session: Session
        self.leg: Leg
        counters = Counters()
        self.transports = Transports(reactor, counters)
        port = self.transports.listen_udp(host, 0)
        self.peer = Peer("udp", host, port.getHost().port)
        self.timers = TimerQueue(reactor)
        layer = TransactionLayer(self.transports, self.timers, counters, reactor.seconds)
        self.ua = UserAgent(layer, os.urandom, counters, UserAgentOptions())
        self.ua.owner = self
        self.plane = MediaPlane(reactor, PlaneOptions(host, (25000, 25900)), self, counters, secrets.randbits)
        self.plane.start()

    async def stop(self) -> None:
        self.plane.stop()
        self.timers.stop()
        for closing in self.transports.stop():
            if closing is not None:
                await closing

    # ------------------------------------------------------------------ verbs

    def beep(self) -> None:
        self.leg.play(sine(600, BEEP_MS))

    def refer(self, number: str) -> None:
        self.session.refer(f"<sip:{number}@pbx.example.com>", None)

    def bye(self) -> None:
        self.session.hangup()

    # ------------------------------------------------------------------ SIP

    def on_invite(self, session: Session) -> None:
        self.session = session
        session.listener = self
        if self.status != 200:
            session.reject(self.status)
            return
        self.leg = self.plane.open()
        local = negotiation.Local(self.says, self.leg.local_port, 1, 1)
        offer = SessionDescription.parse(session.request.body)
        agreed, body = negotiation.answer(offer, negotiation.Capabilities(("PCMU", "PCMA")), local)
        params = MediaParams(agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.ptime_ms)
        self.leg.set_remote(agreed.remote_address, agreed.remote_port, params)
        session.ring()
        session.answer(body)

    def on_options(self, request: Request) -> int:
        return 200

    def on_ack(self, session: Session, body: bytes) -> None:
        self.on_begin()

    def on_refer_accepted(self, session: Session) -> None:
        self.log.append(("refer", 202))

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        self.log.append(("notify", status))
        if status >= 200:
            self.on_outcome(status)

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self.log.append(("ended", cause))
        if self.status == 200:
            self.leg.close()
        self.ended.callback(None)

    # ------------------------------------------------------------------ audio

    def on_frames(self, batch: Sequence[tuple[Leg, bytes, int]]) -> None:
        for _, pcm, _flags in batch:
            self.heard += pcm

    def on_dtmf(self, leg: Leg, digit: str, duration_ms: int) -> None:
        self.log.append(("key", digit))
        self.on_key(digit)
