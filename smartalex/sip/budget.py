"""What one source may take of us before anybody knows it: messages a second, connections, open transactions."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address

import attrs


@attrs.frozen
class BudgetLimits:
    """`rate` is in messages a second, `calls` in INVITEs that begin one; `sources` is how many are remembered.

    An IPv6 /64 is one source.
    """

    rate: float = 200.0
    burst: float = 400.0
    calls: float = 20.0
    calls_burst: float = 100.0
    connections_per_source: int = 64
    connections: int = 2000
    transactions_per_source: int = 500
    transactions: int = 20_000
    sources: int = 10_000


class Buckets:
    """A token bucket for each source; beyond `sources` the one that was quiet longest is forgotten."""

    __slots__ = ("_burst", "_levels", "_rate", "_sources")

    def __init__(self, rate: float, burst: float, sources: int = 10_000) -> None:
        self._rate, self._burst, self._sources = rate, burst, sources
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, source: str, now: float) -> bool:
        """One token; False when there is none."""
        level, since = self._levels.pop(source, (self._burst, now))
        level = min(self._burst, level + max(0.0, now - since) * self._rate)
        enough = level >= 1.0
        self._levels[source] = (level - 1.0 if enough else level, now)
        if len(self._levels) > self._sources:
            self._levels.popitem(last=False)
        return enough


class Places:
    """What is taken and given back: so many for one source, so many in all.

    Who may take more than others do, being trusted, still uses up no more of what is there for all.
    """

    __slots__ = ("_all", "_each", "_taken", "total")

    def __init__(self, each: int, in_all: int) -> None:
        self._each, self._all = each, in_all
        self._taken: Counter[str] = Counter()
        self.total = 0

    def free(self, source: str) -> bool:
        return self.total < self._all and self._taken[source] < self._each

    def take(self, source: str) -> None:
        self._taken[source] += 1
        if self._taken[source] <= self._each:
            self.total += 1

    def give_back(self, source: str) -> None:
        if not self._taken[source]:
            return
        if self._taken[source] <= self._each:
            self.total -= 1
        self._taken[source] -= 1
        if not self._taken[source]:
            del self._taken[source]


class Budget:
    """Asked before anything is read of a message.  `trusted(host)` is the service's: who is trusted is counted, never refused.

    `trusted` is only called for a source that is over its budget.
    """

    def __init__(self, limits: BudgetLimits | None = None, trusted: Callable[[str], bool] = lambda host: False) -> None:
        limits = limits or BudgetLimits()
        self.trusted = trusted
        self.banned: Callable[[str], bool] = lambda host: False
        """Whoever is has no budget at all."""
        self._messages = Buckets(limits.rate, limits.burst, limits.sources)
        self._calls = Buckets(limits.calls, limits.calls_burst, limits.sources)
        self._connections = Places(limits.connections_per_source, limits.connections)
        self._transactions = Places(limits.transactions_per_source, limits.transactions)

    def message(self, host: str, now: float) -> bool:
        """Whether one more message, or keepalive, of this host may be looked at."""
        return self._messages.take(source_of(host), now) or self.trusted(host)

    def call(self, host: str, now: float) -> bool:
        """Whether one more call of this host may begin."""
        return self._calls.take(source_of(host), now) or self.trusted(host)

    def connect(self, host: str) -> bool:
        """A connection was accepted; after True `disconnect` is to follow, after False it is to be cut."""
        return self._take(self._connections, host)

    def disconnect(self, host: str) -> None:
        self._connections.give_back(source_of(host))

    def open(self, host: str) -> bool:
        """A server transaction begins; after True `close` is to follow, after False the request is to be dropped."""
        return self._take(self._transactions, host)

    def close(self, host: str) -> None:
        self._transactions.give_back(source_of(host))

    def _take(self, places: Places, host: str) -> bool:
        source = source_of(host)
        if not places.free(source) and not self.trusted(host):
            return False
        places.take(source)
        return True


def source_of(host: str) -> str:
    """What an address counts as: IPv4 alone, IPv6 with its whole /64, since one subscriber has at least that."""
    return _network(host) if ":" in host else host


@lru_cache(maxsize=10_000)
def _network(host: str) -> str:
    address = IPv6Address(host)
    return str(address.ipv4_mapped) if address.ipv4_mapped else f"{int(address) >> 64:x}/64"
