"""Bans, for all nodes on this database and over their restarts.  Synchronous: for the store's threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, delete, func, select

from smartalex.store import schema
from smartalex.store.engine import upsert

KEPT_S = 86_400.0


class BanBook:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(self) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(schema.ban).order_by(schema.ban.c.since)).mappings()]

    def mark(self) -> tuple[int, float]:
        """Another one after every change."""
        with self._engine.connect() as connection:
            count, newest, ends = connection.execute(
                select(func.count(), func.max(schema.ban.c.since), func.sum(schema.ban.c.until))
            ).one()
        return count, (newest or 0.0) + (ends or 0.0)

    def put(self, row: Mapping[str, Any]) -> None:
        """Instead of what there was of this network; forgets those that have been over for a day."""
        with self._engine.begin() as connection:
            added = upsert(connection, schema.ban).values(dict(row))
            changes = {name: value for name, value in row.items() if name != "network"}
            connection.execute(added.on_conflict_do_update(index_elements=["network"], set_=changes))
            connection.execute(delete(schema.ban).where(schema.ban.c.until < row["since"] - KEPT_S))

    def lift(self, network: str) -> bool:
        """Whether there was one."""
        with self._engine.begin() as connection:
            return connection.execute(delete(schema.ban).where(schema.ban.c.network == network)).rowcount > 0
