"""REFER and its implicit subscription: writing, reading, and the table of a transfer we asked for.

RFC 3515, RFC 3892, RFC 3420, RFC 6665.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from smartalex.errors import RemoteError
from smartalex.machine import Symbol, Table, step
from smartalex.sip.headers import NameAddr, parse_params
from smartalex.sip.layer import Refusal
from smartalex.sip.message import REASONS, Request

SIPFRAG = "message/sipfrag"

Rows = tuple[tuple[str, str], ...]


# ------------------------------------------------------------------ what is written and read


@attrs.frozen
class Progress:
    """What is said of the referred call: 100 when a NOTIFY has no body; `final` when the subscription ends with it."""

    status: int
    reason: str
    final: bool


def refer_headers(refer_to: str, referred_by: str, extra: Iterable[tuple[str, str]] = ()) -> Rows:
    """`refer_to` is an address or a URI."""
    return ("Refer-To", refer_to if "<" in refer_to else f"<{refer_to}>"), ("Referred-By", referred_by), *extra


def notify_headers(event_id: str, *, final: bool, expires_s: int = 180) -> Rows:
    state = "terminated;reason=noresource" if final else f"active;expires={expires_s}"
    return ("Event", f"refer;id={event_id}"), ("Subscription-State", state), ("Content-Type", f"{SIPFRAG};version=2.0")


def sipfrag(status: int, reason: str = "") -> bytes:
    return f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}\r\n".encode()


def read_refer_to(request: Request) -> NameAddr:
    """Raises RemoteError(400) unless there is exactly one (RFC 3515 2.4.1)."""
    targets = request.headers.get_all("Refer-To")
    if len(targets) != 1:
        raise RemoteError(400, "One Refer-To")
    return NameAddr.parse(targets[0])


def read_event_id(request: Request) -> str | None:
    """The `id` of a NOTIFY's Event, None without one; raises RemoteError(489) for another event package."""
    package, _, params = (request.headers.get("Event") or "").partition(";")
    if package.strip().lower() != "refer":
        raise Refusal(489, ("Allow-Events", "refer"))
    return dict(parse_params(params)).get("id")


def read_notify(request: Request) -> Progress:
    """Raises RemoteError(400) for a body that is no status line."""
    state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
    status, reason = _read_sipfrag(request.body) if request.body.strip() else (100, "")
    return Progress(status, reason, state == "terminated")


def _read_sipfrag(body: bytes) -> tuple[int, str]:
    line = body.lstrip(b"\r\n").partition(b"\n")[0].strip().decode("utf-8", "replace")
    version, _, rest = line.partition(" ")
    status, _, reason = rest.partition(" ")
    if version.upper() != "SIP/2.0" or not (
        len(status) == 3 and status.isascii() and status.isdigit() and "100" <= status <= "699"
    ):
        raise RemoteError(400, "Bad sipfrag")
    return int(status), reason.strip()


# ------------------------------------------------------------------ a transfer we asked for


class TransferState(Symbol):
    SENT = "sent"
    ACCEPTED = "accepted"
    OVER = "over"


class TransferInput(Symbol):
    ACCEPTED = "2xx to the REFER"
    REFUSED = "another final response to it"
    UNANSWERED = "no response to it"
    PROGRESS = "NOTIFY, the subscription goes on"
    OUTCOME = "last NOTIFY, with a final status"
    NO_OUTCOME = "last NOTIFY, without one"


class Tell(Symbol):
    ACCEPTED = "tell: accepted"
    PROGRESS = "tell: progress"
    LOST = "tell: lost"


S, I, T = TransferState, TransferInput, Tell  # noqa: E741

TRANSFER: Table[TransferState, TransferInput, Tell] = {
    (S.SENT, I.ACCEPTED): ((T.ACCEPTED,), S.ACCEPTED),
    (S.SENT, I.REFUSED): ((T.PROGRESS,), S.OVER),
    (S.SENT, I.UNANSWERED): ((T.LOST,), S.OVER),
    # A NOTIFY may overtake the 202 (RFC 6665 4.1.2.4).
    (S.SENT, I.PROGRESS): ((T.PROGRESS,), S.SENT),
    (S.SENT, I.OUTCOME): ((T.PROGRESS,), S.OVER),
    (S.SENT, I.NO_OUTCOME): ((T.LOST,), S.OVER),
    (S.ACCEPTED, I.PROGRESS): ((T.PROGRESS,), S.ACCEPTED),
    (S.ACCEPTED, I.OUTCOME): ((T.PROGRESS,), S.OVER),
    (S.ACCEPTED, I.NO_OUTCOME): ((T.LOST,), S.OVER),
    (S.OVER, I.ACCEPTED): ((), S.OVER),
    (S.OVER, I.REFUSED): ((), S.OVER),
    (S.OVER, I.UNANSWERED): ((), S.OVER),
}


class Transfer:
    """A REFER of ours; `id` is its CSeq number, which the Event of its NOTIFYs repeats (RFC 3515 2.4.6)."""

    __slots__ = ("id", "state")

    def __init__(self, number: int) -> None:
        self.id = str(number)
        self.state = S.SENT

    @property
    def over(self) -> bool:
        return self.state is S.OVER

    def input(self, event: TransferInput) -> tuple[Tell, ...] | None:
        """What is to be told; None for what the table does not list."""
        row = step(TRANSFER, self.state, event)
        if row is None:
            return None
        told, self.state = row
        return told


def input_of_notify(progress: Progress) -> TransferInput:
    if not progress.final:
        return I.PROGRESS
    return I.OUTCOME if progress.status >= 200 else I.NO_OUTCOME
