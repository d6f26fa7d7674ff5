"""A backend that is ready after two seconds, so that a caller can give up before the answer."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from smartalex.ai.diagnostics import PlayFactory, PlaySession
from smartalex.interfaces import Brief, IVoiceAgentFactory, IVoiceAgentHost, IVoiceAgentSession


@implementer(IVoiceAgentSession)
class SlowSession(PlaySession):
    def start(self, host: IVoiceAgentHost) -> Deferred[None]:
        super().start(host)
        return deferLater(host.clock, 2.0)


@implementer(IVoiceAgentFactory)
class SlowFactory(PlayFactory):
    name = "slow"

    def session(self, brief: Brief) -> SlowSession:
        return SlowSession()
