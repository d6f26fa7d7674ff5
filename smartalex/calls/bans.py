"""Who guesses passwords, or looks for numbers: slowed, then banned for a while, longer each time.

A guess is a wrong password with a nonce of ours, which only goes to who can receive at that address: for guesses bans grow.
Probes (challenges that nobody answers, OPTIONS of strangers) can be sent in somebody else's name: for them a ban is short.
Sources that proved lately who they are, or that a trunk is known by, are never banned, whoever fails with their account.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from math import ceil

import attrs
from twisted.logger import Logger

from smartalex.interfaces import AuthAttempt, ICounters, Verdict

LEVELS_S = (60, 300, 1800, 4 * 3600, 24 * 3600)
FORGIVEN_S = 24 * 3600.0
"""So long after the end of a ban the next one is longer."""

MOST_POINTS = 10.0
"""A guess is one; each fades in FADES_S.  With so many a source is banned."""

FADES_S = 20.0
PROBE = 0.05
AGAIN = 0.5
"""For asking again before the time that was said."""

SLOW_FROM, SLOWEST_S = 2.0, 30.0
"""From so many guesses on the next is looked at after 1, 2, 4, ... seconds."""

HOT_ACCOUNT = 4.0
"""So many guesses at an account count as one more of each source that has guessed."""

MOST_KNOWN = 10_000
PROVED_S = 24 * 3600.0


@attrs.frozen
class Ban:
    """`network` is an address, an IPv6 /64 or what the operator said; `level` is its last place in LEVELS_S; Unix seconds."""

    network: str
    why: str
    level: int
    since: float
    until: float
    by: str = ""


class Nets:
    """Bans by network; the narrowest counts."""

    def __init__(self, bans: Iterable[Ban] = ()) -> None:
        self._known: dict[tuple[int, int], dict[int, Ban]] = {}
        self._order: list[tuple[int, int]] = []
        for ban in bans:
            self.put(ban)

    def __iter__(self) -> Iterator[Ban]:
        return (ban for bans in self._known.values() for ban in bans.values())

    def __len__(self) -> int:
        return sum(map(len, self._known.values()))

    def put(self, ban: Ban) -> None:
        net, number = _placed(ban.network)
        self._known.setdefault(net, {})[number] = ban
        self._order = sorted(self._known, reverse=True)

    def get(self, network: str) -> Ban | None:
        """The ban of exactly this one."""
        net = ip_network(network)
        return self._known.get((net.version, net.prefixlen), {}).get(
            int(net.network_address) >> net.max_prefixlen - net.prefixlen
        )

    def find(self, host: str) -> Ban | None:
        if not self._order:
            return None
        family, value, width = _number(host)
        for version, prefix in self._order:
            if version == family and (ban := self._known[version, prefix].get(value >> width - prefix)):
                return ban
        return None


@attrs.define
class Suspect:
    """What a source did lately: `guesses` and `probes` are points of the time `at`; `not_before` its next guess is looked at."""

    at: float
    guesses: float = 0.0
    probes: float = 0.0
    not_before: float = 0.0


class Bans:
    """`trusted(host)` is Trust's for a whole day; `on_ban(ban)` keeps it.  `wall` gives Unix seconds."""

    log = Logger()

    def __init__(self, trusted: Callable[[str], bool], counters: ICounters, wall: Callable[[], float]) -> None:
        self.on_ban: Callable[[Ban], None] = lambda ban: None
        self._trusted, self._counters, self._wall = trusted, counters, wall
        self._nets = Nets()
        self._suspects: OrderedDict[str, Suspect] = OrderedDict()
        self._accounts: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._proved: OrderedDict[tuple[str, str], float] = OrderedDict()

    # ------------------------------------------------------------------ whoever is banned

    def __iter__(self) -> Iterator[Ban]:
        """Those in force."""
        now = self._wall()
        return (ban for ban in self._nets if ban.until > now)

    def banned(self, host: str) -> bool:
        """To be asked of every message, before it is read."""
        ban = self._nets.find(host)
        return ban is not None and ban.until > self._wall()

    def adopt(self, bans: Iterable[Ban]) -> None:
        """What there is instead of what there was; whose ban was lifted begins anew."""
        nets = Nets(bans)
        kept = {ban.network for ban in nets}
        for ban in self._nets:
            if ban.network not in kept:
                self._suspects.pop(ban.network, None)
        self._nets = nets

    # ------------------------------------------------------------------ logins

    def wait_s(self, attempt: AuthAttempt) -> int:
        """Seconds until the password of this attempt is looked at, 0 for now."""
        account = _account(attempt)
        if not account:
            return 0
        suspect = self._suspects.get(network_of(attempt.source))
        if suspect is None or suspect.not_before <= self._wall() or self._is_at_home(attempt.source, account):
            return 0
        self._counters.count("auth.slowed")
        self._add(attempt.source, guesses=AGAIN, why=f"goes on guessing passwords, last for {account[:40]!r}")
        return ceil(suspect.not_before - self._wall()) or 1

    def judged(self, attempt: AuthAttempt, verdict: Verdict) -> None:
        if verdict.account:
            self._guessed(attempt.source, verdict.account)
        elif verdict.trunk_id is None:
            self._probed(attempt.source, "asks again and again, and never logs in")
        elif attempt.authorizations:
            self._is_home(attempt.source, _account(attempt))

    def options(self, host: str) -> None:
        """It asked what we can do."""
        self._probed(host, "looks for numbers")

    def _guessed(self, host: str, account: str) -> None:
        self._counters.count("auth.failed")
        account = account[:64].lower()
        if self._is_at_home(host, account):
            return
        now = self._wall()
        points, at = self._accounts.pop(account, (0.0, now))
        points = _faded(points, now - at) + 1
        self._accounts[account] = (points, now)
        if len(self._accounts) > MOST_KNOWN:
            self._accounts.popitem(last=False)
        suspect = self._add(host, guesses=1.0, why=f"guesses passwords, last for {account[:40]!r}")
        excess = suspect.guesses + points / HOT_ACCOUNT - SLOW_FROM
        if excess >= 0:
            suspect.not_before = now + min(SLOWEST_S, 2.0 ** int(excess))

    def _probed(self, host: str, why: str) -> None:
        if not self._trusted(host):
            self._add(host, probes=PROBE, why=why)

    def _is_home(self, host: str, account: str) -> None:
        """The account was used from there, with the right password."""
        key = network_of(host), account
        self._proved[key] = self._wall() + PROVED_S
        self._proved.move_to_end(key)
        if len(self._proved) > MOST_KNOWN:
            self._proved.popitem(last=False)
        suspect = self._suspects.get(key[0])
        if suspect is not None:
            suspect.probes = 0.0

    def _is_at_home(self, host: str, account: str) -> bool:
        return self._proved.get((network_of(host), account), 0.0) > self._wall()

    # ------------------------------------------------------------------ points

    def _add(self, host: str, *, guesses: float = 0.0, probes: float = 0.0, why: str) -> Suspect:
        source, now = network_of(host), self._wall()
        suspect = self._suspects.pop(source, None) or Suspect(now)
        passed, suspect.at = now - suspect.at, now
        suspect.guesses = _faded(suspect.guesses, passed) + guesses
        suspect.probes = _faded(suspect.probes, passed) + probes
        self._suspects[source] = suspect
        if len(self._suspects) > MOST_KNOWN:
            self._suspects.popitem(last=False)
        if max(suspect.guesses, suspect.probes) >= MOST_POINTS and not self._trusted(host) and not self.banned(host):
            self._ban(source, why, growing=suspect.guesses >= MOST_POINTS)
        return suspect

    def _ban(self, source: str, why: str, *, growing: bool) -> None:
        now, last = self._wall(), self._nets.get(source)
        level = last.level if last is not None and last.until + FORGIVEN_S > now else 0
        level += growing
        lasts_s = LEVELS_S[min(level, len(LEVELS_S)) - 1] if growing else LEVELS_S[0]
        ban = Ban(source, why, level, now, now + lasts_s)
        self._nets.put(ban)
        self._suspects.pop(source, None)
        self._counters.count("auth.banned")
        self.log.warn("{source} is banned for {seconds} s: it {why}", source=source, seconds=lasts_s, why=why)
        self.on_ban(ban)


def _placed(network: str) -> tuple[tuple[int, int], int]:
    net = ip_network(network)
    return (net.version, net.prefixlen), int(net.network_address) >> net.max_prefixlen - net.prefixlen


def _faded(points: float, passed_s: float) -> float:
    return max(0.0, points - max(0.0, passed_s) / FADES_S)


def _account(attempt: AuthAttempt) -> str:
    found = USERNAME.search(attempt.authorizations[0]) if attempt.authorizations else None
    return found[1][:64].lower() if found else ""


USERNAME = re.compile(r'\busername\s*=\s*"([^"]*)"', re.IGNORECASE)


@lru_cache(maxsize=4096)
def _number(host: str) -> tuple[int, int, int]:
    """(4 or 6, the address as a number, its bits); an IPv4 address inside an IPv6 one is that."""
    address = ip_address(host.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.version, int(address), address.max_prefixlen


@lru_cache(maxsize=4096)
def network_of(host: str) -> str:
    """What an address counts as: IPv4 alone, IPv6 with its whole /64."""
    family, value, _ = _number(host)
    if family == 4:
        return str(IPv4Address(value))
    return str(IPv6Network((value >> 64 << 64, 64)))
