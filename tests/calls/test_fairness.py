"""One tenant calls fifty times as much as it has a share of; the others do not notice."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from unittest import TestCase

from smartalex.calls.limits import Bounds, Limits, Place
from tests.calls.test_limits import tenant

MEAN_S = 120.0
"""Of a call."""


class Town:
    """Calls that come and go as chance wants, on a clock of their own; `rates` are calls a second by tenant, at any time."""

    def __init__(self, most: int, seed: int = 7) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.limits = Limits(Bounds(most), lambda: self.now, self.random.random)
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.why: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self._ends: list[tuple[float, int, Place]] = []

    def run(self, seconds: float, rates: dict[str, float], length_s: Callable[[], float] | None = None) -> None:
        until, whole = self.now + seconds, sum(rates.values())
        while True:
            self.now += self.random.expovariate(whole)
            if self.now > until:
                return
            [name] = self.random.choices(list(rates), list(rates.values()))
            while self._ends and self._ends[0][0] <= self.now:
                self.limits.leave(heapq.heappop(self._ends)[2])
            self._call(name, length_s() if length_s else self.random.expovariate(1 / MEAN_S))

    def _call(self, name: str, length_s: float) -> None:
        workspace, trunk = tenant(name)
        found = self.limits.enter(workspace, trunk)
        self.tried[name] += 1
        if isinstance(found, Place):
            heapq.heappush(self._ends, (self.now + length_s, self.tried.total(), found))
            self.busiest[name] = max(self.busiest[name], self.limits.workspaces[name])
        else:
            self.refused[name] += 1
            self.why[found.why] += 1

    def part_refused(self, name: str) -> float:
        return self.refused[name] / self.tried[name]

    def forget(self) -> None:
        for counter in (self.tried, self.refused, self.why, self.busiest):
            counter.clear()


def rate(calls: float) -> float:
    """Calls a second that make for so many at a time."""
    return calls / MEAN_S


class Surges(TestCase):
    def test_a_surge_of_fifty_times_its_share_refuses_none_of_the_others(self) -> None:
        """200 places; B at 20 calls, A wants 5,000 at a time."""
        for seed in range(3):
            town = Town(200, seed)
            town.run(600, {"a": rate(20), "b": rate(20)})
            self.assertEqual(town.refused.total(), 0)
            town.forget()
            town.run(1800, {"a": rate(5000), "b": rate(20)})
            self.assertLess(town.part_refused("b"), 0.01)
            self.assertGreater(town.part_refused("a"), 0.9)

    def test_also_where_they_come_after_the_surge(self) -> None:
        town = Town(200)
        town.run(600, {"a": rate(5000)})
        self.assertEqual(town.limits.in_use, 200, "alone it may have everything")
        town.run(120, {"a": rate(5000), "b": rate(20)})
        town.forget()
        town.run(1800, {"a": rate(5000), "b": rate(20)})
        self.assertLess(town.part_refused("b"), 0.01)

    def test_among_twenty_tenants_those_within_their_share_get_through(self) -> None:
        town = Town(400)
        others = {f"t{n}": rate(8) for n in range(19)}
        town.run(600, {"a": rate(8), **others})
        town.forget()
        town.run(1800, {"a": rate(1000), **others})
        self.assertLess(sum(town.refused[name] for name in others) / sum(town.tried[name] for name in others), 0.01)
        self.assertGreater(town.busiest["a"], 150, "what the others do not use is not kept from it")

    def test_two_that_want_everything_get_half_each(self) -> None:
        town = Town(100)
        town.run(1800, {"a": rate(3000), "b": rate(1000)})
        for name in "ab":
            self.assertAlmostEqual(town.limits.workspaces[name], 50, delta=8)
        self.assertGreaterEqual(town.limits.in_use, 98)

    def test_while_there_is_room_nobody_is_refused(self) -> None:
        town = Town(200)
        town.run(1800, {"a": rate(130), "b": rate(5)})
        self.assertEqual(town.refused.total(), 0)

    def test_weights_are_what_the_workspaces_may_have(self) -> None:
        limits = Limits(Bounds(100), lambda: 0.0, lambda: 0.0)
        large, small = tenant("large", 90), tenant("small", 30)
        for _ in range(200):
            limits.enter(*small)
            limits.enter(*large)
        self.assertEqual((limits.workspaces["large"], limits.workspaces["small"]), (70, 30))

    def test_who_has_stopped_calling_has_no_claim(self) -> None:
        now = 0.0
        limits = Limits(Bounds(100), lambda: now, lambda: 0.0)
        place = limits.enter(*tenant("small"))
        assert isinstance(place, Place)
        limits.leave(place)
        large = tenant("large")
        for _ in range(200):
            limits.enter(*large)
        self.assertEqual(limits.in_use, 90)
        now = 61.0
        for _ in range(200):
            limits.enter(*large)
        self.assertEqual(limits.in_use, 100)


class ThingsThatRunOut(TestCase):
    def test_where_ports_are_fewer_than_calls_it_is_they_that_are_shared(self) -> None:
        limits = Limits(Bounds(1000), lambda: 0.0, lambda: 0.0)
        limits.capacity = lambda: 50
        limits.enter(*tenant("b"))
        for _ in range(500):
            limits.enter(*tenant("a"))
        self.assertEqual(limits.workspaces["a"], 44)
        self.assertIsInstance(limits.enter(*tenant("b")), Place)

    def test_with_too_much_to_do_those_above_their_share_are_refused(self) -> None:
        now = 0.0
        limits = Limits(Bounds(1000), lambda: now, lambda: 0.0)
        for _ in range(90):
            limits.enter(*tenant("a"))
        for _ in range(10):
            limits.enter(*tenant("b"))
        limits.shedding = lambda: True
        found = [limits.enter(*tenant(name)) for name in "abab"]
        self.assertEqual([isinstance(place, Place) for place in found], [False, True, False, True])
        self.assertEqual(getattr(found[0], "why", ""), "fair share")
        now = 5.0
        self.assertIsInstance(limits.enter(*tenant("a")), Place, "nobody else wants one")
