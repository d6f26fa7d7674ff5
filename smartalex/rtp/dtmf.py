"""Telephone events (RFC 4733): one key press is one digit, whatever was lost."""

from __future__ import annotations

from struct import Struct

DIGITS = "0123456789*#ABCD"
EVENT = Struct("!BBH")
VOLUME = 10
END_PACKETS = 3


class DtmfReceiver:
    """Events are told apart by their timestamp, so lost starts and lost ends do not matter."""

    __slots__ = ("_digit", "_duration", "_reported", "_timestamp")

    def __init__(self) -> None:
        self._timestamp = -1
        self._digit = ""
        self._duration = 0
        self._reported = True

    def packet(self, payload: bytes, timestamp: int, clock: int = 8000) -> tuple[str, int] | None:
        """(digit, milliseconds) when a key press is complete."""
        if len(payload) < 4:
            return None
        code, flags, duration = EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            return None
        finished = None
        if timestamp != self._timestamp:
            if self._behind(timestamp):
                return None
            finished = self._finish(clock)  # the end of the one before was lost
            self._timestamp, self._digit, self._reported = timestamp, DIGITS[code], False
        self._duration = duration
        if flags & 0x80:
            finished = self._finish(clock) or finished
        return finished

    def idle(self, clock: int = 8000) -> tuple[str, int] | None:
        """To be asked when audio goes on without events: all ends of the last press were lost."""
        return self._finish(clock)

    def _behind(self, timestamp: int) -> bool:
        return self._timestamp >= 0 and ((timestamp - self._timestamp) & 0xFFFFFFFF) > 0x80000000

    def _finish(self, clock: int) -> tuple[str, int] | None:
        if self._reported:
            return None
        self._reported = True
        return self._digit, self._duration * 1000 // clock


def packets(digit: str, ms: int, frame: int = 160) -> list[tuple[bytes, bool]]:
    """(payload, marker) for each 20 ms of one key press, its end three times; `frame` is samples per packet."""
    code = DIGITS.index(digit.upper())
    steps = max(2, ms // 20)
    out = [(EVENT.pack(code, VOLUME, min(0xFFFF, frame * (n + 1))), n == 0) for n in range(steps)]
    end = EVENT.pack(code, 0x80 | VOLUME, min(0xFFFF, frame * steps))
    return out + [(end, False)] * END_PACKETS
