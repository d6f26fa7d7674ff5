"""The ladder: its table over every pair, the breaker, and the door."""

from __future__ import annotations

from itertools import product
from unittest import TestCase

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from smartalex.ai.breaker import Breaker, Breakers
from smartalex.ai.host import Host
from smartalex.ai.supervisor import TABLE, Action, Input, State
from smartalex.errors import BackendError, ProtocolError
from smartalex.interfaces import IVoiceAgentHost
from smartalex.machine import step


class Table(TestCase):
    def test_every_pair(self) -> None:
        for state, event in product(State, Input):
            row = step(TABLE, state, event)
            if row is None:
                continue
            actions, after = row
            starts = {Action.START_NEXT, Action.START_AGAIN, Action.GO_LIVE, Action.FLOOR} & set(actions)
            if after is State.CLOSED:
                self.assertEqual(actions, (Action.DISCARD,))
            else:
                self.assertEqual(len(starts), 1, "each row leads on to somebody who speaks")
                self.assertIs(actions[-1], starts.pop(), "and does so last, for it may fail at once")

    def test_every_failure_discards_the_session_first(self) -> None:
        for (_, event), (actions, _) in TABLE.items():
            if event in (Input.FAILED, Input.SPENT):
                self.assertIs(actions[0], Action.DISCARD)

    def test_a_backend_may_fail_wherever_there_is_one(self) -> None:
        for state in (State.STARTING, State.RETRYING, State.LIVE):
            for event in (Input.FAILED, Input.SPENT, Input.CLOSE):
                self.assertIn((state, event), TABLE)

    def test_failures_end_on_the_floor(self) -> None:
        state, steps = State.LIVE, 0
        for event in (Input.FAILED, Input.FAILED, Input.EXHAUSTED):
            _, state = TABLE[state, event]
            steps += 1
        self.assertIs(state, State.FLOOR)


class Breaking(TestCase):
    def test_three_failures_in_a_minute_open_it_for_30_s(self) -> None:
        breaker = Breaker()
        for now in (0.0, 30.0, 59.0):
            self.assertTrue(breaker.allows(now))
            breaker.failed(now)
        self.assertFalse(breaker.allows(59.1))
        self.assertFalse(breaker.allows(88.9))
        self.assertTrue(breaker.allows(89.0))

    def test_failures_far_apart_do_not(self) -> None:
        breaker = Breaker()
        for now in range(0, 600, 40):
            breaker.failed(float(now))
            self.assertTrue(breaker.allows(now + 1.0))

    def test_half_open_lets_one_try(self) -> None:
        breaker = Breaker()
        for _ in range(3):
            breaker.failed(0.0)
        self.assertEqual([breaker.allows(30.0), breaker.allows(30.1), breaker.allows(39.9)], [True, False, False])
        breaker.failed(40.0)
        self.assertFalse(breaker.allows(69.0))
        self.assertTrue(breaker.allows(70.0))
        breaker.worked()
        self.assertTrue(breaker.allows(70.1))
        breaker.failed(70.2)
        self.assertTrue(breaker.allows(70.3))

    def test_a_probe_whose_call_went_away_does_not_block_for_ever(self) -> None:
        breaker = Breaker()
        for _ in range(3):
            breaker.failed(0.0)
        self.assertTrue(breaker.allows(30.0))
        self.assertTrue(breaker.allows(41.0))

    def test_one_breaker_per_factory_and_not_too_many(self) -> None:
        breakers = Breakers(most=2)
        factories = [object() for _ in range(3)]
        first = breakers.of(factories[0])
        self.assertIs(breakers.of(factories[0]), first)
        self.assertIsNot(breakers.of(factories[1]), first)
        breakers.of(factories[2])
        self.assertIsNot(breakers.of(factories[0]), first)


class Door(TestCase):
    """The host each session is given."""

    def setUp(self) -> None:
        self.received: list[tuple[str, tuple[object, ...]]] = []
        self.failures: list[BackendError] = []
        self.host = Host(self, self, Clock())

    def receive(self, verb: str, arguments: tuple[object, ...]) -> None:
        self.received.append((verb, arguments))

    def failed(self, error: BackendError) -> None:
        self.failures.append(error)

    def use_everything(self) -> None:
        self.host.audio("a", b"\0\0")
        self.host.item_done("a")
        self.host.protect("a")
        self.host.discard()
        self.host.mark("m")
        self.host.transcript("agent", "Hello.", item_id="a")
        self.host.expect("any")
        self.host.tool_call("t", "transfer", {})
        self.host.going_away(60)
        self.host.ended("done")

    def test_passes_everything_on(self) -> None:
        verifyObject(IVoiceAgentHost, self.host)
        self.use_everything()
        self.assertEqual(len(self.received), 10)
        self.assertEqual(self.failures, [])

    def test_a_detached_one_nothing(self) -> None:
        self.host.detach()
        self.use_everything()
        self.host.failed(ProtocolError("late"))
        self.host.audio(None, None)  # type: ignore[arg-type]
        self.assertEqual((self.received, self.failures), ([], []))

    def test_garbage_is_the_backends_failure(self) -> None:
        for garbage in (None, 7, object(), [b""]):
            for use in (
                lambda g: self.host.audio("a", g), lambda g: self.host.audio(g, b""), self.host.mark, self.host.expect,
                lambda g: self.host.transcript("agent", g), lambda g: self.host.tool_call("t", "transfer", g), self.host.ended,
            ):  # fmt: skip
                self.failures.clear()
                use(garbage)
                self.assertIsInstance(self.failures[0], ProtocolError)
        self.assertEqual(self.received, [])

    def test_a_failure_that_is_none_of_ours_is_typed(self) -> None:
        self.host.failed("out of memory")  # type: ignore[arg-type]
        self.assertIsInstance(self.failures[0], ProtocolError)
