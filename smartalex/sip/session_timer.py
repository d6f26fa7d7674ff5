"""Session timers (RFC 4028): how long a session lasts without a refresh, and who sends it; headers in, values out."""

from __future__ import annotations

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import parse_params
from smartalex.sip.layer import Refusal
from smartalex.sip.message import Message, Request, Response

Rows = tuple[tuple[str, str], ...]

OPTION = "timer"

LEAST_S = 90
"""No interval may be shorter (RFC 4028 5)."""


@attrs.frozen
class SessionTimer:
    """What we ask for, and the least that we accept, in seconds; `session_expires_s` 0 switches all of it off."""

    session_expires_s: int = 1800
    min_se_s: int = LEAST_S

    def __bool__(self) -> bool:
        return self.session_expires_s > 0


@attrs.frozen
class Terms:
    """What two sides agreed on; `ours`: we refresh."""

    interval_s: int
    ours: bool

    @property
    def refresh_s(self) -> float:
        """From one refresh to the next one (RFC 4028 7.2)."""
        return self.interval_s / 2

    @property
    def expiry_s(self) -> float:
        """From the last refresh to the BYE (RFC 4028 10)."""
        return self.interval_s - min(32.0, self.interval_s / 3)


@attrs.frozen
class SessionExpires:
    """A Session-Expires value; `refresher` is 'uac', 'uas' or ''."""

    interval_s: int
    refresher: str = ""

    @classmethod
    def of(cls, message: Message) -> SessionExpires | None:
        """None without one; raises RemoteError(400)."""
        value = message.headers.get("Session-Expires")
        if value is None:
            return None
        seconds, _, params = value.partition(";")
        refresher = (dict(parse_params(params)).get("refresher") or "") if params else ""
        return cls(_seconds(seconds), refresher.lower() if refresher.lower() in ("uac", "uas") else "")

    def __str__(self) -> str:
        return f"{self.interval_s};refresher={self.refresher}" if self.refresher else str(self.interval_s)


def min_se(message: Message) -> int:
    """Its Min-SE, at least 90; raises RemoteError(400)."""
    value = message.headers.get("Min-SE")
    return LEAST_S if value is None else max(LEAST_S, _seconds(value.partition(";")[0]))


def _seconds(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise RemoteError(400, "Bad Session Timer")
    return int(text)


def ask(timer: SessionTimer, terms: Terms | None, known_s: int = 0) -> Rows:
    """For a request that refreshes, or that begins the session (`terms` None); `known_s` is the Min-SE of a 422, else 0.

    The roles stay as they are (RFC 4028 7.4); at the beginning we offer to be the one who refreshes.
    """
    if not timer:
        return ()
    least_s = max(known_s, timer.min_se_s)
    expires = SessionExpires(max(timer.session_expires_s, least_s), "uas" if terms is not None and not terms.ours else "uac")
    rows: Rows = (("Session-Expires", str(expires)),)
    return (*rows, ("Min-SE", str(least_s))) if known_s or least_s > LEAST_S else rows


def answer(timer: SessionTimer, request: Request) -> tuple[Terms | None, Rows]:
    """What we agree to, and the headers of the 2xx (RFC 4028 9, table 2); raises RemoteError(422), with Min-SE.

    A peer that leaves the choice to us need not refresh: we do.  A request that knows no session timer but
    holds an interval got it from a proxy, and could not repeat itself: it is not refused (erratum 1687).
    """
    if request.headers.get("Session-Expires") is None and request.headers.get("Supported") is None:
        return None, ()
    asked = SessionExpires.of(request)
    knows = OPTION in (tag.lower() for tag in request.headers.get_all("Supported") + request.headers.get_all("Require"))
    if not timer or (asked is None and not knows):
        return None, ()
    least_s = max(timer.min_se_s, min_se(request))
    if asked is not None and asked.interval_s < timer.min_se_s:
        if knows:
            raise Refusal(422, ("Min-SE", str(timer.min_se_s)))
        asked = SessionExpires(least_s)
    wanted_s = max(timer.session_expires_s, least_s)
    interval_s = wanted_s if asked is None else min(asked.interval_s, wanted_s)
    refresher = (asked.refresher if asked is not None and knows else "") or "uas"
    rows: Rows = (("Session-Expires", str(SessionExpires(interval_s, refresher))),)
    return Terms(interval_s, refresher == "uas"), (("Require", OPTION), *rows) if knows else rows


def agreed(timer: SessionTimer, response: Response) -> Terms | None:
    """What a 2xx to our request says; None when the session does not expire (RFC 4028 7.2).

    An interval below the least that may be is taken as that, and one that cannot be read as none: the call is up.
    """
    try:
        given = SessionExpires.of(response)
    except RemoteError:
        return None
    if not timer or given is None:
        return None
    return Terms(max(given.interval_s, timer.min_se_s), given.refresher != "uas")


def raised(timer: SessionTimer, response: Response, known_s: int) -> int | None:
    """The Min-SE that a 422 asks for, when it is more than we knew (RFC 4028 7.3)."""
    if not timer or response.status != 422:
        return None
    try:
        least_s = min_se(response)
    except RemoteError:
        return None
    return least_s if least_s > known_s else None
