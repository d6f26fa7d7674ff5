"""The regions of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smartalex import plugins
from smartalex.errors import ConfigurationError
from smartalex.interfaces import IRegionLocator
from smartalex.regions.nearest import Region, Regions
from smartalex.regions.zone import Zone


def regions_of(section: Any, up: Callable[[str], bool] = lambda name: True) -> Regions | None:
    """Of `config.regions`; None where there are none.  ConfigurationError where the locator cannot be used."""
    if not section.known:
        return None
    known = [Region(name, one.node, one.networks, one.countries, one.place, one.addresses) for name, one in section.known.items()]
    return Regions(known, section.here, section.default, _locator(section.locator), up)


def zone_of(config: Any, regions: Regions | None) -> Zone | None:
    """Of `config.dns`; None without a name."""
    section = config.dns
    if not section.name:
        return None
    if regions is None or not any(region.addresses for region in regions.known.values()):
        raise ConfigurationError("dns.name: there are no addresses to answer with; give regions.known.NAME.addresses")
    sip = config.sip
    every = {"udp": sip.port, "tcp": sip.port, "tls": sip.tls_port}
    ports = {transport: every[transport] for transport in sip.transports if transport in every}
    return Zone(section.name, section.nameservers or (section.name,), section.ttl_s, ports, regions)


def _locator(spec: str) -> IRegionLocator | None:
    if not spec:
        return None
    provider, options = plugins.find("IRegionLocator", spec)
    try:
        found: IRegionLocator = provider.load()(**options)
    except TypeError as error:
        raise ConfigurationError(f"regions.locator: {spec}: {error}") from None
    return found
