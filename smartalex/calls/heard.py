"""Who asks for our OPTIONS, and when they last did: for `smartalex trunk doctor`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

MOST = 1000
KEEP_S = 2.0


class OptionsHeard:
    """By host, Unix seconds.  `keep` gets all of it a moment after something was new."""

    def __init__(self, clock: IReactorTime, wall: Callable[[], float], keep: Callable[[Mapping[str, float]], None]) -> None:
        self._clock = clock
        self._wall = wall
        self._keep = keep
        self._known: OrderedDict[str, float] = OrderedDict()
        self._keeping: IDelayedCall | None = None

    def heard(self, host: str) -> None:
        self._known[host] = self._wall()
        self._known.move_to_end(host)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        if self._keeping is None:
            self._keeping = self._clock.callLater(KEEP_S, self._write)

    def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None

    def _write(self) -> None:
        self._keeping = None
        self._keep(dict(self._known))
