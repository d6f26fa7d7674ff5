"""Opening the database: SQLite in WAL mode by default, brought to the newest schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from smartalex.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> Engine:
    """`url` as SQLAlchemy writes it."""
    engine = create_engine(url, json_serializer=lambda value: to_json(value).decode())
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _pragmas)
    return engine


def to_json(value: Any) -> bytes:
    """One line; what JSON has no word for becomes text, or is left out where it is a key."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:  # keys of other kinds, bytes of a header that are no UTF-8, numbers beyond 64 bits
        return _ENCODE(value).encode()


_ENCODE = json.JSONEncoder(default=str, skipkeys=True).encode


def _pragmas(connection: Any, _: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def upgrade(engine: Engine) -> None:
    """Run the migrations that are missing; raises ConfigurationError for a database that this version cannot use."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.begin() as connection:
            _refuse_newer(connection, ScriptDirectory.from_config(config))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DatabaseError as error:
        raise ConfigurationError(f"{_name(engine)}: the database cannot be used: {error.orig}") from None


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
    return engine.url.database or engine.url.render_as_string()
