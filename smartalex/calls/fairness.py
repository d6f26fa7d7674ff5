"""Who comes first when there is not enough for all: workspaces that use less than their share of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

CLAIM_S = 60.0
"""So long after its last INVITE a workspace without calls is still one that wants some."""

RUSH_S = 1.0
"""Whoever sent no INVITE for so long does not want one just now."""


class Shares:
    """Weighted max-min fairness without a queue: each claimant's part of what there is, by weight.

    A claimant is a workspace with calls in progress (`in_use(id)`) or with an INVITE in the last CLAIM_S.  Whoever is alone has
    everything, so nothing is kept for those who do not call.
    """

    __slots__ = ("_claims", "_in_use", "_weights")

    def __init__(self, in_use: Callable[[str], int]) -> None:
        self._in_use = in_use
        self._claims: OrderedDict[str, tuple[float, int]] = OrderedDict()  # by the time of the last INVITE: (that, weight)
        self._weights = 0

    @property
    def contested(self) -> bool:
        return len(self._claims) > 1

    def rushed(self, now: float) -> bool:
        """Whether two or more want calls just now."""
        newest = islice(reversed(self._claims.values()), 1, 2)
        return any(at + RUSH_S > now for at, _ in newest)

    def claim(self, workspace: str, weight: int, now: float) -> None:
        """It wants a call; `weight` is 1 or more."""
        _, before = self._claims.pop(workspace, (now, 0))
        self._claims[workspace] = (now, weight)
        self._weights += weight - before
        self._forget(now)

    def part(self, workspace: str, whole: float) -> float:
        """Its share of `whole`; 0 for who claims nothing."""
        claimed = self._claims.get(workspace)
        return whole * claimed[1] / self._weights if claimed else 0.0

    def _forget(self, now: float) -> None:
        """The two that were quiet longest are looked at: more than become quiet."""
        for _ in range(2):
            workspace, (at, weight) = next(iter(self._claims.items()))
            if at + CLAIM_S > now:
                return
            del self._claims[workspace]
            if self._in_use(workspace):
                self._claims[workspace] = (now, weight)
            else:
                self._weights -= weight
