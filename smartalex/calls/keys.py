"""One key press is one digit, also where it comes in more than one way: as an RTP event, as a tone, by SIP INFO."""

from __future__ import annotations

INFO, TONE, EVENT = range(3)
"""The ways, the surest last.  Once a caller's keys have come by one, those below it are copies."""

SAME_S = 3.0
"""Within so many seconds the same key by another way is the same press."""


class Keys:
    """A call's; `now` is seconds of any even clock."""

    __slots__ = ("_presses", "_way")

    def __init__(self) -> None:
        self._way = INFO
        self._presses: list[tuple[str, float, set[int]]] = []  # key, when, by which ways it has come

    def counts(self, digit: str, way: int, now: float) -> bool:
        """Whether this press is one that has not been counted yet."""
        if way < self._way:
            return False
        self._way = way
        self._presses = [press for press in self._presses if now - press[1] < SAME_S]
        for known, _, ways in self._presses:
            if known == digit and way not in ways:
                ways.add(way)
                return False
        self._presses.append((digit, now, {way}))
        return True

    def restart(self) -> None:
        """Another phone may be at the other end now, which has another way."""
        self._way = INFO
