"""Whole platforms on PostgreSQL: it goes away and calls go on; several of them share it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from unittest import TestCase

import pytest

from tests.bench.leak import Callers, drain
from tests.bench.outage import config, let_in, on_server, run
from tests.interop.house import until
from tests.interop.peers import PBX
from tests.interop.platform import Platform, smartalex
from tests.store.postgres import Postgres


class OnOneServer(TestCase):
    """A server of their own."""

    server: Postgres

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Postgres()
        cls.addClassCleanup(cls.server.remove)
        cls.server.start()

    def call(self, platform: Platform, *, hang_up: bool = True) -> str:
        """The fate of one call."""
        callers = Callers(PBX, platform.sip)
        callers.begin("held", 0)
        until(lambda: drain([callers], 0.1) or callers.held or callers.fates)
        if hang_up and callers.held:
            callers.hang_up(*callers.held)
            until(lambda: drain([callers], 0.1) or callers.fates)
        return str(*callers.fates)

    def rows(self, database: str) -> Counter[object]:
        """Calls by what became of them."""
        with self.server.connect(database) as connection:
            return Counter(fate for [fate] in connection.execute("SELECT disposition FROM call").fetchall())


@pytest.mark.slow
class Outages(OnOneServer):
    def survives(self, how: str, seconds: float) -> None:
        found = run(self.server, how, seconds, rate=5.0, around_s=2.0)
        self.assertEqual([found[name] for name in ("not_up", "unfinished", "missing", "twice")], [0, 0, 0, 0], found)
        self.assertEqual((found["dispositions"], found["most"]["store_down"]), ({"completed": found["begun"]}, 1), found)
        self.assertIn("the database cannot be reached", found["calls_said"])

    def test_a_server_that_is_stopped(self) -> None:
        self.survives("stop", 5.0)

    def test_a_server_that_says_nothing(self) -> None:
        self.survives("freeze", 15.0)

    def test_a_start_without_it_and_a_kill_in_between(self) -> None:
        database = self.server.new_database()
        platform = on_server(self.server, database)
        self.addCleanup(platform.remove)
        self.addCleanup(lambda: self.server.pid or self.server.start())
        platform.start()
        let_in(platform)
        until(lambda: list(platform.state.glob("picture-*.db")))
        self.assertEqual(self.call(platform), "held 200")
        taken = self.picture(platform)
        self.server.stop()
        platform.kill()
        platform.start()
        self.assertIn("starting from what was known", platform.logged())
        self.assertEqual(taken, self.picture(platform))
        self.assertEqual(self.call(platform), "held 200")
        self.call(platform, hang_up=False)
        self.assertEqual(platform.metrics()["smartalex_store_down"], 1)
        platform.kill()
        self.server.start()
        platform.start()
        until(lambda: self.rows(database) == {"completed": 2, "interrupted": 1}, lambda: str(self.rows(database)))
        self.assertEqual(platform.metrics()["smartalex_store_down"], 0)
        self.assertEqual(platform.stop(), 0)

    def picture(self, platform: Platform) -> bytes:
        [path] = platform.state.glob("picture-*.db")
        return path.read_bytes()

    def test_what_was_known_is_not_believed_for_ever(self) -> None:
        database = self.server.new_database()
        platform = on_server(self.server, database, "cache_lifetime_s = 2.0\n")
        self.addCleanup(platform.remove)
        self.addCleanup(lambda: self.server.pid or self.server.start())
        platform.start()
        let_in(platform)
        self.assertEqual(self.call(platform), "held 200")
        self.server.stop()
        until(lambda: self.call(platform) == "held 503")
        self.server.start()
        until(lambda: self.call(platform) == "held 200")
        until(lambda: self.rows(database)["refused"] or time.sleep(0.2), lambda: str(self.rows(database)))
        done = smartalex("calls", "--refused", "--state", str(platform.state), *config(platform))
        self.assertIn("503", done.stdout)


@pytest.mark.slow
class Nodes(OnOneServer):
    def node(self, database: str, like: Platform | None = None) -> Platform:
        platform = on_server(self.server, database)
        self.addCleanup(platform.remove)
        if like is not None:
            platform.state.mkdir()
            shutil.copy(like.state / "vault.key", platform.state)
        return platform.start()

    def test_each_sees_what_the_others_change_and_marks_its_own_calls_only(self) -> None:
        database = self.server.new_database()
        first = self.node(database)
        let_in(first)
        self.call(first, hang_up=False)
        until(lambda: self.rows(database) == {"": 1})
        second = self.node(database, first)
        self.assertEqual(self.call(second), "held 200")
        until(lambda: self.rows(database) == {"": 1, "completed": 1}, lambda: str(self.rows(database)))
        first.command("trunks", "set", "pbx", "--suspend", *config(first))
        until(lambda: self.call(second) == "held 403")
        first.kill()
        before = self.rows(database)
        self.assertEqual((before[""], before["interrupted"]), (1, 0))
        first.start()
        after = self.rows(database)
        self.assertEqual((after[""], after["interrupted"]), (0, 1))
