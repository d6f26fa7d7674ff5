"""Telephone events (RFC 4733): one key press is one digit, whatever was lost."""

from __future__ import annotations

from struct import Struct

DIGITS = "0123456789*#ABCD"
EVENT = Struct("!BBH")
VOLUME = 10
END_PACKETS = 3
GAP_MS = 100

LONGEST = 0xFFFF
"""Timestamp units of one event; a longer press goes on as a further segment (RFC 4733 2.5.1.3)."""

LOST_TICKS = 6
"""So many times 20 ms without a packet of an unfinished press, and its end counts as lost."""


class DtmfReceiver:
    """Presses are told apart by their timestamp, so that lost starts and lost ends do not matter."""

    __slots__ = ("_before", "_digit", "_duration", "_ticks", "_timestamp", "pressing")

    def __init__(self) -> None:
        self._timestamp = -1
        self._digit = ""
        self._before = self._duration = 0
        self._ticks = 0
        self.pressing = False

    def packet(self, payload: bytes, timestamp: int, clock: int = 8000) -> tuple[str, int] | None:
        """(digit, milliseconds) when a key press is complete."""
        if len(payload) < 4:
            return None
        code, flags, duration = EVENT.unpack_from(payload)
        if code >= len(DIGITS):
            return None
        finished = None
        if timestamp != self._timestamp:
            ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
            if self._timestamp >= 0 and ahead > 0x80000000:
                return None
            if self.pressing and ahead == LONGEST and DIGITS[code] == self._digit:
                self._before += LONGEST
            else:
                finished = self.finish(clock)  # the end of the one before was lost
                self._digit, self._before, self.pressing = DIGITS[code], 0, True
            self._timestamp = timestamp
            self._duration = 0
        self._ticks = 0
        if self.pressing:
            self._duration = max(self._duration, duration)
            if flags & 0x80:
                finished = self.finish(clock) or finished
        return finished

    def tick(self, clock: int = 8000) -> tuple[str, int] | None:
        """To be called each 20 ms while `pressing`; the press is complete when its packets have ceased."""
        self._ticks += 1
        return self.finish(clock) if self._ticks >= LOST_TICKS else None

    def restart(self) -> tuple[str, int] | None:
        """A new source with timestamps of its own; returns the press that was under way."""
        self._timestamp = -1
        return self.finish()

    def finish(self, clock: int = 8000) -> tuple[str, int] | None:
        if not self.pressing:
            return None
        self.pressing = False
        return self._digit, (self._before + self._duration) * 1000 // clock


def packets(digit: str, ms: int, frame: int = 160) -> list[tuple[bytes, bool]]:
    """(payload, marker) for each 20 ms of one key press, its end three times; `frame` is samples per packet.

    A press lasts 40 ms at least and one segment, 8 s, at most; ValueError for what is no key.
    """
    code = DIGITS.index(digit.upper())
    steps = min(max(2, ms // 20), LONGEST // frame)
    out = [(EVENT.pack(code, VOLUME, frame * (n + 1)), n == 0) for n in range(steps)]
    end = EVENT.pack(code, 0x80 | VOLUME, frame * steps)
    return out + [(end, False)] * END_PACKETS
