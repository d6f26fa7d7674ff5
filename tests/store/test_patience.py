"""A server that does not answer holds no thread: statements, commits and connecting end with an error, and work again later."""

from __future__ import annotations

from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import OperationalError

from smartalex.errors import ConfigurationError
from smartalex.store import schema
from smartalex.store.engine import StoreUnreachable, open_engine, unreachable, upgrade
from tests.store.postgres import postgres
from tests.store.stores import OnPostgreSQL, StoreCase

LIMIT_S = 1.0


class Waiting(OnPostgreSQL, StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.engine = open_engine(self.url, LIMIT_S)
        self.addCleanup(self.engine.dispose)
        self.addCleanup(postgres().thaw)

    def fails(self, engine: Engine, statement: str) -> str:
        with self.assertRaises(OperationalError) as caught, engine.begin() as connection:
            connection.execute(text(statement))
        self.assertTrue(unreachable(caught.exception))
        return str(caught.exception.orig)

    def works(self) -> bool:
        with self.engine.connect() as connection:
            return connection.execute(text("SELECT 1")).scalar() == 1

    def test_a_statement_that_takes_too_long_is_ended_by_the_server(self) -> None:
        self.assertIn("statement timeout", self.fails(self.engine, "SELECT pg_sleep(600)"))
        self.assertTrue(self.works())

    def test_a_lock_that_is_held_is_not_waited_for_long(self) -> None:
        with self.repository.engine.begin() as holder:
            holder.execute(insert(schema.meta).values(key="a", value="b"))
            self.assertIn("lock timeout", self.fails(self.engine, "LOCK TABLE meta"))

    def test_a_server_that_was_stopped_in_the_middle(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            postgres().freeze()
            self.assertRaises(OperationalError, connection.execute, text("SELECT 1"))
        postgres().thaw()
        self.assertTrue(self.works())

    def test_a_commit_that_nobody_answers(self) -> None:
        with self.assertRaises(OperationalError), self.engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            postgres().freeze()
        postgres().thaw()
        self.assertTrue(self.works())

    def test_connecting_to_one_that_is_stopped(self) -> None:
        postgres().freeze()
        with self.assertRaisesRegex(StoreUnreachable, "the database cannot be reached: connection timeout expired"):
            upgrade(self.engine)
        postgres().thaw()
        self.assertTrue(self.works())


class Unreachable(StoreCase):
    def test_nobody_listens_and_no_password_is_said(self) -> None:
        engine = open_engine("postgresql+psycopg://me:topsecret@127.0.0.1:1/smartalex")
        with self.assertRaises(StoreUnreachable) as caught:
            upgrade(engine)
        self.assertIn(
            "postgresql+psycopg://me:***@127.0.0.1:1/smartalex: the database cannot be reached: ", str(caught.exception)
        )
        self.assertNotIn("topsecret", str(caught.exception) + repr(engine))

    def test_a_driver_that_is_not_there(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, r"pg8000 is not installed; say: pip install 'smartalex\[postgresql\]'"):
            open_engine("postgresql+pg8000://me@127.0.0.1/smartalex")
