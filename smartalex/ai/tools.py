"""What an agent may ask for, checked against the call and not against a prompt."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import attrs

from smartalex.interfaces import Brief

TOOLS = ("transfer", "take_message", "end_call")
MOST_TRANSFERS = 3


@attrs.frozen
class Wish:
    """A tool call that may go ahead; `target` is a destination id or ''."""

    name: str
    target: str = ""
    reason: str = ""


@attrs.frozen
class Refusal:
    """A tool call that may not, and what the agent is told."""

    data: Mapping[str, Any]


def check(brief: Brief, name: str, arguments: Mapping[str, Any], transfers: int) -> Wish | Refusal:
    """Whether this call, with `transfers` attempts behind it, may do `name` with `arguments` (anything at all)."""
    if name not in TOOLS:
        return Refusal({"ok": False, "cause": "unknown tool", "near": difflib.get_close_matches(name, TOOLS) or list(TOOLS)})
    if brief.allowed is not None and name not in brief.allowed:
        return Refusal({"ok": False, "cause": "not allowed", "near": list(brief.allowed)})
    reason = str(arguments.get("reason", ""))[:200]
    if name == "end_call":
        return Wish(name, "", reason)
    target = str(arguments.get("destination" if name == "transfer" else "for", "") or "")[:200]
    known = any(target == destination.id for destination in brief.destinations)
    if name == "take_message":
        return Wish(name, target if known else "", reason)  # a message for nobody we know is a message for the house
    if not known:
        return Refusal({"ok": False, "cause": "unknown destination", "near": near(brief, target), "name": target})
    if transfers >= MOST_TRANSFERS:
        return Refusal({"ok": False, "cause": "too many transfers", "name": target})
    return Wish(name, target, reason)


def near(brief: Brief, wanted: str) -> list[str]:
    """Ids of at most three destinations whose id, name or alias looks like `wanted`."""
    labels = {label.lower(): d.id for d in brief.destinations for label in (d.id, d.name, *d.aliases)}
    found = difflib.get_close_matches(wanted.lower(), labels, n=6, cutoff=0.5)
    return list(dict.fromkeys(labels[label] for label in found))[:3]
