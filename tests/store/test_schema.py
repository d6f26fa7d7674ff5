"""Migrations lead to the schema, whole or not at all."""

from __future__ import annotations

from unittest import TestCase

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from smartalex.errors import LocalError
from smartalex.store import migrations, schema
from smartalex.store.engine import writing
from smartalex.store.migrations import HEAD, upgrade
from tests.store.stores import StoreTestCase


class Migrations(StoreTestCase):
    def test_they_lead_to_the_schema(self) -> None:
        with self.engine.connect() as connection:
            self.assertEqual(compare_metadata(MigrationContext.configure(connection), schema.metadata), [])

    def test_indexes_and_keys_are_those_of_the_schema(self) -> None:
        found = inspect(self.engine)
        for table in schema.metadata.tables.values():
            self.assertEqual({i["name"] for i in found.get_indexes(table.name)}, {i.name for i in table.indexes})
            self.assertEqual(found.get_pk_constraint(table.name)["constrained_columns"], [c.name for c in table.primary_key])

    def test_a_second_time_there_is_nothing_to_do(self) -> None:
        self.assertFalse(upgrade(self.engine))

    def test_a_database_of_a_newer_version_is_left_alone(self) -> None:
        with writing(self.engine) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with self.assertRaisesRegex(LocalError, "cannot be brought to this version"):
            upgrade(self.engine)

    def test_a_change_of_tables_that_fails_leaves_none_behind(self) -> None:
        class Fault(Exception):
            pass

        with self.assertRaises(Fault), writing(self.engine) as connection:
            connection.execute(text("CREATE TABLE half (id INTEGER)"))
            raise Fault
        self.assertFalse(inspect(self.engine).has_table("half"))


class Head(TestCase):
    def test_the_constant_names_the_newest_migration(self) -> None:
        self.assertEqual(ScriptDirectory(migrations.__path__[0]).get_heads(), [HEAD])


class Sqlite(StoreTestCase):
    def test_every_connection_is_prepared(self) -> None:
        with self.engine.connect() as connection:
            asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")}
        self.assertEqual(asked, {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1})
