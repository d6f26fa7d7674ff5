"""A call's record as it grows: numbered events to the sink, from the INVITE on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

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


class Tracer(Protocol):
    """Who keeps the SIP messages of calls."""

    def opened(self, call_id: str, *, stranger: bool) -> None: ...

    def closed(self, record: CallRecord, disposition: str) -> None: ...


class CallRecord:
    """Writes one call's events in order.  `wall` gives Unix seconds, `now` monotonic ones for the duration.

    `call_ids` are the SIP Call-IDs that were the call's, `flagged` says whether anything went wrong on the way.
    """

    __slots__ = ("_answered", "_closed", "_now", "_record", "_seq", "_started", "_tracer", "_wall", "call_ids", "flagged", "id")

    def __init__(
        self, record: Callable[[CallEvent], None], wall: Callable[[], float], now: Callable[[], float], call_id: str,
        tracer: Tracer | None = None,
    ) -> None:  # fmt: skip
        self._record = record
        self._wall = wall
        self._now = now
        self._seq = 0
        self._started = now()
        self._answered: float | None = None
        self._closed = False
        self._tracer = tracer
        self.call_ids: tuple[str, ...] = ()
        self.flagged = False
        self.id = call_id

    def follow(self, call_id: str, *, stranger: bool = False) -> None:
        """The messages of this Call-ID are the call's."""
        if self._tracer is not None and not self._closed and call_id not in self.call_ids:
            self.call_ids = (*self.call_ids, call_id)
            self._tracer.opened(call_id, stranger=stranger)

    def date(self) -> float:
        """Unix seconds."""
        return self._wall()

    def event(self, kind: str, fields: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None) -> None:
        """One more event; after `close` nothing is written any more."""
        if not self._closed:
            self.flagged = self.flagged or bool(fields and fields.get("flagged"))
            self._write(kind, fields or {}, data or {})

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """What is known only after the end."""
        self._write(kind, {}, data)

    def _write(self, kind: str, fields: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        self._record(CallEvent(self.id, self._seq, self._wall(), kind, fields, data))
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
        """The 'end' event, once; `duration_s` counts from the answer (0 when there was none)."""
        if self._closed:
            return
        duration = round(self._now() - self._answered, 3) if self._answered is not None else 0.0
        end = {"ended_at": self._wall(), "duration_s": duration, "disposition": disposition, "cause": printable(cause, 200)}
        self.event("end", {**end, **(fields or {})})
        self._closed = True
        if self._tracer is not None:
            self._tracer.closed(self, disposition)
