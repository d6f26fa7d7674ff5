"""`smartalex store copy`, and what commands say when the database goes away."""

from __future__ import annotations

import fcntl

from sqlalchemy import select
from sqlalchemy.engine import Engine

from smartalex.store import schema
from smartalex.store.engine import open_engine
from smartalex.store.records import Records
from tests.cli.commands import Commands
from tests.store.postgres import postgres
from tests.store.stores import call


class Copying(Commands):
    def setUp(self) -> None:
        super().setUp()
        server = postgres()
        self.name = server.new_database()
        self.addCleanup(server.drop, self.name)
        self.url = server.url(self.name)

    def rows(self, engine: Engine) -> dict[str, list[str]]:
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            return {t.name: sorted(map(repr, connection.execute(select(t)))) for t in schema.metadata.sorted_tables}

    def engine(self) -> Engine:
        return open_engine(f"sqlite:///{self.state / 'smartalex.db'}")

    def test_everything_goes_to_the_server_and_back(self) -> None:
        Records(self.engine()).apply(call("01A", secured="x", mos=4.2))
        counts = self.line("store", "copy", "--to", self.url)
        self.assertEqual((counts["call"], counts["call_event"], counts["trunk"]), (1, 3, 1))
        before = self.rows(self.engine())
        self.assertEqual(self.rows(open_engine(self.url)), before)
        config = self.folder / "smartalex.toml"
        config.write_text(f'[store]\nurl = "{self.url}"\n')
        self.assertEqual(self.line("calls", "--config", str(config))["id"], "01A")
        back = f"sqlite:///{self.folder / 'back.db'}"
        self.assertIn("[store] url = ", self.output("store", "copy", "--to", back, "--config", str(config)))
        self.assertEqual(self.rows(open_engine(back)), before)

    def test_what_there_is(self) -> None:
        told = self.line("store")
        self.assertEqual((told["url"], told["trunk"], told["call"]), (f"sqlite:///{self.state / 'smartalex.db'}", 1, 0))
        self.assertIn("extension", self.output("store"))

    def test_only_into_an_empty_one(self) -> None:
        self.output("store", "copy", "--to", self.url)
        self.assertIn("the other database is not empty: it has rows in ", self.error("store", "copy", "--to", self.url))

    def test_not_under_a_running_platform(self) -> None:
        with (self.state / "lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("the platform is running", self.error("store", "copy", "--to", self.url))


class Gone(Commands):
    def setUp(self) -> None:
        super().setUp()
        self.config = self.folder / "smartalex.toml"
        self.config.write_text('[store]\nurl = "postgresql+psycopg://me:topsecret@127.0.0.1:1/smartalex"\n')

    def test_each_command_says_so(self) -> None:
        for command in (("calls",), ("messages",), ("trunks",), ("dids", "add", "1", "--trunk", "acme", "--agent", "alex")):
            said = self.error(*command, "--config", str(self.config))
            self.assertIn("postgresql+psycopg://me:***@127.0.0.1:1/smartalex: the database cannot be reached: ", said)
            self.assertNotIn("topsecret", said)
