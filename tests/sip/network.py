"""A network in memory, on one Clock: hosts with real Transports over links that lose, double, delay and cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from smartalex.counters import Counters
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.message import Request, Response, parse
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import TransportOptions, Transports
from smartalex.sip.ua import InviteOptions, UserAgent, UserAgentOptions
from smartalex.sip.uri import Uri

LATENCY_S = 0.01
OFFER, ANSWER = b"v=0\r\no=offer\r\n", b"v=0\r\no=answer\r\n"

Fate = Callable[[bytes], Iterable[float]]
"""What becomes of a datagram: the delays, in seconds, after which copies of it arrive; none means lost."""


def promptly(data: bytes) -> Iterable[float]:
    return (LATENCY_S,)


def lossy(seed: int, loss: float = 0.3, at_most: int = 3) -> Fate:
    """Loses, doubles and reorders at random; no datagram is lost more often than `at_most`, so something gets through."""
    random = Random(seed)
    lost: Counter[bytes] = Counter()

    def fate(data: bytes) -> Iterable[float]:
        if random.random() < loss and lost[data] < at_most:
            lost[data] += 1
            return ()
        copies = 2 if random.random() < 0.2 else 1
        return [LATENCY_S + random.random() * random.choice((0.01, 0.01, 0.7)) for _ in range(copies)]

    return fate


def losing(*beginnings: str, times: int = 1) -> Fate:
    """Loses the first `times` datagrams of each beginning; a response is told by 'SIP/2.0 200 INVITE'."""
    left = {beginning: times for beginning in beginnings}

    def fate(data: bytes) -> Iterable[float]:
        title = title_of(data)
        for beginning in beginnings:
            if title.startswith(beginning) and left[beginning]:
                left[beginning] -= 1
                return ()
        return (LATENCY_S,)

    return fate


def title_of(data: bytes) -> str:
    """'INVITE', or 'SIP/2.0 200 INVITE' for a response."""
    message = parse(data)
    return message.method if isinstance(message, Request) else f"SIP/2.0 {message.status} {message.cseq.method}"


class Network:
    def __init__(self) -> None:
        self.clock = Clock()
        self.fate: Fate = promptly
        self.seen: list[tuple[float, str, bytes]] = []  # (seconds, sender's address, datagram), lost ones too
        self.udp: dict[tuple[str, int], Any] = {}
        self.tcp: dict[tuple[str, int], Any] = {}
        self.links: list[_Link] = []

    def run(self, seconds: float) -> None:
        """Everything that happens within this time, each thing at its own moment."""
        until = self.clock.seconds() + seconds
        while (calls := self.clock.getDelayedCalls()) and min(call.getTime() for call in calls) <= until:
            self.clock.advance(max(0.0, min(call.getTime() for call in calls) - self.clock.seconds()))
        self.clock.advance(max(0.0, until - self.clock.seconds()))

    def titles(self, sender: str = "", since: float = 0.0) -> list[str]:
        return [title_of(data) for at, source, data in self.seen if source.startswith(sender) and at >= since]

    def messages(self, title: str) -> list[Request | Response]:
        return [parse(data) for _, _, data in self.seen if title_of(data) == title]

    def times(self, title: str) -> list[float]:
        """When this was sent, in milliseconds from the first one."""
        at = [at for at, _, data in self.seen if title_of(data) == title]
        return [round((one - at[0]) * 1000) for one in at]


class Host:
    """The part of a reactor that Transports uses, at one address."""

    def __init__(self, network: Network, address: str) -> None:
        self.network = network
        self.address = address
        self.seconds = network.clock.seconds
        self.callLater = network.clock.callLater
        self._next_port = 40_000

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> _Port:
        listening = _Port(self, port)
        self.network.udp[self.address, port] = protocol
        return listening

    def listenTCP(self, port: int, factory: Any, interface: str = "") -> _Port:
        self.network.tcp[self.address, port] = factory
        return _Port(self, port)

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30) -> None:
        server = self.network.tcp.get((host, port))
        self._next_port += 1
        if server is None:
            refused = Failure(ConnectionRefusedError())
            self.callLater(LATENCY_S, factory.clientConnectionFailed, None, refused)
        else:
            self.callLater(LATENCY_S, _Link, self, factory, server, IPv4Address("TCP", host, port))


class _Port:
    def __init__(self, host: Host, port: int) -> None:
        self.host, self.port = host, port

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", self.host.address, self.port)

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        network = self.host.network
        network.seen.append((self.host.seconds(), self.host.address, data))
        for delay in network.fate(data):
            self.host.callLater(delay, self._arrive, data, address)

    def _arrive(self, data: bytes, address: tuple[str, int]) -> None:
        protocol = self.host.network.udp.get(address)
        if protocol is not None:
            protocol.datagramReceived(data, (self.host.address, self.port))

    def stopListening(self) -> None:
        self.host.network.udp.pop((self.host.address, self.port), None)


class _Link:
    """A TCP connection: in order, cut into pieces on the way."""

    def __init__(self, host: Host, client: Any, server: Any, address: IPv4Address) -> None:
        self.host = host
        self.up = True
        host.network.links.append(self)
        source = IPv4Address("TCP", host.address, host._next_port)
        ends = client.buildProtocol(address), server.buildProtocol(source)
        self._sides = [_Side(self, ends[1], host.address, address), _Side(self, ends[0], address.host, source)]
        for protocol, side in zip(ends, self._sides, strict=True):
            protocol.makeConnection(side)

    def cut(self) -> None:
        if self.up:
            self.up = False
            for side in self._sides:
                side.receiver.connectionLost(Failure(ConnectionDone()))


class _Side:
    def __init__(self, link: _Link, receiver: Any, sender: str, peer: IPv4Address) -> None:
        self._link, self.receiver, self._sender, self._peer = link, receiver, sender, peer

    def getPeer(self) -> IPv4Address:
        return self._peer

    def setTcpNoDelay(self, on: bool) -> None:
        pass

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        host = self._link.host
        if data.strip():
            host.network.seen.append((host.seconds(), self._sender, data))
        for start in range(0, len(data), 100):
            host.callLater(LATENCY_S, self._arrive, data[start : start + 100])

    def _arrive(self, data: bytes) -> None:
        if self._link.up:
            self.receiver.dataReceived(data)

    def loseConnection(self) -> None:
        self._link.host.callLater(LATENCY_S * 2, self._link.cut)

    abortConnection = loseConnection


class Recorder(SessionListener):
    """Writes down what it is told; `story` holds (what, detail...)."""

    def __init__(self) -> None:
        self.story: list[tuple[Any, ...]] = []
        self.acks_itself = True
        self.accepts_refer = False
        self.reinvite_answer: bytes | None = ANSWER

    def heard(self, what: str) -> list[tuple[Any, ...]]:
        return [entry[1:] for entry in self.story if entry[0] == what]

    def on_ack(self, session: Session, body: bytes) -> None:
        self.story.append(("ack", body))

    def on_cancelled(self, session: Session) -> None:
        self.story.append(("cancelled",))

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self.story.append(("ended", cause))

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        self.story.append(("reinvite", body))
        return self.reinvite_answer

    def on_progress(self, session: Session, response: Response) -> None:
        self.story.append(("progress", response.status))

    def on_answered(self, session: Session, response: Response) -> None:
        self.story.append(("answered", response.status, response.body))
        if self.acks_itself:
            session.ack(b"" if session.request.body else ANSWER)

    def on_failed(self, session: Session, response: Response | None) -> None:
        self.story.append(("failed", response.status if response else None))

    def on_refer_accepted(self, session: Session) -> None:
        self.story.append(("refer accepted",))

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        self.story.append(("refer", status, final))

    def on_refer_lost(self, session: Session) -> None:
        self.story.append(("refer lost",))

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        self.story.append(("asked to call", str(refer_to.uri)))
        return self.accepts_refer

    def on_info(self, session: Session, content_type: str, body: bytes) -> bool:
        self.story.append(("info", content_type, body))
        return content_type == "application/dtmf-relay"

    def on_answer(self, session: Session, body: bytes) -> None:
        self.story.append(("answer", body))

    def on_offer_refused(self, session: Session, response: Response | None) -> None:
        self.story.append(("offer refused", response.status if response else None))

    def on_early_offer(self, session: Session, body: bytes) -> bytes:
        self.story.append(("early offer", body))
        return ANSWER


class Agent:
    """A whole user agent at an address; it takes calls with `take(session)`."""

    def __init__(self, network: Network, address: str, transport: str = "udp") -> None:
        self.network = network
        self.address = address
        self.transport = transport
        self.counters = Counters()
        host = Host(network, address)
        self.transports = Transports(host, self.counters, TransportOptions(advertised=address))
        self.transports.listen_udp(address, 5060)
        self.transports.listen_tcp(address, 5060)
        self.timers = TimerQueue(network.clock)
        self.layer = TransactionLayer(self.transports, self.timers, self.counters, network.clock.seconds)
        self.ua = UserAgent(self.layer, Random(address).randbytes, self.counters, UserAgentOptions())
        self.ua.owner = self
        self.sessions: list[Session] = []
        self.recorder = Recorder()
        self.take: Callable[[Session], None] = lambda session: None

    def on_invite(self, session: Session) -> None:
        self.sessions.append(session)
        session.listener = self.recorder
        self.take(session)

    def on_options(self, request: Request) -> int:
        return 200

    def call(self, other: Agent, body: bytes = OFFER, **options: Any) -> Session:
        uri = Uri.parse(f"sip:bob@{other.address}")
        caller = NameAddr("", Uri.parse(f"sip:ann@{self.address}"))
        peer = Peer(self.transport, other.address, 5060)
        self.sessions.append(self.ua.invite(InviteOptions(uri, peer, caller, NameAddr("", uri), body, **options), self.recorder))
        return self.sessions[-1]

    @property
    def session(self) -> Session:
        return self.sessions[-1]

    def idle(self) -> bool:
        """Nothing is left: no session, no transaction, no timer."""
        return len(self.ua) == 0 and len(self.layer) == 0 and self.timers.pending() == 0


def ring_and_answer(session: Session) -> None:
    session.ring()
    session.answer(ANSWER if session.request.body else OFFER)
