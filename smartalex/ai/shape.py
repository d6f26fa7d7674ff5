"""The call's audio in a backend's format, and the backend's in the call's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from smartalex.interfaces import IVoiceAgentFactory
from smartalex.media.codecs import g711
from smartalex.media.frame import AudioFormat
from smartalex.media.resample import Resampler

CODECS = {"pcmu": g711.PCMU, "pcma": g711.PCMA}


def choose(formats: Iterable[AudioFormat], rate: int) -> AudioFormat:
    """The format that is no work for a call at `rate`, else the first."""
    plain = AudioFormat("pcm16", rate)
    offered = tuple(formats)
    return plain if plain in offered or not offered else offered[0]


class Shape:
    """Both directions of one call at `rate`, for the backend that was adopted last."""

    __slots__ = ("_rate", "from_backend", "to_backend")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        plain = AudioFormat("pcm16", rate)
        self.to_backend = ToBackend(plain, rate)
        self.from_backend = FromBackend(plain, rate)

    def adopt(self, factory: IVoiceAgentFactory) -> tuple[AudioFormat, AudioFormat]:
        """What this backend will hear, and speak."""
        heard, spoken = choose(factory.formats, self._rate), choose(factory.output_formats, self._rate)
        self.to_backend = ToBackend(heard, self._rate)
        self.from_backend = FromBackend(spoken, self._rate)
        return heard, spoken


class ToBackend:
    """20 ms of s16le at the call's rate in, whole frames of `format` out."""

    __slots__ = ("_encode", "_frame_bytes", "_resampler", "_rest")

    def __init__(self, format: AudioFormat, rate: int) -> None:
        self._resampler = Resampler(rate, format.rate) if format.rate != rate else None
        self._encode: Callable[[bytes], bytes] | None = CODECS[format.encoding]().encode if format.encoding in CODECS else None
        self._frame_bytes = format.frame_bytes
        self._rest = b""

    def frames(self, pcm: bytes) -> tuple[bytes, ...]:
        if self._resampler is not None:
            pcm = self._resampler.process(pcm)
        data = self._encode(pcm) if self._encode is not None else pcm
        if not self._rest and len(data) == self._frame_bytes:
            return (data,)
        data, size = self._rest + data, self._frame_bytes
        whole = len(data) // size * size
        self._rest = data[whole:]
        return tuple(data[at : at + size] for at in range(0, whole, size))


class FromBackend:
    """Audio of any length in `format` in, s16le at the call's rate out."""

    __slots__ = ("_decode", "_resampler")

    def __init__(self, format: AudioFormat, rate: int) -> None:
        self._decode: Callable[[bytes], bytes] | None = CODECS[format.encoding]().decode if format.encoding in CODECS else None
        self._resampler = Resampler(format.rate, rate)

    def pcm(self, data: bytes) -> bytes:
        return self._resampler.process(self._decode(data) if self._decode is not None else data)
