"""Agents that do one thing as soon as the call is up: hang up, or transfer the caller."""

from __future__ import annotations

from zope.interface import implementer

from smartalex.ai.diagnostics import PlayFactory, PlaySession
from smartalex.interfaces import Brief, IAudioOut, IVoiceAgentFactory, IVoiceAgentSession


@implementer(IVoiceAgentSession)
class LeavingSession(PlaySession):
    def attach(self, audio: IAudioOut) -> None:
        self._host.ended("had enough")


@implementer(IVoiceAgentFactory)
class LeavingFactory(PlayFactory):
    name = "leaving"

    def session(self, brief: Brief) -> LeavingSession:
        return LeavingSession()


@implementer(IVoiceAgentSession)
class MovingSession(PlaySession):
    def attach(self, audio: IAudioOut) -> None:
        self._host.tool_call("1", "transfer", {"destination": "sales"})


@implementer(IVoiceAgentFactory)
class MovingFactory(PlayFactory):
    name = "moving"

    def session(self, brief: Brief) -> MovingSession:
        return MovingSession()
