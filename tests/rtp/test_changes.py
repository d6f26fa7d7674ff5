"""Another codec in mid-call, over real sockets: what is sent, what is heard, and whose packets they are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest import skipUnless

import numpy as np
from twisted.trial.unittest import TestCase

from smartalex.media.codecs import registry
from smartalex.media.tone import sine
from smartalex.rtp import rtcp
from smartalex.rtp.plane import MediaParams, MediaPlane
from tests.media.sounds import frames, samples
from tests.rtp.wire import Bench, Packet

HZ = 440
KINDS = {"PCMU": 0, "PCMA": 8, "G722": 9, "opus": 96}


def params(name: str, ptime_ms: int = 20) -> MediaParams:
    return MediaParams(name, KINDS[name], 101, ptime_ms)


def holes_ms(pcm: bytes, rate: int, quiet: float = 500.0) -> int:
    """Milliseconds without the tone, in steps of 5."""
    wave = np.abs(samples(pcm))
    size = rate // 200
    return 5 * int(np.sum(wave[: len(wave) // size * size].reshape(-1, size).max(axis=1) < quiet))


class MidCall(TestCase):
    def setUp(self) -> None:
        self.bench = Bench(MediaPlane)
        self.addCleanup(self.bench.close)
        self.leg, self.peer = self.bench.connected(params("PCMU"))
        self.codecs: dict[str, Any] = {codec.name: codec() for codec in registry.usable()}

    def change(self, name: str, ptime_ms: int = 20) -> None:
        self.leg.set_remote(self.peer.address, self.peer.port, params(name, ptime_ms))

    def sent(self) -> list[Packet]:
        found, self.peer.packets = self.peer.packets, []
        return found

    def decoded(self, packets: list[Packet]) -> list[tuple[str, bytes]]:
        names = {kind: name for name, kind in KINDS.items()}
        return [(names[packet.kind], self.codecs[names[packet.kind]].decode(packet.payload)) for packet in packets]

    def test_what_is_being_said_goes_on_without_a_hole(self) -> None:
        self.leg.play(sine(HZ, 6000))
        for name, ptime_ms in (("G722", 20), ("PCMA", 30), ("G722", 60), ("PCMU", 10), ("PCMA", 40)):
            self.bench.run(0.84)
            self.change(name, ptime_ms)
        self.bench.run(2.5)
        packets = self.sent()
        self.assertEqual({(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)}, {1})
        self.assertEqual(len({packet.ssrc for packet in packets}), 1)
        lasted = 0.0
        for name, pcm in self.decoded(packets):
            rate = self.codecs[name].rate
            lasted += len(pcm) * 500 / rate - holes_ms(pcm, rate)
        self.assertApproximates(lasted, 6000, 60)
        self.assertApproximates(self.leg.played_ms, 6000, 15)

    def test_what_is_heard_goes_on_at_the_new_rate(self) -> None:
        heard: dict[int, bytes] = {}
        for name in ("PCMU", "G722", "PCMA", "G722", "PCMU"):
            self.change(name)
            self.bench.sink.frames.clear()
            codec = self.codecs[name]
            for pcm in frames(sine(HZ, 1000, codec.rate), codec.rate // 25):
                self.peer.send(self.leg, codec.encode(pcm), KINDS[name], step=codec.clock // 50)
                self.bench.run(0.02)
            self.assertEqual({len(pcm) for _, pcm, _ in self.bench.sink.frames}, {codec.rate // 25})
            self.assertEqual(self.leg.rate, codec.rate)
            heard[codec.rate] = self.bench.sink.pcm(self.leg)
            self.assertLess(holes_ms(heard[codec.rate], codec.rate), 220, name)
        self.assertEqual(self.bench.counters.values["rtp.fault", ""], 0)

    def test_packets_of_the_codec_before_are_not_taken_for_the_new_one(self) -> None:
        self.change("G722")
        codec = self.codecs["PCMU"]
        for pcm in frames(sine(HZ, 500), 320):
            self.peer.send(self.leg, codec.encode(pcm), 0)
            self.bench.run(0.02)
        self.assertEqual(max(np.abs(samples(self.bench.sink.pcm(self.leg)))), 0)

    @skipUnless(registry.usable(["opus"]), "there is no libopus")
    def test_another_clock_is_another_source(self) -> None:
        self.bench.run(1.0)
        self.leg.play(sine(HZ, 2000))
        self.change("opus")
        self.bench.run(0.5)
        self.change("G722")
        self.bench.run(1.0)
        self.peer.drain()
        by_source: dict[int, list[Packet]] = {}
        for packet in self.sent():
            by_source.setdefault(packet.ssrc, []).append(packet)
        self.assertEqual([{packet.kind for packet in packets} for packets in by_source.values()], [{0}, {96}, {9}])
        for packets, step in zip(by_source.values(), (160, 960, 160), strict=True):
            self.assertEqual({(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)}, {step})
            self.assertTrue(packets[0].marker)
        goodbyes = {left for data in self.peer.reports if (found := rtcp.parse(data)) for left in found.byes}
        self.assertEqual(goodbyes, set(list(by_source)[:2]))
