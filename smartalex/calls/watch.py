"""Notices a caller of whom nothing comes any more."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smartalex.rtp.plane import Leg

CHECKS = 4


class MediaWatch:
    """Calls `lost` once when nothing came for `limit_s` (0: never) while `expected()`.

    Comfort noise counts as audio, and so do RTCP reports: who sends nothing while silent has not gone.
    """

    __slots__ = ("_alarm", "_clock", "_expected", "_idle", "_interval_s", "_leg", "_lost", "_seen")

    def __init__(
        self, clock: IReactorTime, limit_s: float, leg: Leg, expected: Callable[[], bool], lost: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._interval_s = limit_s / CHECKS
        self._leg = leg
        self._expected = expected
        self._lost = lost
        self._alarm: IDelayedCall | None = None
        self._idle = 0
        self._seen = 0

    def start(self) -> None:
        if self._interval_s:
            self._alarm = self._clock.callLater(self._interval_s, self._check)

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _check(self) -> None:
        self._alarm = None
        seen = self._leg.packets_received + self._leg.rtcp.heard
        quiet = seen == self._seen and self._expected()
        self._idle = self._idle + 1 if quiet else 0
        self._seen = seen
        if self._idle == CHECKS:
            self._lost()
        else:
            self.start()
