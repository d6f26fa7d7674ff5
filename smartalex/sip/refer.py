"""REFER and its implicit subscription, both sides (RFC 3515, RFC 3420, RFC 4488, RFC 6665)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import attrs

from smartalex.errors import LocalError, RemoteError
from smartalex.machine import Table, step
from smartalex.sip.headers import NameAddr, split_list
from smartalex.sip.layer import Refusal
from smartalex.sip.message import REASONS, Request, Response
from smartalex.sip.session import Session

SIPFRAG = "message/sipfrag"
EXPIRES_S = 180
"""How long a transfer we were asked for may take, as our NOTIFYs say."""


# ------------------------------------------------------------------ what a NOTIFY says


@attrs.frozen
class Progress:
    """`status` of the referred call, 100 when the NOTIFY has no body; `final` when the subscription ends with it."""

    status: int
    reason: str
    final: bool


def sipfrag(status: int, reason: str = "") -> bytes:
    return f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}\r\n".encode()


def read_sipfrag(body: bytes) -> tuple[int, str]:
    """Status and reason of its first line; raises RemoteError(400)."""
    version, _, rest = body.lstrip(b"\r\n").partition(b"\n")[0].strip().decode("utf-8", "replace").partition(" ")
    status, _, reason = rest.partition(" ")
    if version.upper() != "SIP/2.0" or not (
        len(status) == 3 and status.isascii() and status.isdigit() and 100 <= int(status) <= 699
    ):
        raise RemoteError(400, "Bad sipfrag")
    return int(status), reason.strip()


def read_event(request: Request) -> str | None:
    """The `id` of a NOTIFY's Event, None without one; raises Refusal(489) for another event package."""
    name, *params = split_list(request.headers.get("Event") or "", ";") or [""]
    if name.lower() != "refer":
        raise Refusal(489, ("Allow-Events", "refer"))
    return next((value.strip() for key, _, value in (p.partition("=") for p in params) if key.strip().lower() == "id"), None)


def read_notify(request: Request) -> Progress:
    """Raises RemoteError(400) for a body that is no status line."""
    state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
    status, reason = read_sipfrag(request.body) if request.body.strip() else (100, "")
    return Progress(status, reason, state == "terminated")


# ------------------------------------------------------------------ we ask


class State(StrEnum):
    SENT = "sent"
    ACCEPTED = "accepted"
    OVER = "over"


class Input(StrEnum):
    ACCEPTED = "2xx to the REFER"
    REFUSED = "no 2xx to the REFER"
    PROGRESS = "NOTIFY, the subscription goes on"
    OUTCOME = "last NOTIFY, with the outcome"
    LOST = "last NOTIFY, without the outcome"


class Action(StrEnum):
    TELL_ACCEPTED = "tell: accepted"
    TELL_PROGRESS = "tell: progress"
    TELL_LOST = "tell: lost"


S, I, A = State, Input, Action  # noqa: E741

SUBSCRIBER: Table[State, Input, Action] = {
    (S.SENT, I.ACCEPTED): ((A.TELL_ACCEPTED,), S.ACCEPTED),
    (S.SENT, I.REFUSED): ((A.TELL_PROGRESS,), S.OVER),
    # A NOTIFY may overtake the 202 (RFC 6665 4.1.2.4).
    (S.SENT, I.PROGRESS): ((A.TELL_PROGRESS,), S.SENT),
    (S.SENT, I.OUTCOME): ((A.TELL_PROGRESS,), S.OVER),
    (S.SENT, I.LOST): ((A.TELL_LOST,), S.OVER),
    (S.ACCEPTED, I.PROGRESS): ((A.TELL_PROGRESS,), S.ACCEPTED),
    (S.ACCEPTED, I.OUTCOME): ((A.TELL_PROGRESS,), S.OVER),
    (S.ACCEPTED, I.LOST): ((A.TELL_LOST,), S.OVER),
    (S.OVER, I.ACCEPTED): ((), S.OVER),
    (S.OVER, I.REFUSED): ((), S.OVER),
}


class Transfer:
    """A REFER of ours and what its NOTIFYs say; `id` is its CSeq number, which the Event may repeat."""

    __slots__ = ("id", "session", "state")

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.id = str(number)
        self.state = S.SENT

    def answered(self, status: int, response: Response | None) -> None:
        event = I.ACCEPTED if 200 <= status < 300 else I.REFUSED
        self.input(event, Progress(status, response.reason if response is not None else REASONS[status], True))

    def notified(self, progress: Progress) -> None:
        event = I.PROGRESS if not progress.final else I.OUTCOME if progress.status >= 200 else I.LOST
        self.input(event, progress)

    def input(self, event: Input, progress: Progress) -> None:
        row = step(SUBSCRIBER, self.state, event)
        if row is None:
            return
        actions, self.state = row
        if self.state is S.OVER:
            forget(self.session, self)
        for action in actions:
            if action is A.TELL_PROGRESS:
                self.session.tell("on_refer_progress", progress.status, progress.reason, progress.final)
            else:
                self.session.tell("on_refer_accepted" if action is A.TELL_ACCEPTED else "on_refer_lost")


def transfer(session: Session, refer_to: str, referred_by: str | None, headers: Iterable[tuple[str, str]]) -> None:
    """Send REFER inside the session's dialog; `refer_to` is an address or URI."""
    dialog = session.dialog
    assert dialog is not None
    rows = [("Refer-To", refer_to if "<" in refer_to else f"<{refer_to}>")]
    rows += [("Referred-By", referred_by)] if referred_by else []
    request = dialog.request("REFER", (*rows, *headers))
    sent = Transfer(session, dialog.local_seq)
    session.referrals = (*session.referrals, sent)
    session.send(request, sent.answered)


def receive_notify(session: Session, request: Request) -> Transfer:
    """The transfer a NOTIFY is about; raises RemoteError when there is none (481) or it is no NOTIFY of REFER (489)."""
    wanted = read_event(request)
    for sent in session.referrals:
        if isinstance(sent, Transfer) and wanted in (None, sent.id):
            return sent
    raise Refusal(481)


# ------------------------------------------------------------------ we are asked


class Referral:
    """A REFER of the peer's that we accepted: its NOTIFYs, one at a time and in order (RFC 6665 4.2.2)."""

    __slots__ = ("_event", "_queue", "_sending", "over", "session")

    def __init__(self, session: Session, event: str) -> None:
        self.session = session
        self.over = False
        self._event = event
        self._queue: list[Progress] = []
        self._sending = False

    def notify(self, progress: Progress) -> None:
        """Raises LocalError after the final one."""
        if self.over:
            raise LocalError("the transfer has been reported to its end")
        self.over = progress.final
        self._queue.append(progress)
        if not self._sending:
            self._next()

    def _next(self) -> None:
        dialog = self.session.dialog
        if not self._queue or dialog is None:
            if self.over:
                forget(self.session, self)
            return
        progress = self._queue.pop(0)
        state = "terminated;reason=noresource" if progress.final else f"active;expires={EXPIRES_S}"
        headers = [("Event", self._event), ("Subscription-State", state), ("Content-Type", f"{SIPFRAG};version=2.0")]
        self._sending = True
        self.session.send(dialog.request("NOTIFY", headers, sipfrag(progress.status, progress.reason)), self._answered)

    def _answered(self, status: int, response: Response | None) -> None:
        self._sending = False
        if status >= 300:  # nobody listens any more
            self.over = True
            self._queue.clear()
        self._next()


def read_refer(request: Request) -> NameAddr:
    """The target; raises RemoteError(400) unless there is exactly one (RFC 3515 2.4.1)."""
    targets = request.headers.get_all("Refer-To")
    if len(targets) != 1:
        raise RemoteError(400, "One Refer-To")
    return NameAddr.parse(targets[0])


def wants_no_notify(request: Request) -> bool:
    """Refer-Sub: false (RFC 4488)."""
    return (request.headers.get("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"


def referred(session: Session, request: Request) -> None:
    """The subscription that an accepted REFER begins; its first NOTIFY goes at once (RFC 3515 2.4.4)."""
    first = not any(isinstance(known, Referral) for known in session.referrals)
    asked = Referral(session, "refer" if first else f"refer;id={request.cseq.number}")
    session.referrals = (*session.referrals, asked)
    asked.notify(Progress(100, "", False))


def report(session: Session, progress: Progress) -> None:
    """Tell the peer of the transfer it asked for last; raises LocalError when there is none."""
    for asked in reversed(session.referrals):
        if isinstance(asked, Referral):
            asked.notify(progress)
            return
    raise LocalError("no transfer to report")


def forget(session: Session, one: object) -> None:
    session.referrals = tuple(other for other in session.referrals if other is not one)
