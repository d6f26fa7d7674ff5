"""One INVITE session, either side of it: performs the table of `invite` through the user agent that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from smartalex.errors import LocalError, RemoteError
from smartalex.machine import step
from smartalex.sip.dialog import Dialog, peer_of
from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.invite import ENDINGS, TABLE, Action, Input, State
from smartalex.sip.layer import ClientTransaction, Refusal, ServerTransaction
from smartalex.sip.message import REASONS, Request, Response, response_to
from smartalex.sip.refer import (
    Progress,
    Rows,
    Tell,
    Transfer,
    TransferInput,
    input_of_notify,
    notify_headers,
    read_refer_to,
    refer_headers,
    sipfrag,
)  # fmt: skip
from smartalex.sip.timers import T1, T2, TIMEOUT, Timer, TimerQueue

SDP = "application/sdp"


class SessionListener:
    """What a session tells its owner; every method may be left as it is."""

    def on_ack(self, session: Session, body: bytes) -> None:
        """The first ACK of our 2xx; later also a re-INVITE's ACK, when it carries the answer to our offer."""

    def on_cancelled(self, session: Session) -> None:
        """CANCEL before an answer; on_ended follows."""

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        """Exactly once: 'bye', 'cancelled', 'rejected', 'failed', 'no-ack', 'timeout', 'transport', 'gone', 'local'."""

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        """The SDP to answer with, an offer when `body` is empty; None or a RemoteError refuses (488)."""
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
        """No answer to our REFER, or its subscription ended without an outcome."""

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        """The peer asks us to call somebody: True accepts (202), then `session.notify_refer`."""
        return False

    def on_info(self, session: Session, content_type: str, body: bytes) -> None:
        """SIP INFO inside the dialog; it is answered 200."""


class Agent(Protocol):
    """What a session needs of its user agent."""

    timers: TimerQueue
    capabilities: Rows

    def contact(self, session: Session) -> tuple[str, str]: ...

    def send(
        self, session: Session, request: Request, answered: Callable[[Response], None], failed: Callable[[str], None]
    ) -> None: ...

    def send_ack(self, session: Session, request: Request) -> bytes: ...

    def resend(self, session: Session, data: bytes) -> None: ...

    def invite_again(self, session: Session, credentials: tuple[str, str]) -> None: ...

    def cancel(self, session: Session, headers: Rows) -> None: ...

    def connected(self, peer: Peer) -> bool: ...

    def confirmed(self, session: Session) -> None: ...

    def ended(self, session: Session) -> None: ...

    def unlisted(self, what: str) -> None: ...


class Session:
    """Made by the user agent for each INVITE; verbs in a wrong state raise LocalError."""

    __slots__ = (
        "_ack", "_agent", "_awaits", "_early", "_farewell", "_referred", "_response", "_timers", "_transaction", "_transfer",
        "_transfers",
        "client", "dialog", "digest", "listener", "peer", "request", "role", "state", "tag",
    )  # fmt: skip

    def __init__(self, agent: Agent, role: str, request: Request, peer: Peer, tag: str) -> None:
        self._agent = agent
        self.role = role
        self.request = request
        self.peer = peer
        self.tag = tag
        self.state = State.INCOMING if role == "uas" else State.CALLING
        self.dialog: Dialog | None = None
        self.listener: SessionListener = SessionListener()
        self.client: ClientTransaction | None = None
        self.digest: DigestClient | None = None
        self._early: Dialog | None = None  # UAS: becomes `dialog` with the 2xx
        self._transaction: ServerTransaction | None = None
        self._response: Response | None = None
        self._awaits: Request | None = None  # the INVITE whose 2xx has no ACK yet
        self._timers: tuple[Timer, ...] = ()
        self._ack: bytes = b""
        self._farewell: Rows = ()
        self._transfers: tuple[Transfer, ...] = ()  # those whose outcome is open
        self._transfer: Transfer | None = None  # the last one
        self._referred: str | None = None

    @property
    def call_id(self) -> str:
        return self.request.call_id

    def __repr__(self) -> str:
        return f"<Session {self.role} {self.state.value} {self.call_id}>"

    # ------------------------------------------------------------------ verbs

    def ring(self, status: int = 180, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A provisional response."""
        self._verb(Input.RING, (status, None, (self._agent.contact(self), *headers)))

    def answer(self, body: bytes, content_type: str = SDP, headers: Iterable[tuple[str, str]] = ()) -> None:
        """200, repeated until its ACK comes."""
        self._verb(Input.ANSWER, self._success(self.request, body, content_type, headers))

    def reject(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A final response, 300 to 699."""
        self._verb(Input.REJECT, (status, reason, tuple(headers)))

    def challenge(self, challenges: Sequence[str]) -> None:
        """401 with one WWW-Authenticate for each challenge."""
        self.reject(401, headers=tuple(("WWW-Authenticate", value) for value in challenges))

    def hangup(self, reason_header: str | None = None) -> None:
        """BYE, CANCEL or 480, whichever this state calls for; nothing when that has been done already."""
        if reason_header:
            self._farewell = (("Reason", reason_header),)
        if (self.state, Input.HANG_UP) in TABLE:
            self.input(Input.HANG_UP)

    def ack(self, body: bytes = b"") -> None:
        """UAC: acknowledge the 2xx, with an SDP answer where the 2xx held an offer."""
        if self.dialog is None or self.role != "uac":
            raise LocalError(f"nothing to acknowledge: the session is {self.state.value}")
        headers = (("Content-Type", SDP),) if body else ()
        self._ack = self._agent.send_ack(self, self.dialog.request("ACK", headers, body, seq=self.request.cseq.number))

    def refer(self, refer_to: str, referred_by: str | None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """REFER on this dialog; its fate comes by on_refer_*."""
        dialog = self._confirmed()
        rows = refer_headers(refer_to, referred_by or f"<{dialog.local.uri}>", (*headers, self._agent.contact(self)))
        request = dialog.request("REFER", rows)
        transfer = self._transfer = Transfer(dialog.local_seq)
        self._transfers = (*self._transfers, transfer)
        self._send(
            request,
            lambda response: self._refer_answered(transfer, response),
            lambda why: self._transfer_step(transfer, TransferInput.UNANSWERED),
        )

    def notify_refer(self, status: int, reason: str, final: bool) -> None:
        """As the one who was referred: how the new call goes."""
        dialog = self._confirmed()
        if self._referred is None:
            raise LocalError("no transfer to report")
        headers = (*notify_headers(self._referred, final=final), self._agent.contact(self))
        if final:
            self._referred = None
        self._send(dialog.request("NOTIFY", headers, sipfrag(status, reason)), lambda response: None, lambda why: None)

    def request_in_dialog(self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Deferred[Response]:
        """Any other request; fails with LocalError when nobody answers."""
        answered: Deferred[Response] = Deferred()
        request = self._confirmed().request(method, (*headers, self._agent.contact(self)), body)
        self._send(request, answered.callback, lambda why: answered.errback(LocalError(why)))
        return answered

    # ------------------------------------------------------------------ from the user agent

    def input(self, event: Input, detail: Any = None) -> bool:
        """Step the table and perform; False, and counted, for a pair it does not list."""
        row = step(TABLE, self.state, event)
        if row is None:
            self._agent.unlisted(event.value)
            return False
        actions, self.state = row
        try:
            for action in actions:
                PERFORM[action](self, event, detail)
        finally:
            if self.state is State.ENDED:
                self._agent.ended(self)
        return True

    def arrived(self, transaction: ServerTransaction) -> None:
        """UAS: the INVITE's transaction; raises RemoteError(400) for an INVITE that no dialog can come of."""
        self._early = Dialog.of_uas(self.request, self.tag)
        self._transaction = transaction
        transaction.on_failed = self._failed_to_answer

    def accepted(self, response: Response) -> None:
        """UAC: a 2xx, the first, the same again, or one of another branch that answered too."""
        if self.dialog is None:
            self.dialog = Dialog.of_uac(self.request, response)
            self._agent.confirmed(self)
        elif self.dialog.remote.tag != response.to.tag:
            self._decline_fork(response)
            return
        self.input(Input.R2XX, response)

    def acknowledged(self, ack: Request) -> None:
        """An ACK of ours; copies, and those of another INVITE, mean nothing."""
        if self._awaits is not None and self._awaits.cseq.number == ack.cseq.number:
            self.input(Input.ACK, ack)

    def takes_requests(self) -> bool:
        """Whether anything but BYE makes sense in this dialog now."""
        return self.state in (State.ACCEPTED, State.CONFIRMED)

    def reinvite(self, transaction: ServerTransaction, request: Request) -> None:
        """A re-INVITE: one at a time, answered by the listener (RFC 3261 14.2)."""
        if self._awaits is not None:
            busy = (("Retry-After", "2"),)
            transaction.respond(response_to(request, 500, headers=busy))
            return
        dialog = self._confirmed()
        _ = request.contact  # a broken one is refused before anything changes
        body = self.listener.on_reinvite(self, request.body)
        if body is None:
            raise Refusal(488)
        dialog.refresh_target(request)
        self._transaction = transaction
        self._send_2xx(Input.ANSWER, (request, self._success(request, body)[1]))

    def transfer_of(self, event_id: str | None) -> Transfer:
        """Which REFER of ours a NOTIFY is about, without an id the first (RFC 3515 2.4.6); raises RemoteError(481)."""
        for transfer in self._transfers:
            if event_id in (None, transfer.id):
                return transfer
        raise Refusal(481)

    def notified(self, transfer: Transfer, progress: Progress) -> None:
        """Only what becomes of the last REFER is told."""
        self._transfer_step(transfer, input_of_notify(progress), progress)

    def referred(self, transaction: ServerTransaction, request: Request) -> None:
        """The peer's REFER: 202 and a first NOTIFY at once (RFC 3515 2.4.4), or 603."""
        accepted = self.listener.on_refer(self, read_refer_to(request), request)
        transaction.respond(response_to(request, 202 if accepted else 603, headers=(self._agent.contact(self),)))
        if accepted:
            self._referred = str(request.cseq.number)
            self.notify_refer(100, REASONS[100], final=False)

    # ------------------------------------------------------------------ actions

    def _verb(self, event: Input, detail: Any) -> None:
        if (self.state, event) not in TABLE:
            raise LocalError(f"cannot {event.value} a session that is {self.state.value}")
        self.input(event, detail)

    def _confirmed(self) -> Dialog:
        if self.dialog is None or not self.takes_requests():
            raise LocalError(f"no dialog: the session is {self.state.value}")
        return self.dialog

    def _send(self, request: Request, answered: Callable[[Response], None], failed: Callable[[str], None]) -> None:
        """Inside the dialog: a 481 says that it is gone, but to a NOTIFY only that its subscription is.

        No answer at all does not end the session, other than RFC 3261 12.2.1.2 has it:
        a peer that ignores a REFER may well go on talking.
        """

        def final(response: Response) -> None:
            if response.status < 200:
                return
            answered(response)
            if response.status == 481 and request.method != "NOTIFY" and self.takes_requests():
                self.input(Input.GONE, response)

        def unanswered(why: str) -> None:
            failed(why)
            if why == "transport" and self.takes_requests():
                self.input(Input.LOST)

        self._agent.send(self, request, final, unanswered)

    def _success(
        self, request: Request, body: bytes, content_type: str = SDP, headers: Iterable[tuple[str, str]] = ()
    ) -> tuple[Request, Response]:
        rows = (self._agent.contact(self), *headers, *self._agent.capabilities)
        kind = content_type if body else None
        return request, response_to(request, 200, to_tag=self.tag, headers=rows, body=body, content_type=kind)

    def _respond(self, event: Input, detail: tuple[int, str | None, Rows]) -> None:
        status, reason, headers = detail
        if self._transaction is not None:
            self._transaction.respond(response_to(self.request, status, reason, to_tag=self.tag, headers=headers))

    def _failed_to_answer(self, why: str) -> None:
        if why != "timeout":  # a refusal without its ACK changes nothing
            self.input(Input.LOST)

    def _send_2xx(self, event: Input, detail: tuple[Request, Response]) -> None:
        self._awaits, self._response = detail
        if self.dialog is None:
            self.dialog = self._early
            self._agent.confirmed(self)
        if self._transaction is not None:
            self._transaction.respond(self._response)
        later = self._agent.timers.call_later
        self._timers = later(T1, self._again, T1), later(TIMEOUT, self.input, Input.NO_ACK)

    def _again(self, interval: float) -> None:
        """RFC 3261 13.3.1.4: the 2xx is repeated on every transport, at T1 doubling up to T2."""
        if self._transaction is not None and self._response is not None:
            self._transaction.respond(self._response)
        interval = min(interval * 2, T2)
        self._timers = self._agent.timers.call_later(interval, self._again, interval), self._timers[1]

    def _stop(self, event: Input, detail: Any) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = ()
        self._awaits = self._response = None

    def _tell_reinvite_ack(self, event: Input, ack: Request) -> None:
        if self._awaits is not None and not self._awaits.body and ack.body:
            self.listener.on_ack(self, ack.body)

    def _send_bye(self, event: Input, detail: Any) -> None:
        assert self.dialog is not None
        if self.role == "uac" and not self._ack:
            self.ack()
        request = self.dialog.request("BYE", self._farewell)
        self._agent.send(self, request, self._bye_answered, lambda why: self._bye_done())

    def _bye_answered(self, response: Response) -> None:
        if response.status >= 200:
            self._bye_done()

    def _bye_done(self) -> None:
        self.input(Input.BYE_DONE)

    def _send_ack(self, event: Input, detail: Any) -> None:
        if self._ack:
            self._agent.resend(self, self._ack)

    def _send_cancel(self, event: Input, detail: Any) -> None:
        self._agent.cancel(self, self._farewell)
        self._timers = (self._agent.timers.call_later(TIMEOUT, self.input, Input.NO_FINAL),)

    def _abandon(self, event: Input, detail: Any) -> None:
        if self.client is not None:
            self.client.finish()

    def _decline_fork(self, response: Response) -> None:
        """Somebody else answered too: acknowledged, and ended at once (RFC 3261 13.2.2.4)."""
        other = Session(self._agent, "uac", self.request, self.peer, self.tag)
        other.dialog, other.state = Dialog.of_uac(self.request, response), State.CONFIRMED
        other.hangup()

    def _failed(self, event: Input, response: Any) -> None:
        self.listener.on_failed(self, response if isinstance(response, Response) else None)

    def _end(self, event: Input, detail: Any) -> None:
        cause = ENDINGS.get(event, "local")
        if event is Input.FAILURE and detail is None:
            cause = "timeout"
        self.listener.on_ended(self, cause, detail if isinstance(detail, Request) else None)

    def _refer_answered(self, transfer: Transfer, response: Response) -> None:
        event = TransferInput.ACCEPTED if response.status < 300 else TransferInput.REFUSED
        self._transfer_step(transfer, event, Progress(response.status, response.reason, final=True))

    def _transfer_step(self, transfer: Transfer, event: TransferInput, progress: Progress | None = None) -> None:
        told = transfer.input(event)
        if transfer.over:
            self._transfers = tuple(other for other in self._transfers if other is not transfer)
        if not told or transfer is not self._transfer:
            return
        if told[0] is Tell.ACCEPTED:
            self.listener.on_refer_accepted(self)
        elif told[0] is Tell.PROGRESS and progress is not None:
            self.listener.on_refer_progress(self, progress.status, progress.reason, progress.final)
        else:
            self.listener.on_refer_lost(self)

    def next_hop(self) -> Peer:
        """Where in-dialog requests go: the connection the peer opened while it lasts, else route set or target."""
        assert self.dialog is not None
        if self.peer.transport != "udp" and not self.dialog.route_set and self._agent.connected(self.peer):
            return self.peer
        return peer_of(self.dialog.next_hop(), self.peer, self.request if self.role == "uas" else None)


Perform = Callable[[Session, Input, Any], None]

A = Action

PERFORM: dict[Action, Perform] = {
    A.SEND_PROVISIONAL: Session._respond,
    A.SEND_FINAL: Session._respond,
    A.SEND_2XX: Session._send_2xx,
    A.SEND_487: lambda s, e, d: s._respond(e, (487, None, ())),
    A.SEND_480: lambda s, e, d: s._respond(e, (480, None, s._farewell)),
    A.SEND_AGAIN: lambda s, e, d: s._agent.invite_again(s, d),
    A.SEND_ACK: Session._send_ack,
    A.SEND_BYE: Session._send_bye,
    A.SEND_CANCEL: Session._send_cancel,
    A.STOP: Session._stop,
    A.ABANDON: Session._abandon,
    A.TELL_ACK: lambda s, e, d: s.listener.on_ack(s, d.body),
    A.TELL_REINVITE_ACK: Session._tell_reinvite_ack,
    A.TELL_PROGRESS: lambda s, e, d: s.listener.on_progress(s, d),
    A.TELL_ANSWERED: lambda s, e, d: s.listener.on_answered(s, d),
    A.TELL_FAILED: Session._failed,
    A.TELL_CANCELLED: lambda s, e, d: s.listener.on_cancelled(s),
    A.END: Session._end,
    A.END_LOCAL: lambda s, e, d: s.listener.on_ended(s, "local", None),
}
