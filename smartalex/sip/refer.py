"""REFER and its implicit subscription (RFC 3515, RFC 3892, RFC 3420): writing and reading."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.message import REASONS, Request

SIPFRAG = "message/sipfrag"


@attrs.frozen
class Progress:
    """What a NOTIFY says of the referred call; `final` when the subscription ends with it."""

    status: int
    reason: str
    final: bool


def refer_headers(refer_to: str, referred_by: str, extra: Iterable[tuple[str, str]] = ()) -> tuple[tuple[str, str], ...]:
    return ("Refer-To", refer_to), ("Referred-By", referred_by), *extra


def notify_headers(*, final: bool, expires_s: int = 60) -> tuple[tuple[str, str], ...]:
    state = "terminated;reason=noresource" if final else f"active;expires={expires_s}"
    return ("Event", "refer"), ("Subscription-State", state), ("Content-Type", f"{SIPFRAG};version=2.0")


def sipfrag(status: int, reason: str = "") -> bytes:
    return f"SIP/2.0 {status} {reason or REASONS.get(status, 'Unknown')}\r\n".encode()


def read_notify(request: Request) -> Progress:
    """Raises RemoteError: 489 for another event package, 400 for a body that is no status line."""
    event = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
    if event != "refer":
        raise RemoteError(489, REASONS[489])
    state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
    final = state == "terminated"
    line = request.body.partition(b"\n")[0].strip().decode("utf-8", "replace")
    if not line and final:
        return Progress(100, "", True)
    version, _, rest = line.partition(" ")
    status, _, reason = rest.partition(" ")
    if version != "SIP/2.0" or not (len(status) == 3 and status.isdigit() and 100 <= int(status) <= 699):
        raise RemoteError(400, "Bad sipfrag")
    return Progress(int(status), reason, final)
