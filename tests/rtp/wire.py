"""What the conformance suite runs on: a plane on real sockets, a peer, and a clock that only moves when told."""

from __future__ import annotations

import os
import socket
from random import Random
from typing import Any

from twisted.internet.task import Clock

from smartalex.counters import Counters
from smartalex.rtp.keys import KeyPresses
from smartalex.rtp.packet import HEADER, pack
from smartalex.rtp.plane import MediaParams, PlaneOptions
from smartalex.rtp.rtcp import KINDS
from smartalex.rtp.wire import SO_TIMESTAMPNS

FRAME_S = 0.02
PARAMS = MediaParams("PCMU", 0, 101)
PORTS = (36000, 37000)


class Sockets(Clock):
    """Time and readers of a reactor.  `stall` lets time pass in which nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def poll(self) -> None:
        """Each reader once, as a reactor that finds all of them readable."""
        for reader in list(self.readers):
            if reader in self.readers:
                reader.doRead()

    def stall(self, seconds: float) -> None:
        self.rightNow += seconds
        self.advance(0)


class Sink:
    """Keeps what was heard; `broken` makes it fail."""

    def __init__(self) -> None:
        self.frames: list[tuple[Any, bytes, int]] = []
        self.keys: list[tuple[Any, str, int]] = []
        self.batches: list[int] = []
        self.broken = False

    def on_frames(self, batch: Any) -> None:
        self.frames += batch
        self.batches.append(len(batch))
        if self.broken:
            raise ZeroDivisionError

    def on_dtmf(self, leg: Any, digit: str, duration_ms: int) -> None:
        self.keys.append((leg, digit, duration_ms))
        if self.broken:
            raise ZeroDivisionError

    def pcm(self, leg: Any) -> bytes:
        return b"".join(pcm for other, pcm, _ in self.frames if other is leg)

    def flags(self, leg: Any) -> list[int]:
        return [flags for other, _, flags in self.frames if other is leg]


def key_events(digit: str, ms: int = 100, clock: int = 8000, packet_ms: int = 20) -> list[tuple[int, bytes]]:
    """One key press as it is sent: (units since its beginning, payload) of each packet, the end three times."""
    keys, made = KeyPresses(), []
    keys.press(digit, ms)
    while (event := keys.next(packet_ms, clock)) is not None:
        made.append((event[1], event[0]))
    return made


class Packet:
    """One RTP packet as the peer received it, and when."""

    def __init__(self, data: bytes, at: float) -> None:
        self.at, self.data = at, data
        first, second, self.sequence, self.timestamp, self.ssrc = HEADER.unpack_from(data)
        assert first == 0x80
        self.marker, self.kind = bool(second & 0x80), second & 0x7F
        self.payload = data[HEADER.size :]


class Peer:
    """The other end: an RTP socket, and an RTCP socket above it."""

    def __init__(self, clock: Clock, address: str = "127.0.0.1", ssrc: int = 4711) -> None:
        self._clock = clock
        self.socket, self.control = run_of_ports(2, address)
        self.address, self.port = self.socket.getsockname()[:2]
        self.ssrc = ssrc
        self.sequence, self.timestamp = 65530, 0xFFFFFF00
        self.packets: list[Packet] = []
        self.reports: list[bytes] = []
        self.shared: list[bytes] = []  # reports that came on RTP's port

    def send(self, leg: Any, payload: bytes, kind: int = 0, *, timestamp: int | None = None, step: int = 160) -> None:
        """The next packet of the stream."""
        self.sequence += 1
        stamp = self.timestamp if timestamp is None else timestamp
        self.timestamp += step
        self.raw(leg, pack(self.sequence, stamp, self.ssrc, kind) + payload)

    def raw(self, leg: Any, data: bytes) -> None:
        self.socket.sendto(data, (self.address, leg.local_port))

    def drain(self) -> list[Packet]:
        """What came since the last time."""
        came = everything(self.socket)
        fresh = [Packet(data, self._clock.seconds()) for data in came if data[1] not in KINDS]
        self.packets += fresh
        self.shared += [data for data in came if data[1] in KINDS]
        self.reports += everything(self.control)
        return fresh

    def close(self) -> None:
        self.socket.close()
        self.control.close()


def everything(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(4096))
        except BlockingIOError:
            return found


def bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def run_of_ports(count: int, address: str = "127.0.0.1") -> list[socket.socket]:
    """Sockets on ports in a row, the first one even."""
    for first in range(38000 + os.getpid() % 500 * 2, 40000, 2):
        socks: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                socks.append(bound(address, port))
        except OSError:
            for sock in socks:
                sock.close()
        else:
            return socks
    raise OSError("no ports are free")


def free_ports(count: int) -> int:
    """An even port from which on so many are free."""
    socks = run_of_ports(count)
    first: int = socks[0].getsockname()[1]
    for sock in socks:
        sock.close()
    return first


class Bench:
    """One plane with its clock, sink and counters; `close` when done."""

    def __init__(self, make: Any, **options: Any) -> None:
        self.clock, self.sink, self.counters = Sockets(), Sink(), Counters()
        self.clock.advance(1000.0)
        settings = {"address": "127.0.0.1", "ports": PORTS, **options}
        self.plane = make(
            self.clock, PlaneOptions(**settings), self.sink, self.counters, Random(7).getrandbits, self.clock.seconds
        )
        self.peers: list[Peer] = []
        self.plane.start()

    def peer(self, **options: Any) -> Peer:
        self.peers.append(Peer(self.clock, **options))
        return self.peers[-1]

    def connected(self, params: MediaParams = PARAMS) -> tuple[Any, Peer]:
        leg, peer = self.plane.open(), self.peer()
        leg._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)  # the kernel's clock is not ours
        leg.set_remote(peer.address, peer.port, params)
        return leg, peer

    def run(self, seconds: float) -> None:
        """Time passes in steps of 1 ms; everything that arrives is read at once."""
        for _ in range(round(seconds * 1000)):
            self.clock.advance(0.001)
            self.clock.poll()
            for peer in self.peers:
                peer.drain()

    def close(self) -> None:
        self.plane.stop()
        for peer in self.peers:
            peer.close()
