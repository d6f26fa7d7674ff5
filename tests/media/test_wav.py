from __future__ import annotations

import os
import resource
import signal
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.media import wav
from smartalex.media.wav import HEADER_BYTES, Wav, WavWriter, read_wav, write_wav
from tests.media.sounds import noise


class Folder(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "a.wav"


class RoundTrip(Folder):
    @given(st.binary(max_size=400), st.sampled_from([8000, 16000, 48000]), st.sampled_from([1, 2]))
    @settings(max_examples=40, deadline=None)
    def test_written_and_read_again(self, pcm: bytes, rate: int, channels: int) -> None:
        pcm = pcm[: len(pcm) // 4 * 4]
        write_wav(self.path, pcm, rate, channels)
        self.assertEqual(read_wav(self.path), Wav(pcm, rate, channels))

    def test_it_replaces_what_was_there(self) -> None:
        write_wav(self.path, bytes(4000))
        write_wav(self.path, b"\1\2")
        self.assertEqual(read_wav(self.path).pcm, b"\1\2")
        self.assertEqual(self.path.stat().st_size, HEADER_BYTES + 2)


class Faults(Folder):
    def refusal(self, content: bytes) -> str:
        self.path.write_bytes(content)
        with self.assertRaises(ValueError) as caught:
            read_wav(self.path)
        return str(caught.exception)

    def test_what_is_no_wav_file_is_said_with_its_name(self) -> None:
        write_wav(self.path, bytes(320))
        good = self.path.read_bytes()
        for content in (b"", b"RIFF", good[:20], good[:40], b"OggS" + good[4:], good[:8] + b"AVI " + good[12:], b"\0" * 100):
            self.assertRegex(self.refusal(content), f"^{self.path}: [a-z].{{10}}", content[:12])

    def test_other_sample_formats(self) -> None:
        with wave.open(str(self.path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)
            file.setframerate(8000)
            file.writeframes(bytes(10))
        self.assertEqual(self.refusal(self.path.read_bytes()), f"{self.path}: 8 bits a sample; 16 are needed")
        write_wav(self.path, bytes(320))
        content = bytearray(self.path.read_bytes())
        content[20] = 7  # mu-law
        self.assertIn("unknown format", self.refusal(bytes(content)))
        content[20], content[24:28] = 1, bytes(4)
        self.assertEqual(self.refusal(bytes(content)), f"{self.path}: a sampling rate of 0 Hz")

    def test_a_file_that_was_cut_off_gives_what_is_there(self) -> None:
        write_wav(self.path, noise(100, -20))
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[: HEADER_BYTES + 101])
        self.assertEqual(read_wav(self.path).pcm, whole[HEADER_BYTES : HEADER_BYTES + 100])

    def test_a_missing_file_is_an_os_error(self) -> None:
        self.assertRaises(OSError, read_wav, self.path)

    @given(st.binary(max_size=120), st.integers(0, 60))
    @settings(max_examples=100, deadline=None)
    def test_any_bytes_raise_value_error_only(self, junk: bytes, at: int) -> None:
        write_wav(self.path, bytes(320))
        good = self.path.read_bytes()
        self.path.write_bytes(good[:at] + junk + good[at + len(junk) :])
        try:
            found = read_wav(self.path)
        except ValueError:
            return
        self.assertTrue(len(found.pcm) <= 600 and found.rate > 0 and len(found.pcm) % (2 * found.channels) == 0)


class Growing(Folder):
    def test_at_any_moment_the_file_is_whole_but_for_half_a_second(self) -> None:
        writer = WavWriter(self.path)
        self.addCleanup(writer.close)
        written = b""
        for number in range(120):
            frame = bytes([number]) * 320
            writer.write(frame)
            written += frame
            self.assertEqual(self.path.read_bytes()[HEADER_BYTES:], written)  # all data is with the system
            listed = read_wav(self.path).pcm
            self.assertTrue(written.startswith(listed))
            self.assertGreater(len(listed), len(written) - 8000 - 1)
        self.assertEqual(writer.duration_ms, 2400)

    def test_sync_and_close_list_everything(self) -> None:
        writer = WavWriter(self.path, 16000, 2)
        writer.write(bytes(640))
        writer.sync()
        self.assertEqual(len(read_wav(self.path).pcm), 640)
        writer.write(bytes(640))
        writer.close()
        writer.close()
        self.assertEqual((len(read_wav(self.path).pcm), writer.duration_ms), (1280, 20))

    def test_the_death_of_the_process_loses_no_sample(self) -> None:
        child = os.fork()
        if not child:
            writer = WavWriter(self.path)
            for _ in range(70):
                writer.write(b"\1\2" * 160)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        self.assertEqual(self.path.read_bytes()[HEADER_BYTES:], b"\1\2" * 160 * 70)
        self.assertEqual(len(read_wav(self.path).pcm), 320 * 50)

    def test_a_full_disk_leaves_a_valid_file(self) -> None:
        before, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGXFSZ, old)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, before)
        writer = WavWriter(self.path)
        writer.write(bytes(8000))
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, before[1]))
        with self.assertRaises(OSError):
            writer.write(bytes(8000))
        writer.close()
        self.assertEqual(len(read_wav(self.path).pcm), 8000)

    def test_the_format_ends_at_4_gib(self) -> None:
        with patch.object(wav, "_LARGEST", 1000):
            writer = WavWriter(self.path)
            self.addCleanup(writer.close)
            writer.write(bytes(1000))
            self.assertRaises(OSError, writer.write, b"\0\0")
        self.assertEqual(writer.data_bytes, 1000)
