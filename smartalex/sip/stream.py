"""One connection under SIP, accepted or dialled: what may be in flight on it, and how long anything may take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

import attrs
from twisted.internet import protocol
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.framing import PING, PONG
from smartalex.sip.headers import Peer


@attrs.frozen
class StreamLimits:
    """Seconds; bytes that a peer has not read (`unsent`); messages and bytes that wait for one dial, and dials at a time.

    `message_s` runs from a message's first byte.
    """

    handshake_s: float = 10.0
    first_message_s: float = 30.0
    message_s: float = 30.0
    idle_s: float = 900.0
    pong_s: float = 10.0
    over_budget_s: float = 10.0
    unsent: int = 1 << 20
    waiting: int = 64
    waiting_bytes: int = 1 << 20
    dialling: int = 500


class Framer(Protocol):
    """How messages lie in a stream: StreamFramer, or a WebSocket.  What it returns as bytes is to be sent."""

    @property
    def open(self) -> bool:
        """Messages may be sent."""
        ...

    @property
    def over(self) -> bool:
        """The peer has ended it, or could not begin it."""
        ...

    @property
    def empty(self) -> bool:
        """No message has begun."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def rest(self) -> bytes: ...

    def replies(self) -> bytes:
        """What the framing itself has to answer to what was fed."""
        ...

    def wrap(self, message: bytes) -> bytes: ...

    def ping(self) -> bytes: ...

    def pong(self) -> bytes: ...

    def goodbye(self) -> bytes: ...


class Dial:
    """A connection we open: to whom, for which domain ('': none is asked for), and what waits for it, in order."""

    __slots__ = ("_bytes", "connector", "domain", "messages", "peer")

    def __init__(self, peer: Peer, domain: str) -> None:
        self.peer, self.domain = peer, domain
        self.messages: list[bytes] = []
        self.connector: Any = None
        self._bytes = 0

    def add(self, data: bytes, limits: StreamLimits) -> bool:
        """False, and not kept, when too much waits already."""
        if len(self.messages) >= limits.waiting or self._bytes + len(data) > limits.waiting_bytes:
            return False
        self.messages.append(data)
        self._bytes += len(data)
        return True

    def give_up(self) -> None:
        if self.connector is not None:
            self.connector.disconnect()


class Owner(Protocol):
    """Who keeps the streams."""

    clock: Any
    counters: ICounters
    limits: StreamLimits

    def joined(self, stream: Stream) -> bool:
        """Its socket is connected; False when there is no room for it."""
        ...

    def opened(self, stream: Stream) -> bool:
        """Its handshakes are done; False when the peer is not who it should be."""
        ...

    def banned(self, stream: Stream) -> bool:
        """Whether nothing of its source is to be read."""
        ...

    def affordable(self, stream: Stream) -> bool:
        """Whether its source may have one more message looked at."""
        ...

    def received(self, stream: Stream, data: bytes) -> None: ...

    def closed(self, stream: Stream) -> None:
        """Nothing can be sent on it any more; told once."""

    def lost(self, stream: Stream) -> None:
        """Its socket is gone; told once."""


@implementer(IHandshakeListener, IPushProducer)
class Stream(protocol.Protocol):
    """`peer` is the one dialled as it was named, or where the connection came from; `names` its verified certificate's.

    `alias` is another peer that it stands for; `why` it ended, for a log.
    """

    peer: Peer

    def __init__(self, owner: Owner, kind: str, framer: Framer, dial: Dial | None = None) -> None:
        self.kind = kind
        self.dial = dial
        self.names: tuple[str, ...] = ()
        self.alias: Peer | None = None
        self.why = ""
        self.carried = False
        self.open = False
        self._owner = owner
        self._framer = framer
        self._limits = owner.limits
        self._closed = False
        self._paused = False
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._deadline: IDelayedCall | None = None
        self._late = ""
        self._pong: IDelayedCall | None = None
        self._over_since = self._over_at = float("-inf")

    # ------------------------------------------------------------------ beginning

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        address = transport.getPeer()
        self.peer = self.dial.peer if self.dial else Peer(self.kind, address.host, address.port)
        if not self._owner.joined(self):
            self._closed = True
            transport.abortConnection()
            return
        transport.registerProducer(self, True)
        self._wait(self._limits.handshake_s, "sip.no_handshake")
        if self.kind not in ("tls", "wss"):
            self._look_open()

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        if not self._closed:
            self._wait(self._limits.handshake_s, "sip.no_handshake")
            self._look_open()

    def _look_open(self) -> None:
        if self.open or not self._framer.open:
            return
        if not self._owner.opened(self):
            self.abort()
            return
        self.open = True
        self._wait(self._limits.idle_s if self.dial else self._limits.first_message_s, "sip.connection_idle")
        if self.dial:
            for data in self.dial.messages:
                self.send(data)
            self.dial.messages.clear()

    # ------------------------------------------------------------------ receiving

    def dataReceived(self, data: bytes) -> None:
        if self._closed:
            return
        if self.dial is None and self._owner.banned(self):
            self.abort()
            return
        began, count = not self._framer.empty, 0
        self._stop_waiting_for_pong()  # whatever comes proves as much
        try:
            for piece in self._framer.feed(data):
                count += 1
                self._take(piece)
                if self._closed:
                    return
        except RemoteError:
            self._unframed()
            return
        self._write(self._framer.replies())
        if self._framer.over:
            self._count_unfinished()
            self.close()
            return
        self._look_open()
        self._set_deadline(began and not count, count)

    def _set_deadline(self, goes_on: bool, count: int) -> None:
        if not self.open or goes_on:
            return
        if not self._framer.empty:
            self._wait(self._limits.message_s, "sip.slow_sender")
        elif count:
            self._wait(self._limits.idle_s, "sip.connection_idle")

    def _take(self, piece: bytes) -> None:
        if self.dial is None and not self._owner.affordable(self):
            self._over_budget()
        elif piece is PING:
            self._write(self._framer.pong())
        elif piece is not PONG:
            self.carried = True
            self._owner.received(self, piece)

    def _over_budget(self) -> None:
        """Drop it; who stays over without a second's pause is cut off after a while."""
        now = self._owner.clock.seconds()
        self._owner.counters.count("sip.over_budget", self.kind)
        if now - self._over_at > 1.0:
            self._over_since = now
        self._over_at = now
        if now - self._over_since >= self._limits.over_budget_s:
            self.abort()

    def _unframed(self) -> None:
        """Where this message ends cannot be known: it gets its refusal from the layer above, and the connection has to go."""
        rest = self._framer.rest()
        if rest:
            self._owner.received(self, rest)
        else:
            self._owner.counters.count("sip.malformed", self.kind)
        self._write(self._framer.replies())
        self._count_unfinished()
        self.close()

    # ------------------------------------------------------------------ sending

    def send(self, message: bytes) -> bool:
        """False when the connection had to be given up."""
        self.carried = True
        return self._write(self._framer.wrap(message))

    def ping(self) -> None:
        """The connection has failed unless something comes back in time (RFC 5626 4.4.1)."""
        if self.open and not self._closed and self._pong is None:
            self._pong = self._owner.clock.callLater(self._limits.pong_s, self._unanswered)
            self._write(self._framer.ping())

    def _stop_waiting_for_pong(self) -> None:
        if self._pong is not None:
            self._pong.cancel()
            self._pong = None

    def _unanswered(self) -> None:
        self._pong = None
        self._owner.counters.count("sip.no_pong", self.kind)
        self.abort()

    def _write(self, data: bytes) -> bool:
        transport: Any = self.transport
        if self._closed or not data:
            return not self._closed
        if not self._paused:
            transport.write(data)
            return True
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > self._limits.unsent:
            self._owner.counters.count("sip.slow_reader", self.kind)
            self.abort()
        return not self._closed

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        transport: Any = self.transport
        self._paused = False
        while self._unsent and not self._paused:
            data = self._unsent.popleft()
            self._unsent_bytes -= len(data)
            transport.write(data)

    def stopProducing(self) -> None:
        self._paused = True

    # ------------------------------------------------------------------ ending

    def close(self) -> None:
        """Let what was written go out, within limits."""
        transport: Any = self.transport
        self._write(self._framer.goodbye())
        self._end()
        self._wait(self._limits.handshake_s)
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        transport: Any = self.transport
        self._end()
        transport.abortConnection()

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._stop_waiting_for_pong()
            self._unsent.clear()
            self._owner.closed(self)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if not self._closed:
            self.why = reason.getErrorMessage()
            self._count_unfinished()
        self._end()
        self._owner.lost(self)

    def _count_unfinished(self) -> None:
        """The peer left in the middle of something."""
        if not self.open:
            self._owner.counters.count("sip.no_handshake", self.kind)
        elif not self._framer.empty:
            self._owner.counters.count("sip.truncated", self.kind)

    def _wait(self, seconds: float, late: str = "") -> None:
        """Cut it off then, and count it as `late`."""
        self._late = late
        if self._deadline is not None and self._deadline.active():
            self._deadline.reset(seconds)
        else:
            self._deadline = self._owner.clock.callLater(seconds, self._expired)

    def _expired(self) -> None:
        self.why = self._late
        if self._late:
            self._owner.counters.count(self._late, self.kind)
        self.abort()
