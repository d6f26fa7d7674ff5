"""Our user agent on real sockets, calling a SIPp that answers as its scenario says."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.message import Message, Request, parse
from smartalex.sip.session import Session
from smartalex.sip.session_timer import SessionTimer
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transaction import State
from smartalex.sip.transport import Transports
from smartalex.sip.ua import InviteOptions, UserAgent, UserAgentOptions
from smartalex.sip.uri import Uri
from tests.interop.peers import PBX, Sipp
from tests.interop.scenario import scenario
from tests.sip.loopback import until
from tests.sip.network import OFFER, Recorder

US = "127.0.0.7"
WAITING = frozenset((State.ACCEPTED, State.COMPLETED, State.CONFIRMED))
"""States in which a transaction only waits for stragglers."""


class Hurried:
    """The reactor's clock, so many times as fast."""

    def __init__(self, times: float) -> None:
        self._times = times

    def seconds(self) -> float:
        clock: Any = reactor
        return float(clock.seconds() * self._times)

    def callLater(self, delay: float, call: Callable[..., object], *args: Any, **kw: Any) -> Any:
        clock: Any = reactor
        return clock.callLater(delay / self._times, call, *args, **kw)


class Caller:
    """`seen` is every message, with whether it came in; SIP's timers run `times` as fast."""

    def __init__(self, times: float = 1.0, timer: SessionTimer | None = None) -> None:
        counters = Counters()
        clock: Any = Hurried(times)
        self.recorder = Recorder()
        self.seen: list[tuple[bool, Message]] = []
        self.transports = Transports(reactor, counters)
        self.transports.listen_udp(US, 0)
        self.timers = TimerQueue(clock)
        self.layer = TransactionLayer(self.transports, self.timers, counters, clock.seconds)
        self.layer.tap = lambda call_id, came, peer, data: self.seen.append((came, parse(data)))
        self.ua = UserAgent(self.layer, os.urandom, counters, UserAgentOptions(timer=timer or SessionTimer()))
        self.ua.owner = self

    def on_invite(self, session: Session) -> None:
        session.reject(486)

    def on_options(self, request: Request) -> int:
        return 200

    def place(self, uri: Uri, peer: Peer | None, body: bytes = OFFER, **options: Any) -> Session:
        caller = NameAddr("Ann", Uri.parse(f"sip:ann@{US}"))
        return self.ua.invite(InviteOptions(uri, peer, caller, NameAddr("", uri), body, **options), self.recorder)

    def sent(self, method: str) -> list[Request]:
        return [message for came, message in self.seen if not came and isinstance(message, Request) and message.method == method]

    def busy(self) -> list[object]:
        """Sessions, and transactions that do anything but wait for stragglers."""
        transactions = (*self.layer._clients.values(), *self.layer._servers.values())
        return [*self.ua._dialogs.values(), *(one for one in transactions if one.machine.state not in WAITING)]

    def idle(self) -> bool:
        return len(self.ua) == 0 and len(self.layer) == 0 and self.timers.pending() == 0

    async def close(self) -> None:
        self.timers.stop()
        for closing in self.transports.stop():
            if closing is not None:
                await closing


class Calling(TestCase):
    """`times` is how fast SIP's timers run; more than 1, and each test waits until nothing at all is left."""

    timeout = 60
    times = 1.0

    def setUp(self) -> None:
        self.ours = self.caller()
        self.answering: list[Sipp] = []

    def caller(self, timer: SessionTimer | None = None) -> Caller:
        ours = Caller(self.times, timer)
        self.addCleanup(ours.close)
        if self.times > 1:
            self.addCleanup(until, ours.idle)
        return ours

    @property
    def heard(self) -> Callable[[str], list[tuple[Any, ...]]]:
        return self.ours.recorder.heard

    async def sipp(self, *steps: str, transport: str = "udp", repeats: bool = True) -> Sipp:
        """One that waits for a call.  Without `repeats` it repeats nothing, and takes what we repeat for something new."""
        answering = Sipp(scenario(*steps), PBX, transport, *(() if repeats else ("-nr",)))
        self.addCleanup(answering.close)
        self.answering.append(answering)
        await until(lambda: answering.listens() or answering.process.poll() is not None)
        return answering

    def call(self, answering: Sipp, transport: str = "udp", **options: Any) -> Session:
        return self.ours.place(Uri.parse(f"sip:bob@{PBX}:{answering.port}"), Peer(transport, PBX, answering.port), **options)

    async def told(self, what: str, times: int = 1) -> None:
        """Wait until our side was told this."""
        await until(lambda: len(self.heard(what)) >= times or any(one.process.poll() for one in self.answering))
        for one in self.answering:
            one.check()

    def forget(self) -> None:
        """What was told and seen so far."""
        self.ours.recorder.story.clear()
        self.ours.seen.clear()

    async def over(self, *answering: Sipp) -> None:
        """It went as each scenario says."""
        for one in answering:
            await until(lambda one=one: one.process.poll() is not None)
            one.check()

    async def done(self, *answering: Sipp) -> None:
        """It went as each scenario says, our side was told of the end once, and nothing is left."""
        await self.over(*answering)
        await until(lambda: not self.ours.busy())
        self.assertEqual(len(self.heard("ended")), 1, self.ours.recorder.story)
