"""Opus (RFC 6716, 7587) by libopus: 16 kHz mono on our side, whatever the peer sends.

libopus is the system's, else the one that the package av brings along (`pip install smartalex[opus]`): nothing else of av
is used.
"""

from __future__ import annotations

import ctypes
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zope.interface import implementer

from smartalex.interfaces import ICodec

MAX_PAYLOAD = 1275
LONGEST_S = 0.12
"""Of one packet (RFC 6716 3.2.5)."""

BIT_RATES = (6_000, 64_000)
USUAL_BIT_RATE = 24_000
COMPLEXITY = 3
"""Of 10, at which 20 ms of speech take 0.15 ms to encode; up to 10 it doubles, and at 24 kbit/s is hardly heard."""

EXPECTED_LOSS_PCT = 10
"""What in-band error correction is made for, where the peer asks for it."""

_VOIP = 2048
_SET_BITRATE, _SET_MAX_BANDWIDTH, _SET_VBR, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS_PCT, _SET_DTX = (
    4002, 4004, 4006, 4010, 4012, 4014, 4016,
)  # fmt: skip
_BANDWIDTHS = ((8000, 1101), (12000, 1102), (16000, 1103), (24000, 1104))


@cache
def library() -> Any:
    """libopus; ImportError where there is none."""
    for path in _places():
        try:
            return _declared(ctypes.CDLL(path))
        except OSError:
            continue
    raise ImportError("there is no libopus: install it (Debian: libopus0), or pip install 'smartalex[opus]'")


def _places() -> list[str]:
    found = find_library("opus")
    package = find_spec("av")
    wheel = Path(package.origin).parent.parent / "av.libs" if package is not None and package.origin else None
    return [*([found] if found else []), *(str(path) for path in (sorted(wheel.glob("libopus*.so*")) if wheel else ()))]


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number, error = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
    for name, result, *arguments in (
        ("opus_encoder_create", pointer, number, number, number, error),
        ("opus_encoder_ctl", number, pointer, number),
        ("opus_encode", number, pointer, ctypes.c_char_p, number, ctypes.c_char_p, number),
        ("opus_encoder_destroy", None, pointer),
        ("opus_decoder_create", pointer, number, number, error),
        ("opus_decode", number, pointer, ctypes.c_char_p, number, ctypes.c_char_p, number, number),
        ("opus_decoder_destroy", None, pointer),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


library()


@implementer(ICodec)
class Opus:
    """Encoder and decoder of one leg."""

    __slots__ = ("_decoder", "_encoder", "_heard", "_lib", "_sent")
    name = "opus"
    rate = 16000
    clock = 48000
    channels = 2
    payload_type = None
    packet_ms = (10, 20, 40, 60)
    parameters = "maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1"
    stateful = True

    def __init__(self) -> None:
        self._lib = lib = library()
        failed = ctypes.c_int()
        self._encoder = lib.opus_encoder_create(self.rate, 1, _VOIP, failed)
        self._decoder = lib.opus_decoder_create(self.rate, 1, failed)
        self._sent = ctypes.create_string_buffer(MAX_PAYLOAD)
        self._heard = ctypes.create_string_buffer(int(LONGEST_S * self.rate) * 2)
        self._set(_SET_COMPLEXITY, COMPLEXITY)
        self.adapt("")

    def __del__(self) -> None:
        self._lib.opus_encoder_destroy(self._encoder)
        self._lib.opus_decoder_destroy(self._decoder)

    def encode(self, pcm: bytes) -> bytes:
        """One packet of `packet_ms`; any other length is a ValueError."""
        size = self._lib.opus_encode(self._encoder, pcm, len(pcm) // 2, self._sent, MAX_PAYLOAD)
        if size < 0:
            raise ValueError(f"opus: {len(pcm)} bytes are no packet ({size})")
        return ctypes.string_at(self._sent, size)

    def decode(self, payload: bytes) -> bytes:
        return self._decoded(payload, len(self._heard) // 2, False) if payload else b""

    def recover(self, size: int, following: bytes | None = None) -> bytes:
        """`size` bytes of PCM for lost packets; `following` is the next one, if it is there already."""
        step = self.rate // 400
        made = self._decoded(following, -(-size // 2 // step) * step, following is not None)
        return made[len(made) - size :].rjust(size, b"\0")

    def _decoded(self, payload: bytes | None, samples: int, correcting: bool) -> bytes:
        size = self._lib.opus_decode(self._decoder, payload, len(payload or b""), self._heard, samples, correcting)
        return ctypes.string_at(self._heard, 2 * size) if size > 0 else b""

    def adapt(self, parameters: str) -> None:
        """RFC 7587 6.1: bit rate, bandwidth, error correction, discontinuous transmission are the receiver's to choose."""
        wanted = _numbers(parameters)
        least, most = BIT_RATES
        hz = wanted.get("maxplaybackrate", 48000)
        self._set(_SET_BITRATE, max(least, min(most, wanted.get("maxaveragebitrate", USUAL_BIT_RATE))))
        self._set(_SET_MAX_BANDWIDTH, next((code for rate, code in _BANDWIDTHS if hz <= rate), 1105))
        self._set(_SET_VBR, not wanted.get("cbr"))
        self._set(_SET_INBAND_FEC, bool(wanted.get("useinbandfec")))
        self._set(_SET_PACKET_LOSS_PCT, EXPECTED_LOSS_PCT if wanted.get("useinbandfec") else 0)
        self._set(_SET_DTX, False)

    def _set(self, what: int, value: int) -> None:
        self._lib.opus_encoder_ctl(self._encoder, what, ctypes.c_int(value))


def _numbers(parameters: str) -> dict[str, int]:
    """Those of a=fmtp that are numbers."""
    pairs = (part.partition("=") for part in parameters.lower().split(";"))
    return {
        key.strip(): int(value)
        for key, _, value in pairs
        if value.strip().isascii() and value.strip().isdigit() and len(value) < 10
    }
