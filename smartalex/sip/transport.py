"""UDP, TCP and TLS under SIP (RFC 3261 18): bytes in with their peer, bytes out to a peer."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.internet.protocol import ClientFactory, DatagramProtocol, Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.framing import PING, StreamFramer
from smartalex.sip.headers import Peer


@attrs.frozen
class TransportOptions:
    """`advertised` is the address written into Via, Contact and SDP; '' asks the routing table per peer."""

    advertised: str = ""
    first_message_s: float = 30.0
    idle_s: float = 900.0
    per_source: int = 64
    connections: int = 2000


Receive = Callable[[bytes, Peer], None]


class Datagrams(DatagramProtocol):
    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._receive(datagram, Peer("udp", addr[0], addr[1]))

    def connectionRefused(self) -> None:
        """An ICMP error says nothing certain about any one transaction; their timers decide."""


@implementer(IHandshakeListener)
class Stream(Protocol):
    """One connection, accepted or dialled."""

    log = Logger()
    peer: Peer

    def __init__(self, transports: Transports, kind: str, waiting: list[bytes] | None = None) -> None:
        self._transports = transports
        self._kind = kind
        self._framer = StreamFramer()
        self._waiting = waiting
        self._idle: IDelayedCall | None = None
        self._accepted = waiting is None
        self._open = kind != "tls"

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        address = transport.getPeer()
        self.peer = Peer(self._kind, address.host, address.port)
        if not self._transports.opened(self, self._accepted):
            transport.abortConnection()
            return
        self._wait(self._transports.options.first_message_s)
        for data in self._waiting or ():
            transport.write(data)

    def handshakeCompleted(self) -> None:
        self._open = True

    def dataReceived(self, data: bytes) -> None:
        count = 0
        try:
            for count, piece in enumerate(self._framer.feed(data), 1):  # noqa: B007
                if piece is PING:
                    self.send(b"\r\n")
                else:
                    self._transports.receive(piece, self.peer)
        except RemoteError:
            self._transports.unframed(self, self._framer.rest())
            return
        if count and self._framer.empty:
            self._wait(self._transports.options.idle_s)

    def send(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def close(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        if not self._open:
            self._transports.counters.count("sip.no_handshake", self._kind)
        elif not self._framer.empty:
            self._transports.counters.count("sip.truncated", self._kind)
        self._transports.closed(self)

    def _wait(self, seconds: float) -> None:
        if self._idle is not None and self._idle.active():
            self._idle.reset(seconds)
        else:
            self._idle = self._transports.clock.callLater(seconds, self._expired)

    def _expired(self) -> None:
        self._transports.counters.count("sip.connection_idle", self._kind)
        transport: Any = self.transport
        transport.abortConnection()


class _Accepting(Factory):
    noisy = False

    def __init__(self, transports: Transports, kind: str) -> None:
        self._transports, self._kind = transports, kind

    def buildProtocol(self, addr: Any) -> Stream:
        return Stream(self._transports, self._kind)


class _Dialling(ClientFactory):
    noisy = False

    def __init__(self, transports: Transports, peer: Peer, waiting: list[bytes]) -> None:
        self._transports, self._peer, self._waiting = transports, peer, waiting

    def buildProtocol(self, addr: Any) -> Stream:
        return Stream(self._transports, self._peer.transport, self._waiting)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._transports.not_connected(self._peer)


class Transports:
    """All listening ports and connections; `receive` and `failed(peer)` are set by the layer above."""

    log = Logger()

    def __init__(self, reactor: Any, counters: ICounters, options: TransportOptions | None = None) -> None:
        self.reactor = reactor
        self.clock = reactor
        self.counters = counters
        self.options = options or TransportOptions()
        self.receive: Receive = lambda data, peer: None
        self.failed: Callable[[Peer], None] = lambda peer: None
        self.client_context: Any = None
        self._ports: dict[str, list[Any]] = {"udp": [], "tcp": [], "tls": []}
        self._streams: dict[Peer, Stream] = {}
        self._dialling: dict[Peer, list[bytes]] = {}
        self._sources: Counter[str] = Counter()
        self._routes: dict[str, str] = {}

    # ------------------------------------------------------------------ listening

    def listen_udp(self, host: str, port: int) -> Any:
        """Raises CannotListenError."""
        listening = self.reactor.listenUDP(port, Datagrams(self._datagram), interface=host, maxPacketSize=65536)
        self._ports["udp"].append(listening)
        return listening

    def listen_tcp(self, host: str, port: int) -> Any:
        """Raises CannotListenError."""
        listening = self.reactor.listenTCP(port, _Accepting(self, "tcp"), interface=host)
        self._ports["tcp"].append(listening)
        return listening

    def listen_tls(self, host: str, port: int, context: Any) -> Any:
        """`context` is a context factory for servers; raises CannotListenError."""
        listening = self.reactor.listenSSL(port, _Accepting(self, "tls"), context, interface=host)
        self._ports["tls"].append(listening)
        return listening

    def stop(self) -> list[Any]:
        """Close everything; the results of stopListening, to be waited for."""
        for stream in list(self._streams.values()):
            stream.close()
        return [port.stopListening() for ports in self._ports.values() for port in ports]

    # ------------------------------------------------------------------ sending

    def send(self, peer: Peer, data: bytes) -> None:
        """Datagrams go at once; a stream is reused, or dialled and the bytes kept until it is up."""
        if peer.transport == "udp":
            self._send_datagram(peer, data)
            return
        stream = self._streams.get(peer)
        if stream is not None:
            stream.send(data)
        elif peer in self._dialling:
            self._dialling[peer].append(data)
        else:
            self._dial(peer, data)

    def connected(self, peer: Peer) -> bool:
        return peer in self._streams

    def _send_datagram(self, peer: Peer, data: bytes) -> None:
        ports = self._ports["udp"]
        if not ports:
            self.failed(peer)
            return
        try:
            ports[0].write(data, (peer.host, peer.port))
        except OSError:
            self.counters.count("sip.send_failed", "udp")

    def _dial(self, peer: Peer, data: bytes) -> None:
        waiting = self._dialling[peer] = [data]
        factory = _Dialling(self, peer, waiting)
        if peer.transport == "tls":
            self.reactor.connectSSL(peer.host, peer.port, factory, self.client_context, timeout=10)
        else:
            self.reactor.connectTCP(peer.host, peer.port, factory, timeout=10)

    # ------------------------------------------------------------------ addresses

    def advertised(self, transport: str, peer: Peer) -> tuple[str, int]:
        """Host and port of ours to write for this peer (IPv6 without brackets)."""
        ports = self._ports[transport]
        bound = ports[0].getHost() if ports else None
        host = self.options.advertised
        if not host:
            host = bound.host if bound is not None and bound.host not in ("0.0.0.0", "::", "") else self.route_to(peer.host)
        return host, bound.port if bound is not None else 5060

    def route_to(self, host: str) -> str:
        """The local address the kernel would use towards `host`."""
        known = self._routes.get(host)
        if known is None:
            known = _local_address(host)
            if len(self._routes) > 4096:
                self._routes.clear()
            self._routes[host] = known
        return known

    # ------------------------------------------------------------------ what streams report

    def opened(self, stream: Stream, accepted: bool) -> bool:
        """False when this source, or everybody together, has too many."""
        host = stream.peer.host
        if accepted and (self._sources[host] >= self.options.per_source or len(self._streams) >= self.options.connections):
            self.counters.count("sip.connection_refused", stream.peer.transport)
            return False
        self._sources[host] += 1
        self._dialling.pop(stream.peer, None)
        self._streams[stream.peer] = stream
        return True

    def closed(self, stream: Stream) -> None:
        peer = getattr(stream, "peer", None)
        if peer is not None and self._streams.get(peer) is stream:
            del self._streams[peer]
            self._sources[peer.host] -= 1
            if not self._sources[peer.host]:
                del self._sources[peer.host]

    def unframed(self, stream: Stream, rest: bytes) -> None:
        """Where this message ends cannot be known: it gets its refusal from the layer above, and the connection has to go."""
        self.receive(rest, stream.peer)
        stream.close()

    def not_connected(self, peer: Peer) -> None:
        self._dialling.pop(peer, None)
        self.counters.count("sip.send_failed", peer.transport)
        self.failed(peer)

    def _datagram(self, data: bytes, peer: Peer) -> None:
        self.receive(data, peer)


def _local_address(host: str) -> str:
    family = socket.AF_INET6 if ip_address(host.partition("%")[0]).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return "127.0.0.1" if family == socket.AF_INET else "::1"
        return str(probe.getsockname()[0])
