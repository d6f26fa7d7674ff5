"""Following a call in the records of the platform that takes it, while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool

from smartalex.store.records import Records

POLL_S = 0.25
GRACE_S = 3.0
"""How long the record may lag behind the call's end."""


class Transcript:
    """`show(role, text)` gets each line as the record does; `lines` keeps them as {role, text}."""

    def __init__(self, reactor: Any, records: Records, show: Callable[[str, str], None]) -> None:
        self.record = ""
        self.lines: list[dict[str, str]] = []
        self._reactor = reactor
        self._records = records
        self._show = show
        self._since = time.time() - 5
        self._seq = -1
        self._ended = False
        self._call_id: Callable[[], str] = lambda: ""
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def follow(self, call_id: Callable[[], str]) -> None:
        """`call_id()` is the SIP Call-ID, or '' as long as there is none."""
        self._call_id = call_id
        self._loop.start(POLL_S)

    async def finish(self) -> None:
        """Wait for the record's end, not for ever."""
        deadline = self._reactor.seconds() + GRACE_S
        while not self._ended and self._loop.running and self._reactor.seconds() < deadline:
            pause: Deferred[None] = Deferred()
            self._reactor.callLater(POLL_S / 2, pause.callback, None)
            await pause
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None] | None:
        call_id = self._call_id()
        if not call_id:
            return None
        looking = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), self._records.story_since, call_id, self._since, self._seq
        )
        return looking.addCallbacks(self._found, lambda failure: None)  # a database that is busy now is asked again

    def _found(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self._seq, self.record = event["seq"], event["call"]
            self._ended = self._ended or event["kind"] == "end"
            if event["kind"] == "said":
                self.lines.append({"role": event["role"], "text": event["text"]})
                self._show(event["role"], event["text"])
