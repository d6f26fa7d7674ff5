"""The RTP header (RFC 3550 5.1), written and read without copying more than the payload."""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER: Final = Struct("!BBHII")
HEADER_BYTES: Final = 12


def pack(sequence: int, timestamp: int, ssrc: int, payload_type: int, *, marker: bool = False) -> bytes:
    """Twelve bytes; the counters are taken modulo their width."""
    return HEADER.pack(0x80, payload_type | (0x80 if marker else 0), sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)


def payload_bounds(data: bytes | bytearray | memoryview, size: int) -> tuple[int, int] | None:
    """(start, end) of the payload in the first `size` bytes, None for what is no RTP (version, CSRCs, extension, padding)."""
    if size < HEADER_BYTES or data[0] >> 6 != 2:
        return None
    first = data[0]
    start, end = HEADER_BYTES + (first & 15) * 4, size
    if first & 0x10:
        if start + 4 > size:
            return None
        start += 4 + int.from_bytes(data[start + 2 : start + 4], "big") * 4
    if first & 0x20:
        end -= data[size - 1]
        if data[size - 1] == 0:
            return None
    return (start, end) if start <= end else None
