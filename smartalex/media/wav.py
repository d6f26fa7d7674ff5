"""WAV files of 16-bit PCM: whole ones, and one that is readable however the process ends."""

from __future__ import annotations

import os
import struct
import wave
from pathlib import Path

import attrs

HEADER_BYTES = 44
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_LARGEST = 0xFFFFFFFF - HEADER_BYTES


@attrs.frozen
class Wav:
    """Interleaved s16le PCM of one or more channels."""

    pcm: bytes = attrs.field(repr=False)
    rate: int
    channels: int = 1


def read_wav(path: str | Path) -> Wav:
    """Raises ValueError for what is no WAV file of 16-bit PCM, OSError for what cannot be read."""
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2:
                raise ValueError(f"{path}: {8 * file.getsampwidth()} bits a sample; 16 are needed")
            if not file.getframerate():
                raise ValueError(f"{path}: a sampling rate of 0 Hz")
            pcm = file.readframes(file.getnframes())
            return Wav(pcm[: len(pcm) - len(pcm) % (2 * file.getnchannels())], file.getframerate(), file.getnchannels())
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: chunks that reach beyond their file
        raise ValueError(f"{path}: {str(error) or 'no whole WAV file'}") from None


def write_wav(path: str | Path, pcm: bytes, rate: int = 8000, channels: int = 1) -> None:
    """Replace `path` by these samples."""
    writer = WavWriter(path, rate, channels)
    writer.write(pcm)
    writer.close()


class WavWriter:
    """A recording that grows.  At any moment the file is a valid WAV and lacks at most the last half second.

    What `write` was given is with the operating system when it returns, so
    that the death of this process loses nothing but the header's last count.
    """

    __slots__ = ("_block", "_file", "_format", "_unlisted", "data_bytes")

    def __init__(self, path: str | Path, rate: int = 8000, channels: int = 1) -> None:
        self._format = (rate, channels)
        self._block = rate * channels  # half a second
        self._file = open(path, "wb", buffering=0)
        self._unlisted = 0
        self.data_bytes = 0
        self._file.write(self._header())

    @property
    def duration_ms(self) -> int:
        rate, channels = self._format
        return self.data_bytes * 500 // (rate * channels)

    def write(self, pcm: bytes) -> None:
        """More interleaved s16le; OSError when the disk is full, and the file stays valid.  The 4 GiB of WAV are a limit."""
        if self.data_bytes + len(pcm) > _LARGEST:
            raise OSError("WAV file full")
        written = 0
        while written < len(pcm):
            written += self._file.write(pcm[written:] if written else pcm)
        self.data_bytes += len(pcm)
        self._unlisted += len(pcm)
        if self._unlisted >= self._block:
            self._fix()

    def sync(self) -> None:
        """Header fixed and everything on the disk itself; blocks, so call it off the reactor thread."""
        self._fix()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Idempotent."""
        if not self._file.closed:
            self._fix()
            self._file.close()

    def _fix(self) -> None:
        # After the data, so that the header never promises what is not there; one write, so that it is never half of two.
        os.pwrite(self._file.fileno(), self._header(), 0)
        self._unlisted = 0

    def _header(self) -> bytes:
        rate, channels = self._format
        size = self.data_bytes
        fmt = (16, 1, channels, rate, 2 * rate * channels, 2 * channels, 16)
        return _HEADER.pack(b"RIFF", size + HEADER_BYTES - 8, b"WAVE", b"fmt ", *fmt, b"data", size)
