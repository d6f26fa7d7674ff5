"""Issued passwords: shown once, kept as HA1s, and replaced under a running authenticator."""

import json
import string

import attrs

from smartalex.auth.digest import DigestAuthenticator
from smartalex.interfaces import AuthAttempt, Verdict
from smartalex.sip.digest import HASHES, DigestClient, NonceSource, Secret, ha1
from smartalex.sip.message import Headers, Response
from smartalex.store import credentials
from smartalex.store.demo import seed_demo
from tests.store.stores import StoreCase, on_both

REALM = "smartalex"
URI = "sip:alex@127.0.0.1"


@on_both
class Issuing(StoreCase):
    def test_a_username_says_whose_it_is(self) -> None:
        name = credentials.new_username()
        self.assertTrue(name.startswith("sa_"))
        self.assertEqual(len(name), 15)
        self.assertLessEqual(set(name[3:]), set(credentials.BASE32))
        self.assertNotEqual(name, credentials.new_username())

    def test_a_password_has_24_letters_and_digits_nobody_mistakes(self) -> None:
        password = credentials.issue(self.repository.vault, "acme", "sa_x", REALM)
        self.assertEqual(len(password), 24)
        self.assertLessEqual(set(password), set(string.ascii_letters + string.digits) - set("0O1lIi"))

    def test_it_is_not_kept(self) -> None:
        password = credentials.issue(self.repository.vault, "acme", "sa_x", REALM)
        kept = self.repository.vault.get("trunk/acme/digest").decode()
        self.assertNotIn(password, kept)
        self.assertEqual(json.loads(kept)["MD5"], ha1("sa_x", REALM, password, "MD5"))
        self.assertLessEqual(set(HASHES), set(credentials.read(self.repository.vault, "acme")))

    def test_forgotten_it_opens_nothing(self) -> None:
        credentials.issue(self.repository.vault, "acme", "sa_x", REALM)
        credentials.forget(self.repository.vault, "acme")
        self.assertRaises(KeyError, credentials.read, self.repository.vault, "acme")


@on_both
class Rotating(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.trunk, self.username, self.password = seed_demo(self.repository, REALM)
        self.nonces = NonceSource(bytes(32), 60)

    def judge(self, password: str) -> Verdict:
        """What an authenticator says that reads the store as it is now, as the service does at each revision."""
        said = DigestAuthenticator(REALM, ("SHA-256", "MD5"), self.repository.credentials().get, self.nonces)
        challenge = said.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", (), 1.0)).challenges[0]
        response = Response(401, "Unauthorized", Headers([("WWW-Authenticate", challenge)]))
        ((_, answer),) = DigestClient(self.username, Secret(password), lambda: "cafe").authorization(response, "INVITE", URI)
        return said.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", (answer,), 1.5))

    def test_the_issued_password_opens_its_trunk(self) -> None:
        self.assertEqual(self.judge(self.password).trunk_id, "acme")

    def test_after_a_rotation_only_the_new_one_does(self) -> None:
        trunk = self.repository.trunk_named("acme")
        assert trunk is not None
        before = self.repository.revision()
        fresh = self.open().rotate(trunk, REALM)
        self.assertGreater(self.repository.revision(), before)
        self.assertEqual(self.judge(fresh).trunk_id, "acme")
        self.assertEqual(self.judge(self.password), Verdict(why=f"wrong password for {self.username}", account=self.username))


@on_both
class Given(StoreCase):
    """What we register with at somebody else's PBX."""

    def setUp(self) -> None:
        super().setUp()
        seed_demo(self.repository, REALM)
        plain = self.repository.trunk_named("acme")
        assert plain is not None
        self.plain, self.trunk = plain, attrs.evolve(plain, register="sip:300@pbx.example.com")
        self.repository.change_trunk(plain, self.trunk, REALM, "s3cret")

    def test_kept_sealed_and_given_back(self) -> None:
        self.assertEqual(self.open().register_passwords(), {"acme": Secret("s3cret")})
        self.assertNotIn(b"s3cret", b"".join(path.read_bytes() for path in self.folder.iterdir()))

    def test_it_stays_when_something_else_changes_and_goes_for_another(self) -> None:
        before = self.repository.revision()
        self.repository.change_trunk(self.trunk, attrs.evolve(self.trunk, max_calls=3), REALM)
        self.assertEqual(self.repository.register_passwords(), {"acme": Secret("s3cret")})
        self.repository.change_trunk(self.trunk, self.trunk, REALM, "other")
        self.assertEqual(self.repository.register_passwords(), {"acme": Secret("other")})
        self.assertEqual(self.repository.revision(), before + 2)

    def test_forgotten_alone_with_the_registration_and_with_the_trunk(self) -> None:
        for forget in (
            lambda: self.repository.change_trunk(self.trunk, self.trunk, REALM, ""),
            lambda: self.repository.change_trunk(self.trunk, self.plain, REALM),
            lambda: self.repository.remove_trunk(self.trunk),
        ):
            self.repository.change_trunk(self.trunk, self.trunk, REALM, "s3cret")
            forget()
            self.assertEqual(self.repository.register_passwords(), {})
            self.assertRaises(KeyError, credentials.read_register, self.repository.vault, "acme")

    def test_a_new_trunk_brings_its_own(self) -> None:
        self.repository.add_trunk(attrs.evolve(self.trunk, id="two", name="two", username="two"), REALM, "s2")
        self.assertEqual(self.repository.register_passwords()["two"], Secret("s2"))

    def test_one_that_cannot_be_read_costs_itself_alone(self) -> None:
        self.assertEqual(self.open(bytes(32)).register_passwords(), {})
