"""The Python plane, both ways it can read, against the conformance suite, and for a moment on a real reactor."""

from __future__ import annotations

import secrets
import time
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.rtp.plane import MediaParams, MediaPlane, PlaneOptions
from smartalex.rtp.reader import MOST_READS, Reader, Shared
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

    def test_the_kernel_says_when_packets_came(self) -> None:
        arrivals: list[float] = []

        class Listening:
            def received(self, view: Any, size: int, address: Any, arrival: float) -> None:
                arrivals.append(arrival)

        sock = bound("127.0.0.1", 0)
        self.addCleanup(sock.close)
        reader = Reader(Listening(), sock, None, Shared(lambda: 5.0, self.fail))  # type: ignore[arg-type]
        for stamped in (False, True):
            if stamped:
                reader.stamp()
            sock.sendto(b"x", sock.getsockname())
            reader.poll()
        self.assertEqual(arrivals[0], 5.0)
        self.assertApproximates(arrivals[1], time.time(), 3600)
