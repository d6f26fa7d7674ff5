"""Two thousand INVITEs at once against limits of 10, 25 and 40: exactly so many are up, also after kill -9, also on two nodes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from unittest import TestCase

import pytest

from tests.interop.flood import Attempt, Flood
from tests.interop.house import until
from tests.interop.platform import Platform
from tests.store.redis_server import redis_server

TRUNKS = {f"127.0.4.{n}": f"t{n}" for n in range(1, 7)}
"""By address; the first half belongs to one workspace, the rest to another."""

GLOBAL = "[limits]\nmax_calls = 40\n"


def furnish(platform: Platform) -> None:
    """Two workspaces of 25 calls with three trunks of 10 each."""
    platform.command("workspaces", "set", "Acme", "--max-calls", "25")
    platform.command("workspaces", "add", "Other", "--max-calls", "25")
    platform.command("agents", "add", "Quiet", "--backend", "silent", "--instructions", "Say nothing.", "--workspace", "Other")
    for number, (source, name) in enumerate(TRUNKS.items()):
        workspace = "Acme" if number < 3 else "Other"
        platform.command("trunks", "add", name, "--allow", f"{source}/32", "--no-digest", "--workspace", workspace)
        platform.command("dids", "add", "cps", "--trunk", name, "--agent", "cps" if number < 3 else "Quiet")
    time.sleep(1.0)


def up(attempts: list[Attempt]) -> list[Attempt]:
    return [attempt for attempt in attempts if attempt.status == 200]


@pytest.mark.interop
class OneNode(TestCase):
    def setUp(self) -> None:
        self.platform = Platform("30000-30400", GLOBAL)
        self.addCleanup(self.platform.remove)
        self.platform.start()
        furnish(self.platform)

    def flood(self, sources: list[str], most: int) -> tuple[Flood, list[Attempt]]:
        """Two thousand INVITEs at once, then some more where the machine had too much to do; `most` are up, others refused."""
        flood = Flood(self.platform.sip, "cps", sources)
        self.addCleanup(flood.close)
        began = time.monotonic()
        attempts = flood.call(2000)
        print(f"2000 INVITEs in {time.monotonic() - began:.1f} s: {len(up(attempts))} of {most} up")
        deadline = time.monotonic() + 30
        while len(up(attempts)) < most and time.monotonic() < deadline:
            time.sleep(0.2)
            attempts += flood.call(12)
        attempts += flood.call(60)
        self.assertEqual(Counter(attempt.status for attempt in attempts), {200: most, 503: len(attempts) - most})
        waits = Counter(attempt.retry_after for attempt in attempts if attempt.status == 503)
        self.assertTrue(all(5 <= wait <= 60 for wait in waits), waits)
        self.assertGreater(len(waits), 1)
        self.assertEqual(self.platform.metrics()["smartalex_calls"], most)
        by_trunk = Counter(TRUNKS[attempt.source] for attempt in up(attempts))
        by_workspace = Counter("Acme" if name < "t4" else "Other" for name in by_trunk.elements())
        print(dict(by_trunk), dict(by_workspace), "Retry-After", dict(waits))
        self.assertLessEqual(max(by_trunk.values()), 10)
        self.assertLessEqual(max(by_workspace.values()), 25)
        return flood, attempts

    def test_exactly_so_many_of_trunk_workspace_and_service(self) -> None:
        for sources, most in ((1, 10), (3, 25), (6, 40)):
            with self.subTest(most):
                flood, attempts = self.flood(list(TRUNKS)[:sources], most)
                flood.hang_up(up(attempts))
                until(lambda: self.platform.metrics()["smartalex_calls"] == 0)

    def test_the_counts_are_right_after_kill_9(self) -> None:
        self.flood(list(TRUNKS), 40)
        self.platform.kill()
        self.platform.start()
        self.assertEqual(self.platform.metrics()["smartalex_calls"], 0)
        self.flood(list(TRUNKS), 40)


@pytest.mark.interop
class TwoNodes(TestCase):
    """One Redis, and each its own database with the same tenants."""

    def test_they_share_the_limit_exactly_also_when_one_dies(self) -> None:
        server = redis_server()
        self.addCleanup(server.remove)
        config = f'[limits]\nmax_calls = 200\nredis = "{server.url}"\n'
        nodes = [Platform(ports, config) for ports in ("31000-31400", "32000-32400")]
        for node in nodes:
            self.addCleanup(node.remove)
            node.start()
            furnish(node)
        floods = [Flood(node.sip, "cps", TRUNKS) for node in nodes]
        for flood in floods:
            self.addCleanup(flood.close)
        until(lambda: sum(node.metrics()["smartalex_leases"] for node in nodes) == 50)
        placed: list[list[Attempt]] = [[], []]
        for _ in range(10):
            for flood, attempts in zip(floods, placed, strict=True):
                attempts += flood.call(100)
            self.assertLessEqual(sum(len(up(attempts)) for attempts in placed), 50)
        self.settle(lambda: sum(len(up(attempts)) for attempts in placed), 50, floods, placed)
        by_workspace = Counter(TRUNKS[a.source] < "t4" for attempts in placed for a in up(attempts))
        print("two nodes:", [len(up(attempts)) for attempts in placed], dict(by_workspace))
        self.assertEqual(by_workspace, {True: 25, False: 25})
        nodes[0].kill()
        died = time.monotonic()

        def alive() -> int:
            return len(up(placed[1]))

        before = alive()
        self.settle(lambda: int(alive() > before), 1, floods[1:], placed[1:])
        print(f"the first of a dead node's places was given {time.monotonic() - died:.1f} s after kill -9")
        self.settle(alive, 50, floods[1:], placed[1:])
        print(f"all of them after {time.monotonic() - died:.1f} s")

    def settle(self, count: Callable[[], int], wanted: int, floods: list[Flood], placed: list[list[Attempt]]) -> None:
        """Call on, ten at a time, until there are so many; AssertionError when there never are."""
        deadline = time.monotonic() + 40
        while count() < wanted:
            self.assertLess(time.monotonic(), deadline, f"{count()} of {wanted}")
            for flood, attempts in zip(floods, placed, strict=True):
                attempts += flood.call(12)
            time.sleep(0.1)
        for flood, attempts in zip(floods, placed, strict=True):
            attempts += flood.call(60)
        self.assertEqual(count(), wanted)
