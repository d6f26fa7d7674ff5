"""G.711: PCMU and PCMA by table, exact for all 65,536 inputs to ITU's own reference (14 and 13 bits, one's complement)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from smartalex.interfaces import ICodec

_SAMPLES = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
_CODES = np.arange(256, dtype=np.int32)


def _magnitude(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.where(samples < 0, ~samples, samples)


def _segment(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many bits each value needs."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int32)


def _ulaw_encoder() -> NDArray[np.uint8]:
    biased = np.minimum((_magnitude(_SAMPLES) >> 2) + 33, 0x1FFF)
    exponent = _segment(biased) - 6
    mantissa = (biased >> (exponent + 1)) & 0x0F
    sign = np.where(_SAMPLES < 0, 0x80, 0)
    return (~(sign | exponent << 4 | mantissa)).astype(np.uint8)


def _ulaw_decoder() -> NDArray[np.int16]:
    inverted = ~_CODES
    exponent, mantissa = inverted >> 4 & 0x07, inverted & 0x0F
    magnitude = ((2 * mantissa + 33) << exponent + 2) - 132
    return np.where(inverted & 0x80, -magnitude, magnitude).astype("<i2")


def _alaw_encoder() -> NDArray[np.uint8]:
    magnitude = _magnitude(_SAMPLES) >> 4
    exponent = np.maximum(_segment(magnitude) - 4, 0)
    mantissa = magnitude >> np.maximum(exponent - 1, 0) & 0x0F
    sign = np.where(_SAMPLES < 0, 0, 0x80)
    return ((sign | exponent << 4 | mantissa) ^ 0x55).astype(np.uint8)


def _alaw_decoder() -> NDArray[np.int16]:
    plain = _CODES ^ 0x55
    exponent, mantissa = plain >> 4 & 0x07, plain & 0x0F
    magnitude = (np.where(exponent > 0, mantissa + 16, mantissa) * 16 + 8) << np.maximum(exponent - 1, 0)
    return np.where(plain & 0x80, magnitude, -magnitude).astype("<i2")


def _encode(table: NDArray[np.uint8], pcm: bytes) -> bytes:
    return table.take(np.frombuffer(pcm, "<u2")).tobytes()


def _decode(table: NDArray[np.int16], payload: bytes) -> bytes:
    return table.take(np.frombuffer(payload, np.uint8)).tobytes()


_ULAW_ENCODER, _ULAW_DECODER = _ulaw_encoder(), _ulaw_decoder()
_ALAW_ENCODER, _ALAW_DECODER = _alaw_encoder(), _alaw_decoder()


@implementer(ICodec)
class PCMU:
    """mu-law; `silence` is the payload byte of a zero sample."""

    __slots__ = ()
    name = "PCMU"
    rate = 8000
    clock = 8000
    payload_type = 0
    silence = b"\xff"

    def encode(self, pcm: bytes) -> bytes:
        return _encode(_ULAW_ENCODER, pcm)

    def decode(self, payload: bytes) -> bytes:
        return _decode(_ULAW_DECODER, payload)


@implementer(ICodec)
class PCMA:
    """A-law; `silence` is the payload byte of a zero sample."""

    __slots__ = ()
    name = "PCMA"
    rate = 8000
    clock = 8000
    payload_type = 8
    silence = b"\xd5"

    def encode(self, pcm: bytes) -> bytes:
        return _encode(_ALAW_ENCODER, pcm)

    def decode(self, payload: bytes) -> bytes:
        return _decode(_ALAW_DECODER, payload)
