"""The calls of a workspace, when several nodes take them: each node holds a part of its limit, leased from Redis in advance.

What is leased in all never exceeds the limit, so each node decides by itself, at once.  A node says twice a second that it is
alive; who has not been heard of for LEASE_S loses its leases.  A node with too few says so; others then give half of what they
do not use, again and again.  What a node gives it stops using before it says so.

While Redis is away each node goes on with what it holds, for LEASE_S and `grace_s` more: as long as all live on, the limit is
kept.  After that, and when it starts without Redis, it counts alone, up to the whole limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from smartalex.errors import ConfigurationError
from smartalex.interfaces import ICounters
from smartalex.tenants.workspace import Workspace

LEASE_S = 14.0
LOOK_S = 0.5
CONFIRM_S = 4.0
"""A Redis that knows nothing first hears what nodes hold, for so long."""

SHORT_S = 5.0
"""So long after a call that was refused for want of a lease a node is short of them."""

ANSWER_S = 2.0
"""What Redis has not answered by then has failed."""

FIRST_S = 5.0
MOST_ROWS = 500
PREFIX = "smartalex:"
SCRIPT = Path(__file__).with_suffix(".lua")

NONE_IN_HAND, SHORT = 1, 2

Row = tuple[str, int, int, int, int]
"""Workspace, used, keep, short, most: as the script has them."""

Answer = tuple[int, Sequence[int], Sequence[Any], int]
"""Whether our leases had run out; what each row got; in which workspaces others are short, and how; whether Redis is new."""

Ask = Callable[[Sequence[Row]], Answer]
"""Synchronous: for a thread."""


@attrs.define
class Lease:
    """`granted` may be used; `short_until` is a time."""

    most: int
    granted: int = 0
    used: int = 0
    short_until: float = float("-inf")


class Leases:
    """This node's part; `wake` is called when Redis should be asked before long.  `now` is monotonic."""

    def __init__(self, now: Callable[[], float], grace_s: float) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.now = now
        self._grace_s = grace_s
        self._leases: dict[str, Lease] = {}
        self._asking: dict[str, None] = {}  # in order
        self._until = now() + FIRST_S - grace_s  # of all leases

    # ------------------------------------------------------------------ what admission asks

    def free(self, workspace: Workspace) -> bool:
        """Whether one more call may begin here; only for workspaces with a limit."""
        lease = self._leases.get(workspace.id)
        if lease is None:
            self.adopt([workspace])
            lease = self._leases[workspace.id]
        if lease.used < (lease.most if self.alone else lease.granted):
            return True
        lease.short_until = self.now() + SHORT_S
        self._ask(workspace.id)
        return False

    def take(self, workspace: str) -> None:
        lease = self._leases.get(workspace)
        if lease is None:
            lease = self._leases[workspace] = Lease(0)
        lease.used += 1
        if lease.granted - lease.used <= lease.granted // 4 and lease.granted < lease.most:
            self._ask(workspace)

    def give_back(self, workspace: str) -> None:
        self._leases[workspace].used -= 1

    @property
    def alone(self) -> bool:
        """Whether Redis has been away for too long to know what others do."""
        return self.now() >= self._until + self._grace_s

    def gauges(self) -> dict[str, float]:
        """Places that this node may use, those in use, and the seconds until its leases run out (below 0: since)."""
        leases = [lease for lease in self._leases.values() if lease.most]
        return {
            "leases": sum(lease.granted for lease in leases),
            "leases_used": sum(lease.used for lease in leases),
            "lease_seconds": round(self._until - self.now(), 1),
        }

    def held(self, workspace: str) -> tuple[int, int]:
        """What it may use, and uses."""
        lease = self._leases.get(workspace, Lease(0))
        return lease.granted, lease.used

    # ------------------------------------------------------------------ what is said to Redis

    def adopt(self, workspaces: Iterable[Workspace], *, all_of_them: bool = False) -> None:
        """Those with a limit, or another one."""
        limited = {workspace.id: workspace.max_calls for workspace in workspaces if workspace.max_calls is not None}
        for key, most in limited.items():
            lease = self._leases.get(key)
            if lease is None or lease.most != most:
                self._leases[key] = attrs.evolve(lease or Lease(0), most=most)
                self._ask(key)
        if all_of_them:
            for key in [key for key, lease in self._leases.items() if key not in limited and not lease.used]:
                del self._leases[key]

    def rows(self) -> list[Row]:
        """The next portion of what is to be asked; what is given is not used from here on."""
        keys = [key for _, key in zip(range(MOST_ROWS), self._asking, strict=False)]
        for key in keys:
            del self._asking[key]
        return [self._row(key, self._leases[key]) for key in keys if key in self._leases]

    def told(self, rows: Sequence[Row], answer: Answer, asked_at: float) -> None:
        """`asked_at` is when `rows` were sent."""
        lapsed, granted, elsewhere, confirming = answer
        self._until = asked_at + LEASE_S
        for (key, *_), got in zip(rows, granted, strict=True):
            if key in self._leases:
                self._leases[key].granted = got
        if lapsed:
            asked = {row[0] for row in rows}
            for key in self._leases.keys() - asked:
                self._leases[key].granted = min(self._leases[key].granted, self._leases[key].used)
                self._ask(key)
        for key, short in zip(elsewhere[::2], elsewhere[1::2], strict=True):
            self._give(key, short)
        for key, *_ in rows:
            lease = self._leases.get(key)
            if lease is not None and (confirming or not lease.granted or self._waited_for(lease)):
                self._asking[key] = None  # at the next look

    def failed(self, rows: Sequence[Row]) -> None:
        """They are to be asked again."""
        self._asking.update((key, None) for key, *_ in rows)

    def _give(self, key: str, short: int) -> None:
        """Half of what is free, of a single one all when calls wait for it; nothing while some wait here."""
        lease = self._leases.get(key)
        if lease is None or lease.short_until > self.now():
            return
        free = lease.granted - lease.used
        given = (free + 1) // 2 if short == SHORT else free // 2
        if given > 0:
            lease.granted -= given
            self._ask(key)

    def _row(self, key: str, lease: Lease) -> Row:
        short = SHORT if self._waited_for(lease) else NONE_IN_HAND if lease.granted == 0 else 0
        return key, lease.used, max(lease.used, lease.granted), short, lease.most

    def _waited_for(self, lease: Lease) -> bool:
        return lease.short_until > self.now() and lease.granted <= lease.used

    def _ask(self, key: str) -> None:
        self._asking[key] = None
        self.wake()


class LeaseKeeping:
    """Asks Redis every LOOK_S, and at once where calls are waiting; one question at a time, in a thread of its own."""

    log = Logger()

    def __init__(self, reactor: Any, leases: Leases, ask: Ask, counters: ICounters) -> None:
        self.leases = leases
        self._reactor, self._ask, self._counters = reactor, ask, counters
        self._pool = ThreadPool(0, 1, "leases")
        self._looking = LoopingCall(self.look)
        self._looking.clock = reactor
        self._asked: Deferred[Any] | None = None
        self._soon: Any = None
        self._lost = False

    def start(self) -> None:
        self._pool.start()
        self.leases.wake = self._wake
        self._looking.start(LOOK_S)

    def stop(self) -> Deferred[None]:
        self.leases.wake = lambda: None
        if self._looking.running:
            self._looking.stop()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        return (self._asked or succeed(None)).addBoth(lambda _: self._pool.stop())

    def look(self) -> None:
        if self._asked is not None:
            return
        rows, at = self.leases.rows(), self.leases.now()
        asked = deferToThreadPool(self._reactor, self._pool, self._ask, rows)
        self._asked = asked.addCallbacks(self._told, self._failed, (rows, at), {}, (rows,))

    def _told(self, answer: Answer, rows: Sequence[Row], at: float) -> None:
        self._asked = None
        if self._lost:
            self._lost = False
            self.log.info("Redis answers again: workspaces' limits are shared")
        self.leases.told(rows, answer, at)

    def _failed(self, failure: Failure, rows: Sequence[Row]) -> None:
        self._asked = None
        self._counters.count("leases.failed")
        self.leases.failed(rows)
        if not self._lost:
            self._lost = True
            self.log.error("Redis cannot be asked, leases go on: {why}", why=failure.getErrorMessage())

    def _wake(self) -> None:
        if self._soon is None and not self._lost:
            self._soon = self._reactor.callLater(0, self._look_soon)

    def _look_soon(self) -> None:
        self._soon = None
        if self._asked is None:
            self.look()
        else:
            self._asked.addCallback(lambda _: self._wake())


def redis_asker(url: str, node: str, lease_s: float = LEASE_S, confirm_s: float = CONFIRM_S) -> Ask:
    """Raises ConfigurationError where there is no client library, or the URL is none."""
    try:
        redis: Any = import_module("redis")
    except ModuleNotFoundError:
        raise ConfigurationError("limits.redis: the Redis client is not installed; say: pip install 'smartalex[redis]'") from None
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, decode_responses=True, retry=None, max_connections=1
        )
    except ValueError as error:
        raise ConfigurationError(f"limits.redis: {error}") from None
    script = client.register_script(SCRIPT.read_text())

    def ask(rows: Sequence[Row]) -> Answer:
        wishes = [value for row in rows for value in row]
        answer: Answer = script(args=[PREFIX, node, lease_s, confirm_s, SHORT_S, *wishes])
        return answer

    return ask
