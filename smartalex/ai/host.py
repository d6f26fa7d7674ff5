"""The door between a backend's session and its call: nothing gets out of it after `detach`, and nothing raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import BackendError, ProtocolError
from smartalex.interfaces import IVoiceAgentHost

EARLY = ("on_audio", "on_item_done", "on_mark", "on_transcript", "on_tool_call")
"""What a session may ask for while it still rings; it is done when the caller can hear it."""

MOST_EARLY = 2000


class IOwner(Protocol):
    """The runtime's side of IVoiceAgentHost."""

    def receive(self, verb: str, arguments: tuple[Any, ...]) -> None:
        """`verb` is on_audio, on_item_done, on_protect, on_discard, on_mark, on_transcript, on_expect, on_tool_call,
        on_going_away or on_ended, with the arguments of the host's method.
        """


class IFailing(Protocol):
    def failed(self, error: BackendError) -> None: ...


@implementer(IVoiceAgentHost)
class Host:
    """What one session is given.  Arguments of the wrong type are a failure of the backend that sent them."""

    log = Logger()

    __slots__ = ("_owner", "_supervisor", "clock")

    def __init__(self, owner: IOwner, supervisor: IFailing, clock: IReactorTime) -> None:
        self._owner: IOwner | None = owner
        self._supervisor = supervisor
        self.clock = clock

    def detach(self) -> None:
        self._owner = None

    def audio(self, item_id: str, data: bytes) -> None:
        if self._owner is not None and self._sound("audio", (item_id, str), (data, (bytes, bytearray, memoryview))):
            self._pass("on_audio", item_id, bytes(data))

    def item_done(self, item_id: str) -> None:
        if self._sound("item_done", (item_id, str)):
            self._pass("on_item_done", item_id)

    def protect(self, item_id: str) -> None:
        """The caller may not cut this item in."""
        if self._sound("protect", (item_id, str)):
            self._pass("on_protect", item_id)

    def discard(self, item_id: str | None = None) -> None:
        if self._sound("discard", (item_id, (str, type(None)))):
            self._pass("on_discard", item_id)

    def mark(self, name: str) -> None:
        if self._sound("mark", (name, str)):
            self._pass("on_mark", name)

    def transcript(self, role: str, text: str, final: bool = True, item_id: str = "") -> None:
        if self._sound("transcript", (role, str), (text, str), (item_id, str)):
            self._pass("on_transcript", role, text, bool(final), item_id)

    def expect(self, text_kind: str) -> None:
        if self._sound("expect", (text_kind, str)):
            self._pass("on_expect", text_kind)

    def tool_call(self, tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        if self._sound("tool_call", (tool_call_id, str), (name, str), (arguments, Mapping)):
            self._pass("on_tool_call", tool_call_id, name, arguments)

    def going_away(self, seconds: float) -> None:
        if self._sound("going_away", (seconds, (int, float))):
            self._pass("on_going_away", seconds)

    def failed(self, error: BackendError) -> None:
        if self._owner is not None:
            self._supervisor.failed(error if isinstance(error, BackendError) else ProtocolError(repr(error)[:200]))

    def ended(self, reason: str) -> None:
        if self._sound("ended", (reason, str)):
            self._pass("on_ended", reason)

    # ------------------------------------------------------------------

    def _sound(self, verb: str, *arguments: tuple[Any, Any]) -> bool:
        if all(isinstance(value, kind) for value, kind in arguments):
            return True
        self.failed(ProtocolError(f"{verb} with {', '.join(type(value).__name__ for value, _ in arguments)}"))
        return False

    def _pass(self, verb: str, *arguments: Any) -> None:
        if self._owner is None:
            return
        try:
            self._owner.receive(verb, arguments)
        except Exception:
            self.log.failure("the runtime failed in {verb}", verb=verb)
