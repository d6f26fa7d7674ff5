from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from smartalex.errors import ConfigurationError
from smartalex.interfaces import Whereabouts
from smartalex.regions.geoip import GeoIp

CAPE_TOWN = {"country": {"iso_code": "ZA"}, "location": {"latitude": -33.92, "longitude": 18.42}}


def database(path: Path) -> Path:
    writer = MMDBWriter(6, "GeoLite2-City", languages=["en"], description="made by a test", ipv4_compatible=True)
    writer.insert_network(IPSet(["203.0.113.0/25"]), CAPE_TOWN)
    writer.insert_network(IPSet(["203.0.113.128/25"]), {"registered_country": {"iso_code": "US"}})
    writer.insert_network(IPSet(["2001:db8::/32"]), {"country": "wrong", "location": {"latitude": "x"}})
    writer.to_db_file(str(path))
    return path


class Databases(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_where_addresses_are(self) -> None:
        geo = GeoIp(str(database(self.folder / "city.mmdb")))
        self.assertEqual(geo.locate("203.0.113.5"), Whereabouts("ZA", (-33.92, 18.42)))
        self.assertEqual(geo.locate("203.0.113.200"), Whereabouts("US"))
        self.assertEqual(geo.locate("2001:db8::1"), Whereabouts())
        for unknown in ("192.0.2.1", "fe80::1%eth0", "pbx.example.com", ""):
            self.assertIsNone(geo.locate(unknown), unknown)

    def test_what_is_no_database(self) -> None:
        broken = self.folder / "broken.mmdb"
        broken.write_bytes(b"nothing of the kind" * 100)
        for path, wanted in (("", "database=/"), (str(broken), "cannot be read"), (str(self.folder / "none"), "cannot be read")):
            with self.assertRaisesRegex(ConfigurationError, wanted):
                GeoIp(path)
