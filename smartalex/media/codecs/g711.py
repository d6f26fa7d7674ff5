"""G.711: PCMU and PCMA, exact for all 65,536 inputs to ITU's own reference (14 and 13 bits, one's complement).

audioop does what it does by that rule, in a tenth of a table's time; its mu-law encoder rounds otherwise.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from smartalex.interfaces import ICodec
from smartalex.media.frame import PACKET_MS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.13 on it is the package audioop-lts
    import audioop

_SAMPLES = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


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


_ULAW_ENCODER = _ulaw_encoder()


@implementer(ICodec)
class PCMU:
    """mu-law; `silence` is the payload byte of a zero sample."""

    __slots__ = ()
    name = "PCMU"
    payload_type = 0
    rate = 8000
    clock = 8000
    channels = 1
    packet_ms = PACKET_MS
    parameters = ""
    stateful = False
    silence = b"\xff"

    def encode(self, pcm: bytes) -> bytes:
        return _ULAW_ENCODER.take(np.frombuffer(pcm, "<u2")).tobytes()

    def decode(self, payload: bytes) -> bytes:
        return audioop.ulaw2lin(payload, 2)

    def adapt(self, parameters: str) -> None:
        pass


@implementer(ICodec)
class PCMA:
    """A-law; `silence` is the payload byte of a zero sample."""

    __slots__ = ()
    name = "PCMA"
    payload_type = 8
    rate = 8000
    clock = 8000
    channels = 1
    packet_ms = PACKET_MS
    parameters = ""
    stateful = False
    silence = b"\xd5"

    def encode(self, pcm: bytes) -> bytes:
        return audioop.lin2alaw(pcm, 2)

    def decode(self, payload: bytes) -> bytes:
        return audioop.alaw2lin(payload, 2)

    def adapt(self, parameters: str) -> None:
        pass
