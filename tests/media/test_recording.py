"""Recordings: both directions in their places, whatever packets they went in; and disks that do not take them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any
from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smartalex.interfaces import IRecording, IRecordingSink
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.recording import MOST_WAITING, Recorder, Stretch, Tape, WavSink, aligned
from smartalex.media.seams import recording_sink
from smartalex.media.wav import read_wav
from tests.media.sounds import frames, pcm, samples, tone, voice

SILENCE = b"\xff"


def stretch(heard: bytes, sent: list[bytes], rate: int = 8000) -> Stretch:
    return Stretch(rate, frames(heard, rate // 25), sent, 160, SILENCE, PCMU().decode)


def plain(heard: bytes, sent: bytes, rate: int) -> Stretch:
    return Stretch(rate, frames(heard, rate // 25), frames(sent, rate // 25), rate // 25, b"\0\0", bytes)


class Aligning(TestCase):
    def line(self, *sent: bytes, before: bytes = b"") -> tuple[bytes, bytes]:
        return aligned(Stretch(8000, [], list(sent), 4, b".", bytes), before)

    def test_a_packet_a_tick(self) -> None:
        self.assertEqual(self.line(b"aaaa", b"bbbb"), (b"aaaabbbb", b""))

    def test_ticks_without_one_are_silence(self) -> None:
        self.assertEqual(self.line(b"", b"bbbb", b"", b"", b"cccc", b""), (b"....bbbb........cccc....", b""))

    def test_longer_packets(self) -> None:
        self.assertEqual(self.line(b"aaaaAAAA", b"", b"bbbbBBBB", b""), (b"aaaaAAAAbbbbBBBB", b""))
        self.assertEqual(self.line(b"", b"aaaaAAAA"), (b"....aaaa", b"AAAA"))
        self.assertEqual(self.line(b"", b"bbbb", before=b"AAAA"), (b"AAAAbbbb", b""))

    def test_packets_of_one_and_a_half_ticks_leave_one_and_two_ticks_apart_without_a_gap(self) -> None:
        self.assertEqual(self.line(b"aaaaaa", b"", b"bbbbbb", b"cccccc", b"", b"dddddd"), (b"aaaaaabbbbbbccccccdddddd", b""))

    def test_shorter_packets_two_in_a_tick(self) -> None:
        self.assertEqual(self.line(b"aa" + b"bb", b"ccdd"), (b"aabbccdd", b""))

    @given(st.lists(st.sampled_from([b"", b"aaaa", b"aaaaaa", b"aaaaaaaa"]), max_size=30), st.sampled_from([b"", b"zz", b"zzzz"]))
    @settings(max_examples=200, deadline=None)
    def test_always_as_long_as_the_ticks_and_nothing_is_lost(self, sent: list[bytes], before: bytes) -> None:
        line, rest = self.line(*sent, before=before)
        self.assertEqual(len(line), 4 * len(sent))
        if len(before + b"".join(sent)) <= 4 * len(sent):
            self.assertEqual((line + rest).replace(b".", b""), before + b"".join(sent))


@implementer(IRecordingSink, IRecording)
class Shelf:
    """Keeps it in memory, or fails as it is told; `gate` holds it up."""

    name = "shelf"

    def __init__(self, fails_at: int = -1, gate: Event | None = None, fails_to_open: bool = False) -> None:
        self.data, self.closed, self.writes = b"", 0, 0
        self.fails_at, self.gate, self.fails_to_open = fails_at, gate, fails_to_open

    def open(self, call_id: str, rate: int) -> Shelf:
        if self.fails_to_open:
            raise PermissionError("not here")
        return self

    def write(self, stereo: bytes) -> None:
        if self.gate is not None:
            self.gate.wait(10)
        if self.writes == self.fails_at:
            raise OSError(28, "No space left on device")
        self.writes += 1
        self.data += stereo

    def close(self) -> None:
        self.closed += 1


class Recording(TestCase):
    def setUp(self) -> None:
        self.told: list[Callable[[], None]] = []
        self.recorder = Recorder(self.told.append)
        self.addCleanup(self.recorder.stop)
        self.news: list[Any] = []

    def tape(self, sink: Any, rate: int = 8000) -> Tape:
        tape = self.recorder.record(sink, "call", rate)
        tape.on_opened = self.news.append
        tape.on_closed = lambda seconds, error: self.news.append((seconds, error))
        return tape

    def settle(self) -> list[Any]:
        """What the reactor was told, once the thread is done."""
        self.recorder.stop()
        for call in self.told:
            call()
        return self.news

    def test_left_is_the_caller_and_right_the_agent_to_the_sample(self) -> None:
        shelf, left, right = Shelf(), voice(3000), tone(500, 3000)
        verifyObject(IRecordingSink, shelf)
        tape = self.tape(shelf)
        sent = frames(PCMU().encode(right), 160)
        for n in range(3):
            tape.put(stretch(left[n * 16000 : (n + 1) * 16000], sent[n * 50 : (n + 1) * 50]))
        tape.close()
        self.assertEqual(self.settle(), ["shelf", (3.0, "")])
        both = samples(shelf.data).reshape(-1, 2)
        self.assertEqual(pcm(both[:, 0]), left)
        self.assertEqual(pcm(both[:, 1]), PCMU().decode(PCMU().encode(right)))
        self.assertEqual(shelf.closed, 1)

    def test_packets_that_cross_the_border_of_two_stretches(self) -> None:
        shelf, left, right = Shelf(), voice(2000), tone(700, 2020)
        tape = self.tape(shelf)
        long = frames(PCMU().encode(right), 320)  # 40 ms each, the first in the second tick
        slots = [b"", *(long[n // 2] if n % 2 == 0 else b"" for n in range(100))]
        tape.put(stretch(left[:16000], slots[:50]))
        tape.put(stretch(left[16000:], slots[50:100]))
        tape.close()
        self.settle()
        agent = samples(shelf.data).reshape(-1, 2)[:, 1]
        self.assertEqual(pcm(agent[160:]), PCMU().decode(PCMU().encode(right))[: 2 * (16000 - 160)])
        self.assertFalse(agent[:160].any())

    def test_the_call_may_change_its_rate(self) -> None:
        shelf = Shelf()
        tape = self.tape(shelf)
        tape.put(plain(tone(440, 1000), tone(700, 1000), 8000))
        tape.put(plain(tone(440, 1000, 16000), tone(700, 1000, 16000), 16000))
        tape.put(plain(tone(440, 1000), tone(700, 1000), 8000))
        tape.close()
        (_, (seconds, error)) = self.settle()
        self.assertEqual(error, "")
        self.assertAlmostEqual(seconds, 3.0, delta=0.02)
        both = samples(shelf.data).reshape(-1, 2)
        for channel, hz in ((0, 440), (1, 700)):
            spectrum = np.abs(np.fft.rfft(both[8400:15600, channel]))
            self.assertAlmostEqual(float(spectrum.argmax()) * 8000 / 7200, hz, delta=3)

    def test_a_full_disk_ends_it_and_says_so_once(self) -> None:
        shelf = Shelf(fails_at=1)
        tape = self.tape(shelf)
        for _ in range(4):
            tape.put(stretch(bytes(16000), [b""] * 50))
        tape.close()
        self.assertEqual(self.settle(), ["shelf", (2.0, "[Errno 28] No space left on device")])
        self.assertEqual((shelf.writes, shelf.closed, tape.running), (1, 1, False))

    def test_a_sink_that_cannot_be_opened(self) -> None:
        tape = self.tape(Shelf(fails_to_open=True))
        tape.put(stretch(bytes(16000), [b""] * 50))
        tape.put(stretch(bytes(16000), [b""] * 50))
        self.assertEqual(self.settle(), [(0.0, "not here")])
        tape.put(stretch(bytes(16000), [b""] * 50))
        self.assertFalse(tape.running)

    def test_a_disk_that_hangs_fills_no_memory(self) -> None:
        gate = Event()
        shelf = Shelf(gate=gate)
        tape = self.tape(shelf)
        for _ in range(3 * MOST_WAITING):
            tape.put(stretch(bytes(320), [b""]))
        self.assertFalse(tape.running)
        gate.set()
        self.assertEqual(self.settle()[-1][1], "the disk is too slow")
        self.assertLessEqual(shelf.writes, MOST_WAITING + 2)

    def test_one_that_fails_does_not_touch_the_others(self) -> None:
        broken, sound = Shelf(fails_at=0), Shelf()
        tapes = [self.tape(sink) for sink in (broken, sound)]
        for _ in range(3):
            for tape in tapes:
                tape.put(stretch(bytes(16000), [b""] * 50))
        tapes[1].close()
        self.settle()
        self.assertEqual((broken.writes, sound.writes, len(sound.data)), (0, 3, 3 * 32000))

    def test_a_call_without_audio_leaves_nothing(self) -> None:
        shelf = Shelf()
        tape = self.tape(shelf)
        tape.close()
        tape.close()
        self.assertEqual(self.settle(), [(0.0, "")])
        self.assertEqual(shelf.closed, 0)


class Wav(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "deep" / "recordings"

    def test_a_file_for_each_call_for_its_owner_alone(self) -> None:
        sink = recording_sink(f"wav:folder={self.folder}")
        self.assertIsInstance(sink, WavSink)
        recording = sink.open("0192-call", 16000)
        verifyObject(IRecording, recording)
        recording.write(b"\1\0\2\0" * 16000)
        recording.close()
        wav = read_wav(recording.name)
        self.assertEqual((wav.rate, wav.channels, wav.pcm), (16000, 2, b"\1\0\2\0" * 16000))
        self.assertEqual(Path(recording.name), self.folder / "0192-call.wav")
        self.assertEqual(stat.S_IMODE(os.stat(recording.name).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)

    def test_a_disk_that_is_really_full(self) -> None:
        """A limit on the size of files does what a full disk does; the file stays sound up to there."""
        code = f"""
import resource, signal
from tests.media.test_recording import fill
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(fill({str(self.folder)!r}))
"""
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertIn("File too large", done.stdout)
        wav = read_wav(self.folder / "call.wav")
        self.assertEqual((wav.channels, len(wav.pcm) > 64_000), (2, True))


def fill(folder: str) -> Any:
    """What a recording of ten seconds says at its end."""
    told: list[Callable[[], None]] = []
    news: list[Any] = []
    recorder = Recorder(told.append)
    tape = recorder.record(WavSink(folder), "call", 8000)
    tape.on_closed = lambda seconds, error: news.append(error)
    for _ in range(10):
        tape.put(stretch(voice(1000), [b""] * 50))
    tape.close()
    recorder.stop()
    for call in told:
        call()
    return news
