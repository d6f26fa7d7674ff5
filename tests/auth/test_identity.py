"""Which trunk it is: by what each has chosen, nobody by default, and the near miss for who was not let in."""

from collections.abc import Sequence
from typing import Any
from unittest import TestCase, mock

from zope.interface.verify import verifyObject

from smartalex import plugins
from smartalex.auth.digest import DigestAuthenticator
from smartalex.auth.ground import Ground, Once
from smartalex.auth.identity import Identity, identity
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, DigestClient, NonceSource, Secret, ha1
from smartalex.sip.message import Headers, Response
from smartalex.tenants.trunk import Trunk

REALM, URI = "smartalex", "sip:alex@192.0.2.9"
OFFICE = Trunk("office", "w", "Office", "", "sa_office")
CARRIER = Trunk("carrier", "w", "Carrier", "", auth="ip-allowlist", allowed_sources=("192.0.2.0/24",))
FENCED = Trunk("fenced", "w", "Fenced", "", "sa_fenced", auth="both", allowed_sources=("198.51.100.0/24",))
DESK = Trunk("desk", "w", "Desk", "", "sa_desk", auth="registration")
PLACE = ("udp", "203.0.113.7", 5060)


class IdentityCase(TestCase):
    trunks: Sequence[Trunk] = (OFFICE, CARRIER, FENCED, DESK)

    def setUp(self) -> None:
        known = {t.username: (t.id, {a: ha1(t.username, REALM, "right", a) for a in HASHES}) for t in self.trunks if t.username}
        digest = DigestAuthenticator(REALM, ("MD5",), known.get, NonceSource(bytes(32), 60.0))
        self.ground = Ground(Once(digest), lambda *place: ("desk",) if place == PLACE else ())
        self.identity = identity(self.trunks, self.ground)

    def call(self, source: str, user: str = "", password: str = "right", **more: Any) -> Verdict:
        """What comes of it, with a second INVITE where the first one was challenged and there is a `user`."""
        blank = AuthAttempt("INVITE", URI, source, "udp", now=1000.0, **more)
        verdict = self.identity.authenticate(blank)
        if not user:
            return verdict
        challenge = self.ground.logins.authenticate(AuthAttempt("", "", source, "udp", now=1000.0)).challenges[0]
        response = Response(401, "Unauthorized", Headers([("WWW-Authenticate", challenge)]))
        ((_, value),) = DigestClient(user, Secret(password), lambda: "c0").authorization(response, "INVITE", URI)
        return self.identity.authenticate(AuthAttempt("INVITE", URI, source, "udp", (value,), 1000.5, **more))


class Deciding(IdentityCase):
    def test_provides(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, self.identity))

    def test_each_by_what_it_has_chosen(self) -> None:
        for verdict, trunk_id, by in (
            (self.call("203.0.113.1", "sa_office"), "office", "credentials"),
            (self.call("192.0.2.77"), "carrier", "source"),
            (self.call("198.51.100.5", "sa_fenced"), "fenced", "credentials and source"),
            (self.call("203.0.113.7", port=5060), "desk", "binding"),
            (self.call("203.0.113.1", "sa_desk"), "desk", "credentials"),
        ):
            self.assertEqual((verdict.trunk_id, verdict.by), (trunk_id, by))

    def test_credentials_come_before_the_address(self) -> None:
        self.assertEqual(self.call("192.0.2.77", "sa_office").trunk_id, "office")

    def test_the_wrong_side_of_each(self) -> None:
        right_password = self.call("203.0.113.1", "sa_fenced")
        self.assertEqual((right_password.trunk_id, right_password.challenges), (None, ()))
        self.assertEqual(right_password.why.split(";")[0],
                         "trunk Fenced by credentials, but not by source: 203.0.113.1 is on no list")  # fmt: skip
        right_address = self.call("198.51.100.5")
        self.assertEqual((right_address.trunk_id, len(right_address.challenges)), (None, 1))
        wrong_password = self.call("198.51.100.5", "sa_fenced", "wrong")
        self.assertEqual((wrong_password.account, wrong_password.why), ("sa_fenced", "wrong password for sa_fenced"))

    def test_a_stranger_is_asked_and_learns_nothing(self) -> None:
        asked = [self.call(source).challenges for source in ("203.0.113.1", "198.51.100.5")]
        self.assertEqual([len(one) for one in asked], [1, 1])
        self.assertEqual(self.call("203.0.113.1", "sa_nobody").account, "sa_nobody")

    def test_another_account_s_password_from_a_binding_does_not_pass_for_it(self) -> None:
        self.assertEqual(self.call("203.0.113.7", "sa_desk", "wrong", port=5060).account, "sa_desk")


class Overlapping(IdentityCase):
    trunks = (CARRIER, Trunk("other", "w", "Other", "", auth="ip-allowlist", allowed_sources=("192.0.2.64/26", "192.0.2.0/24")))

    def test_both_are_named_the_narrower_first(self) -> None:
        verdict = self.call("192.0.2.77")
        self.assertEqual((verdict.trunk_id, verdict.others), ("other", ("carrier",)))
        self.assertEqual({*self.call("192.0.2.1").others, self.call("192.0.2.1").trunk_id}, {"carrier", "other"})


class Nobody(IdentityCase):
    trunks = ()

    def test_by_default(self) -> None:
        verdict = self.call("192.0.2.1")
        self.assertEqual((verdict.trunk_id, len(verdict.challenges)), (None, 1))


class Raising:
    name = "raising"

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        raise RuntimeError("no")


class Generous:
    """Says of everybody that it is somebody else's trunk."""

    name = "generous"

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        return Verdict("office")


class Foreign(IdentityCase):
    """Other people's authenticators."""

    trunks = (OFFICE, Trunk("theirs", "w", "Theirs", "", auth="foreign:key=1"))

    def made(self, factory: Any) -> Identity:
        provider = mock.Mock(load=lambda: factory)
        find = plugins.find
        with mock.patch.object(plugins, "find", lambda seam, spec: (provider, {}) if spec[:7] == "foreign" else find(seam, spec)):
            return identity(self.trunks, self.ground)

    def test_one_that_raises_lets_nobody_in_and_costs_nobody_else(self) -> None:
        self.identity = self.made(lambda ground, trunks: Raising())
        self.assertEqual(len(self.call("192.0.2.1").challenges), 1)
        self.assertEqual(self.call("192.0.2.1", "sa_office").trunk_id, "office")

    def test_it_speaks_for_its_own_trunks_only(self) -> None:
        self.identity = self.made(lambda ground, trunks: Generous())
        self.assertIsNone(self.call("192.0.2.1").trunk_id)

    def test_one_that_is_not_installed_leaves_its_trunk_out(self) -> None:
        self.assertIsNone(self.call("192.0.2.1").trunk_id)
        self.assertEqual(self.call("192.0.2.1", "sa_office").trunk_id, "office")
