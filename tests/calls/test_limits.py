"""Places of three layers: exact, given back once, shared fairly; and when to come back."""

from __future__ import annotations

from random import Random
from unittest import TestCase

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.calls.limits import LEAST_S, MOST_S, Bounds, Direction, Full, Limits, Place
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Workspace

WORKSPACE = Workspace("w", "Acme", Directory(), max_calls=25)
TRUNK = Trunk("t", "w", "acme", "", max_calls=10)


class Limited(TestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.limits = self.limited(40)

    def limited(self, most: int, **bounds: float) -> Limits:
        return Limits(Bounds(most, **bounds), lambda: self.now, Random(7).random)

    def fill(self, workspace: Workspace, trunk: Trunk, times: int, direction: Direction = "inbound") -> list[Place]:
        found = [self.limits.enter(workspace, trunk, direction) for _ in range(times)]
        return [place for place in found if isinstance(place, Place)]

    def refused(self, workspace: Workspace, trunk: Trunk, direction: Direction = "inbound") -> Full:
        found = self.limits.enter(workspace, trunk, direction)
        assert isinstance(found, Full), found
        return found


def tenant(name: str, most: int | None = None) -> tuple[Workspace, Trunk]:
    return Workspace(name, name, Directory(), max_calls=most), Trunk(f"t-{name}", name, name, "", max_calls=1000)


class Layers(Limited):
    def test_the_narrowest_limit_counts_and_is_named(self) -> None:
        trunks = [attrs.evolve(TRUNK, id=f"t{n}", name=f"t{n}") for n in range(3)]
        other, more = tenant("other")
        self.assertEqual([len(self.fill(WORKSPACE, trunk, 30)) for trunk in trunks], [10, 10, 5])
        self.assertEqual(self.refused(WORKSPACE, trunks[0]).why, "trunk full")
        self.assertEqual(self.refused(WORKSPACE, trunks[2]).why, "workspace full")
        self.assertEqual(len(self.fill(other, more, 30)), 15)
        full = self.refused(other, more)
        self.assertEqual((full.why, full.detail), ("service full", "all 40 calls of this service are in use"))
        self.assertEqual((self.limits.in_use, self.limits.workspaces["w"], self.limits.trunks["t0"]), (40, 25, 10))

    def test_a_place_is_given_back_once(self) -> None:
        first, second = self.fill(WORKSPACE, TRUNK, 2)
        for _ in range(3):
            self.limits.leave(first)
        self.assertEqual((self.limits.in_use, self.limits.trunks["t"]), (1, 1))
        self.limits.leave(second)
        self.assertEqual((self.limits.in_use, self.limits.trunks["t"], self.limits.workspaces["w"]), (0, 0, 0))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("inbound", "outbound")), st.booleans()), max_size=120))
    def test_counts_are_those_of_the_places_held(self, steps: list[tuple[int, Direction, bool]]) -> None:
        self.setUp()
        held: list[Place] = []
        for which, direction, ends in steps:
            if ends and held:
                self.limits.leave(held.pop(which % len(held)))
            else:
                workspace = attrs.evolve(WORKSPACE, id=f"w{which % 2}", max_calls=4 + which)
                trunk = attrs.evolve(TRUNK, id=f"t{which}", max_calls=3)
                found = self.limits.enter(workspace, trunk, direction)
                held += [found] if isinstance(found, Place) else []
            self.assertEqual(self.limits.in_use, len(held))
            for key in range(6):
                self.assertEqual(self.limits.trunks[f"t{key}"], sum(place.trunk == f"t{key}" for place in held))
                self.assertEqual(self.limits.workspaces[f"w{key}"], sum(place.workspace == f"w{key}" for place in held))


class OutboundShare(Limited):
    def test_inbound_calls_leave_it_free(self) -> None:
        self.limits = self.limited(40, outbound_share=0.25)
        workspace, trunk = tenant("one")
        self.assertEqual(len(self.fill(workspace, trunk, 100)), 30)
        self.assertEqual(self.refused(workspace, trunk).why, "service full")
        self.assertEqual(len(self.fill(workspace, trunk, 100, "outbound")), 10)
        self.assertEqual(self.limits.in_use, 40)

    def test_outbound_calls_may_have_more_but_not_the_last_places(self) -> None:
        self.limits = self.limited(40, outbound_share=0.25)
        workspace, trunk = tenant("one")
        self.assertEqual(len(self.fill(workspace, trunk, 100, "outbound")), 36)
        self.assertEqual(len(self.fill(workspace, trunk, 100)), 4)
        self.assertEqual(self.refused(workspace, trunk, "outbound").why, "service full")

    def test_it_is_of_the_workspace_too(self) -> None:
        self.limits = self.limited(400, outbound_share=0.2)
        workspace, trunk = tenant("one", 20)
        self.assertEqual(len(self.fill(workspace, trunk, 100)), 16)
        self.assertEqual(self.refused(workspace, trunk).why, "workspace full")
        self.assertEqual(len(self.fill(workspace, trunk, 100, "outbound")), 4)

    def test_without_a_share_all_is_for_callers(self) -> None:
        workspace, trunk = tenant("one")
        self.assertEqual(len(self.fill(workspace, trunk, 100)), 40)


class ComingBack(Limited):
    def test_nothing_is_known_yet(self) -> None:
        waits = {self.limits.retry_after_s() for _ in range(100)}
        self.assertEqual((min(waits), max(waits)), (10, 12))

    def test_it_is_computed_from_the_calls_that_ended_lately(self) -> None:
        """One call ends every two seconds; each refusal waits for one more of them."""
        places = self.fill(WORKSPACE, TRUNK, 10)
        for _ in range(100):
            self.now += 2
            self.limits.leave(places.pop(0))
            places += self.fill(WORKSPACE, TRUNK, 1)
        waits = [self.refused(WORKSPACE, TRUNK).retry_after_s for _ in range(40)]
        self.assertLessEqual(waits[0], 7)
        for number in (10, 20):
            self.assertLessEqual(2 * number, waits[number - 1] + 1)
            self.assertLessEqual(waits[number - 1], 2.2 * number * 1.25 + 1)
        self.assertGreaterEqual(waits[-1], 48)

    def test_always_between_5_and_60_and_not_the_same_for_all(self) -> None:
        for ends, spacing in ((1000, 0.01), (1, 50.0)):
            self.limits = self.limited(5000)
            for place in self.fill(*tenant("one"), ends):
                self.now += spacing
                self.limits.leave(place)
            self.fill(WORKSPACE, TRUNK, 10)
            waits = [self.refused(WORKSPACE, TRUNK).retry_after_s for _ in range(300)]
            self.assertTrue(all(LEAST_S <= wait <= MOST_S for wait in waits))
            self.assertGreater(len(set(waits[100:])), 1)

    def test_each_layer_has_its_own_turnover(self) -> None:
        slow, quick = attrs.evolve(TRUNK, id="slow", max_calls=1), attrs.evolve(TRUNK, id="quick", max_calls=1)
        workspace = attrs.evolve(WORKSPACE, max_calls=None)
        for _ in range(60):
            self.now += 1
            [place] = self.fill(workspace, quick, 1)
            self.limits.leave(place)
        for place in self.fill(workspace, slow, 1):
            self.limits.leave(place)
        self.fill(workspace, quick, 1)
        self.fill(workspace, slow, 1)
        self.assertLessEqual(self.refused(workspace, quick).retry_after_s, 7)
        self.assertGreaterEqual(self.refused(workspace, slow).retry_after_s, 48)


class Pace(Limited):
    def test_calls_begin_no_faster_than_the_trunk_may(self) -> None:
        self.limits = self.limited(1000)
        workspace, trunk = tenant("one")
        trunk = attrs.evolve(trunk, calls_per_second=5)
        self.assertEqual(len(self.fill(workspace, trunk, 50)), 10)
        full = self.refused(workspace, trunk)
        self.assertEqual((full.why, full.detail), ("too fast", "trunk one begins more than 5 calls a second"))
        self.assertIn(full.retry_after_s, (5, 6))
        admitted = 0
        for _ in range(1000):
            self.now += 0.01
            admitted += len(self.fill(workspace, trunk, 1))
        self.assertAlmostEqual(admitted, 50, delta=1)

    def test_the_nodes_bound_is_for_trunks_without_one(self) -> None:
        self.limits = self.limited(1000, calls_per_second=0.1)
        workspace, trunk = tenant("one")
        self.assertEqual(len(self.fill(workspace, trunk, 5)), 1)
        self.assertEqual(len(self.fill(workspace, attrs.evolve(trunk, id="other", calls_per_second=3), 10)), 6)
        self.now += 10
        self.assertEqual(len(self.fill(workspace, trunk, 5)), 1)

    def test_who_is_refused_for_another_reason_uses_nothing_up(self) -> None:
        workspace, trunk = tenant("one")
        trunk = attrs.evolve(trunk, calls_per_second=1, max_calls=2)
        places = self.fill(workspace, trunk, 100)
        self.now += 1
        self.assertEqual(self.refused(workspace, trunk).why, "trunk full")
        self.limits.leave(places[0])
        self.assertEqual(len(self.fill(workspace, trunk, 1)), 1)
