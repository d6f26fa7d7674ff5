"""The reactor of `twistd --reactor=uvloop`: asyncio over uvloop, so that asyncio voice-AI code runs inside a backend."""

from __future__ import annotations

from math import ceil
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall

REAP_S = 0.5


class UvloopReactor(AsyncioSelectorReactor):
    """Sleeps whole milliseconds, as libuv does, but rounded up.

    Rounded down it would wake before its time, find nothing to do, and ask for 0 ms again and again until then.
    """

    def timeout(self) -> float | None:
        seconds = super().timeout()
        return ceil(seconds * 1000) / 1000 if seconds else seconds


def install() -> None:
    """Install it as Twisted's reactor; raises ReactorAlreadyInstalledError when there is one."""
    reactor = UvloopReactor(uvloop.new_event_loop())
    installReactor(reactor)
    reap(reactor)


def reap(reactor: Any) -> None:
    """Look after dead children now and then.

    When two die at once, the signal of one goes by unseen about once in 500
    times, under uvloop; that child would stay a zombie and its protocol would
    never hear of its end.
    """
    looking = LoopingCall(reapAllProcesses)
    looking.clock = reactor
    reactor.callWhenRunning(looking.start, REAP_S)
