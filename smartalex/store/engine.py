"""The database connection, as safe as SQLite can be and as fast as WAL makes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from twisted.python.threadpool import ThreadPool

from smartalex.errors import ConfigurationError

CONNECTIONS = 4
BUSY_MS = 5000


def open_engine(url: str) -> Engine:
    """An Engine for a SQLAlchemy URL; connects at first use.  Raises ConfigurationError."""
    try:
        engine = create_engine(make_url(url), pool_size=CONNECTIONS, max_overflow=0, pool_timeout=10)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(f'store.url: {error}; write e.g. url = "sqlite:////var/lib/smartalex/smartalex.db"') from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def thread_pool() -> ThreadPool:
    """Threads for the store alone, as many as connections; the service starts and stops it."""
    return ThreadPool(minthreads=0, maxthreads=CONNECTIONS, name="store")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One picture of the database for several queries."""
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")  # the driver begins by itself at the first change only
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction, changes of tables included; waits for its turn at the start and not half-way."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """WAL survives our death at any instant; NORMAL leaves out the fsync per commit that only a power cut would miss."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
