from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.interfaces import Whereabouts
from smartalex.regions.nearest import Region, Regions, distance_km

EU = Region("eu", "sip:eu.example.com", ("198.51.100.0/24", "2001:db8:e::/48"), ("DE", "ZA"), (50.1, 8.7))
US = Region("us", "sip:us.example.com", ("198.51.0.0/16",), ("US",), (39.0, -77.5))
ASIA = Region("asia", "sip:asia.example.com", place=(1.35, 103.8))
KNOWN = (EU, US, ASIA)

PLACES = {
    "203.0.113.1": Whereabouts("ZA", (-26.2, 28.0)),
    "203.0.113.2": Whereabouts("AU", (-33.9, 151.2)),
    "203.0.113.3": Whereabouts("BR"),
}


class Atlas:
    def locate(self, address: str) -> Whereabouts | None:
        return PLACES.get(address)


def regions(here: str = "eu", *down: str, default: str = "us") -> Regions:
    return Regions(KNOWN, here, default, Atlas(), lambda name: name not in down)


class Nearest(TestCase):
    def test_what_decides(self) -> None:
        for host, order, why in (
            ("198.51.100.7", "eu us asia", "network 198.51.100.0/24"),  # the longest
            ("198.51.7.7", "us eu asia", "network 198.51.0.0/16"),
            ("2001:db8:e::9", "eu us asia", "network 2001:db8:e::/48"),
            ("::ffff:198.51.100.7", "eu us asia", "network 198.51.100.0/24"),
            ("203.0.113.1", "eu us asia", "country ZA"),
            ("203.0.113.2", "asia us eu", "distance from AU -33.9,151.2"),
            ("203.0.113.3", "us eu asia", "default"),
            ("203.0.113.4", "us eu asia", "default"),
            ("nonsense", "us eu asia", "default"),
        ):
            found = regions().ranking(host)
            self.assertEqual((" ".join(found.names), found.why), (order, why), host)

    def test_without_places_the_order_is_the_operators(self) -> None:
        bare = Regions([Region(name, f"sip:{name}") for name in "abc"], "b")
        self.assertEqual(bare.ranking("192.0.2.1").names, ("b", "a", "c"))

    def test_who_is_down_is_passed_over_and_we_never_are(self) -> None:
        self.assertEqual(regions("us", "eu").nearest("198.51.100.7"), "us")
        self.assertEqual(regions("asia", "eu", "us", "asia").nearest("198.51.100.7"), "asia")
        self.assertEqual(regions("us", "eu").nearest("198.51.100.7", ("eu", "asia")), "asia")
        self.assertIsNone(regions("us", "eu").nearest("198.51.100.7", ("eu",)))

    @given(st.ip_addresses(), st.sampled_from(["eu", "us", "asia"]), st.sets(st.sampled_from(["eu", "us", "asia"])))
    def test_every_address_has_all_regions_in_some_order(self, address: object, here: str, down: set[str]) -> None:
        found = regions(here, *down)
        self.assertEqual(sorted(found.ranking(str(address)).names), ["asia", "eu", "us"])
        self.assertNotIn(found.nearest(str(address)), down - {here})

    def test_distances(self) -> None:
        self.assertAlmostEqual(distance_km((50.1, 8.7), (39.0, -77.5)), 6556, delta=30)
        self.assertEqual(distance_km((1.0, 1.0), (1.0, 1.0)), 0)
        self.assertAlmostEqual(distance_km((0.0, 0.0), (0.0, 180.0)), 20015, delta=1)


class Elsewheres(TestCase):
    """Every combination of where it may be served, whether it follows, whether a redirect brought it, and who is up."""

    def test_table(self) -> None:
        host = "198.51.100.7"  # nearest to eu
        for here, allowed, follows, sent, down, wanted in (
            ("eu", (), True, False, (), ""),
            ("us", (), True, False, (), "eu"),
            ("us", (), False, False, (), ""),
            ("us", (), True, True, (), ""),
            ("us", (), True, False, ("eu",), ""),
            ("asia", (), True, False, ("eu",), "us"),
            ("us", ("us",), True, False, (), ""),
            ("us", ("us", "asia"), True, False, (), ""),
            ("asia", ("us", "asia"), True, False, (), "us"),
            ("us", ("eu",), True, False, (), "eu"),
            ("us", ("eu",), False, False, (), "eu"),
            ("us", ("eu",), True, True, (), "nobody"),
            ("us", ("eu",), True, False, ("eu",), "nobody"),
            ("eu", ("eu",), False, True, ("eu",), ""),
        ):
            found = regions(here, *down).elsewhere(host, allowed, follows, sent)
            name = "" if found is None else found.region.name if found.region else "nobody"
            self.assertEqual(name, wanted, (here, allowed, follows, sent, down))

    def test_the_reason_is_a_sentence(self) -> None:
        found = regions("us").elsewhere("198.51.100.7", (), follows=True, sent=False)
        assert found is not None
        self.assertEqual(found.why, "eu is nearest to 198.51.100.7, by network 198.51.100.0/24")
        gone = regions("us", "eu").elsewhere("198.51.100.7", ("eu",), follows=False, sent=False)
        assert gone is not None
        self.assertEqual(gone.why, "it is served in eu only, which does not answer")
