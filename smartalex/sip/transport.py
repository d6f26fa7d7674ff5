"""UDP, TCP, TLS and WebSockets under SIP (RFC 3261 18, RFC 7118): bytes in with their peer, bytes out to a peer."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import DatagramProtocol

from smartalex.interfaces import ICounters
from smartalex.sip.budget import Budget, BudgetLimits
from smartalex.sip.connections import Above, Connections
from smartalex.sip.framing import PING
from smartalex.sip.headers import Peer
from smartalex.sip.ports import Bound, Ports, destination, ipv6_socket
from smartalex.sip.stream import StreamLimits

LARGEST_DATAGRAM = 1300


@attrs.frozen
class TransportOptions:
    """`advertised` is the address written into Via, Contact and SDP; '' asks the routing table per peer.

    `advertised_ipv6` is the one for IPv6 peers.  `origins` are the web sites whose pages may open WebSockets to us
    ("https://example.com"), () for all.
    """

    advertised: str = ""
    advertised_ipv6: str = ""
    streams: StreamLimits = attrs.field(factory=StreamLimits)
    budget: BudgetLimits = attrs.field(factory=BudgetLimits)
    origins: tuple[str, ...] = ()


MOST_PEERS = 4096
QUEUE_BYTES = 4 << 20
SO_RCVBUFFORCE = 33  # Linux; the socket module has no name for it

Receive = Callable[[bytes, Peer], None]


class Datagrams(DatagramProtocol):
    bound: Bound

    def __init__(self, receive: Callable[[bytes, Peer, Bound], None]) -> None:
        self._receive = receive
        self._peers: dict[Any, Peer] = {}

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        peer = self._peers.get(addr)
        if peer is None:
            if len(self._peers) >= MOST_PEERS:
                self._peers.clear()
            peer = self._peers[addr] = Peer("udp", addr[0], addr[1])
        self._receive(datagram, peer, self.bound)

    def connectionRefused(self) -> None:
        """An ICMP error says nothing certain about any one transaction; their timers decide."""


class Transports:
    """All listening ports and connections; `receive` and `failed(peer)` are set by the layer above.

    `failed` is called from the reactor, never from within `send`, and once for all that waits on the peer.  `chance` draws
    from 0 to 1.
    """

    def __init__(
        self,
        reactor: Any,
        counters: ICounters,
        options: TransportOptions | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.reactor = reactor
        self.clock = reactor
        self.counters = counters
        self.options = options or TransportOptions()
        self.receive: Receive = lambda data, peer: None
        self.failed: Callable[[Peer], None] = lambda peer: None
        self.budget = Budget(self.options.budget)
        self._ports = Ports((self.options.advertised, self.options.advertised_ipv6))
        above = Above(self._deliver, self._fail)
        self._connections = Connections(reactor, counters, self.options.streams, self.budget, above)
        self._connections.origins = self.options.origins
        self._chance = chance
        self._failing: set[Peer] = set()
        self._beats: dict[Peer, IDelayedCall] = {}
        self._stopped = False

    # ------------------------------------------------------------------ listening

    def listen_udp(self, host: str, port: int) -> Any:
        """An IPv6 host does not take IPv4 with it; raises CannotListenError."""
        protocol = Datagrams(self._datagram)
        if ":" in host:
            with ipv6_socket(socket.SOCK_DGRAM, host, port) as made:
                listening = self.reactor.adoptDatagramPort(made.fileno(), socket.AF_INET6, protocol, maxPacketSize=65536)
        else:
            listening = self.reactor.listenUDP(port, protocol, interface=host, maxPacketSize=65536)
        _enlarge(getattr(listening, "socket", None))
        protocol.bound = self._ports.add("udp", listening)
        return listening

    def listen_tcp(self, host: str, port: int) -> Any:
        """Raises CannotListenError."""
        return self._listen("tcp", host, port)

    def listen_tls(self, host: str, port: int, context: Any) -> Any:
        """`context` is a context factory for servers; raises CannotListenError."""
        return self._listen("tls", host, port, context)

    def listen_ws(self, host: str, port: int) -> Any:
        """SIP in WebSockets (RFC 7118); raises CannotListenError."""
        return self._listen("ws", host, port)

    def listen_wss(self, host: str, port: int, context: Any) -> Any:
        """`context` is a context factory for servers; raises CannotListenError."""
        return self._listen("wss", host, port, context)

    def stop(self) -> list[Any]:
        """Close everything; the results of stopListening, to be waited for."""
        self._stopped = True
        for peer in list(self._beats):
            self.keep_alive(peer, 0)
        self._connections.stop()
        return self._ports.stop()

    def _listen(self, kind: str, host: str, port: int, context: Any = None) -> Any:
        factory = self._connections.accepting(kind, context)
        if ":" in host:
            with ipv6_socket(socket.SOCK_STREAM, host, port) as made:
                listening = self.reactor.adoptStreamPort(made.fileno(), socket.AF_INET6, factory)
        else:
            listening = self.reactor.listenTCP(port, factory, interface=host)
        self._ports.add(kind, listening)
        return listening

    # ------------------------------------------------------------------ sending

    def send(self, peer: Peer, data: bytes, domain: str = "") -> bool:
        """Datagrams go at once; a stream is reused, or dialled and the bytes kept until it is up.  False when it was dropped.

        Over TLS a `domain` has to be the peer's by its certificate; '' asks for its address.
        """
        return self._send_datagram(peer, data) if peer.transport == "udp" else self._connections.send(peer, data, domain)

    def expect(self, peer: Peer, domain: str) -> None:
        """Over TLS this peer has to prove to be `domain`, whose DNS records led to it."""
        self._connections.expect(peer, domain)

    def connected(self, peer: Peer) -> bool:
        return self._connections.find(peer) is not None

    def for_request(self, peer: Peer, size: int) -> Peer:
        """Where a request of `size` bytes goes: what might not fit a datagram goes by TCP (RFC 3261 18.1.1).

        Who could not be reached by TCP is left to UDP for ten minutes.
        """
        if peer.transport != "udp" or size <= LARGEST_DATAGRAM or "tcp" not in self._ports:
            return peer
        by_tcp = attrs.evolve(peer, transport="tcp")
        return peer if self._connections.unreachable(by_tcp) else by_tcp

    def keep_alive(self, peer: Peer, interval_s: float) -> None:
        """Ping it after 80 to 100 % of `interval_s` (RFC 5626 4.4.1: 120), again and again when it is connected; 0 stops.

        A connection on which nothing comes back fails; over UDP it only keeps the way open.
        """
        beat = self._beats.pop(peer, None)
        if beat is not None and beat.active():
            beat.cancel()
        if interval_s and not self._stopped:
            self._beats[peer] = self.clock.callLater(interval_s * (0.8 + 0.2 * self._chance()), self._beat, peer, interval_s)

    def _beat(self, peer: Peer, interval_s: float) -> None:
        if peer.transport == "udp":
            self._send_datagram(peer, PING)
        elif self.connected(peer):
            self._connections.ping(peer)
        elif peer.transport in ("ws", "wss"):
            del self._beats[peer]  # nobody can dial it again
            return
        self.keep_alive(peer, interval_s)

    def certificate_names(self, peer: Peer) -> tuple[str, ...]:
        """The domains, and addresses, that the peer of an open TLS connection proved to be by its certificate; compare whole."""
        stream = self._connections.find(peer)
        return stream.names if stream is not None else ()

    def alias(self, peer: Peer, port: int) -> bool:
        """A request with ;alias in its Via came by this TLS connection: requests to the Via's port may go back by it.

        False, and nothing changed, unless the peer proved who it is (RFC 5923 8).
        """
        return self._connections.alias(peer, port)

    @property
    def client_context(self) -> Any:
        """How TLS is dialled: a TlsClient, or a context factory that looks at the peer's names itself."""
        return self._connections.client_context

    @client_context.setter
    def client_context(self, context: Any) -> None:
        self._connections.client_context = context

    def _send_datagram(self, peer: Peer, data: bytes) -> bool:
        bound = self._ports.towards("udp", peer)
        if bound is None or bound.send is None:
            self._fail(peer)
            return False
        try:
            bound.send(data, destination(peer.host, peer.port))
        except ConnectionRefusedError:
            return True  # ICMP's answer to an earlier one, from whomever; transactions' timers decide
        except (OSError, MessageLengthError):
            self.counters.count("sip.send_failed", "udp")
            return False
        return True

    def _fail(self, peer: Peer) -> None:
        if peer not in self._failing and not self._stopped:
            self._failing.add(peer)
            self.clock.callLater(0, self._tell_failed, peer)

    def _tell_failed(self, peer: Peer) -> None:
        self._failing.discard(peer)
        if not self._stopped:
            self.failed(peer)

    # ------------------------------------------------------------------ addresses

    def advertised(self, transport: str, peer: Peer) -> tuple[str, int]:
        """Host and port of ours to write for this peer (IPv6 without brackets)."""
        return self._ports.advertised(transport, peer)

    def route_to(self, host: str) -> str:
        """The local address the kernel would use towards `host`."""
        return self._ports.route_to(host)

    def forget_routes(self) -> None:
        """The routing table may have changed: ask it again."""
        self._ports.forget_routes()

    # ------------------------------------------------------------------ receiving

    def _datagram(self, data: bytes, peer: Peer, bound: Bound) -> None:
        if len(data) <= 4 and not data.strip(b"\r\n\0"):
            return  # a keepalive that wants no answer
        if self.budget.banned(peer.host):
            self.counters.count("sip.banned", "udp")
            return
        if not self.budget.message(peer.host, self.clock.seconds()):
            self.counters.count("sip.over_budget", "udp")
            return
        self._ports.heard(peer, bound)
        self.receive(data, peer)

    def _deliver(self, data: bytes, peer: Peer) -> None:
        self.receive(data, peer)


def _enlarge(listening: socket.socket | None) -> None:
    """Room for what arrives while we are busy: the usual 200 KiB are gone in a twentieth of a second at 1,500 calls/s."""
    for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
        try:
            if listening is not None:
                listening.setsockopt(socket.SOL_SOCKET, option, QUEUE_BYTES)
            return
        except OSError:
            continue  # only the superuser may have more than the system's limit
