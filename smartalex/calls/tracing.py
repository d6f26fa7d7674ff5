"""Which calls' SIP messages are kept, and when they go into the record."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from smartalex.calls.record import CallRecord
from smartalex.sip.trace import OCTETS, TraceBook

LINGER_S = 2.0
"""How long after a call's end its messages are still gathered: the answer to our BYE, the ACK of a refusal."""

STRANGER_OCTETS = 4096
"""The most that is kept of a call from a source that no trunk knows."""

FINE = frozenset(("completed", "transferred", "message", "cancelled"))


class Tracing:
    """`only_failed` leaves out the calls that went well: ended as wished, and flagged for nothing."""

    def __init__(self, book: TraceBook, clock: IReactorTime, *, only_failed: bool = False) -> None:
        self._book = book
        self._clock = clock
        self._only_failed = only_failed
        self._stopped = False
        self._lingering: dict[str, tuple[CallRecord, IDelayedCall]] = {}

    def opened(self, call_id: str, *, stranger: bool) -> None:
        """From here on this Call-ID belongs to a record."""
        self._book.open(call_id, STRANGER_OCTETS if stranger else OCTETS)

    def closed(self, record: CallRecord, disposition: str) -> None:
        """The record has its end."""
        fine = disposition in FINE and not record.flagged
        if self._stopped or (self._only_failed and fine):
            for call_id in record.call_ids:
                self._book.forget(call_id)
        else:
            self._lingering[record.id] = record, self._clock.callLater(LINGER_S, self._keep, record)

    def stop(self) -> None:
        """Keep what is there, before the records close, and nothing afterwards."""
        self._stopped = True
        for record, alarm in list(self._lingering.values()):
            alarm.cancel()
            self._keep(record)

    def _keep(self, record: CallRecord) -> None:
        del self._lingering[record.id]
        trace = self._book.close(*record.call_ids)
        if trace.messages:
            record.append("sip", trace.to_data())
