"""Bring a database to this version's schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from smartalex.errors import LocalError
from smartalex.store.engine import writing

HEAD = "0001"


def upgrade(engine: Engine) -> bool:
    """Alembic's `upgrade head`, all in one transaction; True when there was something to do.

    LocalError when the database belongs to a newer version.
    """
    with writing(engine) as connection:
        if revision_of(connection) == HEAD:
            return False
        _run(connection)
        return True


def revision_of(connection: Connection) -> str | None:
    """None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found is not None else None


def _run(connection: Connection) -> None:
    # A quarter of a second that most starts need not spend.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LocalError(f"the database cannot be brought to this version of SmartAlex: {error}") from None
