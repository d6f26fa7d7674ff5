"""The reactor of `twistd --reactor=uvloop`: asyncio over uvloop, so that asyncio voice-AI code runs inside a backend."""

from __future__ import annotations

import uvloop
from twisted.internet import asyncioreactor


def install() -> None:
    """Install it as Twisted's reactor; raises ReactorAlreadyInstalledError when there is one."""
    asyncioreactor.install(uvloop.new_event_loop())
