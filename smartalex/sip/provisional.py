"""Reliable provisional responses (RFC 3262), either side: numbers in, decisions out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.dialog import Dialog
from smartalex.sip.headers import MAX_SEQUENCE
from smartalex.sip.message import Message, Request, Response
from smartalex.sip.timers import T1, TIMEOUT, Timer, TimerQueue

OPTION = "100rel"


def wanted(message: Message) -> bool:
    """Whether this INVITE wants, or this response has, a PRACK for it."""
    return OPTION in (tag.lower() for tag in message.headers.get_all("Require"))


def number_of(text: str | None) -> int | None:
    """An RSeq value, None for what is none."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= MAX_SEQUENCE else None


def read_rack(request: Request) -> tuple[int, int, str]:
    """(RSeq, CSeq number, method); raises RemoteError(400)."""
    parts = (request.headers.get("RAck") or "").split()
    numbers = [number_of(part) for part in parts[:2]]
    if len(parts) != 3 or None in numbers:
        raise RemoteError(400, "Bad RAck")
    return numbers[0] or 0, numbers[1] or 0, parts[2]


class Reliably:
    """Those we send: repeated until their PRACK, the next one only after it (RFC 3262 3).  It knows no session."""

    __slots__ = ("_deadline", "_number", "_queue", "_repeat", "_timers", "_unacknowledged")

    def __init__(self, timers: TimerQueue, first: int) -> None:
        """`first` is random, 1 to 2**31 - 1."""
        self._timers = timers
        self._number = first
        self._queue: deque[Callable[[int], None]] = deque()
        self._unacknowledged = 0
        self._repeat: Timer | None = None
        self._deadline: Timer | None = None

    def send(self, send: Callable[[int], None], unheard: Callable[[], object]) -> None:
        """`send(rseq)` is called for each time the response goes out; `unheard` when no PRACK came for 64*T1."""
        if self._unacknowledged:
            self._queue.append(send)
            return
        self._unacknowledged = self._number
        self._number += 1
        self._deadline = self._timers.call_later(TIMEOUT, unheard)
        self._again(send, T1)

    def acknowledged(self, rack: tuple[int, int, str], invite: Request, unheard: Callable[[], object]) -> bool:
        """False for a PRACK of something else (481)."""
        if not self._unacknowledged or rack != (self._unacknowledged, invite.cseq.number, "INVITE"):
            return False
        self._stop_timers()
        self._unacknowledged = 0
        if self._queue:
            self.send(self._queue.popleft(), unheard)
        return True

    def stop(self) -> None:
        """A final response ends the repetitions, and what is queued is of no use any more; a PRACK may still come."""
        self._stop_timers()
        self._queue.clear()

    def _stop_timers(self) -> None:
        for timer in (self._repeat, self._deadline):
            if timer is not None:
                timer.cancel()
        self._repeat = self._deadline = None

    def _again(self, send: Callable[[int], None], interval: float) -> None:
        send(self._unacknowledged)
        self._repeat = self._timers.call_later(interval, self._again, send, interval * 2)


@attrs.define(eq=False)
class Fork:
    """One early dialog of an INVITE of ours; `answered`: our offer has its answer, by a reliable response."""

    dialog: Dialog
    rseq: int | None = None
    answered: bool = False

    def takes(self, response: Response) -> bool:
        """Whether a reliable response is the next in order (RFC 3262 4): then it has to be acknowledged, else ignored."""
        number = number_of(response.headers.get("RSeq"))
        if number is None or (self.rseq is not None and number != self.rseq + 1):
            return False
        self.rseq = number
        return True
