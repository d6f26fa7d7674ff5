"""Databases of every version, with something in each table, become those of the newest."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from smartalex.store import schema
from smartalex.store.engine import MIGRATIONS, open_engine, upgrade
from tests.store.stores import StoreCase, on_both

SAMPLES: dict[type, Any] = {sa.Float: 1.5, sa.Integer: 7, sa.Boolean: True, sa.LargeBinary: b"x", sa.JSON: ["x"]}
CHANGED = {"codecs"}
"""Has another meaning since 0004: what nobody could choose before."""


def config() -> Config:
    found = Config()
    found.set_main_option("script_location", str(MIGRATIONS))
    return found


VERSIONS = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()]


@on_both
class Upgrades(StoreCase):
    def test_a_filled_database_of_each_version(self) -> None:
        for version in VERSIONS:
            engine = open_engine(self.without_schema(f"at{version}.db"))
            self.addCleanup(engine.dispose)
            self.bring(engine, version)
            before = self.fill(engine)
            upgrade(engine)
            with engine.connect() as connection:
                self.assertEqual(compare_metadata(MigrationContext.configure(connection), schema.metadata), [], version)
                for name, rows in before.items():
                    table = schema.metadata.tables[name]
                    found = connection.execute(sa.select(table)).mappings().one()
                    kept = {key: found[key] for key in rows if key in found and key not in CHANGED}
                    self.assertEqual(kept, {key: rows[key] for key in kept}, (version, name))
                self.assertGreater(len(before), 5)
                if connection.dialect.name == "sqlite":
                    self.assertEqual(connection.exec_driver_sql("PRAGMA foreign_keys").scalar(), 1)
                    self.assertEqual(connection.exec_driver_sql("PRAGMA foreign_key_check").all(), [])

    def bring(self, engine: sa.Engine, version: str) -> None:
        with engine.begin() as connection:
            settings = config()
            settings.attributes["connection"] = connection
            command.upgrade(settings, version)

    def fill(self, engine: sa.Engine) -> dict[str, dict[str, Any]]:
        """One row for each table there is; all that refer to something refer to one another."""
        reflected = sa.MetaData()
        reflected.reflect(engine)
        tables = [table for table in reflected.sorted_tables if table.name != "alembic_version"]
        rows = {table.name: {column.name: sample(column) for column in table.columns} for table in tables}
        with engine.begin() as connection:
            for table in tables:
                connection.execute(sa.insert(table).values(rows[table.name]))
        return rows


def sample(column: sa.Column[Any]) -> Any:
    return next((value for kind, value in SAMPLES.items() if isinstance(column.type, kind)), "x")
