"""One INVITE session, either side of it: the table, and the object that performs it.

The table knows nothing of messages.  `Session` sends them through the user agent
that made it (RFC 3261 13-15, RFC 6026; the races are those of RFC 5407).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from smartalex.errors import LocalError, RemoteError
from smartalex.interfaces import ICounters
from smartalex.machine import Table
from smartalex.sip.dialog import Dialog, again, is_behind_nat, next_peer
from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import Refusal, Transaction, TransactionLayer
from smartalex.sip.message import REASONS, Request, Response, response_to
from smartalex.sip.timers import T1, T2, TIMEOUT, Timer, TimerQueue
from smartalex.sip.transport import Flow

HeaderRows = Iterable[tuple[str, str]]
SDP = "application/sdp"


class State(StrEnum):
    INCOMING = "incoming"  # UAS: no final response yet
    ANSWERED = "answered"  # UAS: 2xx sent, no ACK yet
    LEAVING = "leaving"  # UAS: hung up before the ACK; BYE waits for it (RFC 3261 15)
    CALLING = "calling"  # UAC: nothing heard yet
    EARLY = "early"  # UAC: 1xx heard
    GIVING_UP = "giving up"  # UAC: hung up before a 1xx; CANCEL waits for one (RFC 3261 9.1)
    CANCELLING = "cancelling"  # UAC: CANCEL sent
    CONFIRMED = "confirmed"
    ENDING = "ending"  # BYE sent
    ENDED = "ended"


class Input(StrEnum):
    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    HANG_UP = "hang up"
    ACK = "ACK"
    CANCEL = "CANCEL"
    BYE = "BYE"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    CHALLENGE = "401 or 407 that we can answer"
    FAILURE = "300-699"
    REPEAT = "time to repeat the 2xx"
    NO_ACK = "no ACK in 64*T1"
    NO_FINAL = "no final response in 64*T1 after CANCEL"
    TIMED_OUT = "no response at all"
    UNREACHABLE = "could not be sent"
    GONE = "the peer knows no such dialog, or answers nothing"
    BYE_DONE = "BYE answered, or given up"


class Action(StrEnum):
    SEND_PROVISIONAL = "send 1xx"
    SEND_FINAL = "send the final response"
    SEND_480 = "send 480"
    SEND_487 = "send 487"
    SEND_2XX = "send the 2xx, to be repeated"
    REPEAT_2XX = "repeat the 2xx"
    STOP = "stop the timers"
    SEND_AGAIN = "send the INVITE with credentials"
    ACK = "send the ACK, unless the listener has"
    SEND_ACK = "send the ACK (again)"
    SEND_CANCEL = "send CANCEL"
    SEND_BYE = "send BYE"
    ABANDON = "forget the INVITE"
    TELL_ACK = "tell: acknowledged"
    TELL_ACK_BODY = "tell: acknowledged, if the ACK has a body"
    TELL_PROGRESS = "tell: progress"
    TELL_ANSWERED = "tell: answered"
    TELL_FAILED = "tell: failed"
    TELL_CANCELLED = "tell: cancelled"
    END_BYE = "tell the end: bye"
    END_CANCELLED = "tell the end: cancelled"
    END_REJECTED = "tell the end: rejected"
    END_NO_ACK = "tell the end: no-ack"
    END_TIMEOUT = "tell the end: timeout"
    END_TRANSPORT = "tell the end: transport"
    END_LOCAL = "tell the end: local"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    # -- UAS
    (S.INCOMING, I.RING): ((A.SEND_PROVISIONAL,), S.INCOMING),
    (S.INCOMING, I.ANSWER): ((A.SEND_2XX,), S.ANSWERED),
    (S.INCOMING, I.REJECT): ((A.SEND_FINAL, A.END_REJECTED), S.ENDED),
    (S.INCOMING, I.HANG_UP): ((A.SEND_480, A.END_LOCAL), S.ENDED),
    (S.INCOMING, I.CANCEL): ((A.SEND_487, A.TELL_CANCELLED, A.END_CANCELLED), S.ENDED),
    (S.INCOMING, I.BYE): ((A.SEND_487, A.END_BYE), S.ENDED),
    (S.ANSWERED, I.REPEAT): ((A.REPEAT_2XX,), S.ANSWERED),
    (S.ANSWERED, I.ACK): ((A.STOP, A.TELL_ACK), S.CONFIRMED),
    (S.ANSWERED, I.NO_ACK): ((A.STOP, A.SEND_BYE, A.END_NO_ACK), S.ENDED),
    (S.ANSWERED, I.BYE): ((A.STOP, A.END_BYE), S.ENDED),  # it overtook the ACK, or the ACK was lost
    (S.ANSWERED, I.CANCEL): ((), S.ANSWERED),  # too late: it crossed our 2xx
    (S.ANSWERED, I.HANG_UP): ((), S.LEAVING),
    (S.LEAVING, I.REPEAT): ((A.REPEAT_2XX,), S.LEAVING),
    (S.LEAVING, I.ACK): ((A.STOP, A.SEND_BYE), S.ENDING),
    (S.LEAVING, I.NO_ACK): ((A.STOP, A.SEND_BYE, A.END_LOCAL), S.ENDED),
    (S.LEAVING, I.BYE): ((A.STOP, A.END_LOCAL), S.ENDED),
    (S.LEAVING, I.CANCEL): ((), S.LEAVING),
    (S.LEAVING, I.HANG_UP): ((), S.LEAVING),
    # -- UAC
    (S.CALLING, I.PROVISIONAL): ((A.TELL_PROGRESS,), S.EARLY),
    (S.CALLING, I.SUCCESS): ((A.TELL_ANSWERED, A.ACK), S.CONFIRMED),
    (S.CALLING, I.CHALLENGE): ((A.SEND_AGAIN,), S.CALLING),
    (S.CALLING, I.FAILURE): ((A.TELL_FAILED, A.END_REJECTED), S.ENDED),
    (S.CALLING, I.TIMED_OUT): ((A.TELL_FAILED, A.END_TIMEOUT), S.ENDED),
    (S.CALLING, I.UNREACHABLE): ((A.TELL_FAILED, A.END_TRANSPORT), S.ENDED),
    (S.CALLING, I.HANG_UP): ((), S.GIVING_UP),
    (S.EARLY, I.PROVISIONAL): ((A.TELL_PROGRESS,), S.EARLY),
    (S.EARLY, I.SUCCESS): ((A.TELL_ANSWERED, A.ACK), S.CONFIRMED),
    (S.EARLY, I.CHALLENGE): ((A.SEND_AGAIN,), S.CALLING),
    (S.EARLY, I.FAILURE): ((A.TELL_FAILED, A.END_REJECTED), S.ENDED),
    (S.EARLY, I.HANG_UP): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.PROVISIONAL): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.SUCCESS): ((A.SEND_ACK, A.SEND_BYE), S.ENDING),
    (S.GIVING_UP, I.FAILURE): ((A.END_LOCAL,), S.ENDED),
    (S.GIVING_UP, I.TIMED_OUT): ((A.END_LOCAL,), S.ENDED),
    (S.GIVING_UP, I.UNREACHABLE): ((A.END_LOCAL,), S.ENDED),
    (S.GIVING_UP, I.HANG_UP): ((), S.GIVING_UP),
    (S.CANCELLING, I.PROVISIONAL): ((), S.CANCELLING),
    (S.CANCELLING, I.SUCCESS): ((A.STOP, A.SEND_ACK, A.SEND_BYE), S.ENDING),  # CANCEL crossed the 200
    (S.CANCELLING, I.FAILURE): ((A.END_LOCAL,), S.ENDED),
    (S.CANCELLING, I.NO_FINAL): ((A.ABANDON, A.END_LOCAL), S.ENDED),
    (S.CANCELLING, I.HANG_UP): ((), S.CANCELLING),
    # -- both
    (S.CONFIRMED, I.ACK): ((A.STOP, A.TELL_ACK_BODY), S.CONFIRMED),  # of a re-INVITE's 2xx
    (S.CONFIRMED, I.REPEAT): ((A.REPEAT_2XX,), S.CONFIRMED),
    (S.CONFIRMED, I.NO_ACK): ((A.STOP, A.SEND_BYE, A.END_NO_ACK), S.ENDED),
    (S.CONFIRMED, I.SUCCESS): ((A.SEND_ACK,), S.CONFIRMED),  # our ACK was lost
    (S.CONFIRMED, I.CANCEL): ((), S.CONFIRMED),
    (S.CONFIRMED, I.BYE): ((A.STOP, A.END_BYE), S.ENDED),
    (S.CONFIRMED, I.GONE): ((A.STOP, A.SEND_BYE, A.END_TIMEOUT), S.ENDED),
    (S.CONFIRMED, I.HANG_UP): ((A.STOP, A.SEND_BYE), S.ENDING),
    (S.ENDING, I.BYE): ((A.END_LOCAL,), S.ENDED),  # BYE crossed BYE
    (S.ENDING, I.BYE_DONE): ((A.END_LOCAL,), S.ENDED),
    (S.ENDING, I.SUCCESS): ((A.SEND_ACK,), S.ENDING),
    (S.ENDING, I.HANG_UP): ((), S.ENDING),
    (S.ENDED, I.SUCCESS): ((A.SEND_ACK,), S.ENDED),
    (S.ENDED, I.HANG_UP): ((), S.ENDED),
    (S.ENDED, I.BYE_DONE): ((), S.ENDED),
}


class SessionListener:
    """What a session tells its owner; every method may be left as it is."""

    def on_ack(self, session: Session, body: bytes) -> None:
        """The first ACK of our 2xx; also the ACK of a re-INVITE's, when it carries the answer to our offer."""

    def on_cancelled(self, session: Session) -> None:
        """CANCEL before an answer; 487 was sent, on_ended follows."""

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        """Once: 'bye', 'cancelled', 'rejected', 'no-ack', 'timeout', 'transport' or 'local'; with the BYE or CANCEL, if any."""

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        """The SDP to answer with (to offer, when `body` is empty); None or a RemoteError refuses (488)."""
        return None

    def on_progress(self, session: Session, response: Response) -> None:
        """UAC: a provisional response."""

    def on_answered(self, session: Session, response: Response) -> None:
        """UAC: the 2xx; it is acknowledged without a body unless this calls `session.ack(body)`."""

    def on_failed(self, session: Session, response: Response | None) -> None:
        """UAC: refused; None when there was no response.  on_ended follows."""

    def on_refer_accepted(self, session: Session) -> None:
        """2xx to our REFER."""

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        """A NOTIFY's status, `final` when the subscription ends with it; or the REFER's own refusal (final)."""

    def on_refer_lost(self, session: Session) -> None:
        """The subscription ended without saying what became of the transfer."""

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        """The peer asks us to call somebody: True accepts (202) and is followed by `session.notify_refer`."""
        return False

    def on_info(self, session: Session, content_type: str, body: bytes) -> None:
        """SIP INFO inside the dialog; it is answered 200."""


NOBODY = SessionListener()

Done = Callable[[int, Response | None], None]
"""What became of an in-dialog request: its final status, 408 when nothing came and 503 when it could not be sent."""


class Agent(Protocol):
    """What a session needs of its user agent."""

    layer: TransactionLayer
    timers: TimerQueue
    counters: ICounters

    def token(self) -> str: ...

    def contact(self, session: Session) -> tuple[str, str]: ...

    def identity(self, role: str) -> tuple[tuple[str, str], ...]:
        """Allow, Supported, and Server or User-Agent."""

    def ended(self, session: Session) -> None: ...

    def refer(self, session: Session, refer_to: str, referred_by: str | None, headers: HeaderRows) -> None: ...

    def notify_refer(self, session: Session, status: int, reason: str, final: bool) -> None: ...


class Session:
    """Made by the user agent for each INVITE; verbs in a wrong state raise LocalError.

    `dialog` is None until the call is answered.  `peer` is where its messages come from.
    """

    log = Logger()

    __slots__ = (
        "_ack", "_agent", "_behind_nat", "_digest", "_dialog", "_farewell", "_interval", "_offered", "_repeat", "_wait", "_waits_for", "call_id", "dialog",
        "flow", "listener", "peer", "referrals", "remote_identity", "request", "role", "state", "tag", "transaction",
    )  # fmt: skip

    def __init__(self, agent: Agent, role: str, request: Request, peer: Peer, tag: str) -> None:
        self._agent = agent
        self.role = role
        self.request = request
        self.peer = peer
        self.tag = tag
        self.call_id = request.call_id
        self.state = S.INCOMING if role == "uas" else S.CALLING
        self.remote_identity: NameAddr = request.from_ if role == "uas" else request.to
        self.listener: SessionListener = NOBODY
        self.dialog: Dialog | None = None
        self.flow: Flow | None = None
        self.transaction: Transaction | None = None
        self.referrals: tuple[object, ...] = ()
        self._dialog: Dialog | None = None
        self._digest: DigestClient | None = None
        self._behind_nat = False
        self._farewell: tuple[tuple[str, str], ...] = ()
        self._ack: tuple[Peer, bytes] | None = None
        self._waits_for: int | None = None  # CSeq number of the INVITE whose 2xx has no ACK yet
        self._offered = False  # that 2xx holds an offer of ours
        self._interval = 0.0
        self._repeat: Timer | None = None
        self._wait: Timer | None = None

    def __repr__(self) -> str:
        return f"<Session {self.role} {self.state} {self.call_id}>"

    # ------------------------------------------------------------------ verbs

    def ring(self, status: int = 180, headers: HeaderRows = ()) -> None:
        """A provisional response, 101 to 199."""
        self._verb(I.RING, (status, None, (self._agent.contact(self), *headers)))

    def reject(self, status: int, reason: str | None = None, headers: HeaderRows = ()) -> None:
        """A final response, 300 to 699."""
        self._verb(I.REJECT, (status, reason, tuple(headers)))

    def challenge(self, challenges: Sequence[str]) -> None:
        """401 with one WWW-Authenticate for each challenge."""
        self.reject(401, headers=[("WWW-Authenticate", challenge) for challenge in challenges])

    def answer(self, body: bytes, content_type: str = SDP, headers: HeaderRows = ()) -> None:
        """200, repeated until its ACK comes."""
        self._verb(I.ANSWER, (self.request, self.transaction, body, content_type, tuple(headers)))

    def ack(self, body: bytes = b"") -> None:
        """UAC: acknowledge the 2xx, with the answer when the 2xx holds an offer; once."""
        if self._ack is not None or self.dialog is None or self.role != "uac":
            raise LocalError(f"nothing to acknowledge while the session is {self.state}")
        headers = (("Content-Type", SDP),) if body else ()
        ack = self.dialog.ack(self.request.cseq.number, headers, body)
        peer, flow = self._way()
        self._agent.layer.add_via(ack, peer, self._agent.token())
        self._ack = peer, ack.to_bytes()
        self._agent.layer.send(peer, self._ack[1], flow)

    def hangup(self, reason_header: str | None = None) -> None:
        """BYE, CANCEL or 480, whichever the state calls for; nothing when it is over already."""
        if reason_header:
            self._farewell = (("Reason", reason_header),)
        self._verb(I.HANG_UP)

    def refer(self, refer_to: str, referred_by: str | None = None, headers: HeaderRows = ()) -> None:
        """Ask the peer to call `refer_to`, an address or URI; its fate comes by on_refer_*."""
        self._confirmed()
        self._agent.refer(self, refer_to, referred_by, headers)

    def notify_refer(self, status: int, reason: str = "", final: bool = False) -> None:
        """Tell the peer how the call it asked for goes; nothing is sent when it did not want to know (RFC 4488)."""
        self._confirmed()
        self._agent.notify_refer(self, status, reason, final)

    def request_in_dialog(self, method: str, headers: HeaderRows = (), body: bytes = b"") -> Deferred[Response]:
        """Any other request; fails with RemoteError 408 or 503 when it gets no answer."""
        if method in ("INVITE", "ACK", "BYE", "CANCEL", "REFER"):
            raise LocalError(f"{method} has a verb of its own, or none")
        answered: Deferred[Response] = Deferred()

        def done(status: int, response: Response | None) -> None:
            if response is None:
                answered.errback(RemoteError(status, REASONS[status]))
            else:
                answered.callback(response)

        self.send(self._confirmed().request(method, (self._agent.contact(self), *headers), body), done)
        return answered

    def _verb(self, event: Input, detail: Any = None) -> None:
        if not self.input(event, detail):
            raise LocalError(f"no {event} while the session is {self.state}")

    def _confirmed(self) -> Dialog:
        if self.dialog is None or self.state is not S.CONFIRMED:
            raise LocalError(f"no dialog while the session is {self.state}")
        return self.dialog

    # ------------------------------------------------------------------ from the user agent

    def arrived(self, transaction: Transaction, flow: Flow) -> None:
        """UAS: the INVITE's transaction; raises RemoteError(400) for an INVITE that no dialog can come of."""
        self._dialog = Dialog.of_uas(self.request, self.tag)
        self._behind_nat = not self._dialog.routes and is_behind_nat(self.request.vias)
        self.transaction = transaction
        self.flow = flow

    def start(self, digest: DigestClient | None) -> None:
        """UAC: send the INVITE."""
        self._digest = digest
        self.transaction = self._agent.layer.request(self.request, self.peer, self, self._agent.token())

    def input(self, event: Input, detail: Any = None) -> bool:
        """Step the table and perform; False for a pair it does not list."""
        row = TABLE.get((self.state, event))
        if row is None:
            return False
        actions, self.state = row
        for action in actions:
            PERFORM[action](self, detail)
        return True

    def check(self, request: Request) -> None:
        """Raises RemoteError for a request with our tag that does not fit (481, 500)."""
        dialog = self._dialog
        if dialog is None or self.state is S.ENDED:
            raise Refusal(481)
        dialog.check(request)

    def on_ack(self, request: Request) -> None:
        """An ACK with our tag: later copies, and those of other INVITEs, mean nothing."""
        if request.cseq.number == self._waits_for and request.call_id == self.call_id:
            self.input(I.ACK, request)

    def reinvite(self, request: Request, transaction: Transaction) -> None:
        """An INVITE inside the dialog, answered by the listener (RFC 3261 14.2, RFC 5407 3.1)."""
        if self.state is S.INCOMING:
            raise Refusal(500, ("Retry-After", str(int(self._agent.token()[:4], 16) % 11)))
        if self._waits_for is not None:
            if self._offered:
                raise Refusal(491)  # our offer has no answer yet
            self.input(I.ACK)  # who sends a new INVITE has our 2xx to the one before: only the ACK was lost
        if self.state is not S.CONFIRMED or self.dialog is None:
            raise Refusal(481)  # it crossed our BYE
        answer = self.listener.on_reinvite(self, request.body)
        if answer is None:
            raise Refusal(488)
        self.dialog.refresh_target(request)
        self._send_2xx((request, transaction, answer, SDP, ()))

    def send(self, request: Request, done: Done) -> None:
        """A request of this dialog, made by `dialog.request`; `done` hears its final response."""
        Exchange(self, request, done).start()

    def new_transaction(self, request: Request, user: Any) -> None:
        peer, flow = self._way()
        self._agent.layer.request(request, peer, user, self._agent.token(), flow)

    def _way(self) -> tuple[Peer, Flow | None]:
        """Where in-dialog requests go, and the connection to use for it."""
        assert self._dialog is not None
        peer = self.peer if self._behind_nat else next_peer(self._dialog.next_uri(), self.peer)
        return peer, self.flow if self.flow is not None and self.flow.reaches(peer) else None

    # ------------------------------------------------------------------ as the user of the INVITE's client transaction

    def on_response(self, transaction: Transaction, response: Response) -> None:
        self.flow = transaction.flow or self.flow
        status = response.status
        if status < 200:
            self.input(I.PROVISIONAL, response)
        elif status < 300:
            self._accepted(response)
        elif self.state in (S.CALLING, S.EARLY) and (credentials := authorization(self, self.request, response)):
            self.input(I.CHALLENGE, credentials)
        else:
            self.input(I.FAILURE, response)

    def _accepted(self, response: Response) -> None:
        dialog = self._dialog
        if dialog is None:
            self._dialog = self.dialog = Dialog.of_uac(self.request, response)
        elif (response.to.tag or "") != dialog.remote_tag:
            self._decline_fork(response)
            return
        self.input(I.SUCCESS, response)

    def _decline_fork(self, response: Response) -> None:
        """Somebody else answered too: acknowledged, and ended at once (RFC 3261 13.2.2.4)."""
        other = Session(self._agent, "uac", self.request, self.peer, self.tag)
        other.flow, other._dialog, other.state = self.flow, Dialog.of_uac(self.request, response), S.ENDED
        other.dialog = other._dialog
        other.ack()
        other._send_bye(None)

    def on_timeout(self, transaction: Transaction) -> None:
        self.input(I.TIMED_OUT)

    def on_unreachable(self, transaction: Transaction) -> None:
        self.input(I.UNREACHABLE)

    # ------------------------------------------------------------------ actions

    def _respond(self, detail: tuple[int, str | None, tuple[tuple[str, str], ...]]) -> None:
        status, reason, headers = detail
        assert self.transaction is not None
        self._agent.layer.respond(self.transaction, response_to(self.request, status, reason, to_tag=self.tag, headers=headers))

    def _send_2xx(self, detail: tuple[Request, Transaction, bytes, str, tuple[tuple[str, str], ...]]) -> None:
        request, transaction, body, content_type, headers = detail
        rows = (self._agent.contact(self), *self._agent.identity(self.role), *headers)
        kind = content_type if body else None
        response = response_to(request, 200, to_tag=self.tag, headers=rows, body=body, content_type=kind)
        self.dialog, self.transaction = self._dialog, transaction
        self._waits_for, self._offered = request.cseq.number, not request.body
        self._interval = T1
        self._repeat = self._agent.timers.call_later(T1, self.input, I.REPEAT)
        self._wait = self._agent.timers.call_later(TIMEOUT, self.input, I.NO_ACK)
        self._agent.layer.respond(transaction, response)

    def _repeat_2xx(self, detail: Any) -> None:
        """At T1 doubling to T2, on every transport (RFC 3261 13.3.1.4)."""
        assert self.transaction is not None
        self._interval = min(self._interval * 2, T2)
        self._repeat = self._agent.timers.call_later(self._interval, self.input, I.REPEAT)
        self._agent.layer.resend_2xx(self.transaction)

    def _stop(self, detail: Any = None) -> None:
        self._waits_for = None
        for timer in (self._repeat, self._wait):
            if timer is not None:
                timer.cancel()
        self._repeat = self._wait = None

    def _send_again(self, credentials: tuple[str, str]) -> None:
        self.request = again(self.request, self.request.cseq.number + 1, credentials)
        self.start(self._digest)

    def _send_ack(self, detail: Any) -> None:
        if self._ack is None:
            if self.dialog is not None:
                self.ack()
        else:
            peer, data = self._ack
            self._agent.layer.send(peer, data, self.flow if self.flow is not None and self.flow.reaches(peer) else None)

    def _send_cancel(self, detail: Any) -> None:
        assert self.transaction is not None
        self._agent.layer.cancel(self.transaction, self._farewell)
        self._wait = self._agent.timers.call_later(TIMEOUT, self.input, I.NO_FINAL)

    def _send_bye(self, detail: Any) -> None:
        assert self.dialog is not None
        if self.role == "uac" and self._ack is None:
            self.ack()
        self.send(self.dialog.request("BYE", self._farewell), lambda status, response: self._bye_done())

    def _bye_done(self) -> None:
        self.input(I.BYE_DONE)

    def _abandon(self, detail: Any) -> None:
        if self.transaction is not None:
            self._agent.layer.abandon(self.transaction)

    def tell(self, what: str, *details: Any) -> None:
        """Call the listener.  What it raises stays here: whatever its owner's faults, the session goes its way."""
        try:
            getattr(self.listener, what)(self, *details)
        except Exception:
            self.log.failure("the owner of call {call_id} failed in {what}", call_id=self.call_id, what=what)
            self._agent.counters.count("sip.fault", "listener")

    def _end(self, cause: str, request: Any) -> None:
        self._stop()
        if self.role == "uas" and self.transaction is not None:
            self.transaction.user = None  # it stays for half a minute; what it would keep alive need not
        self._agent.ended(self)
        self.tell("on_ended", cause, request if isinstance(request, Request) else None)
        self.listener = NOBODY


class Exchange:
    """One request inside a dialog and its final response, with one more round when it is challenged."""

    __slots__ = ("_done", "_request", "_session")

    def __init__(self, session: Session, request: Request, done: Done) -> None:
        self._session = session
        self._request = request
        self._done = done

    def start(self) -> None:
        self._session.new_transaction(self._request, self)

    def on_response(self, transaction: Transaction, response: Response) -> None:
        if response.status < 200:
            return
        credentials = authorization(self._session, self._request, response)
        if credentials is None:
            self._finish(response.status, response)
            return
        dialog = self._session.dialog
        assert dialog is not None
        dialog.local_seq += 1
        self._request = again(self._request, dialog.local_seq, credentials)
        self.start()

    def on_timeout(self, transaction: Transaction) -> None:
        self._finish(408, None)

    def on_unreachable(self, transaction: Transaction) -> None:
        self._finish(503, None)

    def _finish(self, status: int, response: Response | None) -> None:
        """481, or no answer at all, means that the dialog is gone (RFC 3261 12.2.1.2); to a NOTIFY only its subscription."""
        self._done(status, response)
        if response is None or (status == 481 and self._request.method != "NOTIFY"):
            self._session.input(I.GONE)


def authorization(session: Session, request: Request, response: Response) -> tuple[str, str] | None:
    """The header that answers a challenge; only calls we placed with credentials have one."""
    if response.status not in (401, 407) or session._digest is None:
        return None
    return session._digest.authorization(response, request.method, request.uri)


def _ending(cause: str) -> Callable[[Session, Any], None]:
    return lambda session, detail: session._end(cause, detail)


PERFORM: dict[Action, Callable[[Session, Any], None]] = {
    A.SEND_PROVISIONAL: Session._respond,
    A.SEND_FINAL: Session._respond,
    A.SEND_480: lambda session, _: session._respond((480, None, session._farewell)),
    A.SEND_487: lambda session, _: session._respond((487, None, ())),
    A.SEND_2XX: Session._send_2xx,
    A.REPEAT_2XX: Session._repeat_2xx,
    A.STOP: Session._stop,
    A.SEND_AGAIN: Session._send_again,
    A.ACK: lambda session, _: session._send_ack(None) if session._ack is None else None,
    A.SEND_ACK: Session._send_ack,
    A.SEND_CANCEL: Session._send_cancel,
    A.SEND_BYE: Session._send_bye,
    A.ABANDON: Session._abandon,
    A.TELL_ACK: lambda session, ack: session.tell("on_ack", ack.body if ack is not None else b""),
    A.TELL_ACK_BODY: lambda session, ack: session.tell("on_ack", ack.body) if ack is not None and ack.body else None,
    A.TELL_PROGRESS: lambda session, response: session.tell("on_progress", response),
    A.TELL_ANSWERED: lambda session, response: session.tell("on_answered", response),
    A.TELL_FAILED: lambda session, response: session.tell("on_failed", response),
    A.TELL_CANCELLED: lambda session, _: session.tell("on_cancelled"),
    A.END_BYE: _ending("bye"),
    A.END_CANCELLED: _ending("cancelled"),
    A.END_REJECTED: _ending("rejected"),
    A.END_NO_ACK: _ending("no-ack"),
    A.END_TIMEOUT: _ending("timeout"),
    A.END_TRANSPORT: _ending("transport"),
    A.END_LOCAL: _ending("local"),
}
