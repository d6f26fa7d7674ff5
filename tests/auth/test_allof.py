"""Digest and allowlist both: a password alone is not enough, nor is an address."""

from unittest import TestCase

import attrs
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smartalex.auth.allof import AllOf
from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.tenants.trunk import Trunk

ACME, OTHER = Trunk("acme", "w", "Acme", ""), Trunk("other", "w", "Other", "")


@implementer(IAuthenticator)
@attrs.frozen
class Says:
    verdict: Verdict
    name: str = "says"
    evidence: str = "credentials"

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        return self.verdict


def judged(verdict: Verdict, source: str, *more: Says) -> Verdict:
    nets = AllowlistAuthenticator([("acme", "192.0.2.0/24"), ("other", "198.51.100.0/24")])
    both = AllOf([Says(verdict), nets, *more], [ACME, OTHER])
    return both.authenticate(AuthAttempt("INVITE", "sip:x@y", source, "udp"))


class BothWanted(TestCase):
    def test_provides(self) -> None:
        both = AllOf([Says(Verdict())], [ACME])
        self.assertTrue(verifyObject(IAuthenticator, both))
        self.assertEqual(AllOf([both, Says(Verdict(), evidence="source")], [ACME]).evidence, "credentials and source")

    def test_password_and_address(self) -> None:
        self.assertEqual(judged(Verdict("acme"), "192.0.2.9").trunk_id, "acme")

    def test_password_from_elsewhere(self) -> None:
        for source, why in (("203.0.113.1", "203.0.113.1 is on no list"), ("198.51.100.1", "that is another trunk's")):
            verdict = judged(Verdict("acme"), source)
            self.assertEqual((verdict.trunk_id, verdict.challenges, verdict.account), (None, (), ""))
            self.assertEqual(verdict.why, f"trunk Acme by credentials, but not by source: {why}")

    def test_address_without_password_is_still_challenged(self) -> None:
        self.assertEqual(judged(Verdict(challenges=("Digest x",)), "192.0.2.9").challenges, ("Digest x",))

    def test_the_password_of_a_trunk_that_is_not_known_so_is_nobody_s(self) -> None:
        self.assertEqual(judged(Verdict("free"), "192.0.2.9"), Verdict())

    def test_what_is_open_after_the_first_is_narrowed_by_the_others(self) -> None:
        self.assertEqual(judged(Verdict("other", others=("acme",)), "192.0.2.9"), Verdict("acme"))
        self.assertIsNone(judged(Verdict("acme"), "192.0.2.9", Says(Verdict("other"))).trunk_id)
