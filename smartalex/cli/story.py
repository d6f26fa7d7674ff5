"""A call's record as people read it (pure)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from smartalex.cli import plot

Record = Mapping[str, Any]


def story(call: Record) -> str:
    """Who called whom and how it went, everything that happened with seconds since the INVITE, and how it sounded."""
    lines = [f"{name:<11}{text}" for name, text in _head(call) if text]
    start = call["started_at"] or 0
    events = [(event["at"] - start, *_told(event)) for event in call["events"] if event["kind"] != "quality"]
    lines += ["", *(f"{at:8.1f} s  {who:<9}{text}".rstrip() for at, who, text in events), *plot.quality(call)]
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def when(seconds: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return time.strftime(form, time.localtime(seconds)) if seconds else "-"


def outcome(call: Record) -> str:
    """One or two words, and the reason."""
    if not call["disposition"]:
        return "in progress"
    why = call["detail"] or (f"to {call['transferred_to']}" if call["transferred_to"] else call["cause"])
    status = f" {call['status']}" if call["disposition"] == "refused" and call["status"] else ""
    near = f"; {call['near_miss']}" if call.get("near_miss") else ""
    return f"{call['disposition']}{status}" + (f": {why}" if why else "") + near


def _head(call: Record) -> Iterable[tuple[str, str]]:
    name = f' "{call["caller_name"]}"' if call["caller_name"] else ""
    agent = f" (agent {call['agent']})" if call["agent"] else ""
    yield "call", call["id"]
    yield "from", (call["caller"] or "unknown") + name
    yield "to", (call["did"] or "-") + agent
    yield "trunk", call["trunk"]
    yield "source", f"{call['source']} by {call['transport'].upper()}" + (f", {call['user_agent']}" if call["user_agent"] else "")
    yield "began", when(call["started_at"])
    if call["answered_at"]:
        yield (
            "answered",
            f"{when(call['answered_at'], '%H:%M:%S')}, after {call['answered_at'] - (call['started_at'] or 0):.1f} s",
        )
    if call["ended_at"]:
        yield "ended", f"{when(call['ended_at'], '%H:%M:%S')}" + (f", {call['duration_s']:.1f} s" if call["answered_at"] else "")
    yield "outcome", outcome(call)
    yield "identity", f"attested {call['attestation']}" if call.get("attestation") else ""
    yield "flagged", call["flagged"]
    yield "codec", call["codec"]
    yield "secured", call.get("secured", "")
    yield "audio", _audio(call["rtp"] or {})
    yield "Call-ID", call["sip_call_id"]


def _audio(rtp: Record) -> str:
    """MOS first, then every counter."""
    rest = [f"{name.replace('_', ' ')} {value}" for name, value in rtp.items() if name != "mos" and value is not None]
    return ", ".join([f"MOS {rtp['mos']}", *rest]) if "mos" in rtp else ", ".join(rest)


def _told(event: Record) -> tuple[str, str]:
    """(who, what) of one event; kinds that are not known are shown as they are."""
    tell = TELL.get(event["kind"])
    if event["kind"] == "said":
        return event["role"], event["text"]
    return event["kind"], tell(event) if tell else _rest(event)


def _rest(event: Record) -> str:
    return ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in event.items() if key not in ("at", "kind") and value is not None
    )


def _transfer(event: Record) -> str:
    steps = {
        "refer": "REFER to {to} ({name}): {why}",
        "accepted": "the PBX takes it on; we are out of the media",
        "progress": "NOTIFY {status} {reason}",
        "failed": "failed: {cause}",
        "done": "done",
    }
    form = steps.get(event.get("step", ""))
    try:
        return form.format_map(event) if form else _rest(event)
    except KeyError:
        return _rest(event)


def _tool(event: Record) -> str:
    whom = f" for {event['for']}" if event.get("for") else ""
    return f"{event.get('tool', '')}{whom}" + (f", refused: {event['refused']}" if event.get("refused") else "")


TELL: dict[str, Callable[[Record], str]] = {"transfer": _transfer, "tool": _tool}
