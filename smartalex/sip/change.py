"""What changes or refreshes a session that is up: re-INVITE and UPDATE, one offer at a time (RFC 3261 14, 3311, 4028, 6141)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from smartalex.errors import LocalError, RemoteError
from smartalex.sip.dialog import Dialog
from smartalex.sip.layer import ClientTransaction, Refusal
from smartalex.sip.message import Message, Request, Response
from smartalex.sip.multipart import unwrap
from smartalex.sip.session_timer import Rows, SessionTimer, Terms, agreed, ask, raised
from smartalex.sip.timers import T2, TIMEOUT, Timer, TimerQueue

SDP = "application/sdp"

TRIES = 5
"""How often one change is sent when the peer asks for another time."""

Chance = Callable[[], float]
"""A random number, 0 to 1."""


class Within(Protocol):
    """What a change needs of its session."""

    dialog: Dialog | None
    role: str

    def transmit(
        self, method: str, rows: Rows, body: bytes, answered: Callable[[Response], None], failed: Callable[[str], None]
    ) -> ClientTransaction: ...

    def acknowledge(self, number: int) -> bytes:
        """ACK of a 2xx; what was sent."""
        ...

    def resend(self, data: bytes) -> None: ...

    def takes_requests(self) -> bool: ...

    def settled(self, change: Change, response: Response | None) -> None:
        """The end of a change that was not just a refresh; None: no answer."""

    def expired(self) -> None:
        """The session was not refreshed."""


@attrs.define(eq=False)
class Change:
    """A re-INVITE or UPDATE of ours; `refresh`: nothing is new in it."""

    method: str
    body: bytes = attrs.field(repr=False)  # SDP may hold keys
    refresh: bool = False
    tries: int = 0
    ack: bytes = attrs.field(default=b"", repr=False)


def glare_wait_s(role: str, chance: float) -> float:
    """How long the two sides of crossed offers wait (RFC 3261 14.1): whoever made the Call-ID 2.1 to 4 s, the other up to 2 s."""
    return round(2.1 + chance * 1.9 if role == "uac" else chance * 2.0, 2)


class Changes:
    """Those of one session, and the timers that they refresh.  It keeps no way back to its session."""

    __slots__ = (
        "_chance", "_deadline", "_expiry", "_known_s", "_open", "_refresh", "_timer", "_timers", "_wait", "local_sdp",
        "peer_updates", "remote_sdp", "terms",
    )  # fmt: skip

    def __init__(self, timers: TimerQueue, timer: SessionTimer, chance: Chance) -> None:
        self._timers = timers
        self._timer = timer
        self._chance = chance
        self._open: Change | None = None
        self._deadline: Timer | None = None  # of the one that is open
        self._wait: Timer | None = None  # until it is sent again
        self._refresh: Timer | None = None
        self._expiry: Timer | None = None
        self._known_s = 0
        self.terms: Terms | None = None
        self.peer_updates = False
        self.local_sdp = self.remote_sdp = b""

    # ------------------------------------------------------------------ theirs

    def admit(self, request: Request, *, unanswered: bool) -> None:
        """Raises a Refusal when their re-INVITE or UPDATE cannot be now; `unanswered`: our 2xx held an offer, no ACK came yet.

        An UPDATE without an offer always can (RFC 3311 5.2).
        """
        unwrap(request)
        if request.body and request.content_type != SDP:
            raise Refusal(415, ("Accept", SDP))
        ours = self._open is not None and (self._open.method == "INVITE" or bool(self._open.body))
        if (request.body or request.method == "INVITE") and (ours or unanswered):
            raise Refusal(491)

    def retry_after(self) -> tuple[str, str]:
        """RFC 3311 5.2, RFC 3261 14.2: 0 to 10 seconds."""
        return "Retry-After", str(int(self._chance() * 11))

    def heard(self, message: Message) -> None:
        """Allow, of a message that says what the peer can."""
        allow = message.headers.get_all("Allow")
        if allow:
            self.peer_updates = "UPDATE" in allow

    # ------------------------------------------------------------------ ours

    @property
    def busy(self) -> bool:
        return self._open is not None or self._wait is not None

    def start(self, session: Within, change: Change) -> None:
        """Raises LocalError while another one is open."""
        if self.busy:
            raise LocalError("another change of the session is open")
        self._send(session, change)

    def _send(self, session: Within, change: Change) -> None:
        self._wait = None
        if not session.takes_requests():
            return
        self._open, change.tries = change, change.tries + 1
        rows: Rows = ask(self._timer, self.terms, self._known_s)
        if change.body:
            rows = (*rows, ("Content-Type", SDP))
        client = session.transmit(
            change.method, rows, change.body,
            lambda response: self._answered(session, change, response),
            lambda why: self._lost(session, change),
        )  # fmt: skip
        self._deadline = self._timers.call_later(TIMEOUT + T2, self._overdue, session, change, client)

    def _answered(self, session: Within, change: Change, response: Response) -> None:
        if change.method == "INVITE" and response.status < 300:
            self._acknowledge(session, change, response)
        if change is not self._open:
            return  # the same 2xx again, or of a session that has ended since
        self._close()
        if response.status < 300:
            self._succeeded(session, change, response)
        else:
            self._refused(session, change, response)

    def _acknowledge(self, session: Within, change: Change, response: Response) -> None:
        if change.ack:
            session.resend(change.ack)
        else:
            change.ack = session.acknowledge(response.cseq.number)

    def _succeeded(self, session: Within, change: Change, response: Response) -> None:
        if session.dialog is not None:
            try:
                session.dialog.refresh_target(response)
            except RemoteError:
                pass  # it stays where it was
        self.heard(response)
        self.agree(session, agreed(self._timer, response))
        if change.body:
            self.local_sdp = change.body
        if not change.refresh or (response.body and response.body != self.remote_sdp):
            session.settled(change, response)
        self.remote_sdp = response.body or self.remote_sdp

    def _refused(self, session: Within, change: Change, response: Response) -> None:
        wait_s = self._again_s(session, response)
        if wait_s is not None and change.tries < TRIES:
            self._wait = self._timers.call_later(wait_s, self._send, session, change)
        elif not change.refresh:
            session.settled(change, response)
        elif response.status == 481:
            pass  # the session ends by it
        elif response.status == 408:
            session.expired()
        elif change.method == "UPDATE":
            self.peer_updates = False  # whatever it said of UPDATE: it does not take this one
            self._send(session, Change("INVITE", self.local_sdp, refresh=True))
        elif self.terms is not None:
            self._refresh = self._timers.call_later(self.terms.interval_s / 8, self._refresh_now, session)

    def _again_s(self, session: Within, response: Response) -> float | None:
        """When to send the same once more: RFC 3261 14.1, RFC 3311 5.3, RFC 4028 7.3."""
        if response.status == 491:
            return glare_wait_s(session.role, self._chance())
        known_s = raised(self._timer, response, self._known_s)
        if known_s is not None:
            self._known_s = known_s
            return 0.0
        after = (response.headers.get("Retry-After") or "").partition(";")[0].partition("(")[0].strip()
        return float(after) if response.status == 500 and after.isascii() and after.isdigit() and len(after) < 3 else None

    def _lost(self, session: Within, change: Change) -> None:
        if change is not self._open:
            return
        self._close()
        if change.refresh:
            session.expired()
        else:
            session.settled(change, None)

    def _overdue(self, session: Within, change: Change, client: ClientTransaction) -> None:
        """A re-INVITE that only ever got provisional responses."""
        client.finish()
        self._lost(session, change)

    def _close(self) -> None:
        self._open = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # ------------------------------------------------------------------ the session timer

    def agree(self, session: Within, terms: Terms | None) -> None:
        """From a 2xx, sent or received: the time starts anew."""
        self._stop_timer()
        self.terms = terms
        if terms is not None:
            self._expiry = self._timers.call_later(terms.expiry_s, session.expired)
            if terms.ours:
                self._refresh = self._timers.call_later(terms.refresh_s, self._refresh_now, session)

    def _refresh_now(self, session: Within) -> None:
        if self.busy:
            self._refresh = self._timers.call_later(T2, self._refresh_now, session)  # that one refreshes too, if all goes well
        elif self.peer_updates:
            self._send(session, Change("UPDATE", b"", refresh=True))
        else:
            self._send(session, Change("INVITE", self.local_sdp, refresh=True))

    def _stop_timer(self) -> None:
        for timer in (self._refresh, self._expiry):
            if timer is not None:
                timer.cancel()
        self._refresh = self._expiry = None

    def stop(self) -> None:
        """The session is over; a 2xx that is still to come is acknowledged all the same."""
        self._stop_timer()
        self._open = None  # but not its deadline: somebody has to end the transaction
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None
