"""What listens in on a leg, tick by tick, without sockets: a sender that is real, and a caller who is scripted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from unittest import TestCase

import numpy as np
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from smartalex.interfaces import IAudioFilter, IAudioFilterFactory, ICodec
from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.codecs.g722 import G722
from smartalex.media.frame import Clip
from smartalex.media.level import FLOOR_DBFS, dbfs
from smartalex.media.recording import Recorder
from smartalex.media.tone import dtmf
from smartalex.rtp.listening import Listening
from smartalex.rtp.sender import Sender
from tests.media.sounds import frames, pcm, rms, samples, tone, voice
from tests.media.test_echo_return import syllables
from tests.media.test_recording import Shelf


class Line:
    """A leg's two halves and a listening between them; the caller says `caller`, or what `echo` makes of what was sent."""

    def __init__(self, codec: ICodec | None = None, packet_ms: int = 20) -> None:
        self.codec = codec or PCMU()
        self.packet_ms = packet_ms
        self.sender = Sender(self.codec, Random(1).getrandbits)
        self.sender.change(self.codec, packet_ms)
        self.sender.configure(0, 101, send=True)
        self.caller = b""
        self.said = b""
        self.listening = Listening(self._hear, self.sender, self.codec)
        self.heard: list[bytes] = []
        self.returned: Callable[[int], bytes] | None = None

    @property
    def size(self) -> int:
        return self.codec.rate // 25

    def _hear(self) -> tuple[bytes, int]:
        if self.returned is not None:
            return self.returned(len(self.heard)), 0
        frame, self.caller = self.caller[: self.size], self.caller[self.size :]
        return frame.ljust(self.size, b"\0"), 0

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            packet = self.sender.packet()
            while packet is not None:
                self.listening.sent(packet)
                if packet[1] & 0x7F == 0:
                    self.said += packet[12:]
                packet = self.sender.packet() if self.sender.more else None
            frame, _ = self.listening.hear()
            self.heard.append(frame)


@implementer(IAudioFilterFactory, IAudioFilter)
class Gain:
    """Doubles; keeps what it was told was played; fails at the `fails_at`-th frame, or for a rate."""

    delay_ms = 0

    def __init__(
        self, wants_played: bool = False, fails_at: int = -1, short_at: int = -1, rates: tuple[int, ...] = (8000, 16000)
    ) -> None:
        self.wants_played, self.fails_at, self.short_at, self.rates = wants_played, fails_at, short_at, rates
        self.made: list[int] = []
        self.played: list[bytes] = []

    def filter(self, rate: int) -> Gain:
        if rate not in self.rates:
            raise ValueError(f"not at {rate} Hz")
        self.made.append(rate)
        return self

    def process(self, heard: bytes, played: bytes) -> bytes:
        self.played.append(played)
        if len(self.played) == self.fails_at:
            raise RuntimeError("out of licences")
        return pcm(samples(heard) * 2)[: -2 if len(self.played) == self.short_at else None]


class Filters(TestCase):
    def setUp(self) -> None:
        self.failures: list[Any] = []
        observer = lambda event: self.failures.append(event) if "log_failure" in event else None  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def test_what_is_heard_has_gone_through_it(self) -> None:
        line = Line()
        line.listening.use_filter(Gain())
        line.caller = said = tone(300, 400)
        line.run(20)
        self.assertEqual(b"".join(line.heard), pcm(samples(said) * 2))
        line.listening.use_filter(None)
        line.caller = said
        line.run(20)
        self.assertEqual(b"".join(line.heard[20:]), said)

    def test_it_is_given_what_was_sent_in_the_same_tick_where_it_wants_that(self) -> None:
        for codec, exact in ((PCMU(), True), (PCMA(), True), (G722(), True)):
            line, gain = Line(codec), Gain(wants_played=True)
            line.listening.use_filter(gain)
            spoken = tone(500, 200, codec.rate)
            line.sender.playback.play(spoken)
            line.run(12)
            wanted = spoken if codec.stateful else codec.decode(codec.encode(spoken))
            self.assertEqual(b"".join(gain.played)[: len(wanted)] == wanted, exact)
            self.assertEqual(rms(samples(b"".join(gain.played)[len(wanted) :])) < 10, True)
            self.assertEqual({len(frame) for frame in gain.played}, {codec.rate // 25})
        other = Gain()
        line = Line()
        line.listening.use_filter(other)
        line.run(3)
        self.assertEqual(other.played, [b""] * 3)

    def test_one_that_fails_costs_no_frame(self) -> None:
        for gain, why in ((Gain(fails_at=6), "out of licences"), (Gain(short_at=6), "318 bytes for a frame of 320")):
            line, lost = Line(), []
            line.listening.use_filter(gain)
            line.listening.on_filter_lost = lost.append
            line.caller = said = tone(300, 400)
            line.run(20)
            self.assertEqual(lost, [why])
            self.assertEqual(b"".join(line.heard), pcm(samples(said[:1600]) * 2) + said[1600:])
        self.assertEqual(len(self.failures), 2)

    def test_a_codec_of_another_rate_gets_another_one(self) -> None:
        line, gain, lost = Line(), Gain(rates=(8000,)), []
        line.listening.on_filter_lost = lost.append
        line.listening.use_filter(gain)
        line.listening.change(PCMA())
        self.assertEqual((gain.made, lost), ([8000, 8000], []))
        line.listening.change(G722())
        self.assertEqual((gain.made, lost), ([8000, 8000], ["not at 16000 Hz"]))


class Tones(TestCase):
    def test_keys_are_told_and_not_filtered_before(self) -> None:
        line, keys = Line(), []
        line.listening.detect_tones(True)
        line.listening.use_filter(Gain())
        line.listening.on_tone = lambda digit, ms: keys.append(digit)
        line.caller = b"".join(dtmf(key, 80, level_dbfs=-15) + bytes(960) for key in "159D") + bytes(3200)
        line.run(40)
        self.assertEqual("".join(keys), "159D")

    def test_at_16_khz_after_a_change(self) -> None:
        line, keys = Line(), []
        line.listening.detect_tones(True)
        line.listening.on_tone = lambda digit, ms: keys.append((digit, ms))
        line.codec = G722()
        line.listening.change(line.codec)
        line.caller = dtmf("7", 100, 16000) + bytes(6400)
        line.run(20)
        self.assertEqual([digit for digit, _ in keys], ["7"])
        self.assertAlmostEqual(keys[0][1], 100, delta=20)

    def test_nobody_is_told_after_the_end(self) -> None:
        line, keys = Line(), []
        line.listening.detect_tones(True)
        line.listening.on_tone = lambda digit, ms: keys.append(digit)
        line.listening.close()
        line.caller = dtmf("7", 100) + bytes(3200)
        line.run(20)
        self.assertEqual(keys, [])


class Echo(TestCase):
    def talking(self, line: Line, seconds: int, delay_ticks: int, loss_db: float) -> bytes:
        """Plays that long, and hears it again; returns what was played."""
        spoken = pcm(np.repeat(syllables(seconds, 3), line.codec.rate // 8000))
        line.sender.playback.play(spoken)
        cut = frames(spoken, line.size)

        def returned(tick: int) -> bytes:
            frame = cut[tick - delay_ticks] if 0 <= tick - delay_ticks < len(cut) else bytes(line.size)
            return pcm(samples(frame) * 10 ** (-loss_db / 20))

        line.returned = returned
        line.listening.measure_echo(True)
        return spoken

    def test_delay_and_loss_whatever_codec_and_packets(self) -> None:
        for codec, packet_ms in ((PCMU(), 20), (PCMA(), 30), (PCMU(), 60), (G722(), 20)):
            line = Line(codec, packet_ms)
            self.talking(line, 8, 9, 12)
            line.run(400)
            echo = line.listening.echo
            assert echo is not None
            self.assertAlmostEqual(echo.delay_ms, 180, delta=20)
            self.assertAlmostEqual(echo.loss_db, 12, delta=2)

    def test_how_loud_it_is_in_the_present_frame(self) -> None:
        line = Line()
        self.talking(line, 8, 10, 15)
        self.assertEqual(line.listening.echo_dbfs(), FLOOR_DBFS)
        line.run(300)
        above = []
        for _ in range(80):
            line.run(1)
            level = dbfs(line.heard[-1])
            if level > -60:
                above.append(level - line.listening.echo_dbfs())
        self.assertGreater(len(above), 40)
        self.assertLess(max(above), 3)
        line.run(150)  # all is said, and the echo over
        self.assertLess(line.listening.echo_dbfs(), -60)

    def test_nothing_is_measured_while_nothing_is_played(self) -> None:
        line = Line()
        line.listening.measure_echo(True)
        line.caller = voice(6000)
        line.run(300)
        self.assertIsNone(line.listening.echo)

    def test_with_a_canceller_there_is_none(self) -> None:
        line = Line()
        line.listening.use_filter(Gain(wants_played=True))
        self.talking(line, 6, 10, 15)
        line.run(300)
        self.assertIsNotNone(line.listening.echo)
        self.assertEqual(line.listening.echo_dbfs(), FLOOR_DBFS)


class Taping(TestCase):
    def setUp(self) -> None:
        self.told: list[Any] = []
        self.recorder = Recorder(self.told.append)
        self.addCleanup(self.recorder.stop)

    def recorded(
        self, line: Line, ticks: int, during: Callable[[int], None] = lambda tick: None, rate: int = 8000
    ) -> tuple[Any, Any]:
        """(caller, agent) as they were written."""
        shelf = Shelf()
        line.listening.record(self.recorder.record(shelf, "call", rate))
        for tick in range(ticks):
            during(tick)
            line.run(1)
        line.listening.close()
        self.recorder.stop()
        both = samples(shelf.data).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def test_both_sides_to_the_sample_silence_and_pauses_included(self) -> None:
        line = Line()
        line.caller = said = voice(2000)
        spoken = tone(400, 600)

        def during(tick: int) -> None:
            if tick == 13:
                line.sender.playback.play_clip(Clip(spoken))
            if tick == 20:
                line.sender.playback.pause()
            if tick == 35:
                line.sender.playback.resume()
            if tick == 45:
                line.sender.playback.flush()

        caller, agent = self.recorded(line, 127, during)
        self.assertEqual(len(caller), 127 * 160)
        self.assertEqual(pcm(caller), said.ljust(127 * 320, b"\0")[: 127 * 320])
        wire = samples(PCMU().decode(PCMU().encode(spoken)))
        wanted = np.zeros(127 * 160)
        wanted[13 * 160 : 20 * 160] = wire[: 7 * 160]
        wanted[35 * 160 : 45 * 160] = wire[7 * 160 : 17 * 160]
        self.assertTrue((agent == wanted).all())
        self.assertEqual(pcm(agent), PCMU().decode(line.said))

    def test_keys_that_were_sent_are_silence_and_take_their_time(self) -> None:
        line = Line()
        line.sender.playback.play(tone(400, 1000))
        _, agent = self.recorded(line, 70, lambda tick: line.sender.send_dtmf("5", 100) if tick == 10 else None)
        loud = [rms(agent[n * 160 : n * 160 + 160]) > 1000 for n in range(70)]
        self.assertEqual((loud[:10], any(loud[10:17])), ([True] * 10, False))
        self.assertEqual(sum(loud), 50)

    def test_while_the_peer_holds_us_it_is_silent(self) -> None:
        line = Line()
        line.sender.playback.play(tone(400, 2000))
        _, agent = self.recorded(line, 50, lambda tick: line.sender.configure(0, 101, send=not 10 <= tick < 30))
        loud = [rms(agent[n * 160 : n * 160 + 160]) > 1000 for n in range(50)]
        self.assertEqual(loud, [True] * 10 + [False] * 20 + [True] * 20)

    def test_packets_of_any_length_and_codecs_with_state(self) -> None:
        for codec, packet_ms in ((PCMU(), 10), (PCMU(), 30), (PCMA(), 40), (PCMU(), 60), (G722(), 20), (G722(), 40)):
            self.setUp()
            line, spoken = Line(codec, packet_ms), voice(2000, rate=codec.rate)
            line.sender.playback.play(spoken)
            _, agent = self.recorded(line, 110, rate=codec.rate)
            wanted = samples(spoken if codec.stateful else codec.decode(codec.encode(spoken)))
            self.assertTrue((agent[: len(wanted)] == wanted).all(), (codec.name, packet_ms))

    def test_a_codec_that_changes_in_the_call(self) -> None:
        line, wide = Line(), G722()

        def during(tick: int) -> None:
            if tick == 70:
                line.codec = wide
                line.sender.change(wide, 20)
                line.listening.change(wide)
            if tick % 10 == 0:
                line.sender.playback.play(tone(440, 200, line.codec.rate))
                line.caller += tone(900, 200, line.codec.rate)

        caller, agent = self.recorded(line, 160, during)
        self.assertAlmostEqual(len(caller) / 8000, 3.2, delta=0.01)
        for side, hz in ((caller, 900), (agent, 440)):
            for begin in (2000, 16000):
                spectrum = np.abs(np.fft.rfft(side[begin : begin + 8000]))
                self.assertAlmostEqual(float(spectrum.argmax()), hz, delta=3)

    def test_what_is_recorded_is_what_came_before_any_filter(self) -> None:
        line = Line()
        line.listening.use_filter(Gain())
        line.caller = said = tone(300, 400)
        caller, _ = self.recorded(line, 20)
        self.assertEqual(pcm(caller), said)

    def test_a_disk_that_fails_is_let_go_and_the_call_goes_on(self) -> None:
        line, shelf = Line(), Shelf(fails_at=1)
        line.listening.record(self.recorder.record(shelf, "call", 8000))
        line.caller = said = voice(6000)
        for _ in range(6):
            line.run(50)
            self.recorder.stop()
            self.recorder._thread = None
            self.recorder.record(Shelf(), "other", 8000)  # the thread again
        self.assertEqual(b"".join(line.heard), said)
        self.assertEqual(shelf.writes, 1)
