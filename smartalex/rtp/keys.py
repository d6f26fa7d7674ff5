"""Key presses that we send (RFC 4733): one event a press, as many packets as it lasts, its end three times."""

from __future__ import annotations

from collections import deque
from struct import Struct

from smartalex.errors import LocalError
from smartalex.rtp.dtmf import DIGITS

SHORTEST_MS = 40
GAP_MS = 100
"""From the end of one press to the beginning of the next."""

LONGEST = 0xFFFF
"""Units of the clock in one segment; a longer press goes on in a further one (RFC 4733 2.5.1.3)."""

MOST_WAITING = 128
END_PACKETS = 3
VOLUME = 10
_EVENT = Struct("!BBH")


class KeyPresses:
    """Sans-IO: `press`, then `next` for each packet time while `pending`."""

    __slots__ = ("_base", "_code", "_elapsed_ms", "_ends", "_gap_ms", "_total_ms", "_waiting", "pending")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()
        self.clear()

    def clear(self) -> None:
        """Forget all, also the press that is under way."""
        self._waiting.clear()
        self._code = -1
        self._total_ms = self._elapsed_ms = self._base = self._ends = self._gap_ms = 0
        self.pending = False

    def press(self, digits: str, ms: int) -> None:
        """Each for `ms` milliseconds; ValueError for what is no key of 0-9 * # A-D."""
        codes = [DIGITS.index(digit) for digit in digits.upper()]
        if len(self._waiting) + len(codes) > MOST_WAITING:
            raise LocalError(f"more than {MOST_WAITING} keys at once")
        self._waiting.extend((code, max(SHORTEST_MS, ms)) for code in codes)
        self.pending = self.pending or bool(codes)

    def next(self, ms: int, clock: int) -> tuple[bytes, int] | None:
        """What stands for the next `ms` of audio: payload, and timestamp units since the press began (0 at its beginning).

        None in the gap between two presses, and after the last one.
        """
        if self._code < 0 and not self._begin(ms):
            return None
        self._elapsed_ms += ms
        elapsed = min(self._elapsed_ms, self._total_ms) * clock // 1000
        base = self._base
        if elapsed - base > LONGEST:
            self._base += LONGEST
            return _EVENT.pack(self._code, VOLUME, LONGEST), base
        if self._elapsed_ms < self._total_ms:
            return _EVENT.pack(self._code, VOLUME, elapsed - base), base
        payload = _EVENT.pack(self._code, 0x80 | VOLUME, elapsed - base)
        self._end(ms)
        return payload, base

    @property
    def beginning(self) -> bool:
        """Whether the next packet is the first of a press."""
        return self._code < 0

    def _begin(self, ms: int) -> bool:
        if self._gap_ms > 0:
            self._gap_ms -= ms
            return False
        if not self._waiting:
            self.pending = False
            return False
        self._code, self._total_ms = self._waiting.popleft()
        self._elapsed_ms = self._base = 0
        self._ends = END_PACKETS
        return True

    def _end(self, ms: int) -> None:
        """Its last packet is repeated in the packet times that follow."""
        self._ends -= 1
        if self._ends == 0:
            self._code = -1
            self._gap_ms = GAP_MS - (self._elapsed_ms - self._total_ms)
