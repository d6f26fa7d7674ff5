"""The PBX asks us to call somebody (REFER): the agent's call goes on with them, if the trunk allows it (RFC 3515, RFC 5589)."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import unquote

from smartalex.errors import RemoteError
from smartalex.sip.headers import NameAddr
from smartalex.sip.message import Response
from smartalex.sip.replaces import Replaces
from smartalex.sip.session import Session, SessionListener
from smartalex.tenants.trunk import Trunk


def number_allowed(refer_to: NameAddr, trunk: Trunk) -> str | None:
    """The number this Refer-To names, when it is on the trunk's list; "3*" stands for all that begin with 3."""
    uri = refer_to.uri
    if uri.scheme not in ("sip", "sips", "tel") or (uri.param("method") or "INVITE").upper() != "INVITE":
        return None
    number = uri.user_text.partition(";")[0]
    if not number or len(number) > 64 or not all(c.isalnum() or c in "+*#-_." for c in number):
        return None
    for pattern in trunk.refer_targets:
        if number == pattern or (pattern.endswith("*") and number.startswith(pattern[:-1])):
            return number
    return None


def replaces_of(refer_to: NameAddr) -> tuple[tuple[str, str], ...]:
    """The Replaces that the Refer-To wants in the INVITE (RFC 5589 7); every other header it holds is dropped."""
    for name, value in refer_to.uri.headers:
        if name.lower() == "replaces":
            call_id, _, tags = unquote(value).partition(";")
            params = dict(part.partition("=")[::2] for part in tags.split(";"))
            if call_id and params.get("to-tag") and params.get("from-tag") and unquote(value).isprintable():
                return (("Replaces", str(Replaces(call_id, params["to-tag"], params["from-tag"], "early-only" in params))),)
    return ()


class Referred(Protocol):
    """The call that was referred."""

    def referral_progress(self, status: int, reason: str, *, final: bool) -> None: ...

    def referral_answered(self, session: Session, body: bytes) -> None:
        """Raises RemoteError when the answer does not fit."""


class Referral(SessionListener):
    """The new call, until it is answered or not."""

    def __init__(self, call: Referred) -> None:
        self._call: Referred | None = call
        self.session: Session | None = None

    def on_progress(self, session: Session, response: Response) -> None:
        if self._call is not None and response.status > 100:
            self._call.referral_progress(response.status, response.reason, final=False)

    def on_answered(self, session: Session, response: Response) -> None:
        session.ack()
        call, self._call = self._call, None
        if call is None:
            session.hangup()
            return
        try:
            call.referral_answered(session, response.body)
        except RemoteError:
            session.hangup()
            call.referral_progress(488, "Not Acceptable Here", final=True)

    def on_failed(self, session: Session, response: Response | None) -> None:
        self._over(response.status if response else 408, response.reason if response else "Request Timeout")

    def on_ended(self, session: Session, cause: str, request: object) -> None:
        self._over(503, "Service Unavailable")

    def abandon(self) -> None:
        """The call has ended meanwhile."""
        self._call = None
        if self.session is not None:
            self.session.hangup()

    def _over(self, status: int, reason: str) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.referral_progress(status, reason, final=True)
