"""Which trunk a refused call almost belonged to, and what was missing: for people, when they ask (pure)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import attrs

from smartalex.errors import RemoteError
from smartalex.sdp.crypto import PLAIN_PROFILES, cryptos
from smartalex.sdp.description import Media, SessionDescription
from smartalex.sdp.formats import KEYS, NOISE, listed
from smartalex.sip.headers import AuthParams
from smartalex.sip.message import parse
from smartalex.sip.trace import Traced
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy

LOGIN, SOURCE, NUMBER, NEIGHBOUR, ALIKE = 8, 4, 2, 1, 1
"""How much each likeness counts."""

NEAR_BITS = {4: 24, 6: 64}
"""Addresses with so many bits in common may be of one house."""


_NAMED = re.compile(r"unknown username '(.*)'|wrong password for (\S+)").search
"""As `auth.digest` says it."""


@attrs.frozen
class Login:
    """What the last INVITE brought for credentials; `realm` None where that is not known."""

    username: str
    realm: str | None = None


@attrs.frozen
class Likeness:
    trunk: Trunk
    score: int
    has: tuple[str, ...]
    lacks: tuple[str, ...]


class Near:
    """Of one picture of what tenants own; `realm` is ours."""

    def __init__(self, tenancy: Tenancy, realm: str) -> None:
        self._tenancy = tenancy
        self._realm = realm
        self._by_username = {trunk.username: trunk for trunk in tenancy.trunks.values() if trunk.username}
        self._nets = [(ip_network(source), trunk) for trunk in tenancy.trunks.values() for source in trunk.allowed_sources]

    def miss(self, row: Mapping[str, Any], login: Login | None = None) -> str:
        """Of a call's row; "" where it was nobody's, or its trunk was known and there is nothing to add."""
        if row["disposition"] != "refused":
            return ""
        if row["trunk"]:
            return self._elsewhere(row) if row["cause"] == "did" else ""
        found = [self._like(trunk, row, login) for trunk in self._candidates(row, login)]
        best = max(found, key=lambda one: one.score, default=None)
        if best is None or not best.score:
            return ""
        return f"almost trunk {best.trunk.name}: {', '.join(best.has)}" + (f"; but {', '.join(best.lacks)}" if best.lacks else "")

    def _elsewhere(self, row: Mapping[str, Any]) -> str:
        others = [trunk.name for trunk in self._with_number(row["did"]) if trunk.name != row["trunk"]]
        return f"trunk {' and '.join(sorted(others)[:3])} has that number" if others else ""

    def _candidates(self, row: Mapping[str, Any], login: Login | None) -> list[Trunk]:
        found: list[Trunk] = []
        if login is not None:
            names = difflib.get_close_matches(login.username, self._by_username, n=1, cutoff=0.8)
            found += [self._by_username[name] for name in (login.username, *names) if name in self._by_username]
        found += [trunk for net, trunk in self._nets if _inside(_host(row), net) or _beside(_host(row), net)]
        found += self._with_number(row["did"])
        return list({trunk.id: trunk for trunk in found}.values())

    def _with_number(self, number: str) -> list[Trunk]:
        """By an entry of their own, not by a default that takes everything."""
        trunks = self._tenancy.trunks.values()
        has = ((trunk, self._tenancy.routes_of(trunk.id).find(number)) for trunk in trunks)
        return [trunk for trunk, did in has if did is not None and did.number != "*"]

    def _like(self, trunk: Trunk, row: Mapping[str, Any], login: Login | None) -> Likeness:
        score = 0
        has: list[str] = []
        lacks: list[str] = []
        for points, said in (*self._login(trunk, row, login), *self._source(trunk, row), *self._number(trunk, row)):
            score += points
            (has if points > 0 else lacks).append(said)
        if not trunk.active:
            lacks.append("it is suspended")
        if trunk.transports and row["transport"] not in trunk.transports:
            lacks.append(f"it may call over {', '.join(trunk.transports).upper()}, not {row['transport'].upper()}")
        return Likeness(trunk, score, tuple(has), tuple(lacks))

    def _login(self, trunk: Trunk, row: Mapping[str, Any], login: Login | None) -> Iterator[tuple[int, str]]:
        if not trunk.digest:
            return
        if login is None:
            yield 0, f"no password came, as that of {trunk.username} has to"
        elif login.username == trunk.username:
            yield LOGIN, f"it used its username {trunk.username}"
            if login.realm not in (None, self._realm):
                yield 0, f"for realm {login.realm!r} instead of {self._realm!r}"
            elif "wrong password" in row["detail"]:
                yield 0, "the password was wrong"
        else:
            alike = difflib.SequenceMatcher(None, login.username, trunk.username).ratio() >= 0.8
            yield (ALIKE if alike else 0), f"its username is {trunk.username}, not {login.username}"

    def _source(self, trunk: Trunk, row: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        if not trunk.allowed_sources:
            return
        host, nets = _host(row), [ip_network(source) for source in trunk.allowed_sources]
        if any(_inside(host, net) for net in nets):
            yield SOURCE, f"{host} is in its allowlist"
            return
        shown = ", ".join(trunk.allowed_sources[:3])
        beside = any(_beside(host, net) for net in nets)
        if beside:
            yield NEIGHBOUR, f"{host} is beside its addresses"
        yield 0, f"{host} is not in its allowlist ({shown})"

    def _number(self, trunk: Trunk, row: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        routes = self._tenancy.routes_of(trunk.id)
        found = routes.find(row["did"])
        if found is not None:
            yield (NUMBER if found.number != "*" else 0), f"number {row['did']} is its"
            return
        near = routes.near(row["did"])
        yield 0, f"number {row['did'] or '(none)'} is not routed" + (f", the nearest is {near}" if near else "")


def login_of(row: Mapping[str, Any], messages: Iterable[Traced]) -> Login | None:
    """From a call's messages, the last INVITE with credentials; else from what was written down of it."""
    found = [login for one in messages if one.incoming and (login := _brought(one.data)) is not None]
    if found:
        return found[-1]
    named = _NAMED(row["detail"])
    return Login(named[1] or named[2]) if named else None


def _brought(data: bytes) -> Login | None:
    try:
        message = parse(data)
        given = [AuthParams.parse(value).params for value in message.headers.get_all("Authorization")]
    except RemoteError:
        return None
    return next((Login(one["username"], one.get("realm")) for one in given if "username" in one), None)


def offered(offer: bytes, trunk: Trunk, codecs: tuple[str, ...]) -> str:
    """What a refused offer had, and what the trunk would have taken; "" for one that cannot be read."""
    try:
        found = SessionDescription.parse(offer)
        sections = [media for media in found.media if media.kind == "audio"]
    except RemoteError:
        return ""
    if not sections:
        return "there is no audio in its offer"
    names = dict.fromkeys(one.name for media in sections for one in listed(media) if one.name not in (KEYS, NOISE))
    theirs, secured = ", ".join(names) or "no codec", "; ".join(dict.fromkeys(map(_secured, sections)))
    return f"it offers {theirs} over {secured}; trunk {trunk.name} takes {', '.join(codecs)}, SRTP {trunk.srtp}"


def _secured(media: Media) -> str:
    suites = [one.suite for one in cryptos(media)]
    if suites:
        return f"{media.protocol} with keys for {', '.join(suites[:2])}"
    return f"{media.protocol}, no keys" if media.protocol in PLAIN_PROFILES else media.protocol


def _host(row: Mapping[str, Any]) -> str:
    return str(row["source"]).rpartition(":")[0]


def _inside(host: str, net: Any) -> bool:
    try:
        return ip_address(host) in net
    except ValueError:
        return False


def _beside(host: str, net: Any) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    bits = NEAR_BITS[address.version]
    return (
        address.version == net.version
        and net.prefixlen >= bits
        and net.supernet(new_prefix=bits) == ip_network(f"{address}/{bits}", strict=False)
    )
