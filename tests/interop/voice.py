"""A recorded voice, and how it is found again in what comes back."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np

from smartalex.media.codecs.g711 import PCMA

RATE = 8000
VOICE = Path("/usr/share/sip-tester/g711a.pcap")
"""Seven seconds of a voice in packets of 30 ms, as SIPp's package brings it."""


def voice(seconds: int) -> np.ndarray:
    """The first seconds of it, -1..1."""
    command = ["tshark", "-r", str(VOICE), "-d", "udp.port==1-65535,rtp", "-T", "fields", "-e", "rtp.payload"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return pcm(b"".join(bytes.fromhex(line.replace(":", "")) for line in done.stdout.splitlines()))[: seconds * RATE]


def pcm(alaw: bytes) -> np.ndarray:
    return np.frombuffer(PCMA().decode(alaw), "<i2") / 32768


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    """A 16-bit WAV, mono."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())


def read(path: Path) -> np.ndarray:
    """What `write` wrote, or what there is of it when its writer was cut off."""
    data = path.read_bytes()
    start = data.index(b"data") + 8
    return np.frombuffer(data[start : start + (len(data) - start) // 2 * 2], "<i2") / 32768


def compare(said: np.ndarray, heard: np.ndarray, rate: int = RATE) -> tuple[float, float]:
    """How alike half seconds are, each where it fits best, and after how many ms that is; the medians of those that are loud.

    As a whole it would not fit: jitter buffers make speech longer and shorter.
    """
    parts = [(at, said[at : at + rate // 2]) for at in range(0, len(said) - rate // 2 + 1, rate // 2)]
    loud = [(at, part) for at, part in parts if np.abs(part).max() > 0.05]
    found = [(alike, ms - 1000 * at / rate) for at, part in loud for alike, ms in [_best(part, heard, rate)]]
    return float(np.median([alike for alike, _ in found])), float(np.median([ms for _, ms in found]))


def _best(part: np.ndarray, heard: np.ndarray, rate: int) -> tuple[float, float]:
    """The best normalised cross-correlation, and the milliseconds after which it is found."""
    size = 1 << (len(part) + len(heard)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(part, size).conj(), size)[: len(heard)]
    best = int(product.argmax())
    there = heard[best : best + len(part)]
    return float(product[best] / (np.linalg.norm(there) * np.linalg.norm(part[: len(there)]))), 1000 * best / rate


def loudest_hz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound))[1:].argmax() + 1) * RATE / len(sound)
