"""An INVITE while its caller's identity is looked into: it may be cancelled meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from smartalex.sip.message import Request
from smartalex.sip.session import Session, SessionListener


class Screening(SessionListener):
    """`gone(cause)` is called once, when the caller does not wait for the end of it."""

    def __init__(self, gone: Callable[[str], None]) -> None:
        self._gone = gone

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self._gone(cause)
