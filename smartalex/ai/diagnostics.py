"""Agents without any intelligence, for testing trunks: one plays, one echoes, one is silent."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smartalex.interfaces import Brief, IAudioOut, IVoiceAgentFactory, IVoiceAgentHost, IVoiceAgentSession
from smartalex.media import tone
from smartalex.media.frame import PCM8K, PCM16K, Clip

NOTES_HZ = (262, 330, 392, 523, 392, 330, 294, 349, 440, 587, 440, 349, 247, 294, 392, 494)
NOTE_MS = 250
SYLLABLE_HZ = 4.0
PITCH_HZ = 120.0
FORMANTS_HZ = ((700, 1200), (300, 2200), (400, 800), (600, 1700))


@cache
def melody(rate: int = 8000) -> Clip:
    """8 s to be heard: a melody, then a buzz in syllables that a detector takes for a voice."""
    notes = b"".join(tone.chord((hz, 2 * hz), NOTE_MS, rate, -20) for hz in NOTES_HZ)
    return Clip(notes + _babble(rate, 4.0), rate)


def _babble(rate: int, seconds: float) -> bytes:
    """Harmonics of a voice's pitch, weighted by formants that change with each syllable."""
    time = np.arange(int(seconds * rate)) / rate
    syllable = (time * SYLLABLE_HZ).astype(int) % len(FORMANTS_HZ)
    centres = np.array(FORMANTS_HZ, dtype=np.float64)[syllable]
    wave = np.zeros(len(time))
    for hz in np.arange(PITCH_HZ, min(3400.0, rate / 2), PITCH_HZ):
        weight = np.exp(-(((centres - hz) / 180) ** 2)).sum(axis=1) + 0.02
        wave += weight * np.sin(2 * np.pi * hz * time)
    wave *= np.sin(np.pi * ((time * SYLLABLE_HZ) % 1)) ** 2
    return np.asarray(wave / np.abs(wave).max() * 9000).astype("<i2").tobytes()


@implementer(IVoiceAgentSession)
class _Session:
    """Does nothing at all; the others change what they need."""

    __slots__ = ("_host",)

    def start(self, host: IVoiceAgentHost) -> Deferred[None]:
        self._host: IVoiceAgentHost = host
        return succeed(None)

    def attach(self, audio: IAudioOut) -> None:
        """The call's media is up; `audio` is its playing side."""

    def write(self, frame: bytes) -> None:
        pass

    def dtmf(self, digit: str, duration_ms: int) -> None:
        pass

    def speech_started(self) -> None:
        pass

    def end_of_turn(self) -> None:
        pass

    def interrupted(self, item_id: str, played_ms: int) -> None:
        pass

    def say(self, text: str, interruptible: bool = True) -> str:
        return ""

    def inject(self, role: str, text: str, speak: bool) -> None:
        pass

    def tool_result(self, tool_call_id: str, ok: bool, data: Any) -> None:
        pass

    def silence(self, count: int) -> None:
        pass

    def marked(self, name: str) -> None:
        pass

    def snapshot(self) -> tuple[tuple[str, str], ...]:
        return ()

    def close(self, reason: str) -> Deferred[None]:
        return succeed(None)


class PlaySession(_Session):
    """Queues the melody once, looped: after that it costs nothing."""

    __slots__ = ()

    def attach(self, audio: IAudioOut) -> None:
        audio.play_clip(melody(audio.rate), loop=True)


class EchoSession(_Session):
    """Each frame goes back as it came, so that only the network's delay is heard."""

    __slots__ = ()

    def write(self, frame: bytes) -> None:
        self._host.audio("echo", frame)


@implementer(IVoiceAgentFactory)
class _Factory:
    """`receives` False: the call's incoming audio is not even decoded."""

    name = ""
    formats = (PCM8K, PCM16K)
    output_formats = (PCM8K, PCM16K)
    capabilities = frozenset({"raw_audio"})
    lifetime = None
    receives = False
    greets = False

    def validate(self) -> list[str]:
        return []

    def probe(self) -> Deferred[None]:
        return succeed(None)

    def session(self, brief: Brief) -> _Session:
        return _Session()


class PlayFactory(_Factory):
    """A sound in a loop, to hear that audio gets through; with listen=yes the caller is listened to as by a real agent."""

    name = "play"

    def __init__(self, listen: str = "no") -> None:
        if listen not in ("yes", "no"):
            raise ValueError(f"listen={listen}: write yes or no")
        self.receives = listen == "yes"

    def session(self, brief: Brief) -> PlaySession:
        return PlaySession()


class EchoFactory(_Factory):
    """The caller hears themselves, to hear that both ways work."""

    name = "echo"
    receives = True

    def session(self, brief: Brief) -> EchoSession:
        return EchoSession()


class SilentFactory(_Factory):
    """Answers and says nothing, to measure how many calls can be set up."""

    name = "silent"
