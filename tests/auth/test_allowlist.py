"""Known by address: networks of both families, longest prefix, and what is refused at start."""

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.auth.firstof import FirstOf
from smartalex.errors import ConfigurationError
from smartalex.interfaces import AuthAttempt, IAuthenticator

LIST = AllowlistAuthenticator([("wide", "192.0.2.0/24"), ("one", "192.0.2.7"), ("six", "2001:db8::/32")])


def trunk_of(source: str) -> str | None:
    return LIST.authenticate(AuthAttempt("INVITE", "sip:x@y", source, "udp")).trunk_id


class Allowlist(TestCase):
    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, LIST))
        self.assertTrue(verifyObject(IAuthenticator, FirstOf([LIST])))

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

    def test_two_owners(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "two trunks"):
            AllowlistAuthenticator([("a", "10.0.0.0/8"), ("b", "10.0.0.0/8")])

    def test_the_last_one_answers_when_nobody_knows(self) -> None:
        chain = FirstOf([LIST, AllowlistAuthenticator([("ten", "10.0.0.0/8")])])
        attempt = AuthAttempt("INVITE", "sip:x@y", "10.1.1.1", "udp")
        self.assertEqual(chain.authenticate(attempt).trunk_id, "ten")
