"""Digest and allowlist both: a password alone is not enough, nor is an address."""

from unittest import TestCase

import attrs
from zope.interface import implementer
from zope.interface.verify import verifyObject

from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.auth.fenced import Fenced
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict


@implementer(IAuthenticator)
@attrs.frozen
class Says:
    verdict: Verdict
    name: str = "says"

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        return self.verdict


def judged(verdict: Verdict, source: str) -> Verdict:
    fenced = Fenced(Says(verdict), {"acme": AllowlistAuthenticator([("acme", "192.0.2.0/24")])})
    return fenced.authenticate(AuthAttempt("INVITE", "sip:x@y", source, "udp"))


class BothWanted(TestCase):
    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, Fenced(Says(Verdict()), {})))

    def test_password_and_address(self) -> None:
        self.assertEqual(judged(Verdict("acme"), "192.0.2.9").trunk_id, "acme")

    def test_password_from_elsewhere(self) -> None:
        verdict = judged(Verdict("acme"), "198.51.100.1")
        self.assertEqual((verdict.trunk_id, verdict.challenges), (None, ()))
        self.assertIn("198.51.100.1", verdict.why)

    def test_address_without_password_is_still_challenged(self) -> None:
        self.assertEqual(judged(Verdict(challenges=("Digest x",)), "192.0.2.9").challenges, ("Digest x",))

    def test_another_trunk_calls_from_anywhere(self) -> None:
        self.assertEqual(judged(Verdict("free"), "198.51.100.1").trunk_id, "free")
