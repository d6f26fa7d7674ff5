"""Whose messages are not rationed: sources that a trunk is known by, and those that proved lately who they are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

REMEMBERED_S, KNOWN_S = 900.0, 86_400.0
MOST = 10_000


class Trust:
    """`listed(host)` asks the trunks' allowlists."""

    def __init__(self, listed: Callable[[str], bool], now: Callable[[], float]) -> None:
        self.listed = listed
        self._now = now
        self._proved: OrderedDict[str, float] = OrderedDict()

    def proved(self, host: str) -> None:
        """A request from there was authenticated."""
        self._proved[host] = self._now()
        self._proved.move_to_end(host)
        if len(self._proved) > MOST:
            self._proved.popitem(last=False)

    def __call__(self, host: str) -> bool:
        return self._within(host, REMEMBERED_S)

    def known(self, host: str) -> bool:
        """For a day: whose failures are a mistake rather than an attack."""
        return self._within(host, KNOWN_S)

    def _within(self, host: str, seconds: float) -> bool:
        at = self._proved.get(host)
        return (at is not None and at + seconds > self._now()) or self.listed(host)
