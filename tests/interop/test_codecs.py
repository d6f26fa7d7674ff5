"""Each codec with baresip, and what other decoders hear in what we send."""

from __future__ import annotations

import subprocess
import time
from typing import Any
from unittest import TestCase

import numpy as np

from smartalex.media.codecs import registry
from smartalex.media.resample import resample
from tests.interop.baresip import Baresip
from tests.interop.capture import Capture, Stream
from tests.interop.peers import needs
from tests.interop.platform import Platform, smartalex
from tests.interop.voice import compare, voice

PORTS = range(26000, 26900)
DECODERS = {
    "PCMU": ("sox", "-t", "ul", "-r", "8000", "-c", "1", "-", "-t", "s16", "-"),
    "PCMA": ("sox", "-t", "al", "-r", "8000", "-c", "1", "-", "-t", "s16", "-"),
    "G722": ("ffmpeg", "-v", "error", "-f", "g722", "-i", "-", "-f", "s16le", "-"),
}
KEYS = ("5", "5", "9")


def wide_voice(seconds: int) -> np.ndarray:
    """16 kHz: the recorded voice, and above it a whistle that slides from 4.5 to 6.5 kHz."""
    narrow = voice(seconds)
    spectrum = np.fft.rfft(narrow)
    wide = np.fft.irfft(np.concatenate((spectrum, np.zeros(len(narrow) - len(spectrum) + 1))), 2 * len(narrow)) * 2
    time_s = np.arange(len(wide)) / 16000
    return wide + 0.05 * np.sin(2 * np.pi * (4500 * time_s + 1000 / seconds * time_s**2))


def from_stereo(sound: np.ndarray) -> np.ndarray:
    """baresip has Opus at 48 kHz on two channels."""
    pcm = (sound[0 : len(sound) // 2 * 2 : 2] * 32767).astype("<i2").tobytes()
    return np.frombuffer(resample(pcm, 48000, 16000), "<i2") / 32768


def upper_band_db(sound: np.ndarray) -> float:
    """What lies above 4.2 kHz, relative to all."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(10 * np.log10(power[int(len(power) * 4200 / 8000) :].sum() / power.sum()))


@needs("baresip", "sipp", "tshark", "sox", "ffmpeg")
class Codecs(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform(f"{PORTS[0]}-{PORTS[-1]}").start()
        cls.addClassCleanup(cls.platform.remove)

    def call(self, codec: str, said: np.ndarray, rate: int, ptime_ms: int = 20) -> tuple[np.ndarray, dict[str, Any], Stream]:
        """To `echo`: what baresip heard, the record, and the packets we sent."""
        self.platform.command("trunks", "set", "acme", "--codecs", codec, "--ptime", str(ptime_ms))
        time.sleep(1.0)
        capture = Capture(self.platform)
        telephone = Baresip(self.platform, said=said, codecs=codec, rate=rate, ptime_ms=ptime_ms)
        self.addCleanup(telephone.close)
        telephone.dial("echo")
        telephone.wait("CALL_CLOSED")  # when its file ends
        capture.stop()
        record = self.platform.call(self.ended()["id"])
        [ours] = [stream for stream in capture.streams() if stream.packets[0].port in PORTS]
        heard = telephone.heard()
        return from_stereo(heard) if codec == "opus" else heard, record, ours

    def ended(self) -> dict[str, Any]:
        for _ in range(100):
            [row] = self.platform.calls("--limit", "1")
            if row["disposition"]:
                break
            time.sleep(0.1)
        return row

    def test_the_voice_comes_back_and_others_hear_the_same(self) -> None:
        for name in ("PCMU", "PCMA", "G722", *(codec.name for codec in registry.usable(["opus"]))):
            codec = registry.find(name)
            rate = 16000 if codec.rate == 16000 else 8000
            said = wide_voice(3) if rate == 16000 else voice(3)
            heard, record, ours = self.call(name, np.concatenate((said, np.zeros(rate))), rate)
            alike, delay_ms = compare(said, heard, rate)
            print(f"{name}: correlation {alike:.3f}, delay {delay_ms:.0f} ms, {len(ours.packets)} packets")
            self.assertEqual((record["codec"], record["disposition"]), (name, "completed"))
            self.assertGreater(alike, 0.8, name)
            self.assertEqual(ours.steps("timestamp", 32), {codec.clock // 50})
            if rate == 16000:
                self.assertGreater(upper_band_db(heard), upper_band_db(said) - 3, "the upper band is gone")
            if name in DECODERS:
                sent = b"".join(packet.payload for packet in ours.packets)
                decoded = subprocess.run(DECODERS[name], input=sent, capture_output=True, check=True).stdout
                again = np.frombuffer(decoded, "<i2") / 32768
                self.assertGreater(compare(said, again, rate)[0], 0.8, DECODERS[name][0])
                self.assertLessEqual(len(again), len(ours.packets) * rate // 50)

    def test_packets_of_other_lengths(self) -> None:
        for name, ptime_ms in (("PCMA", 10), ("PCMU", 30), ("G722", 40), ("PCMU", 60)):
            rate = 16000 if name == "G722" else 8000
            said = wide_voice(3) if rate == 16000 else voice(3)
            heard, _, ours = self.call(name, np.concatenate((said, np.zeros(rate))), rate, ptime_ms)
            alike, delay_ms = compare(said, heard, rate)
            print(f"{name} in packets of {ptime_ms} ms: correlation {alike:.3f}, delay {delay_ms:.0f} ms")
            self.assertGreater(alike, 0.8, (name, ptime_ms))
            self.assertEqual({len(packet.payload) for packet in ours.packets}, {8 * ptime_ms})
            self.assertEqual((ours.steps("timestamp", 32), ours.steps("sequence", 16)), ({8 * ptime_ms}, {1}))

    def test_keys_beside_a_wide_codec(self) -> None:
        """Of baresip's, each once."""
        for name in ("G722", *(codec.name for codec in registry.usable(["opus"]))):
            self.platform.command("trunks", "set", "acme", "--codecs", name)
            time.sleep(1.0)
            telephone = Baresip(self.platform, codecs=name, rate=16000)
            self.addCleanup(telephone.close)
            telephone.dial("alex")
            telephone.wait("CALL_ESTABLISHED")
            time.sleep(0.5)
            for key in KEYS:
                telephone.press(key)
                time.sleep(0.3)
            telephone.command("hangup")
            telephone.wait("CALL_CLOSED")
            said = [
                e["text"]
                for e in self.platform.call(self.ended()["id"])["events"]
                if e["kind"] == "said" and e["role"] == "caller"
            ]
            self.assertEqual(said, [f"[pressed {key}]" for key in KEYS], name)

    def test_our_keys(self) -> None:
        """Once baresip has spoken: it hears each once, and nothing else."""
        for name in ("PCMU", "G722", *(codec.name for codec in registry.usable(["opus"]))):
            rate = 8000 if name == "PCMU" else 16000
            spoken = wide_voice(3) if rate == 16000 else voice(3)
            said = np.concatenate((spoken, np.zeros(60 * rate)))
            telephone = Baresip(self.platform, said=said, codecs=name, rate=rate, answers=True)
            self.addCleanup(telephone.close)
            done = smartalex("call", telephone.address, "--codec", name.lower(), "--dtmf", "559*", "--max-seconds", "10")
            telephone.wait("CALL_CLOSED")
            heard = [event.get("param") for event in telephone.events if event.get("type") == "CALL_DTMF_START"]
            self.assertEqual(heard, list("559*"), (name, done.stdout, done.stderr))
