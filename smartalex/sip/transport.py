"""UDP, TCP and TLS under SIP (RFC 3261 18): bytes in with their peer, bytes out to a peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol

from smartalex.interfaces import ICounters
from smartalex.sip.budget import Budget, BudgetLimits
from smartalex.sip.connections import Above, Connections
from smartalex.sip.headers import Peer
from smartalex.sip.ports import Bound, Ports, Tcp6, Udp6
from smartalex.sip.stream import StreamLimits


@attrs.frozen
class TransportOptions:
    """`advertised` is the address written into Via, Contact and SDP; '' asks the routing table per peer.

    `advertised_ipv6` is the one for IPv6 peers.
    """

    advertised: str = ""
    advertised_ipv6: str = ""
    streams: StreamLimits = attrs.field(factory=StreamLimits)
    budget: BudgetLimits = attrs.field(factory=BudgetLimits)


Receive = Callable[[bytes, Peer], None]


class Datagrams(DatagramProtocol):
    bound: Bound

    def __init__(self, receive: Callable[[bytes, Peer, Bound], None]) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self._receive(datagram, Peer("udp", addr[0], addr[1]), self.bound)

    def connectionRefused(self) -> None:
        """An ICMP error says nothing certain about any one transaction; their timers decide."""


class Transports:
    """All listening ports and connections; `receive` and `failed(peer)` are set by the layer above.

    `failed` is called from the reactor, never from within `send`, and once for all that waits on the peer.
    """

    def __init__(self, reactor: Any, counters: ICounters, options: TransportOptions | None = None) -> None:
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
        self._failing: set[Peer] = set()
        self._stopped = False

    # ------------------------------------------------------------------ listening

    def listen_udp(self, host: str, port: int) -> Any:
        """An IPv6 host does not take IPv4 with it; raises CannotListenError."""
        protocol = Datagrams(self._datagram)
        listening: Any
        if ":" in host:
            listening = Udp6(port, protocol, host, 65536, self.reactor)
            listening.startListening()
        else:
            listening = self.reactor.listenUDP(port, protocol, interface=host, maxPacketSize=65536)
        protocol.bound = self._ports.add("udp", listening)
        return listening

    def listen_tcp(self, host: str, port: int) -> Any:
        """Raises CannotListenError."""
        return self._listen("tcp", host, port)

    def listen_tls(self, host: str, port: int, context: Any) -> Any:
        """`context` is a context factory for servers; raises CannotListenError."""
        return self._listen("tls", host, port, context)

    def stop(self) -> list[Any]:
        """Close everything; the results of stopListening, to be waited for."""
        self._stopped = True
        self._connections.stop()
        return self._ports.stop()

    def _listen(self, kind: str, host: str, port: int, context: Any = None) -> Any:
        factory = self._connections.accepting(kind, context)
        listening: Any
        if ":" in host:
            listening = Tcp6(port, factory, 50, host, self.reactor)
            listening.startListening()
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

    def connected(self, peer: Peer) -> bool:
        return self._connections.find(peer) is not None

    @property
    def client_context(self) -> Any:
        return self._connections.client_context

    @client_context.setter
    def client_context(self, context: Any) -> None:
        self._connections.client_context = context

    def _send_datagram(self, peer: Peer, data: bytes) -> bool:
        bound = self._ports.towards("udp", peer)
        if bound is None:
            self._fail(peer)
            return False
        try:
            bound.port.write(data, (peer.host, peer.port))
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

    # ------------------------------------------------------------------ receiving

    def _datagram(self, data: bytes, peer: Peer, bound: Bound) -> None:
        if len(data) <= 4 and not data.strip(b"\r\n\0"):
            return  # a keepalive that wants no answer
        if not self.budget.message(peer.host, self.clock.seconds()):
            self.counters.count("sip.over_budget", "udp")
            return
        self._ports.heard(peer, bound)
        self.receive(data, peer)

    def _deliver(self, data: bytes, peer: Peer) -> None:
        self.receive(data, peer)
