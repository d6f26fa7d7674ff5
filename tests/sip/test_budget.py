"""Budgets of sources: what may be taken in any span of time, who is not limited, and that memory has an end."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.sip.budget import Buckets, Budget, BudgetLimits, Places, source_of

STRANGER, FRIEND = "192.0.2.1", "192.0.2.2"


def budget(**limits: float) -> Budget:
    return Budget(BudgetLimits(**limits), lambda host: host == FRIEND)  # type: ignore[arg-type]


class Messages(TestCase):
    def test_a_burst_then_the_rate(self) -> None:
        asked = budget(rate=10, burst=5)
        self.assertEqual([asked.message(STRANGER, 0.0) for _ in range(7)], [True] * 5 + [False] * 2)
        self.assertEqual([asked.message(STRANGER, 0.2) for _ in range(3)], [True, True, False])
        self.assertEqual([asked.message(STRANGER, 1000.0) for _ in range(6)], [True] * 5 + [False])

    def test_one_source_does_not_cost_another(self) -> None:
        asked = budget(rate=1, burst=1)
        self.assertEqual([asked.message(host, 0.0) for host in ("192.0.2.8", "192.0.2.8", "192.0.2.9")], [True, False, True])

    def test_a_trusted_source_leaves_room_for_others(self) -> None:
        budget = Budget(BudgetLimits(transactions_per_source=2, transactions=4), lambda host: host == "192.0.2.1")
        self.assertTrue(all(budget.open("192.0.2.1") for _ in range(100)))
        self.assertEqual([budget.open(f"192.0.2.{n}") for n in (2, 3, 4)], [True, True, False])
        for _ in range(100):
            budget.close("192.0.2.1")
        self.assertEqual([budget.open(f"192.0.2.{n}") for n in (4, 5, 6)], [True, True, False])

    def test_the_trusted_are_not_limited_and_only_asked_for_when_it_matters(self) -> None:
        asked_for: list[str] = []
        asked = Budget(BudgetLimits(rate=1, burst=2), lambda host: not asked_for.append(host))  # type: ignore[func-returns-value]
        self.assertEqual([asked.message(FRIEND, 0.0) for _ in range(5)], [True] * 5)
        self.assertEqual(asked_for, [FRIEND] * 3)

    def test_a_clock_set_back_gives_nothing(self) -> None:
        asked = budget(rate=10, burst=1)
        self.assertEqual([asked.message(STRANGER, now) for now in (100.0, 50.0, 50.05, 50.2)], [True, False, False, True])

    def test_only_so_many_sources_are_remembered_the_latest_of_them(self) -> None:
        buckets = Buckets(1, 1, sources=3)
        for source in ("a", "b", "c", "a", "d"):
            buckets.take(source, 0.0)
        self.assertEqual(len(buckets), 3)
        self.assertEqual([buckets.take(source, 0.0) for source in ("a", "d", "c", "b")], [False, False, False, True])

    @given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 8), st.integers(1, 8))
    @settings(max_examples=60, deadline=None)
    def test_no_span_of_time_lets_more_through_than_burst_and_rate(self, gaps: list[float], rate: int, burst: int) -> None:
        buckets, now, taken = Buckets(rate, burst), 0.0, []
        for gap in gaps:
            now += gap
            if buckets.take("s", now):
                taken.append(now)
        for first in range(len(taken)):
            for last in range(first, len(taken)):
                self.assertLessEqual(last - first + 1, burst + rate * (taken[last] - taken[first]) + 1e-6)


class Calls(TestCase):
    def test_they_are_counted_apart_from_messages(self) -> None:
        calls = Budget(BudgetLimits(calls=2, calls_burst=3), trusted=lambda host: host == "192.0.2.1")
        self.assertEqual([calls.call("192.0.2.9", 0.0) for _ in range(5)], [True] * 3 + [False] * 2)
        self.assertTrue(calls.message("192.0.2.9", 0.0))
        self.assertEqual([calls.call("192.0.2.9", 1.0) for _ in range(3)], [True] * 2 + [False])
        self.assertEqual(sum(calls.call("192.0.2.1", 0.0) for _ in range(100)), 100)


class TakenAndGivenBack(TestCase):
    def test_connections_of_one_source_and_of_all(self) -> None:
        asked = budget(connections_per_source=2, connections=3)
        self.assertEqual([asked.connect(STRANGER) for _ in range(3)], [True, True, False])
        self.assertEqual([asked.connect(host) for host in ("192.0.2.8", "192.0.2.9", FRIEND)], [True, False, True])
        asked.disconnect(STRANGER)
        self.assertEqual(asked.connect(STRANGER), False, "the trusted one fills the place")
        asked.disconnect(FRIEND)
        self.assertEqual(asked.connect(STRANGER), True)

    def test_transactions_have_places_of_their_own(self) -> None:
        asked = budget(connections_per_source=1, transactions_per_source=1, transactions=2)
        self.assertEqual([asked.connect(STRANGER), asked.open(STRANGER), asked.open(STRANGER)], [True, True, False])
        self.assertEqual([asked.open(FRIEND) for _ in range(4)], [True] * 4)
        asked.close(STRANGER)
        self.assertEqual(asked.open(STRANGER), True, "the friend takes up no more than others may")

    def test_giving_back_what_was_not_taken_changes_nothing(self) -> None:
        asked = budget(transactions_per_source=1, transactions=1)
        asked.close(STRANGER)
        self.assertEqual([asked.open(STRANGER), asked.open(STRANGER)], [True, False])

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
    @settings(max_examples=60, deadline=None)
    def test_never_more_than_there_are(self, steps: list[tuple[bool, str]]) -> None:
        places, held = Places(2, 4), {"a": 0, "b": 0, "c": 0}
        for taking, source in steps:
            if taking and places.free(source):
                places.take(source)
                held[source] += 1
            elif not taking:
                places.give_back(source)
                held[source] = max(0, held[source] - 1)
            self.assertEqual(places.total, sum(held.values()))
            self.assertTrue(places.total <= 4 and max(held.values()) <= 2)


class Sources(TestCase):
    def test_what_counts_as_one(self) -> None:
        same = [("2001:db8::1", "2001:db8::ffff:1"), ("fe80::1%eth0", "fe80::2"), ("::ffff:192.0.2.1", "192.0.2.1")]
        for one, other in same:
            self.assertEqual(source_of(one), source_of(other))
        for one, other in (("2001:db8::1", "2001:db8:0:1::1"), ("192.0.2.1", "192.0.2.2")):
            self.assertNotEqual(source_of(one), source_of(other))
