"""All connections under SIP: found by their peer, dialled when there is none, counted against their source's budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.protocol import ClientFactory, Factory
from twisted.logger import Logger
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

from smartalex.interfaces import ICounters
from smartalex.sip.budget import Budget
from smartalex.sip.framing import StreamFramer
from smartalex.sip.headers import Peer
from smartalex.sip.ports import REMEMBERED
from smartalex.sip.stream import Dial, Framer, Stream, StreamLimits
from smartalex.sip.tls import TlsClient, covers, verified_names
from smartalex.sip.websocket import WebSocketFramer

UNREACHABLE_S = 600.0


@attrs.frozen
class Above:
    """What is told of messages, and of peers that cannot be reached (once for what waits on them)."""

    receive: Callable[[bytes, Peer], None]
    failed: Callable[[Peer], None]


class _TlsTransport(BufferingTLSTransport):
    """Forgets the traceback of what ended it: that would keep the whole connection until the collector comes."""

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None:
            reason.cleanFailure()
        super()._tlsShutdownFinished(reason)


class TlsFactory(TLSMemoryBIOFactory):
    protocol = _TlsTransport


class _Accepting(Factory):
    noisy = False

    def __init__(self, connections: Connections, kind: str) -> None:
        self._connections, self._kind = connections, kind

    def buildProtocol(self, addr: Any) -> Stream:
        return Stream(self._connections, self._kind, self._connections.framer(self._kind))


class _Dialling(ClientFactory):
    noisy = False

    def __init__(self, connections: Connections, dial: Dial) -> None:
        self._connections, self._dial = connections, dial

    def buildProtocol(self, addr: Any) -> Stream:
        kind = self._dial.peer.transport
        return Stream(self._connections, kind, self._connections.framer(kind), self._dial)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._connections.not_connected(self._dial, reason.getErrorMessage())


class Connections:
    """`client_context` is a TlsClient, or a context factory that looks at the names of those we dial itself.

    `origins` are those that browsers may come from, () for any.
    """

    log = Logger()

    def __init__(self, reactor: Any, counters: ICounters, limits: StreamLimits, budget: Budget, above: Above) -> None:
        self.clock = reactor
        self.counters = counters
        self.limits = limits
        self.client_context: Any = TlsClient()
        self.origins: tuple[str, ...] = ()
        self._reactor = reactor
        self._budget = budget
        self._above = above
        self._streams: dict[Peer, list[Stream]] = {}
        self._sockets: set[Stream] = set()
        self._dials: dict[Peer, dict[str, Dial]] = {}
        self._expected: OrderedDict[Peer, str] = OrderedDict()
        self._unreachable: dict[Peer, float] = {}
        self._stopped = False

    def expect(self, peer: Peer, domain: str) -> None:
        """Whose certificate it has to show when nobody says otherwise."""
        self._expected[peer] = domain
        self._expected.move_to_end(peer)
        if len(self._expected) > REMEMBERED:
            self._expected.popitem(last=False)

    def framer(self, kind: str) -> Framer:
        return WebSocketFramer(self.origins) if kind in ("ws", "wss") else StreamFramer()

    def find(self, peer: Peer, domain: str = "") -> Stream | None:
        """An open connection to this peer; with a domain, one that was verified for it."""
        return next((stream for stream in self._streams.get(peer, ()) if _serves(stream, peer, domain)), None)

    def alias(self, peer: Peer, port: int) -> bool:
        """Let requests to `port` of this peer's host use the TLS connection it opened (RFC 5923), if it proved who it is.

        They do where we would believe the same certificate if we had dialled.
        """
        stream = self.find(peer)
        if stream is None or stream.kind != "tls" or stream.dial is not None or not stream.names:
            return False
        if stream.alias is None:
            stream.alias = Peer("tls", peer.host, port)
            self._streams.setdefault(stream.alias, []).insert(0, stream)
        return stream.alias.port == port

    def send(self, peer: Peer, data: bytes, domain: str = "") -> bool:
        """Over a connection that is there, or one dialled for it; False when it was dropped."""
        domain = domain or self._expected.get(peer, "")
        stream = self.find(peer, domain)
        if stream is not None:
            return stream.send(data)
        dial = self._dialled(peer, domain)
        if dial is not None and dial.add(data, self.limits):
            return True
        self.counters.count("sip.send_failed", peer.transport)
        return False

    def unreachable(self, peer: Peer) -> bool:
        """Whether it could not be connected to within the last ten minutes, and has not been since."""
        return self._unreachable.get(peer, 0.0) > self.clock.seconds()

    def ping(self, peer: Peer) -> None:
        """All connections to it that are open."""
        for stream in self._streams.get(peer, ()):
            stream.ping()

    def accepting(self, kind: str, context: Any = None) -> Any:
        """A factory for a listening port."""
        factory = _Accepting(self, kind)
        return factory if context is None else TlsFactory(context, False, factory)

    def stop(self) -> None:
        """Close what is open, give up what is not, and tell nobody."""
        self._stopped = True
        for dial in [dial for dials in self._dials.values() for dial in dials.values()]:
            dial.give_up()
        for stream in list(self._sockets):
            stream.close()

    def _dialled(self, peer: Peer, domain: str) -> Dial | None:
        """A dial that is under way, whichever to this peer unless a domain is asked for; or a new one."""
        dials = self._dials.get(peer, {})
        if domain in dials or (dials and not domain):
            return dials.get(domain) or next(iter(dials.values()))
        return self._dial(peer, domain)

    def _dial(self, peer: Peer, domain: str) -> Dial | None:
        if self._stopped:
            return None
        if peer.transport not in ("tcp", "tls") or len(self._dials) >= self.limits.dialling:
            self._above.failed(peer)
            return None
        dial = self._dials.setdefault(peer, {})[domain] = Dial(peer, domain)
        factory: Any = _Dialling(self, dial)
        if peer.transport == "tls":
            context = self.client_context
            named = context.dialling(domain or peer.host) if isinstance(context, TlsClient) else context
            factory = TlsFactory(named, True, factory)
        dial.connector = self._reactor.connectTCP(peer.host, peer.port, factory, timeout=self.limits.handshake_s)
        return dial

    def _done(self, dial: Dial) -> bool:
        """Take it off the list; False when it was not on it."""
        dials = self._dials.get(dial.peer, {})
        if dials.get(dial.domain) is not dial:
            return False
        del dials[dial.domain]
        if not dials:
            del self._dials[dial.peer]
        return True

    # ------------------------------------------------------------------ what streams report

    def joined(self, stream: Stream) -> bool:
        if stream.dial is None and self._budget.banned(stream.peer.host):
            self.counters.count("sip.banned", stream.kind)
            return False
        if self._stopped or (stream.dial is None and not self._has_room(stream.peer.host)):
            self.counters.count("sip.connection_refused", stream.kind)
            return False
        self._sockets.add(stream)
        return True

    def _has_room(self, host: str) -> bool:
        """A connection costs as much as a message, and a place."""
        return self._budget.message(host, self.clock.seconds()) and self._budget.connect(host)

    def opened(self, stream: Stream) -> bool:
        if self._stopped or not self._verified(stream):
            return False
        if stream.dial is not None:
            self._done(stream.dial)
            self._unreachable.pop(stream.peer, None)
        self._streams.setdefault(stream.peer, []).append(stream)
        return True

    def _verified(self, stream: Stream) -> bool:
        """Note who a TLS peer is; False when we dialled somebody else."""
        if stream.kind not in ("tls", "wss"):
            return True
        transport: Any = stream.transport
        stream.names = verified_names(transport.getHandle())
        if stream.dial is None or not isinstance(self.client_context, TlsClient):
            return True
        wanted = stream.dial.domain or stream.peer.host
        if covers(stream.names, wanted):
            return True
        self.counters.count("sip.wrong_certificate", stream.kind)
        stream.why = f"its certificate is for {', '.join(stream.names) or 'nobody'}, not for {wanted}"
        return False

    def banned(self, stream: Stream) -> bool:
        found = self._budget.banned(stream.peer.host)
        if found:
            self.counters.count("sip.banned", stream.kind)
        return found

    def affordable(self, stream: Stream) -> bool:
        return self._budget.message(stream.peer.host, self.clock.seconds())

    def received(self, stream: Stream, data: bytes) -> None:
        self._above.receive(data, stream.peer)

    def closed(self, stream: Stream) -> None:
        if not stream.open and stream.dial is not None:
            self.not_connected(stream.dial, stream.why)
        for peer in (stream.peer, stream.alias):
            if peer is not None:
                self._forget(stream, peer)

    def _forget(self, stream: Stream, peer: Peer) -> None:
        several = self._streams.get(peer, [])
        if stream in several:
            several.remove(stream)
            if not several:
                del self._streams[peer]
                if stream.carried:
                    self._above.failed(peer)

    def lost(self, stream: Stream) -> None:
        if stream in self._sockets:
            self._sockets.discard(stream)
            if stream.dial is None:
                self._budget.disconnect(stream.peer.host)

    def not_connected(self, dial: Dial, why: str) -> None:
        """Refused, unreachable, or no handshake: whatever waits on this peer has failed."""
        if self._done(dial) and not self._stopped:
            self.counters.count("sip.send_failed", dial.peer.transport)
            self.log.info("{peer} cannot be reached: {why}", peer=dial.peer, why=why)
            if len(self._unreachable) >= REMEMBERED:
                self._unreachable.clear()
            self._unreachable[dial.peer] = self.clock.seconds() + UNREACHABLE_S
            self._above.failed(dial.peer)


def _serves(stream: Stream, peer: Peer, domain: str) -> bool:
    if stream.peer == peer and (not domain or (stream.dial is not None and stream.dial.domain == domain)):
        return True
    return covers(stream.names, domain or peer.host)
