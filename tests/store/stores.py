"""Real stores in temporary folders."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import TestCase

from sqlalchemy import Engine
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from smartalex.interfaces import CallEvent
from smartalex.store.engine import open_engine, sqlite_url
from smartalex.store.migrations import upgrade
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault


class StoreTestCase(TestCase):
    """`folder`, `engine` (migrated), `vault` and `repository`, each real."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.engine = self.opened()
        upgrade(self.engine)
        self.vault = Vault(self.engine, bytes(32))
        self.repository = Repository(self.engine, self.vault)

    def opened(self) -> Engine:
        engine = open_engine(sqlite_url(self.folder / "smartalex.db"))
        self.addCleanup(engine.dispose)
        return engine


class Reactor(Clock):
    """A Clock that is also the reactor's door for threads."""

    def callFromThread(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        f(*args, **kwargs)


class Pool:
    """A thread pool whose only thread is the caller's; `held` keeps work back until `release`."""

    def __init__(self) -> None:
        self.held = False
        self.work: list[Callable[[], None]] = []

    def callInThreadWithCallback(self, on_result: Callable[[bool, Any], None], f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        def job() -> None:
            try:
                result = f(*args, **kwargs)
            except Exception:
                on_result(False, Failure())
            else:
                on_result(True, result)

        if self.held:
            self.work.append(job)
        else:
            job()

    def release(self) -> None:
        self.held = False
        work, self.work = self.work, []
        for job in work:
            job()


def invited(call: str, at: float = 1000.0, **fields: Any) -> CallEvent:
    return CallEvent(call, 0, at, "invite", {"started_at": at, "sip_call_id": f"{call}@pbx", "direction": "inbound", **fields})


def answered(call: str, at: float = 1001.0) -> CallEvent:
    return CallEvent(call, 1, at, "answer", {"answered_at": at, "codec": "PCMU", "status": 200}, {"after_ms": 12})


def ended(call: str, seq: int = 2, at: float = 1010.0, disposition: str = "completed", **fields: Any) -> CallEvent:
    return CallEvent(call, seq, at, "end", {"ended_at": at, "duration_s": 9.0, "disposition": disposition, "cause": "caller hung up", **fields})
