"""A platform with a trunk that is known by its address, the test agents by name, and what it knows of each call."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from unittest import TestCase
from uuid import uuid4

from tests.interop.peers import PBX, Reachable, sipp
from tests.interop.platform import Platform
from tests.interop.scenario import scenario

BACKENDS = ("slow", "leaving", "moving")
PATIENCE_S = 10.0

CALLER_LEFT = ("completed", "caller hung up")
"""Disposition and cause of most calls here."""


class House(Platform):
    """Calls from PBX belong to the trunk `pbx`; others have to log in to `acme`.  `nobody` is a number without an agent."""

    def start(self) -> House:
        super().start()
        for name in BACKENDS:
            self.command("agents", "add", name, "--backend", name, "--instructions", "none")
        with self._database() as database, database:
            for name in (*BACKENDS, "play", "echo", "nobody"):
                _insert(database, "did", {"number": name, "trunk": "pbx", "agent": name})
        self.command("trunks", "add", "pbx", "--allow", f"{PBX}/32", "--no-digest", "--max-calls", "50")
        return self

    def _database(self) -> Any:
        database = sqlite3.connect(self.state / "smartalex.db", timeout=PATIENCE_S)
        database.row_factory = sqlite3.Row
        return closing(database)

    def record(self, call_id: str) -> dict[str, Any]:
        """Of the call with this Call-ID, once it is over, with its events."""
        rows = until(lambda: self._rows("SELECT * FROM call WHERE sip_call_id = ? AND disposition != ''", call_id))
        events = self._rows("SELECT kind, data FROM call_event WHERE call = ? ORDER BY seq", rows[-1]["id"])
        return {**rows[-1], "events": [{"kind": event["kind"], **json.loads(event["data"])} for event in events]}

    def records(self, call_id: str) -> int:
        """How many there are."""
        return len(self._rows("SELECT id FROM call WHERE sip_call_id = ?", call_id))

    def _rows(self, query: str, parameter: str) -> list[dict[str, Any]]:
        with self._database() as database:
            return [dict(row) for row in database.execute(query, (parameter,))]

    def counted(self, name: str, label: str = "") -> float:
        """A counter as /metrics has it."""
        return self.metrics().get(f'smartalex_{name}_total{{label="{label}"}}', 0.0)

    def settle(self, gauges: tuple[str, ...] = ("calls", "legs")) -> None:
        """AssertionError when one of these does not come back to 0."""
        until(lambda: not any(self.metrics()[f"smartalex_{name}"] for name in gauges), lambda: str(self.metrics()))


def outcome(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["disposition"], record["cause"]


def media(record: dict[str, Any]) -> list[str]:
    """'media' or 'hold' for each offer that was agreed on after the first one."""
    return [event["kind"] for event in record["events"] if event["kind"] in ("media", "hold")]


class Housed(TestCase):
    """`ports` are for RTP."""

    ports = "26000-26400"
    house: House

    @classmethod
    def setUpClass(cls) -> None:
        cls.house = House(cls.ports)
        cls.addClassCleanup(cls.house.remove)
        cls.house.start()

    def run_sipp(self, *steps: str, to: str = "play", repeats: bool = True, by: Reachable | None = None, **options: Any) -> str:
        """The Call-ID; it went as written, and nothing of it is left.

        Without `repeats` SIPp repeats nothing, and takes what we repeat for something new; `by` is a proxy on the way.
        """
        call_id = uuid4().hex
        sipp(by or self.house, scenario(*steps), to, "-cid_str", call_id, *(() if repeats else ("-nr",)), **options)
        self.house.settle()
        return call_id

    def call(self, *steps: str, **options: Any) -> dict[str, Any]:
        """The record of such a call."""
        return self.house.record(self.run_sipp(*steps, **options))


def _insert(database: sqlite3.Connection, table: str, row: dict[str, str]) -> None:
    names = ", ".join(row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))


def until(found: Callable[[], Any], otherwise: Callable[[], str] = str) -> Any:
    """What `found` finds; AssertionError, with what `otherwise` says, when it finds nothing for PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(otherwise() or "it has not happened")
        time.sleep(0.02)
