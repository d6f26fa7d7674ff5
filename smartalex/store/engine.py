"""Opening the database, SQLite in WAL mode or PostgreSQL, and bringing it to the newest schema."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from smartalex.errors import ConfigurationError
from smartalex.store.patience import Patience, without_limit

MIGRATIONS = Path(__file__).parent / "migrations"
TIMEOUT_S = 10.0
ONE_AT_A_TIME = 0x536D617274416C65  # "SmartAle"
"""The advisory lock of those who migrate."""


class StoreUnreachable(ConfigurationError):
    """The database is there for all we know, but does not answer."""


def open_engine(url: str, timeout_s: float = TIMEOUT_S) -> Engine:
    """`url` as SQLAlchemy writes it; no statement waits longer than `timeout_s` for a lock, and, of a server, for its answer."""
    parsed = make_url(url)
    server = parsed.get_backend_name() == "postgresql"
    try:
        engine = create_engine(
            parsed,
            json_serializer=lambda value: to_json(value).decode(),
            connect_args=_postgresql(parsed, timeout_s) if server else {},
            hide_parameters=True,
            **({"pool_use_lifo": True} if server else {}),
        )
    except ImportError:
        raise ConfigurationError(
            f"store.url: {parsed.get_driver_name()} is not installed; say: pip install 'smartalex[postgresql]'"
        ) from None
    if server:
        Patience(engine, timeout_s * 1.2)
    elif engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_pragmas, round(min(timeout_s, 5.0) * 1000)))
    return engine


def _postgresql(url: URL, timeout_s: float) -> dict[str, Any]:
    """What libpq is told, as far as the URL does not say it."""
    ms = round(timeout_s * 1000)
    told = {
        "connect_timeout": max(2, round(timeout_s / 2)), "application_name": "smartalex",
        "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": ms,
        "options": f"-c statement_timeout={ms} -c lock_timeout={ms // 2} -c idle_in_transaction_session_timeout={6 * ms}",
    }  # fmt: skip
    return {name: value for name, value in told.items() if name not in url.query}


def to_json(value: Any) -> bytes:
    """One line; what JSON has no word for becomes text, or is left out where it is a key."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:  # keys of other kinds, bytes of a header that are no UTF-8, numbers beyond 64 bits
        return _ENCODE(_finite(value)).encode()


_ENCODE = json.JSONEncoder(default=str, skipkeys=True).encode


def _finite(value: Any) -> Any:
    """Without the numbers that JSON has no word for, as orjson does it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def _pragmas(busy_ms: int, connection: Any, _: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={busy_ms}")
    _write_ahead(connection, monotonic() + busy_ms / 1000)
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any, until: float) -> None:
    """Where two open a new database at once, SQLite refuses one of them this without waiting."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if monotonic() > until:
                raise
            sleep(0.01)


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing, all or none, one process at a time.

    Raises StoreUnreachable, or ConfigurationError for a database that this version cannot use.
    """
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    try:
        if _newest(engine, scripts):
            return
        with engine.connect() as connection, without_limit(connection), _alone(connection):
            _refuse_newer(connection, scripts)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DatabaseError as error:
        raise trouble(engine, error) from None


def newest_schema() -> str:
    """The revision that this version needs."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    return str(ScriptDirectory.from_config(config).get_current_head())


@contextmanager
def exclusive(engine: Engine) -> Iterator[None]:
    """Of the nodes on one server, one at a time."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")
        yield


def _newest(engine: Engine, scripts: ScriptDirectory) -> bool:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_heads() == (scripts.get_current_head(),)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """A transaction that keeps other processes' migrations, and on SQLite every writer, waiting for its end."""
    if connection.dialect.name == "sqlite":
        with _tables_may_move(connection), connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
        return
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")
        yield


@contextmanager
def _tables_may_move(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew, while rows of others refer to it; a transaction has no word for that."""
    pragma = connection.connection.cursor().execute
    pragma("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        pragma("PRAGMA foreign_keys=ON")


_OPEN: ContextVar[Connection | None] = ContextVar("transaction", default=None)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction, or the one we are in: so that secrets change together with what they belong to."""
    outer = _OPEN.get()
    if outer is not None and outer.engine is engine:
        yield outer
        return
    with engine.begin() as connection:
        token = _OPEN.set(connection)
        try:
            yield connection
        finally:
            _OPEN.reset(token)


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that can be told what to do `on_conflict_...`."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def trouble(engine: Engine, error: DatabaseError) -> ConfigurationError:
    """One sentence about why the database cannot be used."""
    if unreachable(error) and engine.dialect.name != "sqlite":
        return StoreUnreachable(f"{_name(engine)}: the database cannot be reached: {what_it_said(error)}")
    return ConfigurationError(f"{_name(engine)}: the database cannot be used: {what_it_said(error)}")


def what_it_said(error: BaseException | None) -> str:
    """The driver's own words in one line, without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def unreachable(error: BaseException) -> bool:
    """Whether the database may take the same thing later: it is gone, busy, full, or read-only, and nothing is wrong with us."""
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeout, StoreUnreachable, OSError)) or (
        isinstance(error, DBAPIError) and (error.connection_invalidated or type(error.orig).__name__ in READ_ONLY)
    )


READ_ONLY = {"ReadOnlySqlTransaction", "IdleInTransactionSessionTimeout"}


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    found = set(MigrationContext.configure(connection).get_current_heads())
    if not found <= known:
        newest = scripts.get_current_head()
        raise ConfigurationError(
            f"{_name(connection.engine)}: written by a newer SmartAlex (schema {', '.join(found - known)}, this one knows up to "
            f"{newest}): install that version again, or give --state another directory"
        )


def _name(engine: Engine) -> str:
    url = engine.url
    return str(url.database) if url.get_backend_name() == "sqlite" else url.set(query={}).render_as_string(hide_password=True)
