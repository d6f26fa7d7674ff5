"""Echo cancellation of WebRTC (AEC3), by the package livekit; for peers that send our own voice back."""

from __future__ import annotations

from livekit.rtc.apm import AudioProcessingModule
from livekit.rtc.audio_frame import AudioFrame
from zope.interface import implementer

from smartalex.interfaces import IAudioFilter, IAudioFilterFactory

CHOICE = {"yes": True, "no": False}


@implementer(IAudioFilterFactory)
class LivekitFilters:
    """With noise=yes noise is suppressed as well; echo=no leaves it at that."""

    def __init__(self, echo: str = "yes", noise: str = "no") -> None:
        if not {echo, noise} <= set(CHOICE) or echo == noise == "no":
            raise ValueError(f"echo={echo}, noise={noise}: write yes for one of them at least, or no")
        self._echo, self._noise = CHOICE[echo], CHOICE[noise]

    def filter(self, rate: int) -> Canceller:
        return Canceller(rate, self._echo, self._noise)


@implementer(IAudioFilter)
class Canceller:
    """150 us a frame.  It finds the echo's delay itself."""

    delay_ms = 0

    __slots__ = ("_module", "_rate", "wants_played")

    def __init__(self, rate: int, echo: bool, noise: bool) -> None:
        self._module = AudioProcessingModule(echo_cancellation=echo, noise_suppression=noise)
        self._rate = rate
        self.wants_played = echo
        if echo:
            self._module.set_stream_delay_ms(0)

    def process(self, heard: bytes, played: bytes) -> bytes:
        cleaned = b""
        for near, far in zip(self._halves(heard), self._halves(played or bytes(len(heard))), strict=True):
            if self.wants_played:
                self._module.process_reverse_stream(far)
            self._module.process_stream(near)
            cleaned += bytes(near.data.cast("B"))
        return cleaned

    def _halves(self, frame: bytes) -> tuple[AudioFrame, AudioFrame]:
        middle, samples = len(frame) // 2, len(frame) // 4
        halves = frame[:middle], frame[middle:]
        near, far = (AudioFrame(bytearray(half), self._rate, 1, samples) for half in halves)
        return near, far
