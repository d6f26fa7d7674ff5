"""What tenants own, as it was last known: for a node that starts while its database is away.

A SQLite file of the same tables, so that whatever reads the database can read it.  Secrets are in it as in the vault, sealed.
Its name says the schema, its time when the database last confirmed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from time import time

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, insert, select

from smartalex.store import schema
from smartalex.store.engine import newest_schema
from smartalex.store.tenancy import at_once, snapshot

PORTION = 100
LEFT_OUT = {"call", "call_event", "message", "run", "tenant_change", "audit"}
"""Tables that are no part of the picture: records, and what leads from one picture to the next."""


def copy(source: Connection, target: Connection, tables: Iterable[Table], pause: Callable[[], None] = at_once) -> dict[str, int]:
    """All rows of these tables, in their order; returns how many there were of each."""
    counts = {}
    for table in tables:
        counts[table.name] = 0
        rows = source.execute(select(table).execution_options(yield_per=PORTION)).mappings()
        for portion in rows.partitions():
            target.execute(insert(table), [dict(row) for row in portion])
            counts[table.name] += len(portion)
            pause()
    return counts


class Picture:
    """Of one state directory.  Synchronous: for the store's threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / f"picture-{newest_schema()}.db"

    def take(self, engine: Engine, pause: Callable[[], None] = at_once) -> None:
        """A new one in the place of the old, whole or not at all."""
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        target = _opened(fresh)
        confirmed = time()
        with snapshot(engine) as source, target.begin() as connection:
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
            schema.metadata.create_all(connection)
            copy(source, connection, [t for t in schema.metadata.sorted_tables if t.name not in LEFT_OUT], pause)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        os.utime(fresh, (confirmed, confirmed))
        os.replace(fresh, self.path)
        for older in self._folder.glob("picture-*.db"):
            if older != self.path:
                older.unlink(missing_ok=True)

    def confirm(self) -> None:
        """It is what the database says now, too."""
        if self.path.exists():
            os.utime(self.path)

    def age_s(self) -> float | None:
        """Since it was confirmed; None when there is none."""
        try:
            return max(0.0, time() - self.path.stat().st_mtime)
        except OSError:
            return None

    def open(self) -> Engine:
        """To be read from."""
        return _opened(self.path)


def _opened(path: Path) -> Engine:
    return create_engine(f"sqlite:///{path}", poolclass=NullPool)
