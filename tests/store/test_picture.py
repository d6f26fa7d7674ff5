"""A node whose database is away: it goes on with what it knew, also through a restart, for as long as was said."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select
from twisted.internet.defer import Deferred

from smartalex.config import load
from smartalex.errors import ConfigurationError
from smartalex.store import schema
from smartalex.store.contact import Contact
from smartalex.store.demo import seed_demo
from smartalex.store.engine import StoreUnreachable
from smartalex.store.picture import LEFT_OUT, Picture
from smartalex.store.repository import Repository
from smartalex.store.state import State, open_state
from smartalex.store.vault import Vault
from tests.store.postgres import TEMPLATE, Postgres, postgres
from tests.store.stores import KEY, StoreCase, at_once, call, on_both

NOWHERE = "postgresql+psycopg://me@127.0.0.1:1/smartalex"


@on_both
class Pictures(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        seed_demo(self.repository, "smartalex")
        self.picture = Picture(self.folder)

    def seen(self) -> Repository:
        engine = self.picture.open()
        return Repository(engine, Vault(engine, KEY))

    def test_all_that_a_start_reads_is_in_it(self) -> None:
        self.picture.take(self.repository.engine)
        seen = self.seen()
        self.assertEqual(seen.tenancy(), self.repository.tenancy())
        self.assertEqual(seen.credentials(), self.repository.credentials())
        self.assertEqual((seen.revision(), seen.register_passwords(), seen.bindings()), (self.repository.revision(), {}, []))

    def test_whatever_table_is_added_is_in_it_unless_it_is_named(self) -> None:
        self.picture.take(self.repository.engine)
        with self.repository.engine.connect() as there, self.picture.open().connect() as here:
            for table in schema.metadata.sorted_tables:
                rows = [] if table.name in LEFT_OUT else sorted(map(repr, there.execute(select(table))))
                self.assertEqual(sorted(map(repr, here.execute(select(table)))), rows, table.name)

    def test_only_its_owner_may_read_it_and_no_secret_is_in_it(self) -> None:
        secret = b"a password of ours"
        self.repository.vault.put("trunk/acme/register", secret)
        self.picture.take(self.repository.engine)
        self.assertEqual(stat.S_IMODE(self.picture.path.stat().st_mode), 0o600)
        self.assertNotIn(secret, self.picture.path.read_bytes())
        self.assertEqual(self.seen().vault.get("trunk/acme/register"), secret)

    def test_one_that_fails_leaves_the_old_one(self) -> None:
        self.picture.take(self.repository.engine)
        before = self.picture.path.read_bytes()

        def fail() -> None:
            raise RuntimeError("the power went")

        self.assertRaises(RuntimeError, self.picture.take, self.repository.engine, fail)
        self.assertEqual(self.picture.path.read_bytes(), before)
        self.picture.take(self.repository.engine)
        self.assertEqual([path.name for path in self.folder.glob("picture-*")], [self.picture.path.name])

    def test_one_of_another_schema_is_none(self) -> None:
        (self.folder / "picture-0001.db").write_bytes(b"")
        self.assertIsNone(self.picture.age_s())
        self.picture.take(self.repository.engine)
        self.assertFalse((self.folder / "picture-0001.db").exists())

    def test_its_age_counts_from_the_last_confirmation(self) -> None:
        self.picture.confirm()
        self.assertIsNone(self.picture.age_s())
        self.picture.take(self.repository.engine)
        os.utime(self.picture.path, (0, 0))
        self.assertGreater(self.picture.age_s() or 0, 1e9)
        self.picture.confirm()
        self.assertLess(self.picture.age_s() or 0, 1e6)


class Contacts(StoreCase):
    """On a clock of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.time, self.taken, self.jobs = 0.0, 0, 0
        self.picture = Picture(self.folder)
        self.contact = Contact(100.0, lambda: self.time, self.run_job, self.repository.engine, self.picture)

    def run_job(self, function: Any, *arguments: Any) -> Deferred[Any]:
        self.jobs += 1
        return at_once(function, *arguments)

    def heard(self, *, changed: bool = False) -> int:
        """How many pictures were taken or confirmed for it."""
        before = self.jobs
        self.contact.heard(lambda: None, changed=changed)
        return self.jobs - before

    def test_what_was_known_lapses_when_nobody_has_confirmed_it_for_too_long(self) -> None:
        self.heard()
        for self.time, down, lapsed in ((50.0, True, False), (99.0, True, False), (101.0, True, True)):
            self.contact.missed()
            self.assertEqual((self.contact.down, self.contact.lapsed), (down, lapsed), self.time)
        self.heard()
        self.assertEqual((self.contact.down, self.contact.lapsed), (False, False))

    def test_a_start_from_a_picture_counts_its_age(self) -> None:
        self.contact.start_from_picture(60.0)
        self.time = 39.0
        self.assertEqual((self.contact.down, self.contact.lapsed), (True, False))
        self.time = 41.0
        self.assertTrue(self.contact.lapsed)

    def test_a_picture_is_taken_at_first_and_after_changes_and_confirmed_once_a_minute(self) -> None:
        self.assertEqual(self.heard(), 1)
        stamp = self.picture.path.stat().st_mtime_ns
        self.assertEqual((self.heard(), self.heard(changed=True), self.heard()), (0, 1, 0))
        self.assertGreater(self.picture.path.stat().st_mtime_ns, stamp)
        self.time = 61.0
        self.assertEqual((self.heard(), self.heard()), (1, 0))

    def test_where_it_takes_long_changes_are_gathered(self) -> None:
        waiting: list[Deferred[Any]] = []
        self.contact.defer = lambda *job: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
        self.heard()
        self.time = 5.0
        self.heard(changed=True)
        self.assertEqual(len(waiting), 1, "one at a time")
        waiting[0].callback(None)
        for self.time, taken in ((6.0, 1), (54.0, 1), (55.0, 2)):
            self.heard(changed=self.time == 54.0)
            self.assertEqual(len(waiting), taken, self.time)

    def test_one_that_could_not_be_taken_is_tried_again(self) -> None:
        self.folder.chmod(0o755)
        self.picture.path = self.folder / "missing" / "picture.db"
        self.assertEqual((self.heard(), self.heard()), (1, 1))
        self.picture.path.parent.mkdir()
        self.assertEqual((self.heard(), self.heard()), (1, 0))


class Starting(StoreCase):
    """A state directory whose database is on a server of its own."""

    server: Postgres

    def setUp(self) -> None:
        super().setUp()
        self.name = postgres().new_database(TEMPLATE)
        self.addCleanup(postgres().drop, self.name)

    def start(self, url: str, *, serve: bool = True, **store: Any) -> State:
        options = {"node.state_dir": str(self.folder / "state"), "store.url": url, "store.timeout_s": 2.0}
        state = open_state(load(None, {**options, **{f"store.{k}": v for k, v in store.items()}}), serve=serve)
        self.addCleanup(state.repository.engine.dispose)
        if state.lock is not None:
            self.addCleanup(state.lock.close)
        return state

    def known(self) -> Path:
        """A node that has run for a while."""
        state = self.start(postgres().url(self.name))
        assert state.picture is not None and state.lock is not None
        state.picture.take(state.repository.engine)
        state.lock.close()
        return state.picture.path

    def test_from_the_picture_while_the_database_is_away(self) -> None:
        self.known()
        state = self.start(NOWHERE)
        self.assertIsNot(state.known, state.repository)
        self.assertEqual(list(state.known.tenancy().trunks), ["acme"])
        self.assertEqual(len(state.known.credentials()), 1)
        self.assertIsNone(state.issued)

    def test_not_from_one_that_is_too_old(self) -> None:
        os.utime(self.known(), (0, 0))
        with self.assertRaisesRegex(StoreUnreachable, "cannot be reached: .* what was last known of it is .* h old"):
            self.start(NOWHERE)

    def test_not_without_one(self) -> None:
        with self.assertRaisesRegex(
            StoreUnreachable, "postgresql.psycopg://me@127.0.0.1:1/smartalex: the database cannot be rea"
        ):
            self.start(NOWHERE)

    def test_commands_say_that_the_database_cannot_be_reached(self) -> None:
        self.known()
        with self.assertRaisesRegex(StoreUnreachable, "the database cannot be reached"):
            self.start(NOWHERE, serve=False)

    def test_a_second_node_needs_the_key_of_the_first(self) -> None:
        self.known()
        with self.assertRaisesRegex(ConfigurationError, "master key is missing"):
            self.folder = self.folder / "other"
            self.folder.mkdir()
            self.start(postgres().url(self.name))

    def test_records_of_the_time_without_a_database_are_in_it_later(self) -> None:
        self.known()
        state = self.start(NOWHERE)
        state.journal.start()
        for event in call("A"):
            state.journal.record(event)
        state.journal.close()
        assert state.lock is not None
        state.lock.close()
        later = self.start(postgres().url(self.name))
        later.journal.start()
        self.addCleanup(later.journal.close)
        first = later.journal.first(10)
        assert first is not None and not isinstance(first, list)
        later.repository.records.apply(first.read(10)[0])
        self.assertEqual([row["run"] for row in later.repository.records.calls()], [state.journal.run])


class Rows(StoreCase):
    """What is copied is read in portions."""

    def test_more_rows_than_a_portion(self) -> None:
        with self.repository.engine.begin() as connection:
            connection.execute(insert(schema.meta), [{"key": str(n), "value": ""} for n in range(1000)])
        picture, pauses = Picture(self.folder), []
        picture.take(self.repository.engine, lambda: pauses.append(1))
        with picture.open().connect() as connection:
            self.assertEqual(len(connection.execute(select(schema.meta)).all()), 1000)
        self.assertEqual(len(pauses), 10)
