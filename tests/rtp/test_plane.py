"""The Python plane against the conformance suite, and for a moment on a real reactor."""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.frame import Clip
from smartalex.rtp import leg as leg_module
from smartalex.rtp.plane import MediaParams, MediaPlane, PlaneOptions
from tests.media.sounds import voice
from tests.rtp import conformance
from tests.rtp.wire import Sink

globals().update(
    {f"Python{case.__name__}": type(f"Python{case.__name__}", (case,), {"make": MediaPlane}) for case in conformance.ALL}
)


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
            self.assertGreater(plane.tick_stats().ticks, 30)

        return heard.addCallback(check)  # type: ignore[return-value]


class ClipCache(TestCase):
    def test_a_clip_is_encoded_once_for_each_codec_and_forgotten_with_it(self) -> None:
        clip = Clip(voice(100))
        first = leg_module._frames_of(clip, PCMU())
        self.assertIs(leg_module._frames_of(clip, PCMU()), first)
        self.assertEqual(b"".join(first), PCMU().encode(clip.pcm))
        before = len(leg_module._encoded)
        del clip
        self.assertEqual(len(leg_module._encoded), before - 1)
