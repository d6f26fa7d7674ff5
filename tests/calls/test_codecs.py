"""Wide calls, and calls that change their codec on the way: agent, prompts and messages follow."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from smartalex.interfaces import ICodec
from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.codecs.g722 import G722
from smartalex.media.frame import PCM8K, PCM16K, Clip
from smartalex.media.tone import sine
from smartalex.rtp.packet import HEADER
from tests.ai.fakes import Backend
from tests.calls.exchange import FRAME_S, Caller, Exchange, sdp
from tests.calls.test_call import ExchangeCase

CODECS: dict[int, type] = {0: PCMU, 8: PCMA, 9: G722}
TONE_HZ, GREETING_HZ = 700, 500


class Bilingual(Backend):
    """Understands both rates and keeps what it hears; speaks a tone when it is asked to."""

    formats = (PCM8K, PCM16K)
    output_formats = (PCM8K, PCM16K)

    def __init__(self, **on: Any) -> None:
        super().__init__(write=lambda session, frame: self.heard.append(frame), **on)
        self.heard: list[bytes] = []

    def speak(self, ms: int, item: str = "item", done: bool = True) -> None:
        rate = self.last.brief.output_format.rate
        self.last.host.audio(item, sine(TONE_HZ, ms, rate))
        if done:
            self.last.host.item_done(item)


class Ear:
    """The peer's side of the audio: decodes what came, by payload type, and says a tone in whichever codec."""

    def __init__(self, exchange: Exchange, caller: Caller) -> None:
        self.exchange, self.caller = exchange, caller
        self.codecs: dict[int, ICodec] = {kind: make() for kind, make in CODECS.items()}
        self._at = 0

    def talk(self, seconds: float, kind: int, hz: float = 440) -> None:
        codec = self.codecs[kind]
        pcm = sine(hz, round(seconds * 1000), codec.rate)
        for at in range(0, len(pcm), codec.rate // 25):
            self.caller.send(codec.encode(pcm[at : at + codec.rate // 25]), kind)
            self.exchange.sockets.poll()
            self.exchange.run(FRAME_S)

    def heard(self) -> dict[int, bytes]:
        """PCM by payload type, of what came since the last time."""
        fresh, self._at = self.caller.packets[self._at :], len(self.caller.packets)
        found: dict[int, bytes] = {}
        for packet in fresh:
            kind = packet[1] & 0x7F
            found[kind] = found.get(kind, b"") + self.codecs[kind].decode(packet[HEADER.size :])
        return found


def hz_of(pcm: bytes, rate: int) -> float:
    wave = np.frombuffer(pcm, "<i2").astype(float)
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * rate / len(wave))


class WideCase(ExchangeCase):
    codecs: tuple[str, ...] = ("G722", "PCMU", "PCMA")
    offer = "9 0 8 101"

    def setUp(self) -> None:
        super().setUp()
        self.backend = Bilingual()
        self.exchange.backends = (self.backend,)
        self.exchange.greeting = Clip(sine(GREETING_HZ, 1000), 8000, "Hello, this is Alex.")
        self.exchange.change(codecs=self.codecs)
        self.caller = self.exchange.connected(codecs=self.offer)
        self.ear = Ear(self.exchange, self.caller)
        self.version = 1

    def change(self, codecs: str) -> None:
        """A re-INVITE with these payload types."""
        self.version += 1
        answers: list[Any] = []
        body = sdp(self.caller.port, codecs=codecs, version=self.version)
        session = self.caller.session
        session.request_in_dialog("INVITE", (("Content-Type", "application/sdp"),), body).addCallback(answers.append)
        self.exchange.run(0.02)
        self.assertEqual([answer.status for answer in answers], [200])
        assert session.dialog is not None
        session._agent.send_ack(session, session.dialog.request("ACK", (), b"", seq=session.dialog.local_seq))
        self.exchange.run(0.02)

    @property
    def leg(self) -> Any:
        return self.exchange.call_of(self.caller).media.leg


class Wide(WideCase):
    def test_the_trunk_s_best_codec_is_spoken_and_the_agent_is_told_the_rate(self) -> None:
        brief = self.backend.last.brief
        self.assertEqual((brief.input_format, brief.output_format, self.leg.rate), (PCM16K, PCM16K, 16000))
        self.assertEqual(self.exchange.row["codec"], "G722")

    def test_a_narrow_greeting_is_heard_at_its_own_pitch(self) -> None:
        self.exchange.run(1.2)
        heard = self.ear.heard()
        self.assertEqual(list(heard), [9])
        self.assertApproximates(hz_of(heard[9][:32000], 16000), GREETING_HZ, 3)

    def test_what_the_caller_says_arrives_wide(self) -> None:
        self.ear.talk(1.0, 9, 5000)
        self.assertEqual({len(frame) for frame in self.backend.heard}, {640})
        self.assertApproximates(hz_of(b"".join(self.backend.heard[-30:]), 16000), 5000, 20)

    def test_what_the_agent_says_arrives_wide(self) -> None:
        self.exchange.run(1.5)
        self.ear.heard()
        self.backend.speak(1000)
        self.exchange.run(1.2)
        self.assertApproximates(hz_of(self.ear.heard()[9][3200:28800], 16000), TONE_HZ, 3)

    def test_a_message_is_kept_at_8_khz(self) -> None:
        call = self.exchange.call_of(self.caller)
        call.take_message("")
        self.exchange.run(2)
        self.ear.talk(2.0, 9)
        self.exchange.run(3)
        [writer] = self.exchange.box.writers
        self.assertIsNotNone(writer.committed)
        said = np.frombuffer(writer.pcm, "<i2")
        begun = int(np.flatnonzero(np.abs(said) > 500)[0])
        self.assertApproximates(hz_of(writer.pcm[2 * begun + 1600 :][:16000], 8000), 440, 5)

    def test_an_invite_without_an_offer(self) -> None:
        caller = self.exchange.dial(offer=b"")
        caller.recorder.acks_itself = False
        self.exchange.run(0.3)
        self.assertEqual(self.exchange.call_of(caller).media.leg.rate, 16000)
        caller.session.ack(sdp(caller.port, codecs="8 101"))
        self.exchange.run(1.0)
        heard = Ear(self.exchange, caller).heard()
        self.assertEqual((list(heard), self.exchange.call_of(caller).media.leg.rate), ([8], 8000))
        self.assertApproximates(hz_of(heard[8][1600:], 8000), GREETING_HZ, 5)


class Changes(WideCase):
    """8 to 16 kHz and back by re-INVITE, in the middle of everything."""

    def test_the_agent_hears_on_in_the_format_it_was_promised(self) -> None:
        self.exchange.run(1.2)
        for codecs, kind in (("0 101", 0), ("9 101", 9), ("8 101", 8), ("9 101", 9)):
            self.change(codecs)
            self.backend.heard.clear()
            self.ear.talk(1.0, kind)
            self.assertEqual({len(frame) for frame in self.backend.heard}, {640})
            self.assertApproximates(len(self.backend.heard), 50, 2)
            self.assertApproximates(hz_of(b"".join(self.backend.heard[15:45]), 16000), 440, 5)
        codecs = [event.fields["codec"] for event in self.exchange.events if event.kind == "media"]
        self.assertEqual(codecs, ["PCMU", "G722", "PCMA", "G722"])
        self.assertEqual(self.exchange.counters.values["calls.fault", ""], 0)

    def test_what_is_being_said_is_said_to_its_end(self) -> None:
        self.exchange.run(1.5)
        self.ear.heard()
        self.backend.speak(4000)
        played = {}
        for codecs in ("0 101", "9 101", "8 101"):
            self.exchange.run(0.96)
            self.change(codecs)
        self.exchange.run(1.5)
        for kind, pcm in self.ear.heard().items():
            rate = CODECS[kind].rate
            wave = np.frombuffer(pcm, "<i2").astype(float)
            levels = np.abs(wave[: len(wave) // (rate // 100) * (rate // 100)].reshape(-1, rate // 100)).max(axis=1)
            played[kind] = int(np.sum(levels > 1000)) * 10
            self.assertApproximates(hz_of(pcm[: rate // 2 * 2], rate), TONE_HZ, 5)
        self.assertApproximates(sum(played.values()), 4000, 60)
        self.assertEqual(self.leg.stats().dry_ms, 0)

    def test_a_recording_of_a_message_goes_on(self) -> None:
        self.exchange.call_of(self.caller).take_message("")
        self.exchange.run(2)
        self.ear.talk(1.0, 9)
        self.change("0 101")
        self.ear.talk(1.0, 0)
        self.exchange.run(3)
        [writer] = self.exchange.box.writers
        self.assertIsNotNone(writer.committed)
        loud = np.abs(np.frombuffer(writer.pcm, "<i2")[: len(writer.pcm) // 320 * 160].reshape(-1, 160)).max(axis=1) > 500
        self.assertApproximates(int(loud.sum()) * 20, 2000, 200)

    def test_the_detector_of_speech_follows(self) -> None:
        asked: list[int] = []

        def detector(rate: int) -> Any:
            def speech(frame: bytes) -> bool:
                self.assertEqual(len(frame) * 25, rate)
                asked.append(rate)
                return any(frame)

            return speech

        conversation = self.exchange.call_of(self.caller).conversation
        conversation._options = attrs.evolve(conversation._options, detector=detector)
        for codecs, kind, rate in (("0 101", 0, 8000), ("9 101", 9, 16000)):
            self.change(codecs)
            asked.clear()
            self.ear.talk(0.6, kind)
            self.assertEqual(set(asked), {rate})


class Choppy(WideCase):
    """How dry the queue ran is in the record."""

    def test_a_hole_in_mid_sentence(self) -> None:
        self.exchange.run(1.5)
        for _ in range(3):
            self.backend.speak(200, done=False)
            self.exchange.run(0.5)
        self.backend.last.host.item_done("item")
        self.exchange.run(0.5)
        self.caller.session.hangup()
        self.exchange.run(1)
        rtp = self.exchange.row["rtp"]
        self.assertEqual(rtp["dry_times"], 2)
        self.assertApproximates(rtp["dry_ms"], 600, 60)

    def test_a_burst_has_none(self) -> None:
        self.exchange.run(1.5)
        self.ear.heard()
        self.backend.speak(10_000)
        self.exchange.run(10.5)
        wave = np.frombuffer(self.ear.heard()[9], "<i2")[3200 : 16000 * 9].astype(float)
        levels = np.abs(wave.reshape(-1, 160)).max(axis=1)
        self.assertGreater(levels.min(), 1000)
        self.caller.session.hangup()
        self.exchange.run(1)
        self.assertEqual((self.exchange.row["rtp"]["dry_ms"], self.exchange.row["rtp"]["dry_times"]), (0, 0))


class NoWideLibrary(ExchangeCase):
    def test_a_trunk_that_shares_no_codec_with_its_pbx_is_refused(self) -> None:
        self.exchange.change(codecs=("G722",))
        caller = self.exchange.dial(codecs="0 8 101")
        self.exchange.run(0.5)
        self.assertEqual(caller.statuses(), [488])
        self.assertIn("no common codec", self.exchange.row["detail"])
