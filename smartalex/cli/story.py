"""One call told in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from smartalex.cli.table import local_time, safe
from smartalex.interfaces import CallEvent
from smartalex.store.repository import CallRow

RTP_UNITS = {"_ms": " ms", "_s": " s", "_percent": " %"}


def tell(row: CallRow, outcome: str) -> str:
    """What it was, how it sounded, and every event with the seconds since it began."""
    facts = [(name, value) for name, value in _facts(row, outcome) if value]
    lines = [f"{name:<12}{safe(value)}" for name, value in facts]
    lines += ["", *(_event(event, row.started_at) for event in row.events)]
    return "\n".join(lines)


def _facts(row: CallRow, outcome: str) -> Iterator[tuple[str, str]]:
    yield "call", row.id
    yield "outcome", outcome
    yield "why", row.detail or row.cause or ""
    yield "status", str(row.status or "")
    yield "caller", " ".join(part for part in (row.caller, f'"{row.caller_name}"' if row.caller_name else "") if part)
    yield "called", " -> ".join(part for part in (row.did, row.agent and f"agent {row.agent}") if part)
    yield (
        "through",
        ", ".join(part for part in (row.trunk and f"trunk {row.trunk}", row.workspace and f"workspace {row.workspace}") if part),
    )
    yield "from", " ".join(part for part in (row.transport, row.source, row.user_agent and f"({row.user_agent})") if part)
    yield "started", local_time(row.started_at)
    yield "answered", _moment(row.answered_at, row.started_at)
    yield "ended", _moment(row.ended_at, row.started_at)
    yield "talked", f"{row.duration_s:.1f} s" if row.duration_s else ""
    yield "transferred", row.transferred_to or ""
    yield "flagged", row.flagged or ""
    yield "codec", row.codec or ""
    yield "sound", _sound(row.rtp or {})
    yield "SIP id", row.sip_call_id or ""


def _moment(at: float | None, started_at: float) -> str:
    return f"{local_time(at)}  (+{at - started_at:.3f} s)" if at is not None else ""


def _sound(rtp: Mapping[str, Any]) -> str:
    """'mos 4.38, packets sent 1740, jitter 2.1 ms'."""
    parts = []
    for name, value in rtp.items():
        unit = next((unit for end, unit in RTP_UNITS.items() if name.endswith(end)), "")
        plain = name[: len(name) - len(unit.strip()) - 1] if unit == " ms" else name
        if value is not None and not name.endswith("_at"):
            parts.append(f"{plain.replace('_', ' ')} {round(value, 2) if isinstance(value, float) else value}{unit}")
    return ", ".join(parts)


def _event(event: CallEvent, started_at: float) -> str:
    """Words as words, everything else as name=value."""
    data = event.data
    if event.kind == "said":
        kind, text = str(data.get("role", "")), str(data.get("text", ""))
    else:
        kind, text = event.kind, "  ".join(f"{name}={value}" for name, value in data.items() if value not in ("", None))
    return safe(f"{event.at - started_at:+10.3f} s  {kind:<12}{text}").rstrip()
