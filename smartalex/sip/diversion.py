"""Who was called before the call came to us: Diversion (RFC 5806) and History-Info (RFC 7044)."""

from __future__ import annotations

from itertools import pairwise

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import NameAddr, split_list
from smartalex.sip.message import Headers

MOST = 10
REASONS = {
    "302": "unconditional", "404": "unknown", "408": "no-answer", "480": "deflection", "486": "user-busy", "487": "deflection",
    "503": "unavailable",
}  # fmt: skip
"""`cause` of a retargeted URI (RFC 4458 2) -> the words of Diversion."""


@attrs.frozen
class Diversion:
    """One address the call was sent on from; `reason` is a word of RFC 5806 ('user-busy', 'no-answer', ...) or ''."""

    address: NameAddr
    reason: str = ""


def diversions(headers: Headers) -> tuple[Diversion, ...]:
    """The latest first, at most ten; what cannot be read is left out.  Without Diversion, History-Info is asked."""
    found = [Diversion(one, (one.param("reason") or "").strip('"').lower()) for one in _addresses(headers, "Diversion")]
    return tuple((found or _from_history(headers))[:MOST])


def _from_history(headers: Headers) -> list[Diversion]:
    """An entry's `cause` says why the call left the one before it; the last entry is ourselves."""
    entries = _addresses(headers, "History-Info")
    steps = [Diversion(before, REASONS.get(after.uri.param("cause") or "", "")) for before, after in pairwise(entries)]
    return [step for step in reversed(steps) if step.reason]


def _addresses(headers: Headers, name: str) -> list[NameAddr]:
    found = []
    for line in headers.get_all(name):
        try:
            found += [NameAddr.parse(value) for value in split_list(line)[: MOST + 1]]
        except RemoteError:
            continue
    return found
