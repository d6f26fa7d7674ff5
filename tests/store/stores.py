"""A store in a folder of its own, with the real database, vault and journal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from smartalex.interfaces import CallEvent
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault
from tests.store.postgres import TEMPLATE, postgres

KEY = bytes(range(32))


def at_once(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Stands for the thread pool."""
    return maybeDeferred(function, *arguments)


class StoreCase(TestCase):
    """`folder` is removed afterwards; `repository` is over an empty database of the newest schema."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.url = self.database()
        self.repository = self.open()

    def database(self) -> str:
        """The URL of an empty one."""
        return self.without_schema("smartalex.db")

    def without_schema(self, name: str = "other.db") -> str:
        """The URL of one that nobody has migrated."""
        return f"sqlite:///{self.folder / name}"

    def open(self, key: bytes = KEY) -> Repository:
        """Another connection pool on the same database."""
        engine = open_engine(self.url)
        self.addCleanup(engine.dispose)
        upgrade(engine)
        return Repository(engine, Vault(engine, key))


class OnPostgreSQL:
    """Mixed into a StoreCase: its database is one of the private server's, at the newest schema."""

    def database(self: Any) -> str:
        return _database(self, TEMPLATE)

    def without_schema(self: Any, name: str = "") -> str:
        return _database(self, "template1")


def _database(case: StoreCase, template: str) -> str:
    server = postgres()
    name = server.new_database(template)
    case.addCleanup(server.drop, name)
    return server.url(name)


Case = TypeVar("Case", bound=type[StoreCase])


def on_both(case: Case) -> Case:
    """Class decorator: the same tests once more on PostgreSQL, as NAMEOnPostgreSQL."""
    name = f"{case.__name__}OnPostgreSQL"
    setattr(sys.modules[case.__module__], name, type(name, (OnPostgreSQL, case), {"__module__": case.__module__}))
    return case


def call(name: str, *, end: bool = True, at: float = 1000.0, **fields: Any) -> list[CallEvent]:
    """The events of one call."""
    opening = {"started_at": at, "trunk": "acme", "caller": "+1555", "sip_call_id": f"{name}@pbx", **fields}
    events = [
        CallEvent(name, 0, at, "invite", opening),
        CallEvent(name, 1, at + 1, "answer", {"answered_at": at + 1}, {"after_ms": 1000}),
    ]
    ended = {"ended_at": at + 9, "duration_s": 8.0, "disposition": "completed", "cause": "caller hung up"}
    return [*events, CallEvent(name, 2, at + 9, "end", ended)] if end else events
