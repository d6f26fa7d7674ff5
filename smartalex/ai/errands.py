"""The tools of a conversation at work: first what the agent says is heard, then the call does it, then the agent learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.ai.stage import Stage
from smartalex.ai.timers import Timers
from smartalex.ai.tools import Refusal, Wish, check
from smartalex.ai.turn import Input
from smartalex.errors import BackendError, ProtocolError
from smartalex.interfaces import Brief, ICallControl

MOST_REFUSED = 20
"""Tool calls in vain after which the backend is taken for broken."""

LIMIT_S = 120.0
"""The call bounds its transfers itself; this is the wall behind that."""

LAST_WORD_S = 0.3
"""Seconds in which the caller may still say something before the agent hangs up."""


class IConversation(Protocol):
    """What errands ask of the runtime; meanings are there."""

    @property
    def epoch(self) -> int: ...
    @property
    def spoke(self) -> bool: ...
    def answered(self) -> None: ...
    def failed(self, error: BackendError) -> None: ...
    def input(self, event: Input) -> None: ...
    def regained(self) -> bool: ...
    def tell_result(self, tool_call_id: str, data: Mapping[str, Any]) -> None: ...
    def tell_event(self, text: str, speak: bool) -> None: ...
    def finish(self, prompt: str, reason: str) -> None: ...


@attrs.frozen
class _Errand:
    tool_call_id: str
    epoch: int
    wish: Wish


class Errands:
    """At most one runs at a time."""

    log = Logger()

    __slots__ = (
        "_brief", "_control", "_conversation", "_leaving", "_refused", "_running", "_stage", "_timers", "_transfers",
    )  # fmt: skip

    def __init__(self, conversation: IConversation, control: ICallControl, brief: Brief, stage: Stage, timers: Timers) -> None:
        self._conversation = conversation
        self._control = control
        self._brief = brief
        self._stage = stage
        self._timers = timers
        self._running: _Errand | None = None
        self._leaving: _Errand | None = None
        self._transfers = 0
        self._refused = 0

    @property
    def running(self) -> bool:
        return self._running is not None

    def ask(self, tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        """A session wants a tool run."""
        found = check(self._brief, name, arguments, self._transfers)
        if self._running is not None:
            found = Refusal({"ok": False, "cause": "busy", "name": self._running.wish.target})
        refused = found.data.get("cause") if isinstance(found, Refusal) else None
        self._control.event("tool", {"tool": name[:40], "refused": refused, "for": getattr(found, "target", "")})
        errand = _Errand(tool_call_id, self._conversation.epoch, found if isinstance(found, Wish) else Wish(name))
        if isinstance(found, Refusal):
            self._refuse(errand, found)
            return
        self._running = errand
        self._conversation.answered()
        self._conversation.input(Input.TOOL)
        if found.name == "transfer" and not self._conversation.spoke:
            self._stage.say("connecting")
        self._stage.after(lambda: self._run(errand))

    def take_message(self) -> None:
        """The floor of the ladder, after what is being said."""
        errand = self._running = _Errand("", -1, Wish("take_message"))
        self._stage.after(lambda: self._run(errand))

    def stay(self) -> None:
        """The caller has something to say: do not hang up."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            self._timers.later(0, self._report, leaving, {"ok": False, "cause": "the caller went on"})

    # ------------------------------------------------------------------

    def _refuse(self, errand: _Errand, refusal: Refusal) -> None:
        self._refused += 1
        if self._refused % MOST_REFUSED == 0:
            self._conversation.failed(ProtocolError("asks for one impossible thing after the other"))
        else:
            self._timers.later(0, self._report, errand, refusal.data)

    def _run(self, errand: _Errand) -> None:
        wish = errand.wish
        if wish.name == "end_call":
            self._running, self._leaving = None, errand
            self._conversation.input(Input.TOOL_DONE)
            self._timers.later(LAST_WORD_S, self._leave, errand)
            return
        if wish.name == "transfer":
            self._transfers += 1
            doing = maybeDeferred(self._control.transfer, wish.target, wish.reason)
        else:
            doing = maybeDeferred(self._control.take_message, wish.target)
        self._timers.later(LIMIT_S, self._give_up, errand, doing)
        doing.addErrback(self._failed)
        doing.addCallback(lambda outcome: self._done(errand, outcome))

    def _leave(self, errand: _Errand) -> None:
        if self._leaving is errand:
            self._leaving = None
            self._conversation.finish("", errand.wish.reason or "the agent ended the call")

    def _give_up(self, errand: _Errand, doing: Deferred[Any]) -> None:
        if self._running is errand:
            doing.cancel()

    def _failed(self, failure: Failure) -> dict[str, Any]:
        if failure.check(CancelledError):
            return {"ok": False, "cause": "no outcome"}
        self.log.failure("a tool failed inside the call", failure)
        return {"ok": False, "cause": "internal error"}

    def _done(self, errand: _Errand, outcome: Any) -> None:
        """The call has done it, or not; after a success the caller is somebody else's."""
        data = dict(outcome) if isinstance(outcome, Mapping) else {"ok": False, "cause": "no outcome"}
        if self._running is not errand:
            return
        self._running = None
        if data.get("ok"):
            self._conversation.input(Input.SUSPEND)
        elif errand.epoch < 0:
            self._no_message()
        elif self._conversation.regained():
            self._report(errand, data)

    def _report(self, errand: _Errand, data: Mapping[str, Any]) -> None:
        """Tell the session that asked, or the one that came after it."""
        if errand.epoch == self._conversation.epoch:
            self._conversation.tell_result(errand.tool_call_id, data)
        else:
            self._stage.say("transfer-failed")
            self._conversation.tell_event(f"{errand.wish.name} failed: {data.get('cause', '')}", True)

    def _no_message(self) -> None:
        """No backend and no message: the operator, and if there is none, goodbye."""
        if self._brief.operator is None or self._transfers:
            self._conversation.finish("goodbye", "nobody left to speak")
            return
        errand = self._running = _Errand("", -1, Wish("transfer", self._brief.operator, "the assistant is out of order"))
        self._stage.say("connecting")
        self._stage.after(lambda: self._run(errand))
