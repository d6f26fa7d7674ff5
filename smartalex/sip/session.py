"""One INVITE session, either side of it: the table, and the object that performs it.

The table knows nothing of messages; `Session` sends them through the user
agent that made it (RFC 3261 13-15, RFC 6026, races of RFC 5407).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from smartalex.errors import LocalError, RemoteError
from smartalex.machine import Table, step
from smartalex.sip import refer
from smartalex.sip.dialog import Dialog, peer_of
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import ServerTransaction
from smartalex.sip.message import Request, Response, response_to
from smartalex.sip.timers import T1, T2, TIMEOUT, Timer

if TYPE_CHECKING:
    from smartalex.sip.layer import ClientTransaction


class State(Enum):
    INCOMING = "incoming"  # UAS, no final response yet
    ACCEPTED = "accepted"  # UAS, 2xx sent, no ACK yet
    LEAVING = "leaving"  # UAS, hung up before the ACK: BYE waits for it (RFC 3261 15)
    CALLING = "calling"  # UAC, nothing heard yet
    PROCEEDING = "proceeding"  # UAC, 1xx heard
    GIVING_UP = "giving up"  # UAC, hung up before a provisional: CANCEL waits for one (RFC 3261 9.1)
    CANCELLING = "cancelling"  # UAC, CANCEL sent
    CONFIRMED = "confirmed"
    ENDED = "ended"


class Input(Enum):
    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    HANG_UP = "hang up"
    ACK = "ack"
    CANCEL = "cancel"
    BYE = "bye"
    NO_ACK = "no ack"
    R1XX = "1xx"
    R2XX = "2xx"
    FAILURE = "failure"
    LOST = "transport lost"


class Action(Enum):
    SEND_PROVISIONAL = "send 1xx"
    SEND_FINAL = "send the final response"
    SEND_2XX = "send the 2xx and repeat it until its ACK"
    SEND_487 = "send 487"
    SEND_480 = "send 480"
    SEND_ACK = "send ACK"
    SEND_BYE = "send BYE"
    SEND_CANCEL = "send CANCEL"
    STOP_2XX = "stop repeating the 2xx"
    TELL_ACK = "tell: acknowledged"
    TELL_PROGRESS = "tell: progress"
    TELL_ANSWERED = "tell: answered"
    TELL_FAILED = "tell: failed"
    TELL_CANCELLED = "tell: cancelled"
    END = "tell: ended"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    (S.INCOMING, I.RING): ((A.SEND_PROVISIONAL,), S.INCOMING),
    (S.INCOMING, I.ANSWER): ((A.SEND_2XX,), S.ACCEPTED),
    (S.INCOMING, I.REJECT): ((A.SEND_FINAL, A.END), S.ENDED),
    (S.INCOMING, I.HANG_UP): ((A.SEND_480, A.END), S.ENDED),
    (S.INCOMING, I.CANCEL): ((A.SEND_487, A.TELL_CANCELLED, A.END), S.ENDED),
    (S.INCOMING, I.BYE): ((A.SEND_487, A.END), S.ENDED),
    (S.INCOMING, I.LOST): ((A.END,), S.ENDED),
    (S.ACCEPTED, I.ACK): ((A.STOP_2XX, A.TELL_ACK), S.CONFIRMED),
    (S.ACCEPTED, I.BYE): ((A.STOP_2XX, A.END), S.ENDED),
    (S.ACCEPTED, I.NO_ACK): ((A.STOP_2XX, A.SEND_BYE, A.END), S.ENDED),
    (S.ACCEPTED, I.HANG_UP): ((A.END,), S.LEAVING),
    (S.LEAVING, I.ACK): ((A.STOP_2XX, A.SEND_BYE), S.ENDED),
    (S.LEAVING, I.NO_ACK): ((A.STOP_2XX, A.SEND_BYE), S.ENDED),
    (S.LEAVING, I.BYE): ((A.STOP_2XX,), S.ENDED),
    (S.CALLING, I.R1XX): ((A.TELL_PROGRESS,), S.PROCEEDING),
    (S.CALLING, I.R2XX): ((A.TELL_ANSWERED,), S.CONFIRMED),
    (S.CALLING, I.FAILURE): ((A.TELL_FAILED, A.END), S.ENDED),
    (S.CALLING, I.LOST): ((A.END,), S.ENDED),
    (S.CALLING, I.HANG_UP): ((), S.GIVING_UP),
    (S.PROCEEDING, I.R1XX): ((A.TELL_PROGRESS,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.TELL_ANSWERED,), S.CONFIRMED),
    (S.PROCEEDING, I.FAILURE): ((A.TELL_FAILED, A.END), S.ENDED),
    (S.PROCEEDING, I.LOST): ((A.END,), S.ENDED),
    (S.PROCEEDING, I.HANG_UP): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.R1XX): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.R2XX): ((A.SEND_ACK, A.SEND_BYE, A.END), S.ENDED),
    (S.GIVING_UP, I.FAILURE): ((A.END,), S.ENDED),
    (S.GIVING_UP, I.LOST): ((A.END,), S.ENDED),
    (S.CANCELLING, I.R2XX): ((A.SEND_ACK, A.SEND_BYE, A.END), S.ENDED),  # CANCEL crossed the 200
    (S.CANCELLING, I.FAILURE): ((A.END,), S.ENDED),
    (S.CANCELLING, I.LOST): ((A.END,), S.ENDED),
    (S.CONFIRMED, I.ACK): ((A.STOP_2XX,), S.CONFIRMED),
    (S.CONFIRMED, I.NO_ACK): ((A.STOP_2XX, A.SEND_BYE, A.END), S.ENDED),  # of a re-INVITE's 2xx
    (S.CONFIRMED, I.BYE): ((A.STOP_2XX, A.END), S.ENDED),
    (S.CONFIRMED, I.HANG_UP): ((A.STOP_2XX, A.SEND_BYE, A.END), S.ENDED),
    (S.CONFIRMED, I.R2XX): ((A.SEND_ACK,), S.CONFIRMED),  # our ACK was lost
    (S.CONFIRMED, I.LOST): ((A.STOP_2XX, A.END), S.ENDED),
    (S.ENDED, I.R2XX): ((A.SEND_ACK,), S.ENDED),
}

ENDINGS = {
    I.CANCEL: "cancelled",
    I.BYE: "bye",
    I.NO_ACK: "no-ack",
    I.REJECT: "rejected",
    I.FAILURE: "failed",
    I.LOST: "transport",
}


class SessionListener:
    """What a session tells its owner; every method may be left as it is."""

    def on_ack(self, session: Session, body: bytes) -> None:
        """The first ACK of our 2xx."""

    def on_cancelled(self, session: Session) -> None:
        """CANCEL before an answer; on_ended follows."""

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        """Exactly once: 'bye', 'cancelled', 'rejected', 'failed', 'no-ack', 'transport', 'local'."""

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        """The SDP to answer with; raises RemoteError to refuse (488)."""
        raise RemoteError(488, "Not Acceptable Here")

    def on_progress(self, session: Session, response: Response) -> None:
        """UAC: a provisional response above 100."""

    def on_answered(self, session: Session, response: Response) -> None:
        """UAC: a 2xx; call `session.ack`."""
        session.ack()

    def on_failed(self, session: Session, response: Response | None) -> None:
        """UAC: refused (None: no answer at all)."""

    def on_refer_accepted(self, session: Session) -> None:
        """2xx to our REFER."""

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        """A NOTIFY about it, or the REFER's own refusal."""

    def on_refer_lost(self, session: Session) -> None:
        """No answer to our REFER at all."""

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        """The peer asks us to call somebody: True accepts (202), then `session.notify_refer`."""
        return False

    def on_info(self, session: Session, content_type: str, body: bytes) -> None:
        """SIP INFO inside the dialog; it is answered 200."""


class Session:
    """Made by the user agent for each INVITE; verbs in a wrong state raise LocalError."""

    __slots__ = (
        "_ack", "_agent", "_repeat", "_response", "_transaction",
        "client", "dialog", "listener", "peer", "request", "role", "state", "tag",
    )  # fmt: skip

    def __init__(self, agent: Any, role: str, request: Request, peer: Peer, tag: str) -> None:
        self._agent = agent
        self.role = role
        self.request = request
        self.peer = peer
        self.tag = tag
        self.state = State.INCOMING if role == "uas" else State.CALLING
        self.dialog: Dialog | None = None
        self.listener: SessionListener = SessionListener()
        self.client: ClientTransaction | None = None
        self._transaction: ServerTransaction | None = None
        self._response: Response | None = None
        self._repeat: tuple[Timer, Timer] | None = None
        self._ack: bytes = b""

    @property
    def call_id(self) -> str:
        return self.request.call_id

    # ------------------------------------------------------------------ verbs

    def ring(self, status: int = 180, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._verb(Input.RING, self._uas_response(status, None, headers))

    def answer(self, body: bytes, content_type: str = "application/sdp", headers: Iterable[tuple[str, str]] = ()) -> None:
        """200, repeated until its ACK comes."""
        self._verb(Input.ANSWER, self._uas_response(200, None, headers, body, content_type))

    def reject(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._verb(Input.REJECT, self._uas_response(status, reason, headers))

    def challenge(self, challenges: Sequence[str]) -> None:
        """401 with one WWW-Authenticate for each challenge."""
        self.reject(401, headers=tuple(("WWW-Authenticate", value) for value in challenges))

    def hangup(self, reason_header: str | None = None) -> None:
        """BYE, CANCEL or 480, whichever this state calls for; nothing when it has ended already."""
        if self.state not in (State.ENDED, State.LEAVING, State.GIVING_UP, State.CANCELLING):
            self.input(Input.HANG_UP, reason_header)

    def ack(self, body: bytes = b"") -> None:
        """UAC: acknowledge the 2xx, with an SDP answer where the 2xx held an offer."""
        dialog = self._confirmed()
        headers = (("Content-Type", "application/sdp"),) if body else ()
        request = dialog.request("ACK", headers, body, seq=self.request.cseq.number)
        self._ack = self._agent.send_ack(self, request)

    def refer(self, refer_to: str, referred_by: str | None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """REFER on this dialog; its fate comes by on_refer_*."""
        dialog = self._confirmed()
        by = referred_by or f"<{dialog.local.uri}>"
        request = dialog.request("REFER", refer.refer_headers(refer_to, by, (*headers, self._agent.contact(self))))
        self._agent.send(self, request, self._refer_answered, lambda why: self.listener.on_refer_lost(self))

    def notify_refer(self, status: int, reason: str, final: bool) -> None:
        """As the one who was referred: how the new call goes."""
        headers = (*refer.notify_headers(final=final), self._agent.contact(self))
        request = self._confirmed().request("NOTIFY", headers, refer.sipfrag(status, reason))
        self._agent.send(self, request, lambda response: None, lambda why: None)

    def request_in_dialog(self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Deferred[Response]:
        """Any other request; fails with LocalError when nobody answers."""
        answered: Deferred[Response] = Deferred()

        def final(response: Response) -> None:
            if response.status >= 200:
                answered.callback(response)

        request = self._confirmed().request(method, (*headers, self._agent.contact(self)), body)
        self._agent.send(self, request, final, lambda why: answered.errback(LocalError(why)))
        return answered

    # ------------------------------------------------------------------ from the user agent

    def input(self, event: Input, detail: Any = None) -> bool:
        """Step the table and perform; False for a pair it does not list."""
        row = step(TABLE, self.state, event)
        if row is None:
            return False
        actions, self.state = row
        for action in actions:
            PERFORM[action](self, event, detail)
        if self.state is State.ENDED:
            self._agent.ended(self)
        return True

    def arrived(self, transaction: ServerTransaction) -> None:
        self._transaction = transaction
        transaction.on_failed = self._lost

    def _lost(self, why: str) -> None:
        self.input(Input.LOST)

    def reinvite(self, transaction: ServerTransaction, request: Request) -> None:
        """A re-INVITE: one at a time, answered by the listener (RFC 3261 14.2)."""
        if self.state is not State.CONFIRMED or self._repeat is not None:
            busy = (("Retry-After", "2"),)
            transaction.respond(response_to(request, 500, to_tag=self.tag, headers=busy))
            return
        assert self.dialog is not None
        self._transaction = transaction
        try:
            body = self.listener.on_reinvite(self, request.body)
        except RemoteError as error:
            transaction.respond(response_to(request, error.status, error.reason, to_tag=self.tag))
            return
        self.dialog.refresh_target(request)
        headers = (self._agent.contact(self), *self._agent.capabilities)
        answer = response_to(request, 200, headers=headers, body=body or b"", content_type="application/sdp" if body else None)
        self._send_2xx(Input.ANSWER, answer)

    # ------------------------------------------------------------------ actions

    def _verb(self, event: Input, detail: Any) -> None:
        if not self.input(event, detail):
            raise LocalError(f"cannot {event.value} a session that is {self.state.value}")

    def _confirmed(self) -> Dialog:
        if self.dialog is None:
            raise LocalError(f"no dialog: the session is {self.state.value}")
        return self.dialog

    def _uas_response(
        self,
        status: int,
        reason: str | None,
        headers: Iterable[tuple[str, str]],
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        extra: tuple[tuple[str, str], ...] = tuple(headers)
        if 100 < status < 300:
            extra = (self._agent.contact(self), *extra)
        if 200 <= status < 300:
            extra = (*extra, *self._agent.capabilities)
        return response_to(self.request, status, reason, to_tag=self.tag, headers=extra, body=body, content_type=content_type)

    def _respond(self, event: Input, response: Response) -> None:
        if self._transaction is not None:
            self._transaction.respond(response)

    def _send_2xx(self, event: Input, response: Response) -> None:
        if self.dialog is None:
            self.dialog = Dialog.of_uas(self.request, self.tag, self._agent.first_seq())
            self._agent.confirmed(self)
        self._response = response
        self._respond(event, response)
        later = self._agent.timers.call_later
        self._repeat = later(T1, self._again, T1), later(TIMEOUT, self.input, Input.NO_ACK)

    def _again(self, interval: float) -> None:
        """RFC 3261 13.3.1.4: the 2xx is repeated on every transport, at T1 doubling up to T2."""
        if self._repeat is None or self._response is None:
            return
        self._respond(Input.ANSWER, self._response)
        interval = min(interval * 2, T2)
        self._repeat = self._agent.timers.call_later(interval, self._again, interval), self._repeat[1]

    def _stop_2xx(self, event: Input, detail: Any) -> None:
        if self._repeat is not None:
            for timer in self._repeat:
                timer.cancel()
        self._repeat = self._response = None

    def _send_bye(self, event: Input, reason: Any) -> None:
        headers = (("Reason", reason),) if isinstance(reason, str) and reason else ()
        self._agent.send(self, self._confirmed().request("BYE", headers), lambda response: None, lambda why: None)

    def _send_ack(self, event: Input, detail: Any) -> None:
        if self._ack:
            self._agent.resend(self, self._ack)
        else:
            if self.dialog is None and isinstance(detail, Response):
                self.dialog = Dialog.of_uac(self.request, detail)
            self.ack()

    def _send_cancel(self, event: Input, detail: Any) -> None:
        self._agent.cancel(self)

    def _answered(self, event: Input, response: Response) -> None:
        self.dialog = Dialog.of_uac(self.request, response)
        self._agent.confirmed(self)
        self.listener.on_answered(self, response)

    def _failed(self, event: Input, response: Any) -> None:
        self.listener.on_failed(self, response if isinstance(response, Response) else None)

    def _end(self, event: Input, detail: Any) -> None:
        cause = ENDINGS.get(event, "local")
        if event is Input.FAILURE and detail is None:
            cause = "timeout"
        self.listener.on_ended(self, cause, detail if isinstance(detail, Request) else None)

    def _refer_answered(self, response: Response) -> None:
        if 200 <= response.status < 300:
            self.listener.on_refer_accepted(self)
        elif response.status >= 300:
            self.listener.on_refer_progress(self, response.status, response.reason, True)

    def next_hop(self) -> Peer:
        """Where in-dialog requests go: the connection the peer opened while it lasts, else route set or target."""
        assert self.dialog is not None
        if self.peer.transport != "udp" and not self.dialog.route_set and self._agent.connected(self.peer):
            return self.peer
        return peer_of(self.dialog.next_hop(), self.peer, self.request if self.role == "uas" else None)


Perform = Callable[[Session, Input, Any], None]

PERFORM: dict[Action, Perform] = {
    A.SEND_PROVISIONAL: Session._respond,
    A.SEND_FINAL: Session._respond,
    A.SEND_2XX: Session._send_2xx,
    A.SEND_487: lambda s, e, d: s._respond(e, s._uas_response(487, None, ())),
    A.SEND_480: lambda s, e, d: s._respond(e, s._uas_response(480, None, ())),
    A.SEND_ACK: Session._send_ack,
    A.SEND_BYE: Session._send_bye,
    A.SEND_CANCEL: Session._send_cancel,
    A.STOP_2XX: Session._stop_2xx,
    A.TELL_ACK: lambda s, e, d: s.listener.on_ack(s, d.body if isinstance(d, Request) else b""),
    A.TELL_PROGRESS: lambda s, e, d: s.listener.on_progress(s, d),
    A.TELL_ANSWERED: Session._answered,
    A.TELL_FAILED: Session._failed,
    A.TELL_CANCELLED: lambda s, e, d: s.listener.on_cancelled(s),
    A.END: Session._end,
}
