"""What we answer as the name server of a SIP host: the nearest region to whoever asks (RFC 1034, 2782, 3263)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.names import dns

from smartalex.regions.nearest import Region, Regions

FRESH_S = 300
"""How long it may be remembered that something is not there; also SOA's."""

SERVICES: Mapping[str, tuple[str, str]] = {
    "udp": ("_sip._udp", "SIP+D2U"),
    "tcp": ("_sip._tcp", "SIP+D2T"),
    "tls": ("_sips._tcp", "SIPS+D2T"),
}

Answer = tuple[int, tuple[dns.RRHeader, ...], tuple[dns.RRHeader, ...]]
"""RCODE, answers, authority."""


@attrs.frozen
class Zone:
    """`name` is the SIP host, `nameservers` the names under which we are its servers; `ports` by transport, best first."""

    name: str
    nameservers: tuple[str, ...]
    ttl_s: int
    ports: Mapping[str, int]
    regions: Regions

    def answer(self, query: dns.Query, asker: str) -> Answer:
        """For a question that `asker`'s address put."""
        name = query.name.name.decode("ascii", "replace").rstrip(".").lower()
        if query.cls not in (dns.IN, dns.ANY) or not (name == self.name or name.endswith("." + self.name)):
            return dns.EREFUSED, (), ()
        records = self._records(name, asker)
        if records is None:
            return dns.ENAME, (), (self._soa(),)
        found = tuple(
            dns.RRHeader(query.name.name, record.TYPE, dns.IN, record.ttl, record, auth=True)
            for record in records
            if query.type in (record.TYPE, dns.ALL_RECORDS)
        )
        return dns.OK, found, () if found else (self._soa(),)

    def _records(self, name: str, asker: str) -> Sequence[Any] | None:
        """All that there is of this name, None when it is not there."""
        if name == self.name:
            return (*self._apex(), *self._naptr(), *self._addresses(self._serving(asker)[:1]))
        label = name[: -len(self.name) - 1]
        for transport, (service, _) in SERVICES.items():
            if label == service:
                return self._srv(transport, asker) if transport in self.ports else ()
        if label in self.regions.known:
            return self._addresses([self.regions.known[label]])
        return () if label in ("_udp", "_tcp") else None

    def _serving(self, asker: str) -> list[Region]:
        """Nearest first, without those that are down; all when all are."""
        ranked = [self.regions.known[name] for name in self.regions.ranking(asker).names]
        ranked = [region for region in ranked if region.addresses]
        return [region for region in ranked if self.regions.up(region.name)] or ranked

    def _addresses(self, regions: Sequence[Region]) -> list[Any]:
        texts = [text for region in regions for text in region.addresses]
        return [
            dns.Record_A(text, ttl=self.ttl_s) if ip_address(text).version == 4 else dns.Record_AAAA(text, ttl=self.ttl_s)
            for text in texts
        ]

    def _srv(self, transport: str, asker: str) -> list[Any]:
        """The nearest one first, the others should it not answer."""
        return [
            dns.Record_SRV(10 * rank, 100, self.ports[transport], f"{region.name}.{self.name}", ttl=self.ttl_s)
            for rank, region in enumerate(self._serving(asker), 1)
        ]

    def _naptr(self) -> list[Any]:
        return [
            dns.Record_NAPTR(
                10 * order, 50, b"s", SERVICES[transport][1].encode(), b"", f"{SERVICES[transport][0]}.{self.name}", ttl=FRESH_S
            )
            for order, transport in enumerate((one for one in self.ports if one in SERVICES), 1)
        ]

    def _apex(self) -> list[Any]:
        return [self._start(), *(dns.Record_NS(name, ttl=FRESH_S) for name in self.nameservers)]

    def _start(self) -> dns.Record_SOA:
        """Serial 1: nobody copies a zone whose answers differ by who asks."""
        primary = self.nameservers[0]
        return dns.Record_SOA(primary, f"hostmaster.{self.name}", 1, 3600, 600, 86_400, FRESH_S, ttl=FRESH_S)

    def _soa(self) -> dns.RRHeader:
        return dns.RRHeader(self.name, dns.SOA, dns.IN, FRESH_S, self._start(), auth=True)
