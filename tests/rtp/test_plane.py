"""The Python plane, both ways it can read, against the conformance suite, and for a moment on a real reactor."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.rtp import wire
from smartalex.rtp.plane import MediaParams, MediaPlane, PlaneOptions
from smartalex.rtp.reader import LOOK_EVERY, MOST_READS
from tests.media.sounds import voice
from tests.rtp import conformance
from tests.rtp.wire import Bench, Sink, bound


def by_reactor(clock: Any, options: PlaneOptions, *rest: Any) -> MediaPlane:
    return MediaPlane(clock, attrs.evolve(options, polled=False), *rest)


for plane, make in (("Polled", MediaPlane), ("ByReactor", staticmethod(by_reactor))):
    globals().update({plane + case.__name__: type(plane + case.__name__, (case,), {"make": make}) for case in conformance.ALL})


class RealReactor(TestCase):
    def test_two_legs_hear_each_other(self) -> None:
        sink, voices = Sink(), voice(400)
        plane = MediaPlane(reactor, PlaneOptions("127.0.0.1", (36800, 36900)), sink, Counters(), secrets.randbits)
        plane.start()
        self.addCleanup(plane.stop)
        one, two = plane.open(), plane.open()
        one.set_remote("127.0.0.1", two.local_port, MediaParams())
        two.set_remote("127.0.0.1", one.local_port, MediaParams())
        one.play(voices)
        heard: Deferred[Any] = Deferred()

        def look() -> None:
            if two.stats().packets_received >= 30:
                heard.callback(None)
            else:
                reactor.callLater(0.02, look)  # type: ignore[attr-defined]

        look()
        heard.addTimeout(20, reactor)

        def check(_: object) -> None:
            self.assertEqual(one.played_ms, 400)
            self.assertTrue(set(sink.pcm(two)) & set(voices))
            self.assertEqual((two.stats().strangers, two.stats().malformed, two.stats().lost), (0, 0, 0))
            self.assertGreater(plane.tick_stats().ticks, 15)

        return heard.addCallback(check)  # type: ignore[return-value]


class Polling(TestCase):
    def setUp(self) -> None:
        self.bench = Bench(MediaPlane)
        self.addCleanup(self.bench.close)
        self.leg, self.peer = self.bench.connected()

    def test_a_flood_is_taken_in_part_and_never_holds_up_the_tick(self) -> None:
        for _ in range(3 * MOST_READS):
            self.peer.send(self.leg, bytes(160))
        self.leg.poll()
        self.assertEqual(self.leg.packets_received, MOST_READS)
        self.bench.run(0.1)
        self.assertEqual((self.leg.packets_received, len(self.peer.packets)), (3 * MOST_READS, 5))

    def test_a_steady_source_is_looked_at_once_and_what_waits_is_taken_in_time(self) -> None:
        self.talk(20)
        self.backlog(5)
        ticks = [self.tick() for _ in range(LOOK_EVERY)]
        self.assertEqual((ticks[0], sum(ticks)), (1, LOOK_EVERY + 5))
        self.assertEqual([self.tick() for _ in range(20)], [1] * 20)
        self.assertEqual((self.leg.stats().lost, self.leg.stats().concealed, self.leg.packets_received), (0, 0, 53))

    def test_after_a_tick_without_a_packet_the_next_one_takes_all(self) -> None:
        self.talk(20)
        self.bench.run(0.02)
        self.backlog(3)
        self.assertEqual(self.tick(), 4)

    def test_a_source_that_is_not_steady_is_emptied_at_each_tick(self) -> None:
        self.talk(21, lambda n: 0.016 * (n % 2))
        for waiting in (1, 2, 5, 3):
            self.backlog(waiting)
            self.assertEqual(self.tick(), waiting + 1)

    def test_what_is_not_of_the_source_delays_nothing(self) -> None:
        self.talk(20)
        for _ in range(2 * LOOK_EVERY):
            for _ in range(3):
                self.peer.raw(self.leg, b"noise")
            self.assertEqual(self.tick(), 1)

    def test_two_packets_in_each_tick_are_taken_in_it(self) -> None:
        before = self.leg.packets_received
        for n in range(40):
            for _ in range(2):
                self.peer.send(self.leg, bytes(80), step=80)
            self.bench.run(0.02)
            self.assertEqual(self.leg.packets_received - before, 2 * (n + 1))

    def talk(self, count: int, late_s: Callable[[int], float] = lambda n: 0.0) -> None:
        """One packet in each tick, so much after its beginning."""
        for n in range(count):
            late = late_s(n)
            self.bench.run(late)
            self.peer.send(self.leg, bytes(160))
            self.bench.run(0.02 - late)

    def backlog(self, count: int) -> None:
        """So many wait for the next tick."""
        for _ in range(count):
            self.peer.send(self.leg, bytes(160))

    def tick(self) -> int:
        """How many packets one more takes, the one of its time among them."""
        before = self.leg.packets_received
        self.talk(1)
        return self.leg.packets_received - before


class Wires(TestCase):
    """What both of them do: tests/rtp/test_compiled.py runs this on the one in C."""

    def pair(self, address: str = "127.0.0.1") -> tuple[socket.socket, wire.Wire, socket.socket]:
        ours, theirs = bound(address, 0), bound(address, 0)
        for sock in (ours, theirs):
            self.addCleanup(sock.close)
        return ours, wire.of(ours), theirs

    def test_datagrams_and_where_they_are_from(self) -> None:
        for address in ("127.0.0.1", "::1"):
            ours, made, theirs = self.pair(address)
            self.assertIsNone(made.read())
            for data in (b"one", b"", bytes(wire.LONGEST)):
                theirs.sendto(data, ours.getsockname())
                self.assertEqual(made.read(), (data, theirs.getsockname(), 0.0))
                self.assertTrue(made.send(data, theirs.getsockname()))
                self.assertEqual(theirs.recvfrom(4096), (data, ours.getsockname()))
            self.assertIsNone(made.read())

    def test_another_sender_and_another_address_to_send_to(self) -> None:
        ours, made, one = self.pair()
        other = bound("127.0.0.1", 0)
        self.addCleanup(other.close)
        for peer in (one, other, other, one):
            peer.sendto(b"x", ours.getsockname())
            self.assertEqual(made.read(), (b"x", peer.getsockname(), 0.0))
            self.assertTrue(made.send(b"y", peer.getsockname()))
            self.assertEqual(peer.recv(9), b"y")

    def test_a_datagram_that_is_too_long_is_read_as_nothing(self) -> None:
        ours, made, theirs = self.pair()
        theirs.sendto(bytes(wire.LONGEST + 1), ours.getsockname())
        theirs.sendto(b"next", ours.getsockname())
        self.assertEqual(made.read(), (b"", theirs.getsockname(), 0.0))
        self.assertEqual(made.read(), (b"next", theirs.getsockname(), 0.0))

    def test_the_kernel_says_when_packets_came(self) -> None:
        ours, made, theirs = self.pair()
        wire.stamp(ours)
        theirs.sendto(b"x", ours.getsockname())
        found = made.read()
        assert found is not None
        self.assertApproximates(found[2], time.time(), 3600)

    def test_what_cannot_be_sent(self) -> None:
        _, made, theirs = self.pair()
        for address in (("127.0.0.1", 65536), ("127.0.0.1", -1), ("::1", 9, 0, 0), ("255.255.255.255", 9)):
            self.assertFalse(made.send(b"x", address))
        self.assertFalse(made.send(bytes(70000), theirs.getsockname()))
        self.assertTrue(made.send(b"x", theirs.getsockname()))

    def test_what_comes_back_from_where_nobody_listens_is_nothing(self) -> None:
        ours, made, theirs = self.pair()
        ours.connect(theirs.getsockname())
        theirs.close()
        ours.send(b"x")
        self.assertIsNone(made.read())
        self.assertIsNone(made.read())

    def test_closed_it_does_nothing(self) -> None:
        ours, made, theirs = self.pair()
        theirs.sendto(b"x", ours.getsockname())
        made.close()
        made.close()
        self.assertEqual((made.read(), made.send(b"x", theirs.getsockname())), (None, False))
