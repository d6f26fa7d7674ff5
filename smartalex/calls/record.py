"""A call's record as it grows: numbered events to the sink, from the INVITE on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from smartalex.interfaces import CallEvent

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(now: float, tokens: Callable[[int], bytes]) -> str:
    """26 characters that sort by time (ULID): 48 bits of milliseconds, 80 of randomness."""
    value = int(now * 1000) << 80 | int.from_bytes(tokens(10), "big")
    return "".join(_BASE32[value >> shift & 31] for shift in range(125, -1, -5))


def printable(text: str, limit: int = 80) -> str:
    """Header text made safe for records and terminals: no control characters, at most `limit` characters."""
    if text.isascii() and text.isprintable():
        return text[:limit]
    return "".join(c for c in text if c.isprintable()).encode("utf-8", "replace").decode()[:limit]


class CallRecord:
    """Writes one call's events in order.  `wall` gives Unix seconds, `now` monotonic ones for the duration."""

    __slots__ = ("_answered", "_closed", "_now", "_record", "_seq", "_started", "_wall", "id")

    def __init__(
        self, record: Callable[[CallEvent], None], wall: Callable[[], float], now: Callable[[], float], call_id: str
    ) -> None:
        self._record = record
        self._wall = wall
        self._now = now
        self._seq = 0
        self._started = now()
        self._answered: float | None = None
        self._closed = False
        self.id = call_id

    def event(self, kind: str, fields: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None) -> None:
        """One more event; after `close` nothing is written any more."""
        if self._closed:
            return
        self._record(CallEvent(self.id, self._seq, self._wall(), kind, fields or {}, data or {}))
        self._seq += 1

    def open(self, fields: Mapping[str, Any]) -> None:
        """The 'invite' event: who calls whom, over what."""
        self.event("invite", {"started_at": self._wall(), **fields})

    def answered(self, fields: Mapping[str, Any]) -> None:
        self._answered = self._now()
        self.event(
            "answer", {"answered_at": self._wall(), **fields}, {"after_ms": round((self._answered - self._started) * 1000)}
        )

    def close(self, disposition: str, cause: str, fields: Mapping[str, Any] | None = None) -> None:
        """The 'end' event; `duration_s` counts from the answer (0 when there was none)."""
        duration = round(self._now() - self._answered, 3) if self._answered is not None else 0.0
        end = {"ended_at": self._wall(), "duration_s": duration, "disposition": disposition, "cause": printable(cause, 200)}
        self.event("end", {**end, **(fields or {})})
        self._closed = True
