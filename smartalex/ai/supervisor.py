"""Which backend speaks on a call, and what happens when it does not: the ladder on which no caller is dropped.

Every backend of the chain gets a start and one retry; below the last one is
message taking, which needs no AI.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.ai.breaker import Breakers
from smartalex.ai.host import Host, IOwner
from smartalex.ai.speaking import as_backend_error
from smartalex.errors import BackendError, ContentRefused, Expired, ProtocolError, Refused, TimedOut, Unavailable
from smartalex.interfaces import Brief, ICounters, IVoiceAgentFactory
from smartalex.machine import Symbol, Table, step


class State(Symbol):
    NEW = "new"
    STARTING = "starting a backend"
    RETRYING = "starting the same backend again"
    LIVE = "live"
    FLOOR = "no backend left"
    CLOSED = "closed"


class Input(Symbol):
    OPEN = "open"
    READY = "ready"
    FAILED = "failed, may be retried"
    SPENT = "failed, not to be retried"
    EXHAUSTED = "end of the chain"
    CLOSE = "close"


class Action(Symbol):
    APOLOGISE = "one moment please"
    START_NEXT = "start the next of the chain"
    START_AGAIN = "start the same one again"
    GO_LIVE = "it may speak"
    FLOOR = "take a message"
    DISCARD = "close the session"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    (S.NEW, I.OPEN): ((A.START_NEXT,), S.STARTING),
    (S.STARTING, I.READY): ((A.GO_LIVE,), S.LIVE),
    (S.STARTING, I.FAILED): ((A.DISCARD, A.APOLOGISE, A.START_AGAIN), S.RETRYING),
    (S.STARTING, I.SPENT): ((A.DISCARD, A.APOLOGISE, A.START_NEXT), S.STARTING),
    (S.STARTING, I.EXHAUSTED): ((A.FLOOR,), S.FLOOR),
    (S.RETRYING, I.READY): ((A.GO_LIVE,), S.LIVE),
    (S.RETRYING, I.FAILED): ((A.DISCARD, A.START_NEXT), S.STARTING),
    (S.RETRYING, I.SPENT): ((A.DISCARD, A.START_NEXT), S.STARTING),
    (S.LIVE, I.FAILED): ((A.DISCARD, A.APOLOGISE, A.START_AGAIN), S.RETRYING),
    (S.LIVE, I.SPENT): ((A.DISCARD, A.APOLOGISE, A.START_NEXT), S.STARTING),
    **{(state, I.CLOSE): ((A.DISCARD,), S.CLOSED) for state in State if state is not S.CLOSED},
}
"""A pair that is not listed has no effect: it comes from a session that is no longer ours."""


@attrs.frozen
class Deadlines:
    """Seconds.  First start, retry, start of the next; then from the end of a turn to each filler and to giving up."""

    first_s: float = 2.5
    retry_s: float = 1.5
    next_s: float = 2.0
    retry_delay_s: float = 0.2
    healthy_s: float = 60.0
    answer_s: tuple[float, ...] = (1.2, 4.0, 8.0)


class ISupervised(IOwner, Protocol):
    """What the supervisor asks of the call's runtime, besides passing on the session's wishes."""

    def brief(self) -> Brief:
        """What a session is told that starts now: with the history so far."""

    def on_live(self) -> None: ...
    def on_gone(self) -> None:
        """What the session has queued is all there will be of it; its item ids mean nothing any more."""

    def on_trouble(self) -> None:
        """A backend failed and another start follows: say so."""

    def on_floor(self) -> None:
        """No backend is left."""

    def on_waiting(self, count: int) -> None:
        """The caller waits for an answer, for the count-th time: fill the silence."""

    def on_record(self, kind: str, data: dict[str, Any]) -> None: ...


@attrs.frozen
class Chain:
    """The backends in order, and what is shared between the calls that use them."""

    factories: tuple[IVoiceAgentFactory, ...]
    breakers: Breakers
    deadlines: Deadlines = Deadlines()


class Supervisor:
    """`tell` is the only way to the session; `host.Host` the only way back."""

    log = Logger()

    __slots__ = (
        "_answer", "_chain", "_clock", "_counters", "_deadline", "_host", "_index", "_live_since", "_owner", "_retried",
        "_session", "_starting", "_waited", "epoch", "state",
    )  # fmt: skip

    def __init__(self, chain: Chain, owner: ISupervised, clock: IReactorTime, counters: ICounters) -> None:
        self._chain = chain
        self._owner = owner
        self._clock = clock
        self._counters = counters
        self.state = State.NEW
        self.epoch = 0
        self._index = -1
        self._retried = False
        self._live_since = 0.0
        self._session: Any = None
        self._host: Host | None = None
        self._starting: Deferred[Any] | None = None
        self._deadline: IDelayedCall | None = None
        self._answer: IDelayedCall | None = None
        self._waited = 0

    # ------------------------------------------------------------------ for the runtime

    @property
    def live(self) -> bool:
        return self.state is State.LIVE

    @property
    def factory(self) -> IVoiceAgentFactory | None:
        """The backend that speaks, or is being started."""
        return self._chain.factories[self._index] if 0 <= self._index < len(self._chain.factories) else None

    def can(self, capability: str) -> bool:
        return self.factory is not None and capability in self.factory.capabilities

    def open(self) -> None:
        self._input(Input.OPEN)

    def tell(self, verb: str, *arguments: Any) -> Any:
        """Call the session, if one is live; what it raises is its failure and not ours."""
        if self.state is not State.LIVE:
            return None
        try:
            return getattr(self._session, verb)(*arguments)
        except Exception:
            self._raised(verb)
            return None

    def offer(self, verb: str, *arguments: Any) -> None:
        """`tell`, where the session has such a verb."""
        if getattr(self._session, verb, None) is not None:
            self.tell(verb, *arguments)

    def owed(self) -> None:
        """The session owes an answer: from now on, unless it does so already."""
        if self.live and self._answer is None:
            self._waited = 0
            self._answer = self._clock.callLater(self._chain.deadlines.answer_s[0], self._waiting)

    def answered(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None

    def failed(self, error: BackendError) -> None:
        """The live or starting session failed."""
        if self.state not in (State.STARTING, State.RETRYING, State.LIVE):
            return
        name = getattr(self.factory, "name", "?")
        self.log.warn("backend {name} failed while {state}: {error}", name=name, state=self.state.value, error=str(error))
        self._counters.count("ai.failed", type(error).__name__)
        self._owner.on_record("backend-failed", {"backend": name, "error": type(error).__name__, "detail": str(error)[:200]})
        self._note(error)
        self._input(Input.FAILED if self._may_retry(error) else Input.SPENT)

    def close(self, reason: str) -> None:
        self._input(Input.CLOSE, reason)

    # ------------------------------------------------------------------ the table's actions

    def _input(self, event: Input, reason: str = "failed") -> None:
        row = step(TABLE, self.state, event)
        if row is None:
            return
        actions, self.state = row
        for action in actions:
            if action is Action.DISCARD:
                self._discard(reason)
            else:
                self._perform[action](self)

    def _apologise(self) -> None:
        if self._index + 1 < len(self._chain.factories) or self.state is State.RETRYING:
            self._owner.on_trouble()

    def _start_next(self) -> None:
        self._index += 1
        self._retried = False
        factory = self.factory
        if factory is None:
            self._input(Input.EXHAUSTED)
        elif not self._chain.breakers.of(factory).allows(self._clock.seconds()):
            self._counters.count("ai.breaker_open")
            self._owner.on_record("backend-failed", {"backend": factory.name, "error": "left alone after failures"})
            self._start_next()
        else:
            self._start(factory, self._chain.deadlines.next_s if self._index else self._chain.deadlines.first_s)

    def _start_again(self) -> None:
        self._retried = True
        deadlines = self._chain.deadlines
        self._deadline = self._clock.callLater(deadlines.retry_delay_s, self._retry, deadlines.retry_s - deadlines.retry_delay_s)

    def _retry(self, limit_s: float) -> None:
        self._deadline = None
        if self.factory is not None:
            self._start(self.factory, limit_s)

    def _go_live(self) -> None:
        self._stop_deadline()
        self._live_since = self._clock.seconds()
        if self.factory is not None:
            self._chain.breakers.of(self.factory).worked()
            if self._index or self._retried:
                self._owner.on_record("backend", {"backend": self.factory.name, "live": True})
        self._owner.on_live()

    _perform = {
        Action.APOLOGISE: _apologise,
        Action.START_NEXT: _start_next,
        Action.START_AGAIN: _start_again,
        Action.GO_LIVE: _go_live,
        Action.FLOOR: lambda self: self._owner.on_floor(),
    }

    # ------------------------------------------------------------------ one session

    def _start(self, factory: IVoiceAgentFactory, limit_s: float) -> None:
        self.epoch += 1
        host = self._host = Host(self._owner, self, self._clock)
        self._deadline = self._clock.callLater(limit_s, self._too_late)
        try:
            self._session = factory.session(self._owner.brief())
            if self._session is None:
                raise ProtocolError("no session")
        except Exception:
            self._raised("session")
            return
        starting = maybeDeferred(self._session.start, host)
        if self._host is host:
            self._starting = starting
        starting.addCallbacks(lambda _: self._started(host), lambda failure: self._not_started(host, failure))
        if self._host is not host:
            self._cancel(starting)  # it reported its failure before it returned

    def _started(self, host: Host) -> None:
        if host is self._host:
            self._starting = None
            self._input(Input.READY)

    def _not_started(self, host: Host, failure: Failure) -> None:
        if host is not self._host:
            return  # cancelled by us, or reported already
        self._starting = None
        if not isinstance(failure.value, BackendError):
            self.log.failure("a backend raised in start", failure)
        self.failed(as_backend_error(failure))

    def _too_late(self) -> None:
        self._deadline = None
        self.failed(TimedOut("not ready in time"))

    def _waiting(self) -> None:
        """The next of the answer deadlines has passed."""
        self._answer = None
        passed, times = self._waited, self._chain.deadlines.answer_s
        self._waited += 1
        if self._waited >= len(times):
            self.failed(TimedOut("no answer to the caller"))
            return
        self._answer = self._clock.callLater(times[self._waited] - times[passed], self._waiting)
        self._owner.on_waiting(self._waited)

    def _raised(self, verb: str) -> None:
        """A plugin raised (we are in its except clause)."""
        failure = Failure()
        if not isinstance(failure.value, BackendError):
            self.log.failure("a backend raised in {verb}", failure, verb=verb)
        self.failed(as_backend_error(failure))

    def _discard(self, reason: str) -> None:
        """After this nothing the session does has an effect."""
        self._stop_deadline()
        self.answered()
        self.epoch += 1
        if self._host is not None:
            self._host.detach()
            self._owner.on_gone()
        session, starting = self._session, self._starting
        self._session = self._host = self._starting = None
        if starting is not None:
            self._cancel(starting)
        if session is not None:
            closing = maybeDeferred(session.close, reason)
            closing.addErrback(lambda failure: self.log.failure("closing a backend's session failed", failure))

    def _cancel(self, starting: Deferred[Any]) -> None:
        try:
            starting.cancel()
        except Exception:
            self.log.failure("a backend raised when its start was cancelled")

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _note(self, error: BackendError) -> None:
        if self.factory is not None and not isinstance(error, (Expired, ContentRefused)):
            self._chain.breakers.of(self.factory).failed(self._clock.seconds())

    def _may_retry(self, error: BackendError) -> bool:
        now, deadlines = self._clock.seconds(), self._chain.deadlines
        if isinstance(error, Refused) or (isinstance(error, TimedOut) and self.state is not State.LIVE):
            return False
        if isinstance(error, Unavailable) and (error.retry_after or 0.0) > deadlines.retry_s:
            return False
        if self._retried and now - self._live_since < deadlines.healthy_s:
            return False
        return self.factory is not None and self._chain.breakers.of(self.factory).allows(now)
