"""What the records tell of one trunk: its calls, their messages, and those that were turned away before it was known (pure)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from smartalex.doctor.facts import Past
from smartalex.doctor.talk import Talk, read
from smartalex.sip.trace import Trace
from smartalex.tenants.trunk import Trunk

READ = 10
"""Calls whose messages are read."""


def past(
    rows: Iterable[Mapping[str, Any]], trunk: Trunk, hosts: Collection[str], story: Callable[[str], Mapping[str, Any] | None],
    trace: Callable[[str], Mapping[str, Any] | None],
) -> Past:  # fmt: skip
    """`rows` are calls, the newest first; `hosts` are where it is.  `story` and `trace` give a call's record by its id."""
    about = [row for row in rows if row["direction"] == "inbound" and _about(row, trunk, hosts)]
    refused = [row for row in about if row["disposition"] == "refused"]
    mine = [row for row in about if row["disposition"] != "refused"]
    talks = {row["id"]: talk for row in about[:READ] if (talk := _talk(trace(row["id"]))) is not None}
    transferred = [row for row in mine if row["transferred_to"] or row["flagged"] == "transfer failed"][:READ]
    outcomes = [why for row in transferred for why in _transfers(story(row["id"]))]
    return Past(tuple(mine), talks, tuple(refused), tuple(outcomes))


def _about(row: Mapping[str, Any], trunk: Trunk, hosts: Collection[str]) -> bool:
    if row["trunk"] or row["disposition"] != "refused":
        return bool(row["trunk"] == trunk.name)
    named = {f"trunk {trunk.name}", trunk.username} - {""}
    return row["source"].rpartition(":")[0] in hosts or any(_says(row["detail"], name) for name in named)


def _says(detail: str, name: str) -> bool:
    """As a word of its own: there may be trunks office and office2."""
    _, found, after = detail.partition(name)
    return bool(found) and not after[:1].isalnum() and after[:1] not in ("_", "-")


def _talk(found: Mapping[str, Any] | None) -> Talk | None:
    if found is None or found.get("trace") is None:
        return None
    try:
        return read(Trace.from_data(found["trace"]).messages)
    except ValueError:
        return None


def _transfers(found: Mapping[str, Any] | None) -> list[str]:
    """The cause of each that failed, "" for one that did not."""
    steps = [event for event in (found or {}).get("events", ()) if event["kind"] == "transfer"]
    return [str(event.get("cause", "")) for event in steps if event.get("step") in ("failed", "done")]
