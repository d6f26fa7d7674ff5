"""When there is more to do than time: how much of what is new is turned away, so that what is in progress goes on."""

from __future__ import annotations

from collections import Counter

CALM_S, FULL_S = 0.025, 0.125
"""The event loop's lateness at which the first INVITE is refused, and from which every one is."""

FADES = 0.8
"""What is left of it at the next look, when that was on time."""

WINDOW_S = 1.0
"""Who sends how much is counted over this and the last window."""

MOST_OWED = 8.0


class Overload:
    """Told how late the event loop is, twenty times a second or more; asked about each new INVITE.

    Once late is a pause, and no reason to refuse anybody; twice in a row is too much work.
    """

    __slots__ = ("_before_s", "_counts", "_debt", "_last", "_since", "_total", "late_s")

    def __init__(self) -> None:
        self.late_s = 0.0
        self._before_s = self._debt = 0.0
        self._counts: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._since = 0.0
        self._total = 0  # of both windows

    def late(self, seconds: float) -> None:
        self.late_s = max(min(seconds, self._before_s), self.late_s * FADES)
        self._before_s = seconds

    def shedding(self) -> bool:
        return self.late_s > CALM_S

    def refuse(self, source: str, now: float) -> bool:
        """Spread evenly: at a share of a third every third one, of those who send most.

        Who sends less than the average is let in on their account, as far as they send enough to pay for it.
        """
        if now - self._since >= WINDOW_S:
            self._last = self._counts if now - self._since < 2 * WINDOW_S else Counter()
            self._counts, self._since, self._total = Counter(), now, self._last.total()
        self._counts[source] += 1
        self._total += 1
        share = min(1.0, (self.late_s - CALM_S) / (FULL_S - CALM_S))
        if share <= 0:
            self._debt = 0.0
            return False
        self._debt += share
        if self._debt < 1.0 or (self._debt < MOST_OWED and self._light(source)):
            return False
        self._debt -= 1.0
        return True

    def _light(self, source: str) -> bool:
        sources = max(len(self._counts), len(self._last))
        return (self._counts[source] + self._last[source]) * sources < self._total
