"""A store in a folder of its own, with the real database, vault and journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase

from smartalex.interfaces import CallEvent
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault

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
        self.repository = self.open()

    def open(self, key: bytes = KEY) -> Repository:
        """Another connection pool on the same database."""
        engine = open_engine(f"sqlite:///{self.folder / 'smartalex.db'}")
        self.addCleanup(engine.dispose)
        upgrade(engine)
        return Repository(engine, Vault(engine, key))


def call(name: str, *, end: bool = True, at: float = 1000.0, **fields: Any) -> list[CallEvent]:
    """The events of one call."""
    opening = {"started_at": at, "trunk": "acme", "caller": "+1555", "sip_call_id": f"{name}@pbx", **fields}
    events = [
        CallEvent(name, 0, at, "invite", opening),
        CallEvent(name, 1, at + 1, "answer", {"answered_at": at + 1}, {"after_ms": 1000}),
    ]
    ended = {"ended_at": at + 9, "duration_s": 8.0, "disposition": "completed", "cause": "caller hung up"}
    return [*events, CallEvent(name, 2, at + 9, "end", ended)] if end else events
