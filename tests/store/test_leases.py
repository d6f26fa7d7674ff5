"""Several nodes on one real Redis: never more than the limit together, all of it where it is wanted; and without Redis."""

from __future__ import annotations

import time
from random import Random
from unittest import TestCase

from smartalex.errors import ConfigurationError
from smartalex.store.leases import FIRST_S, LEASE_S, SHORT_S, Ask, Leases, redis_asker
from smartalex.tenants.directory import Directory
from smartalex.tenants.workspace import Workspace
from tests.store.redis_server import RedisServer, redis_server

OWNER = Workspace("w", "Acme", Directory(), max_calls=25)
PATIENCE_S = 30.0


class Node:
    """One that is driven by hand; its clock stands still unless it is told."""

    def __init__(self, ask: Ask, grace_s: float = 300.0) -> None:
        self.now = 1000.0
        self.leases = Leases(lambda: self.now, grace_s)
        self.leases.adopt([OWNER])
        self._ask = ask

    @property
    def used(self) -> int:
        return self.leases.held("w")[1]

    def call(self, times: int = 1) -> int:
        """How many could begin."""
        begun = 0
        for _ in range(times):
            if self.leases.free(OWNER):
                self.leases.take("w")
                begun += 1
        return begun

    def end(self, times: int = 1) -> None:
        for _ in range(times):
            self.leases.give_back("w")

    def look(self, *, lost: bool = False) -> None:
        """Ask Redis; `lost`: it hears us, but we do not hear it."""
        rows = self.leases.rows()
        answer = self._ask(rows)
        if lost:
            self.leases.failed(rows)
        else:
            self.leases.told(rows, answer, self.now)


class Sharing(TestCase):
    server: RedisServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = redis_server()
        cls.addClassCleanup(cls.server.remove)

    def setUp(self) -> None:
        with self.server.client() as client:
            client.flushall()

    def nodes(self, count: int, lease_s: float = LEASE_S, confirm_s: float = 0.0) -> list[Node]:
        return [Node(redis_asker(self.server.url, f"n{n}", lease_s, confirm_s)) for n in range(count)]

    def rounds(self, nodes: list[Node], count: int = 12) -> None:
        for _ in range(count):
            for node in nodes:
                node.look()

    def test_alone_a_node_has_everything(self) -> None:
        [node] = self.nodes(1)
        self.assertEqual(node.call(5), 0)
        node.look()
        self.assertEqual(node.call(100), 25)

    def test_one_that_comes_later_is_given_half_and_all_where_calls_wait(self) -> None:
        first, second = self.nodes(2)
        self.rounds([first])
        self.rounds([first, second])
        held = [node.leases.held("w")[0] for node in (first, second)]
        self.assertEqual((sum(held), min(held) >= 6), (25, True), held)
        for _ in range(12):
            second.call(100)
            self.rounds([first, second], 1)
        second.call()
        self.assertEqual((first.used, second.used), (0, 25))
        self.assertEqual(first.call(), 0)

    def test_a_thousand_calls_at_each_of_two_nodes_at_once(self) -> None:
        nodes = self.nodes(2)
        for number in range(1000):
            for node in nodes:
                node.call()
            if number % 20 == 0:
                self.rounds(nodes, 1)
            self.assertLessEqual(sum(node.used for node in nodes), 25)
        self.assertEqual(sum(node.used for node in nodes), 25)

    def test_the_last_free_place_is_found_wherever_it_is(self) -> None:
        nodes = self.nodes(3)
        for _ in range(40):
            for node in nodes:
                node.call(25)
            self.rounds(nodes, 1)
        self.assertEqual(sum(node.used for node in nodes), 25)
        busy = max(nodes, key=lambda node: node.used)
        busy.end()
        for node in nodes:
            node.now += SHORT_S
        other = next(node for node in nodes if node is not busy)
        other.call()
        self.rounds(nodes, 4)
        self.assertEqual(other.call(), 1)

    def test_never_more_than_the_limit_whatever_gets_lost(self) -> None:
        for seed in range(8):
            with self.subTest(seed=seed):
                self.setUp()
                random, nodes, most = Random(seed), self.nodes(3), 0
                for _ in range(1500):
                    node = random.choice(nodes)
                    match random.randrange(6):
                        case 0 | 1:
                            node.call(random.randrange(8))
                        case 2:
                            node.end(random.randrange(node.used + 1))
                        case 3 | 4:
                            node.look(lost=random.random() < 0.2)
                        case 5:
                            node.now += random.random()
                    self.assertLessEqual(sum(node.used for node in nodes), 25)
                    self.assertLessEqual(sum(node.leases.held("w")[0] for node in nodes), 25)
                    most = max(most, sum(node.used for node in nodes))
                self.assertEqual(most, 25)

    def test_leases_of_a_dead_node_come_free(self) -> None:
        dead, alive = self.nodes(2, lease_s=1.0)
        dead.look()
        dead.call(25)
        deadline = time.monotonic() + PATIENCE_S
        while not alive.call() and time.monotonic() < deadline:
            alive.look()
        self.assertEqual((alive.used, alive.call(100)), (1, 24))

    def test_who_starts_again_has_what_it_had(self) -> None:
        ask = redis_asker(self.server.url, "same", confirm_s=0)
        before = Node(ask)
        before.look()
        before.call(20)
        again = Node(ask)
        again.look()
        self.assertEqual(again.call(100), 25)

    def test_a_changed_limit_counts_when_calls_have_ended(self) -> None:
        [node] = self.nodes(1)
        node.look()
        node.call(20)
        fewer = Workspace("w", "Acme", Directory(), max_calls=10)
        node.leases.adopt([fewer], all_of_them=True)
        node.look()
        self.assertFalse(node.leases.free(fewer))
        node.end(11)
        node.look()
        self.assertTrue(node.leases.free(fewer))
        node.leases.adopt([], all_of_them=True)
        self.assertEqual(node.leases.held("w")[1], 9)

    def test_a_redis_that_lost_everything_first_hears_what_nodes_hold(self) -> None:
        first, second = self.nodes(2, confirm_s=1.0)
        deadline = time.monotonic() + PATIENCE_S
        while first.used + second.used < 25 and time.monotonic() < deadline:
            for node in (first, second):
                node.call(25)
                node.look()
        for emptied in range(3):
            self.setUp()
            for _ in range(50):
                (first, second)[emptied % 2].call(25)
                first.look()
                second.call(25)
                second.look()
                self.assertLessEqual(first.leases.held("w")[0] + second.leases.held("w")[0], 25)
            self.assertEqual(first.used + second.used, 25)

    def test_ten_thousand_workspaces(self) -> None:
        node = Node(redis_asker(self.server.url, "n", confirm_s=0))
        node.leases.adopt([Workspace(str(n), "x", Directory(), max_calls=5) for n in range(10_000)])
        for _ in range(25):
            node.look()
        self.assertEqual(node.leases.gauges()["leases"], 50_025)
        self.assertEqual(node.leases.rows(), [])


class Away(TestCase):
    """Redis does not answer."""

    def test_leases_go_on_through_the_grace_then_each_node_counts_alone(self) -> None:
        node = Node(lambda rows: (0, [7] * len(rows), [], 0), grace_s=60.0)
        node.look()
        self.assertEqual(node.call(100), 7)
        node.end(2)
        for seconds in (LEASE_S + 1, 58):
            node.now += seconds
            self.assertEqual(node.call(100), 2)
            node.end(2)
        node.now += 2
        self.assertEqual((node.leases.alone, node.call(100), node.used), (True, 20, 25))

    def test_a_node_that_starts_without_counts_alone_after_a_moment(self) -> None:
        node = Node(lambda rows: (0, [], [], 0))
        self.assertEqual(node.call(), 0)
        node.now += FIRST_S
        self.assertEqual(node.call(100), 25)

    def test_leases_that_ran_out_are_asked_for_anew(self) -> None:
        answers = [(0, [10], [], 0), (1, [], [], 0), (0, [4], [], 0)]
        node = Node(lambda rows: answers.pop(0))
        node.look()
        node.call(3)
        node.look()
        self.assertEqual(node.call(), 0)
        node.look()
        self.assertEqual(node.leases.held("w"), (4, 3))

    def test_a_wrong_address_is_one_sentence(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, r"^limits.redis: "):
            redis_asker("http://here", "n")
