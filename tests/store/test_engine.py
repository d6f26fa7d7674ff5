"""The database: the migrations make what the schema says, and a database we cannot use is refused in a sentence."""

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Inspector, create_engine, event, inspect, text

from smartalex.errors import ConfigurationError
from smartalex.store import schema
from smartalex.store.engine import MIGRATIONS, open_engine, to_json, upgrade
from tests.store.stores import StoreCase, on_both


def told(inspector: Inspector, look: str, table: str) -> object:
    """What the database itself says of a table, in an order of its own."""
    found = getattr(inspector, look)(table)
    return sorted(str(plainly(item)) for item in found) if isinstance(found, list) else found


def plainly(value: object) -> object:
    """Conditions as the text they are."""
    return {name: plainly(item) for name, item in value.items()} if isinstance(value, dict) else str(value)


def compared(engine: Engine) -> list[object]:
    """How the database differs from the schema."""
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))


@on_both
class Migrations(StoreCase):
    def test_from_nothing_they_make_the_schema(self) -> None:
        self.assertEqual(compared(self.repository.engine), [])

    def test_defaults_and_constraints_are_those_of_the_schema(self) -> None:
        direct = create_engine(self.without_schema())
        self.addCleanup(direct.dispose)
        schema.metadata.create_all(direct)
        migrated, plain = inspect(self.repository.engine), inspect(direct)
        for table in schema.metadata.tables:
            for look in ("get_columns", "get_pk_constraint", "get_foreign_keys", "get_unique_constraints", "get_indexes"):
                self.assertEqual(told(migrated, look, table), told(plain, look, table), f"{look} of {table}")

    def test_again_they_change_nothing(self) -> None:
        self.repository.vault.put("a", b"kept")
        upgrade(self.repository.engine)
        self.assertEqual(self.repository.vault.get("a"), b"kept")

    def test_a_database_of_a_newer_version_is_refused_and_left_alone(self) -> None:
        with self.repository.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
        with self.assertRaises(ConfigurationError) as caught:
            upgrade(self.repository.engine)
        said = str(caught.exception)
        name = self.repository.engine.url.database
        assert name is not None
        self.assertIn(f"{name}: written by a newer SmartAlex", said)
        self.assertRegex(said, r"schema 0099, this one knows up to \d{4}\)")
        with self.repository.engine.connect() as connection:
            self.assertEqual(connection.execute(text("SELECT version_num FROM alembic_version")).scalar(), "0099")

    def test_two_processes_at_once_do_it_once(self) -> None:
        engines = [open_engine(self.without_schema())]
        engines.append(open_engine(engines[0].url.render_as_string(hide_password=False)))
        for engine in engines:
            self.addCleanup(engine.dispose)
        with ThreadPoolExecutor(2) as both:
            list(both.map(upgrade, engines))
        self.assertEqual(compared(engines[0]), [])

    def test_one_that_fails_half_way_leaves_nothing(self) -> None:
        engine = open_engine(self.without_schema())
        self.addCleanup(engine.dispose)
        last = ScriptDirectory(str(MIGRATIONS)).get_current_head()

        def fail(connection: Connection, cursor: object, statement: str, *_: object) -> None:
            if "alembic_version" in statement and f"'{last}'" in statement:
                raise RuntimeError("the power went")

        event.listen(engine, "before_cursor_execute", fail)
        with self.assertRaises(RuntimeError):
            upgrade(engine)
        self.assertEqual(inspect(engine).get_table_names(), [])
        event.remove(engine, "before_cursor_execute", fail)
        upgrade(engine)
        self.assertEqual(compared(engine), [])


class Opening(StoreCase):
    def test_sqlite_writes_ahead_and_keeps_references(self) -> None:
        with self.repository.engine.connect() as connection:
            found = [
                connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys", "busy_timeout")
            ]
        self.assertEqual(found, ["wal", 1, 5000])

    def test_a_file_that_is_no_database(self) -> None:
        path = self.folder / "other.db"
        path.write_bytes(b"not a database at all" * 100)
        with self.assertRaisesRegex(ConfigurationError, f"{path}: the database cannot be used: file is not a database"):
            upgrade(open_engine(f"sqlite:///{path}"))

    def test_json_is_ascii_and_never_fails(self) -> None:
        self.assertEqual(to_json({"é": {1}}), '{"é":"{1}"}'.encode())
        self.assertEqual(to_json({"é": {1}, (1, 2): 3}), b'{"\\u00e9": "{1}"}')
        self.assertEqual(to_json(["\udcff", 1 << 70, float("inf")]), b'["\\udcff", 1180591620717411303424, null]')
        self.assertEqual(to_json(("line\nend", float("nan"))).count(b"\n"), 0)
