"""Transports on the real reactor, talking over the loopback interface."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.sip.headers import Peer
from smartalex.sip.transport import TransportOptions, Transports

MESSAGE = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"
PATIENCE_S = 20.0


async def until(happened: Callable[[], object]) -> None:
    """Raises AssertionError when it does not."""
    clock: Any = reactor
    limit = clock.seconds() + PATIENCE_S
    while not happened():
        assert clock.seconds() < limit, "it has not happened"
        await deferLater(clock, 0.01)


async def a_moment(seconds: float = 0.2) -> None:
    clock: Any = reactor
    await deferLater(clock, seconds)


class Side:
    """Transports and what they report; with `echoes` they answer each message with itself."""

    def __init__(self, test: TestCase, options: TransportOptions | None = None, *, echoes: bool = False) -> None:
        self.counters = Counters()
        self.transports = Transports(reactor, self.counters, options)
        self.received: list[tuple[bytes, Peer]] = []
        self.failed: list[Peer] = []
        self._echoes = echoes
        self.transports.receive = self._receive
        self.transports.failed = self.failed.append
        test.addCleanup(self._close)

    @property
    def messages(self) -> list[bytes]:
        return [data for data, _ in self.received]

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        return {key: count for key, count in self.counters.values.items() if count}

    def _receive(self, data: bytes, peer: Peer) -> None:
        self.received.append((data, peer))
        if self._echoes:
            self.transports.send(peer, data)

    async def _close(self) -> None:
        for closing in self.transports.stop():
            await (closing or succeed(None))
        await until(lambda: not self.transports._connections._sockets)


class Raw(Protocol):
    """A client that sends what it is told and keeps what it gets."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


class Loopback(TestCase):
    """`folder` for certificates."""

    timeout = 60

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    async def raw(self, port: int) -> Raw:
        """Connected to this port; cut at the end."""
        raw = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Raw())
        transport: Any = raw.transport
        self.addCleanup(until, lambda: raw.lost)
        self.addCleanup(transport.abortConnection)
        return raw
