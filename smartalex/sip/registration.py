"""Registering at somebody else's registrar: the table, what its answers mean, and when to come again.

RFC 3261 10.2; Path and Service-Route are those of RFC 3327 and RFC 3608; the back-off is RFC 5626 4.5's.
"""

from __future__ import annotations

from enum import Enum

import attrs

from smartalex.errors import RemoteError
from smartalex.machine import Table
from smartalex.sip.headers import NameAddr, split_list
from smartalex.sip.message import Response
from smartalex.sip.uri import Uri, equivalent

FAILED_S = (30.0, 1800.0)
"""The base of the back-off and its most, when the registrar cannot be reached or cannot serve (RFC 5626 4.5)."""

REFUSED_S = (300.0, 3600.0)
"""The same when it will not have us: only somebody who changes something can mend that."""

MARGIN_S = 10.0
LONGEST_S = 86_400

REFUSALS = frozenset((400, 401, 402, 403, 404, 405, 406, 407, 410, 414, 415, 416, 420, 421, 423, 439, 493, 494, 501, 505, 513))
"""Statuses that the same request would get again, beside 3xx and 6xx."""


class State(Enum):
    IDLE = "idle"
    REGISTERING = "registering"
    HURRYING = "registering, and once more then"  # something changed meanwhile; two may not be under way (RFC 3261 10.2)
    REGISTERED = "registered"
    WAITING = "waiting"
    REFUSED = "refused"
    LEAVING = "leaving"  # not wanted any more, but a REGISTER is under way
    UNREGISTERING = "unregistering"
    ENDED = "ended"


class Input(Enum):
    START = "start"
    DUE = "the timer is due"
    ANEW = "register anew"
    STOP = "stop"
    OK = "2xx"
    BRIEF = "423"
    REFUSAL = "refused"
    FAILURE = "failed"
    GIVE_UP = "give up"


class Action(Enum):
    REGISTER = "send REGISTER"
    UNREGISTER = "send REGISTER with Expires: 0"
    REFRESH_LATER = "set the timer before the registration runs out"
    BACK_OFF = "set the timer after a failure"
    STOP_TIMER = "stop the timer"
    END = "tell: ended"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    (S.IDLE, I.START): ((A.REGISTER,), S.REGISTERING),
    (S.IDLE, I.ANEW): ((), S.IDLE),
    (S.IDLE, I.STOP): ((A.END,), S.ENDED),
    (S.REGISTERING, I.OK): ((A.REFRESH_LATER,), S.REGISTERED),
    (S.REGISTERING, I.BRIEF): ((A.REGISTER,), S.REGISTERING),
    (S.REGISTERING, I.REFUSAL): ((A.BACK_OFF,), S.REFUSED),
    (S.REGISTERING, I.FAILURE): ((A.BACK_OFF,), S.WAITING),
    (S.REGISTERING, I.ANEW): ((), S.HURRYING),
    (S.REGISTERING, I.STOP): ((), S.LEAVING),
    (S.HURRYING, I.OK): ((A.REGISTER,), S.REGISTERING),
    (S.HURRYING, I.BRIEF): ((A.REGISTER,), S.REGISTERING),
    (S.HURRYING, I.REFUSAL): ((A.REGISTER,), S.REGISTERING),
    (S.HURRYING, I.FAILURE): ((A.REGISTER,), S.REGISTERING),
    (S.HURRYING, I.ANEW): ((), S.HURRYING),
    (S.HURRYING, I.STOP): ((), S.LEAVING),
    (S.REGISTERED, I.DUE): ((A.REGISTER,), S.REGISTERING),
    (S.REGISTERED, I.ANEW): ((A.STOP_TIMER, A.REGISTER), S.REGISTERING),
    (S.REGISTERED, I.STOP): ((A.STOP_TIMER, A.UNREGISTER), S.UNREGISTERING),
    (S.WAITING, I.DUE): ((A.REGISTER,), S.REGISTERING),
    (S.WAITING, I.ANEW): ((A.STOP_TIMER, A.REGISTER), S.REGISTERING),
    (S.WAITING, I.STOP): ((A.STOP_TIMER, A.END), S.ENDED),
    (S.REFUSED, I.DUE): ((A.REGISTER,), S.REGISTERING),
    (S.REFUSED, I.ANEW): ((A.STOP_TIMER, A.REGISTER), S.REGISTERING),
    (S.REFUSED, I.STOP): ((A.STOP_TIMER, A.END), S.ENDED),
    (S.LEAVING, I.OK): ((A.UNREGISTER,), S.UNREGISTERING),
    (S.LEAVING, I.BRIEF): ((A.END,), S.ENDED),
    (S.LEAVING, I.REFUSAL): ((A.END,), S.ENDED),
    (S.LEAVING, I.FAILURE): ((A.END,), S.ENDED),
    (S.LEAVING, I.STOP): ((), S.LEAVING),
    (S.LEAVING, I.ANEW): ((), S.LEAVING),
    (S.LEAVING, I.GIVE_UP): ((A.END,), S.ENDED),
    (S.UNREGISTERING, I.OK): ((A.END,), S.ENDED),
    (S.UNREGISTERING, I.BRIEF): ((A.END,), S.ENDED),
    (S.UNREGISTERING, I.REFUSAL): ((A.END,), S.ENDED),
    (S.UNREGISTERING, I.FAILURE): ((A.END,), S.ENDED),
    (S.UNREGISTERING, I.STOP): ((), S.UNREGISTERING),
    (S.UNREGISTERING, I.ANEW): ((), S.UNREGISTERING),
    (S.UNREGISTERING, I.GIVE_UP): ((A.END,), S.ENDED),
}


@attrs.frozen
class Identity:
    """As whom we register, and where: the address of record, and the registrar's URI, which keeps port and transport."""

    address: Uri
    registrar: Uri

    @classmethod
    def of(cls, text: str) -> Identity:
        """From "sip:300@pbx.example.com:5080;transport=tcp"; raises RemoteError(400) for what is no such URI."""
        uri = Uri.parse(text)
        if uri.scheme not in ("sip", "sips") or not uri.user or uri.password is not None or uri.headers:
            raise RemoteError(400, "Bad Address Of Record")
        kept = tuple(param for param in uri.params if param[0] in ("transport", "maddr"))
        return cls(Uri(uri.scheme, uri.user, None, uri.host), Uri(uri.scheme, None, None, uri.host, uri.port, kept))

    @property
    def user(self) -> str:
        return self.address.user or ""


@attrs.frozen
class Answer:
    """What the registrar said.  `seconds`: granted with OK, the least there may be with BRIEF, else Retry-After or 0."""

    input: Input
    seconds: int = 0
    why: str = ""
    path: tuple[str, ...] = ()
    service_route: tuple[str, ...] = ()


def read(response: Response, contact: Uri, asked_s: int, *, raised: bool = False) -> Answer:
    """A final response to a REGISTER that bound `contact` for `asked_s`; `raised`: after a 423 before."""
    status = response.status
    if 200 <= status < 300:
        return _granted(response, contact, asked_s)
    why = f"{status} {_printable(response.reason)}".strip()
    least = _number(response.headers.get("Min-Expires"))
    if status == 423 and not raised and asked_s < least <= LONGEST_S:
        return Answer(Input.BRIEF, least, why)
    refusal = status in REFUSALS or status < 400 or status >= 600
    return Answer(Input.REFUSAL if refusal else Input.FAILURE, _number(response.headers.get("Retry-After")), why)


def refresh_s(granted_s: float, chance: float) -> float:
    """When to register again: after 85 to 95 % of the time, and 10 s before its end where it has 20.  `chance` is 0 to 1."""
    if granted_s < 2 * MARGIN_S:
        return max(1.0, granted_s / 2)
    return min(granted_s * (0.85 + 0.1 * chance), granted_s - MARGIN_S)


def back_off_s(failures: int, base_s: float, most_s: float, chance: float) -> float:
    """How long to wait after so many failures in a row: 50 to 100 % of what doubles each time (RFC 5626 4.5)."""
    return min(most_s, base_s * 2.0 ** min(failures, 20)) * (0.5 + 0.5 * chance)


def _granted(response: Response, contact: Uri, asked_s: int) -> Answer:
    text = _expires_of(response, contact) or response.headers.get("Expires")
    seconds = min(_number(text), LONGEST_S) if text is not None and _is_number(text) else asked_s
    if not seconds and asked_s:
        return Answer(Input.FAILURE, why="it bound us for no time at all")
    route = tuple(value for text in response.headers.get_all("Service-Route") for value in split_list(text))
    return Answer(Input.OK, seconds, path=tuple(response.headers.get_all("Path")), service_route=route)


def _expires_of(response: Response, contact: Uri) -> str | None:
    """`expires` of our own contact among all that are bound; of the only one, where the registrar wrote it in another way."""
    found = []
    for text in response.headers.get_all("Contact"):
        try:
            found.append(NameAddr.parse(text))
        except RemoteError:
            continue
    ours = [one for one in found if equivalent(one.uri, contact)] or (found if len(found) == 1 else [])
    return ours[0].param("expires") if ours else None


def _number(text: str | None) -> int:
    """The digits it begins with: Retry-After may have a comment, and parameters."""
    digits = (text or "").partition(";")[0].partition("(")[0].strip()
    return int(digits[:10]) if _is_number(digits) else 0


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:60])
