"""Known by address: networks of both families, longest prefix, and what is refused at start."""

from ipaddress import IPv4Address, IPv4Network, ip_network
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.errors import ConfigurationError
from smartalex.interfaces import AuthAttempt, IAuthenticator

NETS = st.builds(
    lambda address, prefix: ip_network((int(address), prefix), strict=False), st.ip_addresses(v=4), st.integers(0, 32)
)
LIST = AllowlistAuthenticator([("wide", "192.0.2.0/24"), ("one", "192.0.2.7"), ("six", "2001:db8::/32")])


def trunk_of(source: str) -> str | None:
    return LIST.authenticate(AuthAttempt("INVITE", "sip:x@y", source, "udp")).trunk_id


class Allowlist(TestCase):
    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, LIST))

    def test_who_is_who(self) -> None:
        self.assertEqual(trunk_of("192.0.2.1"), "wide")
        self.assertEqual(trunk_of("192.0.2.7"), "one")
        self.assertEqual(trunk_of("2001:db8:1::1"), "six")
        self.assertEqual(trunk_of("::ffff:192.0.2.7"), "one")
        self.assertIsNone(trunk_of("192.0.3.1"))
        self.assertIsNone(trunk_of("2001:db9::1"))

    def test_a_link_local_zone_is_no_reason_to_fail(self) -> None:
        self.assertIsNone(trunk_of("fe80::1%eth0"))

    @given(st.text(max_size=40))
    def test_any_source_text(self, source: str) -> None:
        LIST.authenticate(AuthAttempt("INVITE", "sip:x@y", source, "udp"))

    def test_no_network(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "write an address"):
            AllowlistAuthenticator([("t", "192.0.2.1/24")])

    def test_two_owners_the_narrower_first(self) -> None:
        nets = AllowlistAuthenticator([("a", "10.0.0.0/8"), ("b", "10.0.0.0/8"), ("c", "10.2.0.0/16"), ("a", "10.2.3.4")])
        for source, owners in (("10.1.1.1", {"a", "b"}), ("10.2.0.1", {"a", "b", "c"}), ("11.0.0.0", set())):
            self.assertEqual(set(nets.owners(source)), owners)
        self.assertEqual(nets.owners("10.2.0.1")[0], "c")
        self.assertEqual(nets.owners("10.2.3.4")[:2], ("a", "c"))

    def test_the_edges_of_what_there_is(self) -> None:
        nets = AllowlistAuthenticator([("all", "0.0.0.0/0"), ("last", "255.255.255.255"), ("six", "::/0"), ("one", "ffff::/16")])
        for source, owner in (("0.0.0.0", "all"), ("255.255.255.254", "all"), ("255.255.255.255", "last"), ("::", "six"),
                              ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "one"), ("fffe::", "six")):  # fmt: skip
            self.assertEqual(nets.owners(source)[0], owner, source)

    def test_an_ipv4_network_written_as_ipv6(self) -> None:
        self.assertEqual(AllowlistAuthenticator([("a", "::ffff:192.0.2.0/120")]).owners("192.0.2.9"), ("a",))

    @given(st.lists(st.tuples(st.sampled_from("abcd"), NETS), max_size=30), st.ip_addresses(v=4))
    def test_as_one_by_one(self, sources: list[tuple[str, IPv4Network]], address: IPv4Address) -> None:
        found = AllowlistAuthenticator((owner, str(net)) for owner, net in sources).owners(str(address))
        self.assertEqual(set(found), {owner for owner, net in sources if address in net})
        widest = {owner: max(n.prefixlen for o, n in sources if o == owner and address in n) for owner in found}
        self.assertEqual([widest[owner] for owner in found], sorted(widest.values(), reverse=True))
