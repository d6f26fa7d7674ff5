"""Known by where its PBX has registered from; elsewhere, and to register, by the password."""

from unittest import TestCase

import attrs
from zope.interface.verify import verifyObject

from smartalex.auth.ground import Once
from smartalex.auth.registered import RegisteredAuthenticator
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from tests.auth.test_allof import Says

ASKED = Verdict(challenges=("Digest x",))
PLACES = {("udp", "192.0.2.9", 5060): ("acme",), ("tls", "192.0.2.9", 40001): ("acme", "desk")}
INVITE = AuthAttempt("INVITE", "sip:x@y", "192.0.2.9", "udp", port=5060)


class Registered(TestCase):
    def setUp(self) -> None:
        self.known = RegisteredAuthenticator(lambda *place: PLACES.get(place, ()), Once(Says(ASKED)))

    def judged(self, **changes: object) -> Verdict:
        return self.known.authenticate(attrs.evolve(INVITE, **changes))

    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, self.known))

    def test_from_just_there(self) -> None:
        self.assertEqual(self.judged(), Verdict("acme", by="binding"))

    def test_another_port_host_or_transport_is_asked_for_the_password(self) -> None:
        for changes in ({"port": 5061}, {"source": "192.0.2.8"}, {"transport": "tcp"}, {"transport": "tls"}):
            self.assertEqual(self.judged(**changes), ASKED, changes)

    def test_a_register_is_asked_always(self) -> None:
        self.assertEqual(self.judged(method="REGISTER"), ASKED)

    def test_credentials_are_looked_at_when_they_are_there(self) -> None:
        self.assertEqual(self.judged(authorizations=("Digest y",)), ASKED)

    def test_two_trunks_over_one_connection(self) -> None:
        self.assertEqual(self.judged(transport="tls", port=40001), Verdict("acme", others=("desk",), by="binding"))


class Asking(TestCase):
    def test_the_same_attempt_is_judged_once(self) -> None:
        seen: list[AuthAttempt] = []

        @attrs.frozen
        class Counting(Says):
            def authenticate(self, attempt: AuthAttempt) -> Verdict:
                seen.append(attempt)
                return self.verdict

        once = Once(Counting(ASKED))
        self.assertEqual([once.authenticate(INVITE) for _ in range(3)], [ASKED] * 3)
        self.assertEqual(len(seen), 1)
        once.authenticate(attrs.evolve(INVITE))
        self.assertEqual(len(seen), 2)
