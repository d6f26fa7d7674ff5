"""What trunks want heard of their callers: keys any way, filters, recordings, no echo of our own; with whole stacks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from twisted.trial.unittest import TestCase

from smartalex.calls import listening
from smartalex.calls.call import State
from smartalex.calls.listening import Recordings
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.level import dbfs
from smartalex.media.recording import Recorder, WavSink
from smartalex.media.tone import dtmf
from smartalex.media.vad import Vad
from smartalex.media.wav import read_wav
from smartalex.rtp.keys import KeyPresses
from smartalex.rtp.packet import HEADER
from tests.ai.fakes import Backend, answering
from tests.calls.exchange import Caller, Exchange
from tests.media.sounds import pcm, samples, tone
from tests.media.test_echo_return import syllables
from tests.media.test_recording import Shelf
from tests.rtp.test_listening import Gain


def info(caller: Caller, key: str) -> None:
    headers = (("Content-Type", "application/dtmf-relay"),)
    caller.session.request_in_dialog("INFO", headers, f"Signal={key}\r\nDuration=80\r\n".encode())


def heard(caller: Caller) -> bytes:
    """What has reached the caller."""
    return b"".join(PCMU().decode(packet[HEADER.size :]) for packet in caller.packets)


class Case(TestCase):
    def exchange(self, backend: Backend | None = None, **options: Any) -> Exchange:
        made = Exchange(backend or Backend(), **options)
        self.addCleanup(lambda: self.assertEqual(made.faults(), []))
        return made


class Keys(Case):
    def pressed(self, backend: Backend) -> str:
        return "".join(call[1] for call in backend.last.calls if call[0] == "dtmf")

    def tones(self, exchange: Exchange, caller: Caller, keys: str) -> None:
        exchange.say(caller, b"".join(dtmf(key, 80, level_dbfs=-15) + bytes(1280) for key in keys) + bytes(3200))

    def events(self, exchange: Exchange, caller: Caller, key: str) -> None:
        presses, at = KeyPresses(), caller.timestamp
        presses.press(key, 80)
        while (event := presses.next(20, 8000)) is not None:
            caller.send(event[0], 101, timestamp=at)
            exchange.sockets.poll()
            exchange.run(0.02)

    def test_tones_count_only_where_the_trunk_has_them_looked_for(self) -> None:
        for way, wanted in (("rfc4733", ""), ("inband", "149#")):
            backend = Backend()
            exchange = self.exchange(backend)
            exchange.change(dtmf=way)
            caller = exchange.connected()
            self.tones(exchange, caller, "149#")
            self.assertEqual(self.pressed(backend), wanted)
            caller.session.hangup()

    def test_a_key_that_comes_as_tone_event_and_info_is_one(self) -> None:
        backend = Backend()
        exchange = self.exchange(backend)
        exchange.change(dtmf="inband")
        caller = exchange.connected()
        for n, key in enumerate("5522"):
            self.tones(exchange, caller, key)
            self.events(exchange, caller, key)
            info(caller, key)
            exchange.run(0.3)
            self.assertEqual(self.pressed(backend), "5522"[: n + 1])
        caller.session.hangup()

    def test_by_info_alone(self) -> None:
        backend = Backend()
        exchange = self.exchange(backend)
        caller = exchange.connected()
        for key in "77":
            info(caller, key)
            exchange.run(0.3)
        self.assertEqual(self.pressed(backend), "77")
        caller.session.hangup()


class Filters(Case):
    def with_filter(self, exchange: Exchange, factory: Gain) -> Caller:
        self.patch(listening, "audio_filters", lambda spec: factory)
        exchange.change(noise_suppression="gain")
        return exchange.connected()

    def test_the_agent_hears_through_it(self) -> None:
        gain = Gain()
        exchange = self.exchange()
        caller = self.with_filter(exchange, gain)
        exchange.talk(caller, 0.5)
        self.assertGreater(len(gain.played), 20)
        caller.session.hangup()

    def test_one_that_fails_is_noted_and_the_call_goes_on(self) -> None:
        exchange = self.exchange()
        caller = self.with_filter(exchange, Gain(fails_at=5))
        exchange.talk(caller, 0.5)
        self.flushLoggedErrors(RuntimeError)
        self.assertIs(exchange.call_of(caller).state, State.TALKING)
        self.assertEqual([event.data for event in exchange.events if event.kind == "filter"], [{"lost": "out of licences"}])
        self.assertEqual(exchange.counters.values["calls.filter_lost", ""], 1)
        caller.session.hangup()

    def test_one_that_is_not_there_any_more(self) -> None:
        exchange = self.exchange()
        exchange.change(noise_suppression="krips:level=3")
        caller = exchange.connected()
        [lost] = [event.data["lost"] for event in exchange.events if event.kind == "filter"]
        self.assertIn("no IAudioFilterFactory provider is named 'krips'", lost)
        self.assertIs(exchange.call_of(caller).state, State.TALKING)
        caller.session.hangup()


class Taped(Case):
    def setUp(self) -> None:
        self.told: list[Callable[[], None]] = []
        self.recorder = Recorder(self.told.append)
        self.addCleanup(self.recorder.stop)

    def settled(self, exchange: Exchange) -> list[dict[str, Any]]:
        self.recorder.stop()
        for call in self.told:
            call()
        return [dict(event.data) for event in exchange.events if event.kind == "recorded"]

    def test_a_call_of_a_trunk_that_records_is_in_a_file(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        backend = Backend(dtmf=answering("One moment.", 800))
        exchange = self.exchange(backend, recordings=Recordings(WavSink(folder.name), self.recorder))
        exchange.change(record=True)
        caller = exchange.connected()
        exchange.say(caller, tone(440, 1000))
        exchange.press(caller, "1")
        exchange.say(caller, bytes(16000))
        caller.session.hangup()
        exchange.run(1)
        opened, closed = self.settled(exchange)
        wav = read_wav(opened["to"])
        self.assertEqual((Path(opened["to"]).stem, wav.channels), (exchange.events[0].call, 2))
        both = samples(wav.pcm).reshape(-1, 2)
        self.assertEqual(closed, {"seconds": round(len(both) / 8000, 2)})
        spectrum = np.abs(np.fft.rfft(both[:, 0]))
        self.assertApproximates(float(spectrum.argmax()) * 8000 / len(both), 440, 2)
        agent = pcm(both[:, 1])
        self.assertEqual(agent, heard(caller)[: len(agent)])
        self.assertGreater(dbfs(agent), -50)

    def test_no_other_call_is_recorded(self) -> None:
        shelf = Shelf()
        exchange = self.exchange(recordings=Recordings(shelf, self.recorder))
        caller = exchange.connected()
        exchange.talk(caller, 1.5)
        self.assertIsNone(exchange.call_of(caller).media.leg.listening._tape)
        caller.session.hangup()
        exchange.run(1)
        self.assertEqual((self.settled(exchange), shelf.writes), ([], 0))

    def test_without_a_place_for_it_nothing_is(self) -> None:
        exchange = self.exchange()
        exchange.change(record=True)
        caller = exchange.connected()
        exchange.talk(caller, 1.5)
        caller.session.hangup()
        exchange.run(1)
        self.assertEqual(self.settled(exchange), [])

    def test_a_full_disk_is_noted_and_the_call_goes_on(self) -> None:
        exchange = self.exchange(recordings=Recordings(Shelf(fails_at=1), self.recorder))
        exchange.change(record=True)
        caller = exchange.connected()
        exchange.talk(caller, 3)
        self.assertIs(exchange.call_of(caller).state, State.TALKING)
        caller.session.hangup()
        exchange.run(1)
        self.assertEqual(self.settled(exchange)[-1], {"seconds": 2.0, "failed": "[Errno 28] No space left on device"})
        self.assertEqual(exchange.counters.values["calls.recording_failed", ""], 1)
        self.assertEqual(exchange.row["disposition"], "completed")


class Echo(Case):
    """A caller who says nothing, on a line that sends our own voice back 200 ms later and softer."""

    SPOKEN_S = 8

    def talked(self, loss_db: float, says: bytes = b"", at_s: float = 0.0) -> tuple[Any, list[str], Backend]:
        """The leg's statistics at the end, the states the turns went through, and the backend."""
        spoken = pcm(syllables(self.SPOKEN_S, 9))
        backend = Backend(dtmf=lambda session, *_: (session.host.audio("a", spoken), session.host.item_done("a")))
        exchange = self.exchange(backend)
        caller = exchange.connected()
        exchange.run(1)
        call = exchange.call_of(caller)
        call.conversation._speech = Vad(8000).speech
        exchange.press(caller, "1")
        late, states = [bytes(320)] * 10, []
        for tick in range(self.SPOKEN_S * 50 + 20):
            echo = samples(heard(caller)[-320:]) * 10 ** (-loss_db / 20)
            at = (tick - int(at_s * 50)) * 320
            said = samples(says[at : at + 320].ljust(320, b"\0")) if says and 0 <= at < len(says) else np.zeros(160)
            late.append(pcm(echo))
            exchange.say(caller, pcm(samples(late.pop(0)) + said))
            states.append(call.conversation._turns.state.name)
        stats = call.media.leg.stats()
        caller.session.hangup()
        exchange.run(1)
        return stats, states, backend

    def test_it_does_not_interrupt_us(self) -> None:
        for loss_db in (3, 10, 20):
            stats, states, backend = self.talked(loss_db)
            self.assertEqual([call for call in backend.last.calls if call[0] == "interrupted"], [], loss_db)
            self.assertApproximates(stats.echo_delay_ms, 220, 40)
            self.assertApproximates(stats.echo_loss_db, loss_db, 3)
            self.assertLess(states.count("HELD"), 40)

    def test_the_caller_still_does(self) -> None:
        caller = pcm(syllables(3, 40, -14))
        _, _, backend = self.talked(20, caller, 5)
        [(_, _, played_ms)] = [call for call in backend.last.calls if call[0] == "interrupted"]
        self.assertApproximates(played_ms, 5300, 500)
