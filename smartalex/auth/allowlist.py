"""IP allowlist: the trunk is known by the address its packets come from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton

from zope.interface import implementer

from smartalex.auth.ground import Ground
from smartalex.errors import ConfigurationError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk

MAPPED = bytes(10) + b"\xff\xff"
"""Begins an IPv4 address inside an IPv6 one (RFC 4291 2.5.5.2)."""

PORTION = 50
"""Networks that are read without a rest."""

REMEMBERED = 16_384
"""Addresses that need not be looked for again."""

Owners = tuple[str, ...]
Spans = tuple[list[bytes], list[Owners]]
Networks = list[tuple[IPv4Network | IPv6Network, str]]


@implementer(IAuthenticator)
class AllowlistAuthenticator:
    """`sources` are (trunk id, address or CIDR network) pairs; of an address in several, the narrowest comes first.

    Raises ConfigurationError for what is no network.
    """

    name = "ip-allowlist"
    evidence = "source"

    def __init__(self, sources: Iterable[tuple[str, str]], pause: Callable[[], None] = lambda: None) -> None:
        nets: tuple[Networks, Networks] = [], []
        for count, (trunk_id, source) in enumerate(sources, 1):
            net = _network(source)
            nets[net.version == 6].append((net, trunk_id))
            if count % PORTION == 0:
                pause()
        find = partial(_owners, _spans(nets[0]), _spans(nets[1]))
        self.owners: Callable[[str], Owners] = lru_cache(REMEMBERED)(find)
        """The ids of all trunks whose list has this address; raises ValueError or OSError when it is none."""

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        try:
            owners = self.owners(attempt.source)
        except (ValueError, OSError):
            return Verdict(why="the source is no IP address")
        return Verdict(owners[0], others=owners[1:]) if owners else Verdict(why=f"{attempt.source} is on no list")


def listed(ground: Ground, trunks: Sequence[Trunk]) -> AllowlistAuthenticator:
    """The provider."""
    return AllowlistAuthenticator(((trunk.id, source) for trunk in trunks for source in trunk.allowed_sources), ground.pause)


def _network(source: str) -> IPv4Network | IPv6Network:
    try:
        net = ip_network(source)
    except ValueError as error:
        raise ConfigurationError(
            f"allowed source {source!r}: {error}; write an address or a network such as 192.0.2.0/24"
        ) from None
    mapped = getattr(net.network_address, "ipv4_mapped", None)
    return IPv4Network((mapped, net.prefixlen - 96)) if mapped is not None and net.prefixlen >= 96 else net


def _owners(v4: Spans, v6: Spans, source: str) -> Owners:
    if ":" not in source:
        return v4[1][bisect_right(v4[0], inet_pton(AF_INET, source))]
    packed = inet_pton(AF_INET6, source.partition("%")[0])
    if packed.startswith(MAPPED):
        return v4[1][bisect_right(v4[0], packed[12:])]
    return v6[1][bisect_right(v6[0], packed)]


def _spans(nets: Networks) -> Spans:
    """The first addresses of stretches with the same owners, in order, and whose they are; the first is of what comes before."""
    starts: list[bytes] = []
    owners: list[Owners] = [()]
    inside: list[tuple[int, Owners]] = []

    def begin(at: int, width: int, whose: Owners) -> None:
        if at >> width:
            return
        packed = at.to_bytes(width // 8, "big")
        if starts and starts[-1] == packed:
            owners[-1] = whose
        else:
            starts.append(packed)
            owners.append(whose)

    def end(before: int, width: int) -> None:
        while inside and inside[-1][0] < before:
            last, _ = inside.pop()
            begin(last + 1, width, inside[-1][1] if inside else ())

    width = 32
    for net, owner in sorted(nets, key=lambda one: (int(one[0].network_address), one[0].prefixlen)):
        width, first = net.max_prefixlen, int(net.network_address)
        end(first, width)
        around = inside[-1][1] if inside else ()
        whose = (owner, *(other for other in around if other != owner))
        inside.append((int(net.broadcast_address), whose))
        begin(first, width, whose)
    end(1 << width, width)
    return starts, owners
