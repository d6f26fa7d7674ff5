"""A backend that writes the repr of every object of ours, and of all that they hold, at the start of each call."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smartalex.ai.diagnostics import PlayFactory, PlaySession
from smartalex.interfaces import Brief, IVoiceAgentFactory, IVoiceAgentHost, IVoiceAgentSession


@implementer(IVoiceAgentSession)
class DumpingSession(PlaySession):
    def __init__(self, into: str) -> None:
        super().__init__()
        self._into = into

    def start(self, host: IVoiceAgentHost) -> Deferred[None]:
        gc.unfreeze()
        with open(self._into, "w", encoding="utf-8", errors="replace") as file:
            for shown in reprs():
                file.write(shown + "\n")
        return super().start(host)


def reprs() -> Iterator[str]:
    for one in gc.get_objects():
        if str(getattr(type(one), "__module__", "")).startswith("smartalex."):
            yield _shown(one)
            if repr(one) != "<secret>":
                yield from map(_shown, _held(one))


def _held(one: Any) -> Iterator[Any]:
    yield from getattr(one, "__dict__", {}).values()
    for kind in type(one).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(one, name):
                yield getattr(one, name)


def _shown(one: Any) -> str:
    try:
        return f"{type(one).__qualname__} {one!r}"
    except Exception as error:
        return f"{type(one).__qualname__} cannot be shown: {type(error).__name__}"


@implementer(IVoiceAgentFactory)
class DumpingFactory(PlayFactory):
    name = "dumping"

    def __init__(self, into: str) -> None:
        super().__init__()
        self._into = into

    def session(self, brief: Brief) -> DumpingSession:
        return DumpingSession(self._into)
