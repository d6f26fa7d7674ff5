"""DIDs: the called number (or SIP user) that leads to an agent."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs


@attrs.frozen
class Did:
    """`number` as it stands in the Request-URI's user part, such as '+27215550100' or 'alex'."""

    number: str
    trunk_id: str
    agent_id: str


def match(dids: Iterable[Did], number: str) -> Did | None:
    """The Did whose number is exactly `number` (case counts not for names)."""
    wanted = number.lower()
    return next((did for did in dids if did.number.lower() == wanted), None)


def near_miss(dids: Iterable[Did], number: str) -> str | None:
    """The most similar number among `dids`, for telling an operator what was nearly right."""
    numbers = [did.number for did in dids]
    digits = number.lstrip("+0")
    for candidate in numbers:
        if digits and candidate.lstrip("+0") == digits:
            return candidate
    found = difflib.get_close_matches(number, numbers, n=1, cutoff=0.6)
    return found[0] if found else (numbers[0] if numbers else None)
