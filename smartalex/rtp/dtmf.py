"""Telephone events as they come (RFC 4733): one key press is one digit, whatever was lost, doubled or came out of order."""

from __future__ import annotations

from struct import Struct

DIGITS = "0123456789*#ABCD"
EVENT = Struct("!BBH")

LONGEST = 0xFFFF
"""Timestamp units of one event; a longer press goes on as a further segment (RFC 4733 2.5.1.3)."""

MOST_SEGMENTS = 64
LOST_TICKS = 6
"""So many times 20 ms without a packet of an unfinished press, and its end counts as lost."""

REMEMBERED = 32
"""Presses whose stragglers are known as such."""

Press = tuple[str, int]
"""A key and the milliseconds it was held."""


class _Held:
    """A press, and which timestamps belong to it."""

    __slots__ = ("digit", "duration", "ended", "first", "last")

    def __init__(self, digit: str, timestamp: int, duration: int) -> None:
        self.digit = digit
        self.first = self.last = timestamp  # of its first and its last segment
        self.duration = duration  # of the last segment
        self.ended = False

    def owns(self, timestamp: int, duration: int, ended: bool) -> bool:
        """Also a further segment; or, of senders that wrongly move the timestamp on, the next packet of the same press."""
        since = _signed(timestamp - self.last)
        if since > 0:
            if self.ended:
                return ended and since < duration == self.duration
            return since <= self.duration or _segments(since)
        before = _signed(self.first - timestamp)
        return before <= 0 or (not ended and _segments(before))

    def add(self, timestamp: int, duration: int, ended: bool) -> None:
        since = _signed(timestamp - self.last)
        if since > 0:
            self.last, self.duration = timestamp, duration
        elif since == 0:
            self.duration = max(self.duration, duration)
        elif _signed(self.first - timestamp) > 0:
            self.first = timestamp
        self.ended = self.ended or ended

    def ms(self, clock: int) -> int:
        return (_signed(self.last - self.first) + self.duration) * 1000 // clock


class DtmfReceiver:
    """Presses are told apart by their timestamp, so that lost starts and lost ends do not matter.

    `clock` is that of the event's payload type in Hz.  What each call returns are the presses that are now complete, mostly none.
    """

    __slots__ = ("_known", "_open", "_ticks", "clock", "pressing")

    def __init__(self, clock: int = 8000) -> None:
        self.clock = clock
        self.pressing = False
        self._open: _Held | None = None
        self._known: list[_Held] = []
        self._ticks = 0

    def packet(self, payload: bytes, timestamp: int) -> tuple[Press, ...]:
        """One packet of one event, or of several that follow each other (RFC 4733 2.5.1.5); what is no key is ignored."""
        complete: tuple[Press, ...] = ()
        last = len(payload) // 4 * 4 - 4
        for at in range(0, last + 1, 4):
            code, flags, duration = EVENT.unpack_from(payload, at)
            if code < len(DIGITS):
                complete += self._event(DIGITS[code], timestamp, duration, at < last or flags & 0x80 != 0)
            timestamp = timestamp + duration & 0xFFFFFFFF
        return complete

    def tick(self) -> tuple[Press, ...]:
        """To be called each 20 ms while `pressing`; the press is complete when its packets have ceased."""
        self._ticks += 1
        return self._finish() if self._ticks >= LOST_TICKS else ()

    def restart(self) -> tuple[Press, ...]:
        """A new source with timestamps of its own; returns the press that was under way."""
        self._known.clear()
        return self._finish()

    # ------------------------------------------------------------------

    def _event(self, digit: str, timestamp: int, duration: int, ended: bool) -> tuple[Press, ...]:
        complete: tuple[Press, ...] = ()
        held = self._find(digit, timestamp, duration, ended)
        if held is None:
            held, complete = self._begin(digit, timestamp, duration)
        held.add(timestamp, duration, ended)
        if held is not self._open:
            return complete
        self._ticks = 0
        return complete + self._finish() if ended else complete

    def _begin(self, digit: str, timestamp: int, duration: int) -> tuple[_Held, tuple[Press, ...]]:
        """A press that nothing was known of; one that was overtaken by another is over, and complete at once."""
        held, known = _Held(digit, timestamp, duration), self._known
        overtaken = bool(known) and _signed(timestamp - known[-1].first) < 0
        known.insert(len(known) - overtaken, held)
        del known[:-REMEMBERED]
        if overtaken:
            return held, ((digit, held.ms(self.clock)),)
        complete = self._finish()
        self._open, self.pressing = held, True
        return held, complete

    def _find(self, digit: str, timestamp: int, duration: int, ended: bool) -> _Held | None:
        for held in reversed(self._known):
            if held.digit == digit and held.owns(timestamp, duration, ended):
                return held
        return None

    def _finish(self) -> tuple[Press, ...]:
        held, self._open, self.pressing = self._open, None, False
        return ((held.digit, held.ms(self.clock)),) if held is not None else ()


def _segments(units: int) -> bool:
    """Whether whole segments lie in between, some of them lost."""
    return units % LONGEST == 0 and 0 < units <= MOST_SEGMENTS * LONGEST


def _signed(difference: int) -> int:
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
