"""When there is more to do than time: how much of what is new is turned away, so that what is in progress goes on."""

from __future__ import annotations

CALM_S, FULL_S = 0.025, 0.125
"""The event loop's lateness at which the first INVITE is refused, and from which every one is."""

FADES = 0.8
"""What is left of it at the next look, when that was on time."""


class Overload:
    """Told how late the event loop is, twenty times a second or more; asked about each new INVITE.

    Once late is a pause, and no reason to refuse anybody; twice in a row is too much work.
    """

    __slots__ = ("_before_s", "_debt", "late_s")

    def __init__(self) -> None:
        self.late_s = 0.0
        self._before_s = self._debt = 0.0

    def late(self, seconds: float) -> None:
        self.late_s = max(min(seconds, self._before_s), self.late_s * FADES)
        self._before_s = seconds

    def refuse(self) -> bool:
        """Spread evenly: at a share of a third every third one."""
        share = min(1.0, (self.late_s - CALM_S) / (FULL_S - CALM_S))
        if share <= 0:
            return False
        self._debt += share
        if self._debt < 1.0:
            return False
        self._debt -= 1.0
        return True
