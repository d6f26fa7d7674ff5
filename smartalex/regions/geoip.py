"""Where addresses are, by a database in MaxMind's format that the operator brings (GeoLite2-City, DB-IP, ...)."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IRegionLocator, Whereabouts


@implementer(IRegionLocator)
class GeoIp:
    """`database` is the path of an .mmdb file; it is read into memory once.  ConfigurationError where that cannot be done."""

    def __init__(self, database: str = "") -> None:
        try:
            import maxminddb  # noqa: PLC0415  (an extra)
        except ImportError:
            raise ConfigurationError("a GeoIP database needs pip install 'smartalex[geoip]'") from None
        if not database:
            raise ConfigurationError("write which database, as in geoip:database=/var/lib/GeoIP/GeoLite2-City.mmdb")
        try:
            self._reader: Any = maxminddb.open_database(database, maxminddb.MODE_MEMORY)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ConfigurationError(f"the GeoIP database {database} cannot be read: {error}") from None

    def locate(self, address: str) -> Whereabouts | None:
        try:
            found = self._reader.get(address.partition("%")[0])
        except ValueError:  # no address; IPv6 in a database of IPv4; a database that is broken inside
            return None
        if not isinstance(found, dict):
            return None
        country = _text(found.get("country") or found.get("registered_country"), "iso_code")
        place = found.get("location")
        latitude, longitude = (place.get("latitude"), place.get("longitude")) if isinstance(place, dict) else (None, None)
        if not isinstance(latitude, (int, float)) or not isinstance(longitude, (int, float)):
            return Whereabouts(country)
        return Whereabouts(country, (float(latitude), float(longitude)))


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
