"""HashiCorp Vault as the master key, through hvac and real HTTP, against a server that speaks its transit API."""

from __future__ import annotations

import os
from unittest import SkipTest, mock

from sqlalchemy import select, update
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IMasterKey
from smartalex.store import schema
from smartalex.store.keys import Succession, given_keys
from smartalex.store.transit import KeyServerUnreachable, transit
from smartalex.store.vault import AT_ONCE, Vault
from tests.store.key_server import KeyServer
from tests.store.stores import KEY, StoreCase

NAMES = [f"trunk/{n:03d}/digest" for n in range(20)]


class Transit(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        try:
            import hvac  # noqa: F401, PLC0415
        except ImportError:
            raise SkipTest("hvac is not installed; it comes with smartalex[vault]") from None
        self.server = KeyServer()
        self.addCleanup(self.server.close)
        self.environ = mock.patch.dict(os.environ, {"VAULT_ADDR": self.server.address, "VAULT_TOKEN": self.server.token})
        self.environ.start()
        self.addCleanup(self.environ.stop)
        self.vault = Vault(self.repository.engine, transit())

    def fill(self) -> None:
        for name in NAMES:
            self.vault.put(name, name.encode())

    def ids(self) -> set[str]:
        with self.repository.engine.connect() as connection:
            return set(connection.execute(select(schema.secret.c.key_id)).scalars())

    def test_it_provides_its_interface_and_does_not_show_its_token(self) -> None:
        self.assertTrue(verifyObject(IMasterKey, self.vault.master))
        self.assertNotIn(self.server.token, repr(self.vault.master) + repr(vars(self.vault.master)))

    def test_put_here_got_there(self) -> None:
        self.fill()
        self.assertEqual(self.ids(), {"transit:smartalex:v1"})
        other = Vault(self.repository.engine, transit())
        self.assertEqual((other.get(NAMES[3]), other.get_many(NAMES)), (NAMES[3].encode(), {n: n.encode() for n in NAMES}))

    def test_many_are_asked_for_at_once(self) -> None:
        self.fill()
        del self.server.asked[:]
        self.vault.get_many(NAMES)
        self.assertEqual(self.server.asked, ["POST /v1/transit/decrypt/smartalex"])

    def test_one_that_was_tampered_with_costs_itself_alone(self) -> None:
        self.fill()
        self.vault.check(thoroughly=True)
        real = self.vault.seal(NAMES[0], b"x").wrapped
        for junk in (b"\xff\x00", b"vault:v1:AAAA", b"vault:v9:" + real[9:], real[:-8]):
            with self.repository.engine.begin() as connection:
                connection.execute(update(schema.secret).where(schema.secret.c.name == NAMES[5]).values(wrapped=junk))
            self.assertEqual(set(NAMES) - set(self.vault.get_many(NAMES)), {NAMES[5]}, junk)
            with self.assertRaisesRegex(ConfigurationError, f"{NAMES[5]} cannot be opened"):
                self.vault.check(thoroughly=True)

    def test_rekey_is_a_new_version_and_what_was_interrupted_needs_no_other(self) -> None:
        self.fill()
        self.assertEqual(self.vault.rekey(), len(NAMES))
        self.assertEqual((self.ids(), len(self.server.keys["smartalex"])), ({"transit:smartalex:v2"}, 2))
        self.server.keys["smartalex"].append(os.urandom(32))  # rotated, and then the rekey died
        fresh = Vault(self.repository.engine, transit())
        self.assertEqual(fresh.rekey(), len(NAMES))
        self.assertEqual((self.ids(), len(self.server.keys["smartalex"])), ({"transit:smartalex:v3"}, 3))
        self.assertEqual(self.vault.get_many(NAMES), {name: name.encode() for name in NAMES})
        self.assertLess(len(NAMES), AT_ONCE)

    def test_from_a_file_to_the_server(self) -> None:
        Vault(self.repository.engine, KEY).put(NAMES[0], b"old")
        both = Vault(self.repository.engine, Succession(transit(), given_keys(KEY)))
        both.put(NAMES[1], b"new")
        both.check(thoroughly=True)
        self.assertEqual(both.get_many(NAMES[:2]), {NAMES[0]: b"old", NAMES[1]: b"new"})
        self.assertEqual((both.rekey(), self.ids()), (1, {"transit:smartalex:v1"}))
        self.assertEqual(self.vault.get(NAMES[0]), b"old")

    def test_gone_is_another_thing_than_tampered_with(self) -> None:
        self.fill()
        self.server.sealed = True
        self.assertRaises(KeyServerUnreachable, self.vault.get, NAMES[0])
        self.assertRaises(KeyServerUnreachable, self.vault.get_many, NAMES)
        self.assertRaises(KeyServerUnreachable, transit)
        self.server.sealed = False
        self.assertEqual(self.vault.get(NAMES[0]), NAMES[0].encode())

    def test_what_an_operator_hears(self) -> None:
        for options, said in (
            ({"key": "other"}, "there is no such key; say: vault write -f transit/keys/other"),
            ({"mount": "elsewhere"}, "there is no such key; say: vault write -f elsewhere/keys/smartalex"),
            ({"token_file": "/nonexistent"}, "/nonexistent cannot be read"),
            ({"address": "http://127.0.0.1:9"}, "the key server does not answer"),
        ):
            with self.subTest(options), self.assertRaisesRegex(ConfigurationError, said):
                transit(**options)
        for name, said in (("VAULT_ADDR", "where is the key server"), ("VAULT_TOKEN", "no token")):
            with mock.patch.dict(os.environ, {name: ""}), self.assertRaisesRegex(ConfigurationError, said):
                transit()
        with mock.patch.dict(os.environ, {"VAULT_TOKEN": "s.wrong"}), self.assertRaisesRegex(ConfigurationError, "token may not"):
            transit()
