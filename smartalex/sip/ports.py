"""The ports we listen on: which of them speaks to a peer, and what address of ours the peer is told."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.internet.error import CannotListenError

from smartalex.sip.headers import Peer

WILDCARDS = ("0.0.0.0", "::", "")
DEFAULT_PORTS = {"tls": 5061, "ws": 80, "wss": 443}
BACKLOG = 512
REMEMBERED = 10_000


def ipv6_socket(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    """Bound to an IPv6 address, with its zone ("fe80::1%eth0"), and not to IPv4 too, which may have the same port beside it.

    Raises CannotListenError.
    """
    made = socket.socket(socket.AF_INET6, kind)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(destination(host, port))
        if kind == socket.SOCK_STREAM:
            made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise CannotListenError(host, port, error) from None
    return made


def destination(host: str, port: int) -> tuple[Any, ...]:
    """As sockets want it: an address's zone is a number there; raises OSError for an interface that there is not."""
    bare, percent, zone = host.partition("%")
    if not percent:
        return host, port
    return bare, port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone)


@attrs.frozen
class Bound:
    """A listening port and what it is bound to, asked for once.

    `send(data, address)` is the socket's own where there is one: Twisted's looks at the address each time.
    """

    port: Any
    host: str
    number: int
    send: Callable[[bytes, tuple[Any, ...]], object] | None = None

    @classmethod
    def of(cls, port: Any) -> Bound:
        address = port.getHost()
        sock = getattr(port, "socket", None)
        return cls(port, _bare(address.host), address.port, sock.sendto if sock else getattr(port, "write", None))


class Ports:
    """`advertised` are addresses of ours as others reach them, one for each family at most."""

    def __init__(self, advertised: tuple[str, ...] = ()) -> None:
        self._advertised = {family(host): host for host in advertised if host}
        self._ports: dict[tuple[str, int], list[Bound]] = {}
        self._routes: dict[str, str] = {}
        self._heard: OrderedDict[Peer, Bound] = OrderedDict()

    def __contains__(self, transport: str) -> bool:
        return any(key[0] == transport for key in self._ports)

    def add(self, transport: str, port: Any) -> Bound:
        bound = Bound.of(port)
        self._ports.setdefault((transport, family(bound.host)), []).append(bound)
        return bound

    def stop(self) -> list[Any]:
        """The results of stopListening."""
        return [bound.port.stopListening() for several in self._ports.values() for bound in several]

    def heard(self, peer: Peer, bound: Bound) -> None:
        """A datagram of this peer came in by this port: answers are to leave by it."""
        if len(self._ports[peer.transport, family(bound.host)]) > 1:
            self._heard[peer] = bound
            self._heard.move_to_end(peer)
            if len(self._heard) > REMEMBERED:
                self._heard.popitem(last=False)

    def towards(self, transport: str, peer: Peer) -> Bound | None:
        """The port of the peer's family that it was heard by, or else that has the address the kernel would use."""
        several = self._ports.get((transport, family(peer.host)), [])
        if len(several) < 2:
            return several[0] if several else None
        if peer in self._heard:
            return self._heard[peer]
        by_host = {bound.host: bound for bound in reversed(several)}
        return next((by_host[host] for host in (self.route_to(peer.host), *WILDCARDS) if host in by_host), several[0])

    def advertised(self, transport: str, peer: Peer) -> tuple[str, int]:
        """Host and port of ours to write for this peer, of its family: IPv6 without brackets and without a zone."""
        bound = self.towards(transport, peer)
        host = self._advertised.get(family(peer.host)) or (bound.host if bound else "")
        number = bound.number if bound else DEFAULT_PORTS.get(transport, 5060)
        return (self.route_to(peer.host) if host in WILDCARDS else host), number

    def forget_routes(self) -> None:
        """The routing table may have changed: ask it again."""
        self._routes.clear()

    def route_to(self, host: str) -> str:
        """The local address the kernel would use towards `host`."""
        known = self._routes.get(host)
        if known is None:
            known = _local_address(host)
            if len(self._routes) > 4096:
                self._routes.clear()
            self._routes[host] = known
        return known


def family(host: str) -> int:
    """4 or 6."""
    return 6 if ":" in host else 4


def _bare(host: str) -> str:
    return host.partition("%")[0]


def _local_address(host: str) -> str:
    kind = socket.AF_INET6 if ip_address(_bare(host)).version == 6 else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(destination(host, 9))
        except OSError:
            return "127.0.0.1" if kind == socket.AF_INET else "::1"
        return _bare(str(probe.getsockname()[0]))
