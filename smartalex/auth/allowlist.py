"""IP allowlist: the trunk is known by the address its packets come from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from zope.interface import implementer

from smartalex.errors import ConfigurationError
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict


@implementer(IAuthenticator)
class AllowlistAuthenticator:
    """`sources` are (trunk id, address or CIDR network) pairs; the longest prefix wins.

    Raises ConfigurationError for what is no network, and for a network that two trunks claim.
    """

    name = "ip-allowlist"

    def __init__(self, sources: Iterable[tuple[str, str]]) -> None:
        self._nets: dict[tuple[int, int], dict[int, str]] = {}
        for trunk_id, source in sources:
            self._add(trunk_id, source)
        self._order = sorted(self._nets, reverse=True)

    def _add(self, trunk_id: str, source: str) -> None:
        try:
            net = ip_network(source)
        except ValueError as error:
            raise ConfigurationError(
                f"allowed source {source!r}: {error}; write an address or a network such as 192.0.2.0/24"
            ) from None
        shift = net.max_prefixlen - net.prefixlen
        owners = self._nets.setdefault((net.version, net.prefixlen), {})
        if owners.setdefault(int(net.network_address) >> shift, trunk_id) != trunk_id:
            raise ConfigurationError(f"allowed source {source} is claimed by two trunks")

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        try:
            family, value, width = _number(attempt.source)
        except ValueError:
            return Verdict(why="the source is no IP address")
        for version, prefix in self._order:
            if version == family:
                trunk_id = self._nets[version, prefix].get(value >> width - prefix)
                if trunk_id is not None:
                    return Verdict(trunk_id)
        return Verdict(why=f"{attempt.source} is on no trunk's list")


@lru_cache(maxsize=4096)
def _number(source: str) -> tuple[int, int, int]:
    """(4 or 6, the address as a number, its bits); an IPv4 address inside an IPv6 one is that.  Raises ValueError."""
    address = ip_address(source.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.version, int(address), address.max_prefixlen
