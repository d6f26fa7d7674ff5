"""UDP, TCP and TLS: bytes in with their peer, bytes out (RFC 3261 18, RFC 3581, RFC 5626 3.5.1)."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.framing import PING, StreamFramer
from smartalex.sip.headers import Peer, Via
from smartalex.sip.message import MAX_MESSAGE, Request
from smartalex.sip.timers import Timer, TimerQueue

STREAMS = frozenset(("tcp", "tls"))

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes the kernel is asked to hold for a UDP port: some thousand INVITEs arriving at once."""

ROUTE_CACHE_S = 60.0
"""Seconds that an address of ours found by route lookup is believed."""


class Flow(Protocol):
    """The way a message came and its answer goes: a UDP port, or one connection."""

    @property
    def kind(self) -> str:
        """'udp', 'tcp' or 'tls'."""

    def send(self, peer: Peer, data: bytes) -> bool:
        """False when the connection is gone; UDP never knows."""

    def reaches(self, peer: Peer) -> bool:
        """Whether requests to `peer` may go this way too."""


@attrs.frozen
class TransportOptions:
    """`advertised` is the address written into Via, Contact and SDP; '' asks the routing table per peer.

    A connection has `first_message_s` for a whole message and is closed after `idle_s` without one;
    a source may hold `per_source` of them.  What a peer does not read is bounded by `unsent_bytes`.
    """

    advertised: str = ""
    first_message_s: float = 30.0
    idle_s: float = 3600.0
    connect_s: float = 10.0
    per_source: int = 64
    connections: int = 2000
    unsent_bytes: int = 1024 * 1024


# ------------------------------------------------------------------ addresses


def bracketed(host: str) -> str:
    """The host as URIs and Via write it."""
    return f"[{host}]" if ":" in host else host


def stamp(request: Request, peer: Peer) -> None:
    """Write into the top Via where the request really came from (RFC 3261 18.2.1, RFC 3581 4)."""
    via = request.via
    if via.rport is not None:
        via = via.with_param("rport", str(peer.port))
    elif via.host.strip("[]") == peer.host and via.received is None:
        return
    request.set_via(via.with_param("received", peer.host))


def response_peer(via: Via, source: Peer) -> Peer:
    """Where responses over UDP go: the source address; its port with rport, else the sent-by port.

    `maddr` is not followed (RFC 3261 18.2.2 would have it): it lets a stranger aim our responses.
    """
    if source.transport in STREAMS or via.rport is not None:
        return source
    return Peer(source.transport, source.host, via.port or 5060)


def fallback_peer(via: Via, source: Peer) -> Peer:
    """Where a response goes when the connection of its request is gone (RFC 3261 18.2.2)."""
    return Peer(source.transport, source.host, via.port or (5061 if source.transport == "tls" else 5060))


# ------------------------------------------------------------------ UDP


class UdpPort(DatagramProtocol):
    """One bound UDP socket; a Flow."""

    kind = "udp"
    transport: Any

    def __init__(self, owner: Transports) -> None:
        self._owner = owner
        self._v6 = False

    def startProtocol(self) -> None:
        handle = self.transport.socket
        self._v6 = handle.family == socket.AF_INET6
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if len(datagram) > 4:  # shorter ones keep a NAT open (RFC 5626 3.5.1)
            self._owner.receive(datagram, Peer("udp", addr[0], addr[1]), self)

    def send(self, peer: Peer, data: bytes) -> bool:
        try:
            # The socket itself: transport.write() spends more on checking the address than the system call takes.
            self.transport.socket.sendto(data, (peer.host, peer.port))
        except (OSError, OverflowError):
            self._owner.counters.count("sip.send_failed", "udp")
        return True

    def reaches(self, peer: Peer) -> bool:
        return peer.transport == "udp" and (":" in peer.host) == self._v6


# ------------------------------------------------------------------ TCP and TLS


class Connection(StreamProtocol):
    """One stream, accepted or dialled; a Flow."""

    transport: Any

    def __init__(self, owner: Transports, peer: Peer, *, accepted: bool) -> None:
        self.peer = peer
        self.accepted = accepted
        self.closed: Deferred[None] = Deferred()
        self._owner = owner
        self._framer = StreamFramer()
        self._deadline: Timer | None = None
        self._resting = False
        self._last_data = 0.0
        self._paused = False
        self._unsent = 0
        self._alive = False

    @property
    def kind(self) -> str:
        return self.peer.transport

    def connectionMade(self) -> None:
        self._alive = True
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        self._expect_message()
        self._owner.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if not self._alive:
            return
        try:
            pieces = self._framer.feed(data)
        except RemoteError:
            self._give_up(data)
            return
        whole = False
        for piece in pieces:
            if piece == PING:
                self.transport.write(b"\r\n")
            else:
                whole = True
                self._owner.receive(piece, self.peer, self)
        self._time(whole, not self._framer.empty and bool(data.strip()))

    def _give_up(self, data: bytes) -> None:
        """Where the next message begins is unknown: let the layer answer what it can read of this one, and close."""
        self._owner.counters.count("sip.framing", self.kind)
        self._owner.receive(data[:MAX_MESSAGE], self.peer, self)
        self.close()

    # Silence is allowed between messages, not within one: a slow sender holds a buffer and a descriptor.

    def _time(self, whole: bool, begun: bool) -> None:
        if begun and (whole or self._resting):
            self._expect_message()
        elif not begun and (whole or self._resting):
            self._rest()

    def _expect_message(self) -> None:
        self._resting = False
        self._start_deadline(self._owner.options.first_message_s)

    def _rest(self) -> None:
        self._last_data = self._owner.timers.now()
        if not self._resting:
            self._resting = True
            self._start_deadline(self._owner.options.idle_s)

    def _start_deadline(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._owner.timers.call_later(seconds, self._silent)

    def _silent(self) -> None:
        """Messages only move `_last_data`; the timer finds out at its end how long it has really been quiet."""
        left = self._last_data + self._owner.options.idle_s - self._owner.timers.now() if self._resting else 0.0
        if left > 0:
            self._start_deadline(left)
            return
        self._owner.counters.count("sip.connection_idle", self.kind)
        self.abort()

    def send(self, peer: Peer, data: bytes) -> bool:
        if not self._alive:
            return False
        if self._paused:
            self._unsent += len(data)
            if self._unsent > self._owner.options.unsent_bytes:
                self._owner.counters.count("sip.connection_stalled", self.kind)
                self.abort()
                return False
        self.transport.write(data)
        return True

    def reaches(self, peer: Peer) -> bool:
        """The port may differ: who connected to us names its listening port in Contact, and may not be reachable there."""
        return self._alive and peer.transport == self.kind and peer.host == self.peer.host

    def close(self) -> None:
        self._alive = False
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def abort(self) -> None:
        self._alive = False
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._alive = False
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.lost(self)
        self.closed.callback(None)

    # IPushProducer, so as to hear when the peer does not read

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused, self._unsent = False, 0

    def stopProducing(self) -> None:
        self._alive = False


class Acceptor(Factory):
    """Makes a Connection of what a listening port accepts, within the limits."""

    noisy = False

    def __init__(self, owner: Transports, kind: str) -> None:
        self._owner = owner
        self._kind = kind

    def buildProtocol(self, addr: Any) -> Connection | None:
        peer = Peer(self._kind, addr.host, addr.port)
        if not self._owner.admits(peer):
            self._owner.counters.count("sip.connection_refused", self._kind)
            return None  # Twisted closes it
        return Connection(self._owner, peer, accepted=True)


class Dialling(ClientFactory):
    """A connection being opened, and what waits to be sent on it."""

    noisy = False

    def __init__(self, owner: Transports, peer: Peer) -> None:
        self._owner = owner
        self.peer = peer
        self.waiting: list[bytes] = []

    def buildProtocol(self, addr: Any) -> Connection:
        return Connection(self._owner, self.peer, accepted=False)

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._owner.refused(self.peer)


# ------------------------------------------------------------------ all of them


class Transports:
    """Every port and connection.

    `receive(data, peer, flow)` gets each datagram and each message cut from a stream;
    `failed(peer, flow)` hears of connections that broke or were never made (flow None).
    `client_context` is the TLS context for dialling; None trusts the platform's authorities.
    """

    def __init__(self, reactor: Any, counters: ICounters, options: TransportOptions | None = None) -> None:
        self.counters = counters
        self.options = options or TransportOptions()
        self.timers = TimerQueue(reactor, counters)
        self.receive: Callable[[bytes, Peer, Flow], None] = lambda data, peer, flow: None
        self.failed: Callable[[Peer, Flow | None], None] = lambda peer, flow: None
        self.client_context: Any = None
        self._reactor = reactor
        self._ports: dict[str, list[Any]] = {"udp": [], "tcp": [], "tls": []}
        self._udp: list[UdpPort] = []
        self._connections: dict[Peer, Connection] = {}
        self._accepted: Counter[str] = Counter()
        self._dialling: dict[Peer, Dialling] = {}
        self._known: dict[tuple[str, str], tuple[str, int, float]] = {}

    # -- ports; each raises CannotListenError

    def listen_udp(self, host: str, port: int) -> Any:
        protocol = UdpPort(self)
        listening = self._reactor.listenUDP(port, protocol, interface=host, maxPacketSize=MAX_MESSAGE)
        self._udp.append(protocol)
        self._ports["udp"].append(listening)
        return listening

    def listen_tcp(self, host: str, port: int) -> Any:
        listening = self._reactor.listenTCP(port, Acceptor(self, "tcp"), backlog=512, interface=host)
        self._ports["tcp"].append(listening)
        return listening

    def listen_tls(self, host: str, port: int, context_factory: Any) -> Any:
        listening = self._reactor.listenSSL(port, Acceptor(self, "tls"), context_factory, backlog=512, interface=host)
        self._ports["tls"].append(listening)
        return listening

    def stop(self) -> list[Deferred[Any]]:
        """Close everything; what to wait for."""
        connections = list(self._connections.values())
        waiting = [maybeDeferred(port.stopListening) for ports in self._ports.values() for port in ports]
        waiting += [connection.closed for connection in connections]
        for connection in connections:
            connection.close()
        for dialling in self._dialling.values():
            dialling.waiting.clear()
        self._udp.clear()
        self._ports = {"udp": [], "tcp": [], "tls": []}
        if connections:  # a peer that neither reads nor closes must not hold us up
            self.timers.call_later(1.0, lambda: [connection.abort() for connection in connections])
        DeferredList(waiting).addCallback(lambda _: self.timers.stop())
        return waiting

    # -- sending

    def send(self, peer: Peer, data: bytes) -> None:
        """To an address; over the connection there is to it, else over a new one."""
        if peer.transport == "udp":
            self._send_datagram(peer, data)
            return
        connection = self._connections.get(peer)
        if connection is None or not connection.send(peer, data):
            self._dial(peer, data)

    def connected(self, peer: Peer) -> bool:
        return peer in self._connections

    def _send_datagram(self, peer: Peer, data: bytes) -> None:
        for port in self._udp:
            if port.reaches(peer):
                port.send(peer, data)
                return
        self.counters.count("sip.send_failed", "udp")
        self.timers.call_later(0, self.failed, peer, None)  # the caller is still busy with what it sends

    def _dial(self, peer: Peer, data: bytes) -> None:
        dialling = self._dialling.get(peer)
        if dialling is None:
            dialling = self._dialling[peer] = Dialling(self, peer)
            dialling.waiting.append(data)
            self._connect(peer, dialling)
        elif sum(map(len, dialling.waiting)) < self.options.unsent_bytes:
            dialling.waiting.append(data)

    def _connect(self, peer: Peer, dialling: Dialling) -> None:
        connect_s = self.options.connect_s
        if peer.transport == "tls":
            context = self.client_context or optionsForClientTLS(peer.host)
            self._reactor.connectSSL(peer.host, peer.port, dialling, context, timeout=connect_s)
        else:
            self._reactor.connectTCP(peer.host, peer.port, dialling, timeout=connect_s)

    # -- what connections report

    def admits(self, peer: Peer) -> bool:
        return self._accepted[peer.host] < self.options.per_source and self._accepted.total() < self.options.connections

    def opened(self, connection: Connection) -> None:
        self._connections[connection.peer] = connection
        if connection.accepted:
            self._accepted[connection.peer.host] += 1
            return
        dialling = self._dialling.pop(connection.peer, None)
        for data in dialling.waiting if dialling is not None else ():
            connection.send(connection.peer, data)

    def lost(self, connection: Connection) -> None:
        peer = connection.peer
        if self._connections.get(peer) is connection:
            del self._connections[peer]
        if connection.accepted:
            self._accepted[peer.host] -= 1
            if not self._accepted[peer.host]:
                del self._accepted[peer.host]
        self.failed(peer, connection)

    def refused(self, peer: Peer) -> None:
        self._dialling.pop(peer, None)
        self.counters.count("sip.connect_failed", peer.transport)
        self.failed(peer, None)

    # -- our own address

    def advertised(self, transport: str, peer: Peer) -> tuple[str, int]:
        """Host (IPv6 without brackets) and port of ours to write for this peer: Via, Contact, and the host in SDP."""
        key, now = (transport, peer.host), self.timers.now()
        known = self._known.get(key)
        if known is None or known[2] < now:
            if len(self._known) >= 4096:
                self._known.clear()
            known = self._known[key] = (*self._look_up(transport, peer.host), now + ROUTE_CACHE_S)
        return known[0], known[1]

    def _look_up(self, transport: str, towards: str) -> tuple[str, int]:
        bounds = [port.getHost() for port in self._ports[transport]]
        fitting = [bound for bound in bounds if (":" in bound.host) == (":" in towards)] or bounds
        port = fitting[0].port if fitting else 5060
        if self.options.advertised:
            return self.options.advertised, port
        if fitting and fitting[0].host not in ("0.0.0.0", "::", ""):
            return fitting[0].host, port
        return self.route_to(towards), port

    def route_to(self, host: str) -> str:
        """The local address the kernel would send to `host` from; connecting a UDP socket sends nothing."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((host, 9))
            except OSError:
                return "::1" if ":" in host else "127.0.0.1"
            return str(probe.getsockname()[0])
