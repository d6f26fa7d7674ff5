"""How many calls at once, and how fast they may begin: of each trunk, of each workspace, of the whole service.

A call counts in all three from its INVITE to its end, as the one Place it holds: that is given back once, whatever happens.  The
counts are of this process and go with it, as its calls do.
"""

from __future__ import annotations

import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from math import exp
from typing import Literal, Protocol

import attrs

from smartalex.calls.fairness import Shares
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Workspace

Direction = Literal["inbound", "outbound"]

LEAST_S, MOST_S = 5, 60
"""Of a Retry-After."""

SPREAD = 0.25
"""So much longer than computed it may be, by chance: not everybody comes back at once."""

RECENT_S = 60.0
MOST_KNOWN = 20_000
BURST_S = 2.0
"""A trunk may begin so many seconds' worth of calls at once."""

HEADROOM = 10
"""The last tenth of a layer is for those who use less than their share of it."""


@attrs.frozen
class Bounds:
    """`outbound_share` (0 to 1) of the calls of service and workspace is held back for calls of ours.

    `calls_per_second` is for trunks with none of their own, 0 for no bound; `retry_after_s` is said where nothing is known yet.
    """

    max_calls: int
    outbound_share: float = 0.0
    calls_per_second: float = 0.0
    retry_after_s: int = 10


@attrs.frozen
class Full:
    """`why` is a word for counters, `detail` a sentence; `retry_after_s` from LEAST_S to MOST_S."""

    why: str
    detail: str
    retry_after_s: int


@attrs.define(eq=False)
class Place:
    """What one call takes of every layer, while it is `held`."""

    workspace: str
    trunk: str
    direction: Direction
    held: bool = True


class Slots(Protocol):
    """The places of workspaces that several nodes share; taken in advance, so that nobody has to wait."""

    def free(self, workspace: Workspace) -> bool:
        """Whether this node has one more."""
        ...

    def take(self, workspace: str) -> None: ...

    def give_back(self, workspace: str) -> None: ...


class Layer:
    """Calls in progress by whom they belong to."""

    __slots__ = ("_all", "_out")

    def __init__(self) -> None:
        self._all: Counter[str] = Counter()
        self._out: Counter[str] = Counter()

    def __getitem__(self, key: str) -> int:
        return self._all[key]

    def enter(self, key: str, direction: Direction) -> None:
        self._all[key] += 1
        if direction == "outbound":
            self._out[key] += 1

    def leave(self, key: str, direction: Direction) -> None:
        for count in (self._all, self._out) if direction == "outbound" else (self._all,):
            count[key] -= 1
            if not count[key]:
                del count[key]

    def room(self, key: str, most: int, share: float, direction: Direction) -> bool:
        """Whether one more of this direction may come.

        Of inbound calls as many as leave the share of outbound ones free.  Those may have what is left, but the last tenth only
        as far as it is their share: they can wait, and callers cannot.
        """
        used, outbound, kept = self._all[key], self._out[key], int(most * share)
        if direction == "inbound":
            return used - outbound + max(outbound, kept) < most
        return used < most and (outbound < kept or used < most - most // HEADROOM)


class Turnover:
    """How soon a place comes free for one more who waits: by the calls that ended lately, and those that were refused."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, float, float]] = OrderedDict()

    def ended(self, layer: str, key: str, now: float) -> None:
        self._note(layer, key, now, ended=1.0)

    def refused(self, layer: str, key: str, now: float) -> float | None:
        """Seconds until it is this one's turn, all refused ones being served in order; None where no call has ended."""
        ended, waiting = self._note(layer, key, now, refused=1.0)
        return waiting * RECENT_S / ended if ended > 0.01 else None

    def _note(self, layer: str, key: str, now: float, *, ended: float = 0.0, refused: float = 0.0) -> tuple[float, float]:
        """Both counts fade: what was RECENT_S ago counts about a third."""
        ends, waits, since = self._known.pop((layer, key), (0.0, 0.0, now))
        fade = exp((since - now) / RECENT_S)
        ends, waits = ends * fade + ended, max(0.0, waits * fade + refused - ended)
        self._known[layer, key] = (ends, waits, now)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return ends, waits


class Limits:
    """`capacity` is how many calls there are ports for; `shedding` says whether the machine has too much to do."""

    def __init__(
        self, bounds: Bounds, now: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self.bounds = bounds
        self.trunks, self.workspaces, self.service = Layer(), Layer(), Layer()
        self.capacity: Callable[[], int] = lambda: bounds.max_calls
        self.shedding: Callable[[], bool] = lambda: False
        self.slots: Slots | None = None
        self._now, self._chance = now, chance
        self._turnover = Turnover()
        self._shares = Shares(self.workspaces.__getitem__)
        self._paces: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def in_use(self) -> int:
        return self.service[""]

    def enter(self, workspace: Workspace, trunk: Trunk, direction: Direction = "inbound") -> Place | Full:
        """A place in every layer, to be given back by `leave`; or what stands in the way."""
        return self._full(workspace, trunk, direction) or self._taken(workspace, trunk, direction)

    def leave(self, place: Place) -> None:
        """Once or more often; the limits may have changed meanwhile, and the trunk may be gone."""
        if not place.held:
            return
        place.held = False
        now = self._now()
        for name, layer, key in self._layers(place.workspace, place.trunk):
            layer.leave(key, place.direction)
            self._turnover.ended(name, key, now)
        if self.slots is not None:
            self.slots.give_back(place.workspace)

    def retry_after_s(self, seconds: float | None = None) -> int:
        """`seconds`, None for not known, as LEAST_S to MOST_S and with the spread."""
        most = MOST_S / (1 + SPREAD)
        wait = min(most, max(LEAST_S, self.bounds.retry_after_s if seconds is None else seconds))
        return round(wait * (1 + SPREAD * self._chance()))

    def _taken(self, workspace: Workspace, trunk: Trunk, direction: Direction) -> Place:
        for _, layer, key in self._layers(workspace.id, trunk.id):
            layer.enter(key, direction)
        if self.slots is not None:
            self.slots.take(workspace.id)
        return Place(workspace.id, trunk.id, direction)

    def _layers(self, workspace: str, trunk: str) -> tuple[tuple[str, Layer, str], ...]:
        return ("trunk", self.trunks, trunk), ("workspace", self.workspaces, workspace), ("service", self.service, "")

    def _full(self, workspace: Workspace, trunk: Trunk, direction: Direction) -> Full | None:
        """The narrowest first: who is at a limit of his own has no claim on what all share."""
        bounds, now = self.bounds, self._now()
        if self.trunks[trunk.id] >= trunk.max_calls:
            return self._refused("trunk", trunk.id, f"all {trunk.max_calls} calls of trunk {trunk.name} are in use", now)
        most = workspace.max_calls
        if most is not None and not self.workspaces.room(workspace.id, most, bounds.outbound_share, direction):
            return self._refused("workspace", workspace.id, f"all {most} calls of workspace {workspace.name} are in use", now)
        if self.slots is not None and most is not None and not self.slots.free(workspace):
            detail = f"all {most} calls of workspace {workspace.name} are in use, or lent to other nodes"
            return self._refused("workspace", workspace.id, detail, now)
        self._shares.claim(workspace.id, min(workspace.max_calls or bounds.max_calls, bounds.max_calls), now)
        if not self.service.room("", bounds.max_calls, bounds.outbound_share, direction):
            return self._refused("service", "", f"all {bounds.max_calls} calls of this service are in use", now)
        if self._shares.contested and self._too_many(workspace, now):
            return self._refused(
                "service", "", f"workspace {workspace.name} has its share, and others want theirs", now, "fair share"
            )
        return self._too_fast(trunk, now)

    def _too_many(self, workspace: Workspace, now: float) -> bool:
        """Whether room is scarce, and this workspace has its share or more."""
        total, used = self.in_use, self.workspaces[workspace.id]
        if self._shares.rushed(now) and self.shedding():
            return used > self._shares.part(workspace.id, total)
        room = min(self.bounds.max_calls, self.capacity())
        scarce = total >= room - -(-room // HEADROOM)
        return scarce and used >= self._shares.part(workspace.id, room)

    def _too_fast(self, trunk: Trunk, now: float) -> Full | None:
        rate = trunk.calls_per_second or self.bounds.calls_per_second
        if not rate:
            return None
        burst = max(1.0, rate * BURST_S)
        level, since = self._paces.pop(trunk.id, (burst, now))
        level = min(burst, level + (now - since) * rate)
        self._paces[trunk.id] = (level - 1 if level >= 1 else level, now)
        if len(self._paces) > MOST_KNOWN:
            self._paces.popitem(last=False)
        if level >= 1:
            return None
        detail = f"trunk {trunk.name} begins more than {rate:g} calls a second"
        return Full("too fast", detail, self.retry_after_s((1 - level) / rate))

    def _refused(self, layer: str, key: str, detail: str, now: float, why: str = "") -> Full:
        return Full(why or f"{layer} full", detail, self.retry_after_s(self._turnover.refused(layer, key, now)))
