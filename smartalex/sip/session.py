"""One INVITE session, either side of it: performs the table of `invite` through the user agent that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from smartalex.errors import LocalError, RemoteError
from smartalex.machine import step
from smartalex.sip.change import SDP, Change, Changes
from smartalex.sip.dialog import Dialog, peer_of
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.invite import ENDINGS, TABLE, Action, Input, State
from smartalex.sip.layer import ClientTransaction, Refusal, ServerTransaction
from smartalex.sip.message import REASONS, Headers, Request, Response, response_to
from smartalex.sip.outgoing import Again, Outgoing
from smartalex.sip.provisional import OPTION, Fork, Reliably, number_of, read_rack, wanted
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
from smartalex.sip.session_timer import SessionTimer, Terms, agreed, answer
from smartalex.sip.timers import T1, T2, TIMEOUT, Timer, TimerQueue


class SessionListener:
    """What a session tells its owner; every method may be left as it is."""

    def on_ack(self, session: Session, body: bytes) -> None:
        """The first ACK of our 2xx; later also a re-INVITE's ACK, when it carries the answer to our offer."""

    def on_cancelled(self, session: Session) -> None:
        """CANCEL before an answer; on_ended follows."""

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        """Exactly once, with why.

        'bye', 'cancelled', 'rejected', 'failed', 'no-ack', 'timeout', 'transport', 'gone', 'expired' (RFC 4028), 'local'.
        """

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        """A re-INVITE, or an UPDATE with an offer: the SDP to answer with; None or a RemoteError refuses (488).

        `body` is empty in a re-INVITE that wants an offer.
        """
        raise RemoteError(488, "Not Acceptable Here")

    def on_answer(self, session: Session, body: bytes) -> None:
        """The peer's answer to `reinvite` or `update`, or another one than before to the offer that a refresh repeats."""

    def on_offer_refused(self, session: Session, response: Response | None) -> None:
        """The peer's refusal of `reinvite` or `update` (None: no answer at all); all is as it was."""

    def on_progress(self, session: Session, response: Response) -> None:
        """UAC: a provisional response above 100."""

    def on_early_offer(self, session: Session, body: bytes) -> bytes:
        """UAC: a reliable provisional response with an offer, to an INVITE without one; the SDP to answer with."""
        raise RemoteError(488, "Not Acceptable Here")

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

    def on_info(self, session: Session, content_type: str, body: bytes) -> bool:
        """SIP INFO inside the dialog: False for a body of no use (415)."""
        return False


class Agent(Protocol):
    """What a session needs of its user agent."""

    timers: TimerQueue
    capabilities: Rows
    timer: SessionTimer

    def chance(self) -> float:
        """A random number, 0 to 1."""
        ...

    def contact(self, session: Session) -> tuple[str, str]: ...

    def send(
        self,
        session: Session,
        dialog: Dialog,
        request: Request,
        answered: Callable[[Response], None],
        failed: Callable[[str], None],
    ) -> ClientTransaction: ...

    def send_ack(self, session: Session, request: Request) -> bytes: ...

    def resend(self, session: Session, data: bytes) -> None: ...

    def invite_again(self, session: Session, again: Again) -> None: ...

    def tell_dialog(self, session: Session, dialog: Dialog) -> None:
        """From now on requests in this dialog are for this session."""

    def cancel(self, session: Session, headers: Rows) -> None: ...

    def connected(self, peer: Peer) -> bool: ...

    def ended(self, session: Session) -> None: ...

    def unlisted(self, what: str) -> None: ...


class Session:
    """Made by the user agent for each INVITE; verbs in a wrong state raise LocalError."""

    __slots__ = (
        "_ack", "_agent", "_awaits", "_changes", "_early", "_farewell", "_forks", "_referred", "_reliably", "_response",
        "_timers", "_transaction", "_transfer", "_transfers",
        "client", "dialog", "listener", "outgoing", "peer", "replaces", "request", "role", "state", "tag", "terms",
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
        self.outgoing: Outgoing | None = None  # UAC
        self.terms: tuple[Terms | None, Rows] = (None, ())  # UAS: how long it lasts unrefreshed, and what the 2xx says of it
        self.replaces: Session | None = None  # UAS: whose place this one takes (RFC 3891), until it is answered or refused
        self._early: Dialog | None = None  # UAS: becomes `dialog` with the 2xx
        self._forks: dict[str, Fork] = {}  # UAC, by the peer's tag
        self._reliably: Reliably | None = None
        self._transaction: ServerTransaction | None = None
        self._response: Response | None = None
        self._awaits: Request | None = None  # the INVITE whose 2xx has no ACK yet
        self._timers: tuple[Timer, ...] = ()
        self._ack: bytes = b""
        self._changes = Changes(agent.timers, agent.timer, agent.chance)
        self._changes.heard(request)
        self._farewell: Rows = ()
        self._transfers: tuple[Transfer, ...] = ()  # those whose outcome is open
        self._transfer: Transfer | None = None  # the last one
        self._referred: str | None = None

    @property
    def open(self) -> bool:
        """Whether anything can still come of it."""
        return self.state not in (State.ENDED, State.LEAVING)

    @property
    def call_id(self) -> str:
        return self.request.call_id

    def __repr__(self) -> str:
        return f"<Session {self.role} {self.state.value} {self.call_id}>"

    # ------------------------------------------------------------------ verbs

    def ring(self, status: int = 180, headers: Iterable[tuple[str, str]] = ()) -> None:
        """A provisional response, sent reliably where the peer requires it (RFC 3262).

        Then it would have to hold our offer if the INVITE held none (5): such an INVITE only gets its final response.
        """
        if wanted(self.request) and not self.request.body and self.state is State.INCOMING:
            return
        self._verb(Input.RING, (status, None, (self._agent.contact(self), *headers)))

    def answer(self, body: bytes, content_type: str = SDP, headers: Iterable[tuple[str, str]] = ()) -> None:
        """200, repeated until its ACK comes."""
        terms, rows = self.terms
        self._verb(Input.ANSWER, self._success(self.request, body, content_type, (*headers, *rows)))
        self._changes.local_sdp, self._changes.remote_sdp = body, self.request.body
        self._changes.agree(self, terms)

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
        self._changes.local_sdp = body or self.request.body
        self._ack = self._agent.send_ack(self, self.dialog.request("ACK", headers, body, seq=self.request.cseq.number))

    def reinvite(self, body: bytes) -> None:
        """Offer another session (RFC 3261 14); on_answer or on_offer_refused follows.  LocalError while an offer is open."""
        self._change(Change("INVITE", body))

    def update(self, body: bytes) -> None:
        """The same by UPDATE (RFC 3311), which nobody has to be asked for; LocalError when the peer does not allow it."""
        if not self._changes.peer_updates:
            raise LocalError("the peer does not take UPDATE")
        self._change(Change("UPDATE", body))

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
        event_id, self._referred = self._referred, None if final else self._referred
        if not event_id:
            return
        headers = (*notify_headers(event_id, final=final), self._agent.contact(self))
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
            if self.state in (State.LEAVING, State.ENDED):
                self._over()
        return True

    def _over(self) -> None:
        """Nothing new is sent from here on but the BYE."""
        self._changes.stop()
        if self._reliably is not None:
            self._reliably.stop()
        if self.state is State.ENDED:
            self.replaces = None
            self._agent.ended(self)

    def arrived(self, transaction: ServerTransaction) -> None:
        """UAS: the INVITE's transaction; raises RemoteError(400) for an INVITE that no dialog can come of."""
        self._early = Dialog.of_uas(self.request, self.tag)
        self._agent.tell_dialog(self, self._early)
        self._transaction = transaction
        transaction.on_failed = self._failed_to_answer

    def progressed(self, response: Response) -> None:
        """UAC: a provisional response; one that is out of order, or the same again, is ignored (RFC 3262 4)."""
        fork = self._fork(response) if response.status > 100 and response.to.tag else None
        if fork is None or not wanted(response) or number_of(response.headers.get("RSeq")) is None:
            self.input(Input.R1XX, response)
        elif fork.takes(response):
            try:
                answer = b"" if self.request.body or not response.body else self.listener.on_early_offer(self, response.body)
                fork.answered = fork.answered or bool(response.body)
                self._acknowledge_provisional(fork, response, answer)
            finally:  # the call is in progress whatever became of the offer, so that CANCEL may be sent
                self.input(Input.R1XX, response)

    def _fork(self, response: Response) -> Fork:
        fork = self._forks.get(response.to.tag or "")
        if fork is None:
            fork = self._forks[response.to.tag or ""] = Fork(Dialog.of_uac(self.request, response))
            self._agent.tell_dialog(self, fork.dialog)
        return fork

    def _acknowledge_provisional(self, fork: Fork, response: Response, answer: bytes) -> None:
        rows: Rows = (("RAck", f"{fork.rseq} {response.headers.get('CSeq')}"),)
        if answer:
            rows = (*rows, ("Content-Type", SDP))
        request = fork.dialog.request("PRACK", rows, answer)
        self._agent.send(self, fork.dialog, request, lambda response: None, lambda why: None)

    def accepted(self, response: Response) -> None:
        """UAC: a 2xx, the first, the same again, or one of another branch that answered too."""
        if self.dialog is None:
            self.dialog = Dialog.of_uac(self.request, response)
            fork = self._forks.get(response.to.tag or "")
            if fork is not None:
                self.dialog.local_seq, self.dialog.remote_seq = fork.dialog.local_seq, fork.dialog.remote_seq
            self._agent.tell_dialog(self, self.dialog)
            self._changes.heard(response)
            self._changes.remote_sdp = response.body
            self._changes.agree(self, agreed(self._agent.timer, response))
        elif response.cseq.number != self.request.cseq.number:
            return  # late, of a re-INVITE
        elif self.dialog.remote.tag != response.to.tag:
            self._decline_fork(response)
            return
        self.input(Input.R2XX, response)

    def acknowledged(self, ack: Request) -> None:
        """An ACK of ours; copies, and those of another INVITE, mean nothing."""
        if self._awaits is not None and self._awaits.cseq.number == ack.cseq.number:
            self.input(Input.ACK, ack)

    def in_order(self, request: Request) -> bool:
        """Whether its CSeq is higher than that of the one before, in its dialog (RFC 3261 12.2.2)."""
        dialog = self._dialog_of(request)
        return dialog is None or dialog.accepts(request)

    def _dialog_of(self, request: Request) -> Dialog | None:
        """The dialog of this request, early or not."""
        if self.dialog is not None or self.role == "uas":
            return self.dialog or self._early
        fork = self._forks.get(request.from_.tag or "")
        return fork.dialog if fork is not None else None

    def dialogs(self) -> list[Dialog]:
        """Every dialog that it has, or had while it was early."""
        own = self.dialog or self._early
        return [*([own] if own is not None else []), *(fork.dialog for fork in self._forks.values())]

    def takes_requests(self) -> bool:
        """Whether anything but BYE makes sense in this dialog now."""
        return self.state in (State.ACCEPTED, State.CONFIRMED)

    def reinvited(self, transaction: ServerTransaction, request: Request) -> None:
        """A re-INVITE, answered by the listener (RFC 3261 14.2)."""
        dialog = self._confirmed()
        _ = request.contact  # a broken one is refused before anything changes
        self._changes.admit(request, unanswered=self._awaits is not None and not self._awaits.body)
        terms, rows = answer(self._agent.timer, request)
        if self._awaits is not None:  # it says as well that our 2xx arrived (RFC 5407 3.1.4)
            self.input(Input.ACK, Request("ACK", request.uri, Headers()))
        body = self._answer_to(request)
        dialog.refresh_target(request)
        self._transaction = transaction
        self._send_2xx(Input.ANSWER, (request, self._success(request, body, headers=rows)[1]))
        self._changes.heard(request)
        self._changes.agree(self, terms)

    def updated(self, transaction: ServerTransaction, request: Request) -> None:
        """An UPDATE, with an offer or without (RFC 3311 5.2)."""
        _ = request.contact
        self._changes.admit(request, unanswered=self._awaits is not None and not self._awaits.body)
        if self.dialog is None:
            self._updated_early(transaction, request)
            return
        terms, rows = answer(self._agent.timer, request)
        body = self._answer_to(request) if request.body else b""
        self.dialog.refresh_target(request)
        transaction.respond(self._success(request, body, headers=rows)[1])
        self._changes.heard(request)
        self._changes.agree(self, terms)

    def _updated_early(self, transaction: ServerTransaction, request: Request) -> None:
        """Another offer can come when the first one has its answer, which before the 2xx needs a reliable response."""
        dialog = self._dialog_of(request)
        assert dialog is not None
        fork = self._forks.get(request.from_.tag or "")
        if request.body and self.role == "uas":
            raise Refusal(500, self._changes.retry_after())
        if request.body and (fork is None or not fork.answered):
            raise Refusal(491)
        body = self._answer_to(request) if request.body else b""
        dialog.refresh_target(request)
        transaction.respond(self._success(request, body)[1])

    def pracked(self, transaction: ServerTransaction, request: Request) -> None:
        """UAS: the PRACK of a reliable provisional response of ours.  It cannot bring an offer: we gave no answer yet."""
        if self._reliably is None or not self._reliably.acknowledged(read_rack(request), self.request, self._unheard):
            raise Refusal(481)
        if request.body:
            raise Refusal(491)
        transaction.respond(response_to(request, 200))

    def _unheard(self) -> None:
        self.input(Input.NO_PRACK)

    def _answer_to(self, request: Request) -> bytes:
        body = self.listener.on_reinvite(self, request.body)
        if body is None:
            raise Refusal(488)
        self._changes.local_sdp = body
        self._changes.remote_sdp = request.body or self._changes.remote_sdp
        return body

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
        """The peer's REFER: 202 and a first NOTIFY at once (RFC 3515 2.4.4), without one if it wants none (RFC 4488); or 603."""
        refer_to = read_refer_to(request)
        if not self.listener.on_refer(self, refer_to, request):
            raise Refusal(603)
        silent = (request.headers.get("Refer-Sub") or "").strip().lower() == "false"
        rows: Rows = (self._agent.contact(self), *((("Refer-Sub", "false"),) if silent else ()))
        transaction.respond(response_to(request, 202, headers=rows))
        self._referred = "" if silent else str(request.cseq.number)
        self.notify_refer(100, REASONS[100], final=False)

    # ------------------------------------------------------------------ actions

    def _verb(self, event: Input, detail: Any) -> None:
        if (self.state, event) not in TABLE:
            raise LocalError(f"cannot {event.value} a session that is {self.state.value}")
        self.input(event, detail)

    def _change(self, change: Change) -> None:
        self._confirmed()
        if self._awaits is not None:
            raise LocalError("our 2xx has no ACK yet")
        self._changes.start(self, change)

    def _confirmed(self) -> Dialog:
        if self.dialog is None or not self.takes_requests():
            raise LocalError(f"no dialog: the session is {self.state.value}")
        return self.dialog

    def _send(self, request: Request, answered: Callable[[Response], None], failed: Callable[[str], None]) -> ClientTransaction:
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

        return self._agent.send(self, self._confirmed(), request, final, unanswered)

    # ------------------------------------------------------------------ what its changes need (change.Within)

    def transmit(
        self, method: str, rows: Rows, body: bytes, answered: Callable[[Response], None], failed: Callable[[str], None]
    ) -> ClientTransaction:
        request = self._confirmed().request(method, (self._agent.contact(self), *self._agent.capabilities, *rows), body)
        return self._send(request, answered, failed)

    def acknowledge(self, number: int) -> bytes:
        assert self.dialog is not None
        return self._agent.send_ack(self, self.dialog.request("ACK", seq=number))

    def resend(self, data: bytes) -> None:
        self._agent.resend(self, data)

    def settled(self, change: Change, response: Response | None) -> None:
        if response is not None and response.status < 300:
            self.listener.on_answer(self, response.body)
        else:
            self.listener.on_offer_refused(self, response)

    def expired(self) -> None:
        if self.takes_requests():
            self.input(Input.EXPIRED)

    def _success(
        self, request: Request, body: bytes, content_type: str = SDP, headers: Iterable[tuple[str, str]] = ()
    ) -> tuple[Request, Response]:
        rows = (self._agent.contact(self), *headers, *self._agent.capabilities)
        kind = content_type if body else None
        return request, response_to(request, 200, to_tag=self.tag, headers=rows, body=body, content_type=kind)

    def _respond(self, event: Input, detail: tuple[int, str | None, Rows]) -> None:
        status, reason, headers = detail
        if self._reliably is not None:
            self._reliably.stop()
        if self._transaction is not None:
            self._transaction.respond(response_to(self.request, status, reason, to_tag=self.tag, headers=headers))

    def _respond_early(self, event: Input, detail: tuple[int, str | None, Rows]) -> None:
        status, _, headers = detail
        if not wanted(self.request) or status == 100:
            self._respond(event, detail)
            return
        if self._reliably is None:
            self._reliably = Reliably(self._agent.timers, 1 + int(self._agent.chance() * 2**30))
        transaction, request, tag = self._transaction, self.request, self.tag

        def send(rseq: int) -> None:
            rows = (("Require", OPTION), ("RSeq", str(rseq)), *headers)
            if transaction is not None:
                transaction.respond(response_to(request, status, to_tag=tag, headers=rows))

        self._reliably.send(send, self._unheard)

    def _failed_to_answer(self, why: str) -> None:
        if why != "timeout":  # a refusal without its ACK changes nothing
            self.input(Input.LOST)

    def _send_2xx(self, event: Input, detail: tuple[Request, Response]) -> None:
        self._awaits, self._response = detail
        self.dialog = self.dialog or self._early
        if self._reliably is not None:
            self._reliably.stop()
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
            self._changes.remote_sdp = ack.body
            self.listener.on_ack(self, ack.body)

    def _send_bye(self, event: Input, detail: Any) -> None:
        assert self.dialog is not None
        if self.role == "uac" and not self._ack:
            self.ack()
        request = self.dialog.request("BYE", self._farewell)
        self._agent.send(self, self.dialog, request, self._bye_answered, lambda why: self._bye_done())

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

    def next_hop(self, dialog: Dialog) -> Peer:
        """Where in-dialog requests go: the connection the peer opened while it lasts, else route set or target."""
        if self.peer.transport != "udp" and not dialog.route_set and self._agent.connected(self.peer):
            return self.peer
        return peer_of(dialog.next_hop(), self.peer, self.request if self.role == "uas" else None)


Perform = Callable[[Session, Input, Any], None]

A = Action

PERFORM: dict[Action, Perform] = {
    A.SEND_PROVISIONAL: Session._respond_early,
    A.SEND_FINAL: Session._respond,
    A.SEND_2XX: Session._send_2xx,
    A.SEND_487: lambda s, e, d: s._respond(e, (487, None, ())),
    A.SEND_504: lambda s, e, d: s._respond(e, (504, None, ())),
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
