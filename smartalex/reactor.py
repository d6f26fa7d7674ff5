"""The reactor of `twistd --reactor=uvloop`: asyncio over uvloop, so that asyncio voice-AI code runs inside a backend."""

from __future__ import annotations

import select
from collections.abc import Callable
from math import ceil
from typing import Any

import uvloop
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IWriteDescriptor
from twisted.internet.main import installReactor
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import LoopingCall

LOOK_S = 0.5


class UvloopReactor(AsyncioSelectorReactor):
    """Sleeps whole milliseconds, as libuv does, but rounded up.

    Rounded down it would wake before its time, find nothing to do, and ask for 0 ms again and again until then.
    """

    def timeout(self) -> float | None:
        seconds = super().timeout()
        return ceil(seconds * 1000) / 1000 if seconds else seconds

    def addWriter(self, writer: IWriteDescriptor) -> None:
        try:
            super().addWriter(writer)
        except RuntimeError:  # given up by libuv, see `look_for_broken`
            self._register_again(writer)
            super().addWriter(writer)

    def look_for_broken(self) -> None:
        """libuv gives a descriptor up at its first error, after one more read.

        When that read brought data and not the error, as with a connection that was reset right after its last
        message, nobody would hear of it any more.
        """
        poll, readers = select.poll(), {}
        for reader in self.getReaders():
            number = reader.fileno()
            if number >= 0:
                readers[number] = reader
                poll.register(number, 0)
        for number, events in poll.poll(0):
            if events & (select.POLLERR | select.POLLNVAL):
                self._register_again(readers[number])

    def _register_again(self, descriptor: Any) -> None:
        """What is wrong with it is then met at once."""
        if descriptor in self.getReaders():
            self.removeReader(descriptor)
            self.addReader(descriptor)
        else:
            self._asyncioEventloop.remove_reader(descriptor.fileno())


def install() -> None:
    """Install it as Twisted's reactor; raises ReactorAlreadyInstalledError when there is one."""
    reactor = UvloopReactor(uvloop.new_event_loop())
    installReactor(reactor)
    look_after(reactor, reapAllProcesses)
    look_after(reactor, reactor.look_for_broken)


def look_after(reactor: Any, look: Callable[[], None]) -> None:
    """Do this now and then.

    When two children die at once, the signal of one goes by unseen about once in 500
    times, under uvloop; that child would stay a zombie and its protocol would
    never hear of its end.
    """
    looking = LoopingCall(look)
    looking.clock = reactor
    reactor.callWhenRunning(looking.start, LOOK_S)
