"""Which region is the nearest to an address: networks said by the operator, then what a locator knows, then the default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import asin, cos, radians, sin, sqrt

import attrs

from smartalex.interfaces import IRegionLocator, Whereabouts

MOST_REMEMBERED = 10_000
EARTH_KM = 6371.0

Place = tuple[float, float]
"""Latitude and longitude, degrees."""


@attrs.frozen
class Region:
    """`node` is the SIP URI of who serves it; `addresses` are what names of it resolve to."""

    name: str
    node: str
    networks: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    place: Place | None = None
    addresses: tuple[str, ...] = ()


@attrs.frozen
class Ranking:
    """All regions, nearest first, and what put the first one there."""

    names: tuple[str, ...]
    why: str


@attrs.frozen
class Elsewhere:
    """It is not to be served here: `region` is where, None where nobody can; `why` is a sentence for the record."""

    region: Region | None
    why: str


class Regions:
    """`here` is ours; `default` serves whom nobody knows ("": whoever they came to); `up(name)` whether another one answers."""

    def __init__(
        self,
        known: Iterable[Region],
        here: str,
        default: str = "",
        locator: IRegionLocator | None = None,
        up: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self.known: Mapping[str, Region] = {region.name: region for region in known}
        self.here, self.default, self._locator, self._up = here, default or here, locator, up
        self._networks = sorted(
            ((ip_network(network), region.name) for region in self.known.values() for network in region.networks),
            key=lambda pair: -pair[0].prefixlen,
        )
        self.ranking = lru_cache(MOST_REMEMBERED)(self._ranking)

    def up(self, name: str) -> bool:
        return name == self.here or self._up(name)

    def nearest(self, host: str, allowed: Collection[str] = ()) -> str | None:
        """The nearest that is up, of those allowed (none named: all)."""
        for name in self.ranking(host).names:
            if (not allowed or name in allowed) and self.up(name):
                return name
        return None

    def elsewhere(self, host: str, allowed: Collection[str], follows: bool, sent: bool) -> Elsewhere | None:
        """Where a call from `host` is to go instead; None: it is served here.

        `allowed` are the regions that may serve it, () for any; `follows`: a redirect would be heeded; `sent`: one brought it.
        """
        may = not allowed or self.here in allowed
        if may and (sent or not follows):
            return None
        name = self.nearest(host, allowed)
        if name == self.here:
            return None
        named = " or ".join(allowed)
        if name is None:
            return Elsewhere(None, f"it is served in {named} only, which does not answer")
        if sent:
            return Elsewhere(None, f"it is served in {named} only, and was sent to {self.here} by a redirect")
        why = f"{name} is nearest to {host}, by {self.ranking(host).why}" if may else f"it is served in {named} only"
        return Elsewhere(self.known[name], why)

    # ------------------------------------------------------------------ from near to far

    def _ranking(self, host: str) -> Ranking:
        network = self._network_of(host)
        if network is not None:
            found, name = network
            return Ranking(self._around(name), f"network {found}")
        where = None if self._locator is None else self._locator.locate(host)
        if where is not None:
            by_country = [region.name for region in self.known.values() if where.country in region.countries]
            if by_country:
                return Ranking(self._around(by_country[0], first=by_country), f"country {where.country}")
            if where.place is not None and any(region.place for region in self.known.values()):
                return Ranking(self._by_distance(where.place), f"distance from {_shown(where)}")
        return Ranking(self._around(self.default), "default")

    def _network_of(self, host: str) -> tuple[IPv4Network | IPv6Network, str] | None:
        try:
            address = ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            return None
        address = getattr(address, "ipv4_mapped", None) or address
        return next((pair for pair in self._networks if address in pair[0]), None)

    def _around(self, name: str, first: Sequence[str] = ()) -> tuple[str, ...]:
        """Those named, then the others as near to `name` as they are."""
        leading = [*(first or [name])]
        place = self.known[name].place
        others = self._by_distance(place) if place is not None else tuple(self.known)
        return (*leading, *(other for other in others if other not in leading))

    def _by_distance(self, place: Place) -> tuple[str, ...]:
        """Regions without a place come last, in their own order."""
        far = EARTH_KM * 4
        away = {region.name: distance_km(place, region.place) if region.place else far for region in self.known.values()}
        return tuple(sorted(away, key=lambda name: away[name]))


def distance_km(one: Place, other: Place) -> float:
    """Along a great circle."""
    latitude, longitude, latitude_2, longitude_2 = map(radians, (*one, *other))
    half = sin((latitude_2 - latitude) / 2) ** 2 + cos(latitude) * cos(latitude_2) * sin((longitude_2 - longitude) / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(half)))


def _shown(where: Whereabouts) -> str:
    latitude, longitude = where.place or (0.0, 0.0)
    return f"{where.country or '?'} {latitude:.1f},{longitude:.1f}"
