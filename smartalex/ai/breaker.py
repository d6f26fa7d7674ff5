"""The circuit breaker: a backend that failed often is left alone for a while, by all calls."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs


@attrs.frozen
class BreakerLimits:
    """`failures` within `window_s` open the breaker for `open_s`; then one call may try, for `probe_s`."""

    failures: int = 3
    window_s: float = 60.0
    open_s: float = 30.0
    probe_s: float = 10.0


class Breaker:
    """Of one backend; pure, `now` is any monotonic clock."""

    __slots__ = ("_failures", "_limits", "_opened", "_probed")

    def __init__(self, limits: BreakerLimits = BreakerLimits()) -> None:
        self._limits = limits
        self._failures: deque[float] = deque(maxlen=limits.failures)
        self._opened: float | None = None
        self._probed: float | None = None

    def allows(self, now: float) -> bool:
        """Whether a call may use the backend; when half open, saying yes makes that call the probe."""
        if self._opened is None:
            return True
        if now - self._opened < self._limits.open_s:
            return False
        if self._probed is not None and now - self._probed < self._limits.probe_s:
            return False
        self._probed = now
        return True

    def worked(self) -> None:
        """It is ready to speak: the end of an opening.  Single failures are forgotten by age only."""
        if self._opened is not None:
            self._opened = self._probed = None
            self._failures.clear()

    def failed(self, now: float) -> None:
        self._failures.append(now)
        full = len(self._failures) == self._limits.failures and now - self._failures[0] <= self._limits.window_s
        if full or self._probed is not None:
            self._opened, self._probed = now, None


class Breakers:
    """The breakers of all backends, one per factory object; at most `most` are kept."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._of: dict[int, tuple[Any, Breaker]] = {}

    def of(self, factory: Any) -> Breaker:
        found = self._of.get(id(factory))
        if found is None or found[0] is not factory:
            if len(self._of) >= self._most:
                self._of.pop(next(iter(self._of)))
            found = self._of[id(factory)] = (factory, Breaker())
        return found[1]
