"""The call's audio in a backend's format, and the backend's in the call's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from smartalex.interfaces import IVoiceAgentFactory
from smartalex.media.codecs import g711
from smartalex.media.frame import AudioFormat
from smartalex.media.resample import Frames

CODECS = {"pcmu": g711.PCMU, "pcma": g711.PCMA}


def choose(formats: Iterable[AudioFormat], rate: int) -> AudioFormat:
    """The format that is no work for a call at `rate`, else the first."""
    plain = AudioFormat("pcm16", rate)
    offered = tuple(formats)
    return plain if plain in offered or not offered else offered[0]


class Shape:
    """Both directions of one call, for the backend that was adopted last."""

    __slots__ = ("from_backend", "to_backend")

    def __init__(self, rate: int) -> None:
        plain = AudioFormat("pcm16", rate)
        self.to_backend = ToBackend(plain)
        self.from_backend = FromBackend(plain)

    def adopt(self, factory: IVoiceAgentFactory, rate: int) -> tuple[AudioFormat, AudioFormat]:
        """What this backend will hear, and speak, in a call at `rate`."""
        heard, spoken = choose(factory.formats, rate), choose(factory.output_formats, rate)
        self.to_backend = ToBackend(heard)
        self.from_backend = FromBackend(spoken)
        return heard, spoken


class ToBackend:
    """20 ms of s16le in, at whatever rate the call has just now; whole frames of `format` out."""

    __slots__ = ("_encode", "_frames")

    def __init__(self, format: AudioFormat) -> None:
        self._frames = Frames(format.rate)
        self._encode: Callable[[bytes], bytes] | None = CODECS[format.encoding]().encode if format.encoding in CODECS else None

    def frames(self, pcm: bytes) -> tuple[bytes, ...]:
        frames, encode = self._frames.of(pcm), self._encode
        return frames if encode is None else tuple(map(encode, frames))


class FromBackend:
    """Audio of any length in `format` in, whole samples of s16le at `rate` out."""

    __slots__ = ("_decode", "_odd", "rate")

    def __init__(self, format: AudioFormat) -> None:
        self.rate = format.rate
        self._decode: Callable[[bytes], bytes] | None = CODECS[format.encoding]().decode if format.encoding in CODECS else None
        self._odd = b""

    def pcm(self, data: bytes) -> bytes:
        if self._decode is not None:
            return self._decode(data)
        if self._odd or len(data) & 1:
            data = self._odd + data
            whole = len(data) & ~1
            data, self._odd = data[:whole], data[whole:]
        return data
