"""Both alarms, on a real reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smartalex.rtp.alarm import Alarm, KernelAlarm, ReactorAlarm


class Alarms(TestCase):
    make: Any = ReactorAlarm

    def alarm(self, ring: Callable[[], None]) -> Alarm:
        made: Alarm = type(self).make(reactor, ring)
        self.addCleanup(made.close)
        return made

    def after(self, seconds: float) -> Deferred[None]:
        passed: Deferred[None] = Deferred()
        reactor.callLater(seconds, passed.callback, None)  # type: ignore[attr-defined]
        return passed

    async def test_it_rings_once_for_each_time_it_is_set(self) -> None:
        rung: list[int] = []
        heard: list[Deferred[None]] = [Deferred() for _ in range(3)]

        def ring() -> None:
            rung.append(len(rung))
            heard[rung[-1]].callback(None)

        alarm = self.alarm(ring)
        for n, wait_s in enumerate((0.01, 0.0, -1.0)):
            alarm.set(wait_s)
            await heard[n].addTimeout(20, reactor)  # type: ignore[arg-type]
        await self.after(0.05)
        self.assertEqual(rung, [0, 1, 2])

    async def test_the_last_setting_counts(self) -> None:
        rung: list[int] = []
        alarm = self.alarm(lambda: rung.append(1))
        alarm.set(0.001)
        alarm.set(3600.0)
        await self.after(0.05)
        self.assertEqual(rung, [])

    async def test_closed_it_is_quiet(self) -> None:
        rung: list[int] = []
        alarm = self.alarm(lambda: rung.append(1))
        alarm.set(0.001)
        alarm.close()
        alarm.close()
        await self.after(0.05)
        self.assertEqual(rung, [])


class KernelAlarms(Alarms):
    make = KernelAlarm
