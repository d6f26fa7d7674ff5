"""Secrets at rest: only the right key opens them, and only untouched."""

import os
import stat

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, update
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError, LocalError
from smartalex.interfaces import ISecretStore
from smartalex.store import schema
from smartalex.store.vault import Vault, holds_secrets, master_key
from tests.store.stores import KEY, StoreCase, on_both

SECRET = b"correct horse battery staple"
LONE = Vault(create_engine("sqlite://"), KEY)


@on_both
class Keeping(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.vault = self.repository.vault

    def sealed(self, name: str) -> bytes:
        with self.repository.engine.connect() as connection:
            return bytes(connection.execute(select(schema.secret.c.sealed).where(schema.secret.c.name == name)).scalar_one())

    def overwrite(self, name: str, sealed: bytes) -> None:
        with self.repository.engine.begin() as connection:
            connection.execute(update(schema.secret).where(schema.secret.c.name == name).values(sealed=sealed))

    def test_it_provides_its_interface(self) -> None:
        self.assertTrue(verifyObject(ISecretStore, self.vault))

    def test_what_was_put_is_got_by_another_process_with_the_key(self) -> None:
        self.vault.put("a", SECRET)
        self.assertEqual(self.open().vault.get("a"), SECRET)

    def test_put_replaces_and_delete_forgets(self) -> None:
        self.vault.put("a", b"old")
        self.vault.put("a", SECRET)
        self.assertEqual(self.vault.get("a"), SECRET)
        self.vault.delete("a")
        self.vault.delete("a")
        self.assertRaises(KeyError, self.vault.get, "a")

    def test_the_same_text_is_never_sealed_alike(self) -> None:
        self.vault.put("a", SECRET)
        first = self.sealed("a")
        self.vault.put("a", SECRET)
        self.assertNotEqual(first, self.sealed("a"))

    def test_another_key_opens_nothing_and_says_which(self) -> None:
        self.vault.put("trunk/acme/digest", SECRET)
        other = self.open(bytes(32)).vault
        with self.assertRaisesRegex(LocalError, "'trunk/acme/digest' cannot be opened"):
            other.get("trunk/acme/digest")

    def test_many_at_once_but_for_those_that_cannot_be_opened(self) -> None:
        vault = self.repository.vault
        assert isinstance(vault, Vault)
        for name in ("a", "b", "c"):
            vault.put(name, name.encode())
        with self.repository.engine.begin() as connection:
            connection.execute(update(schema.secret).where(schema.secret.c.name == "b").values(sealed=b"spoilt"))
        self.assertEqual(vault.get_many(["a", "b", "c", "d"]), {"a": b"a", "c": b"c"})
        self.assertEqual(vault.get_many([]), {})

    def test_a_secret_moved_to_another_name_does_not_open(self) -> None:
        self.vault.put("mine", SECRET)
        self.vault.put("yours", b"x")
        self.overwrite("yours", self.sealed("mine"))
        self.assertRaises(LocalError, self.vault.get, "yours")

    def test_one_changed_byte_anywhere_is_noticed(self) -> None:
        self.vault.put("a", SECRET)
        sealed = self.sealed("a")
        for position in range(len(sealed)):
            self.overwrite("a", sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :])
            self.assertRaises(LocalError, self.vault.get, "a")

    def test_a_shortened_secret_is_noticed(self) -> None:
        self.vault.put("a", SECRET)
        for size in range(len(self.sealed("a"))):
            self.assertRaises(LocalError, self.vault.open, "a", self.sealed("a")[:size])

    def test_neither_text_nor_key_is_in_repr_or_in_the_database(self) -> None:
        self.vault.put("a", SECRET)
        self.assertEqual((repr(self.vault), str(self.vault)), ("<Vault>", "<Vault>"))
        for path in self.folder.iterdir():
            self.assertNotIn(SECRET, path.read_bytes(), path)
            self.assertNotIn(KEY, path.read_bytes(), path)

    def test_whether_it_holds_anything(self) -> None:
        self.assertFalse(holds_secrets(self.repository.engine))
        self.vault.put("a", SECRET)
        self.assertTrue(holds_secrets(self.repository.engine))


class Sealing(StoreCase):
    @given(st.text(max_size=60), st.binary(max_size=500))
    def test_any_text_under_any_name(self, name: str, text: bytes) -> None:
        self.assertEqual(LONE.open(name, LONE.seal(name, text)), text)

    @given(st.binary(max_size=200))
    def test_any_bytes_that_were_never_sealed_are_refused(self, junk: bytes) -> None:
        self.assertRaises(LocalError, LONE.open, "a", junk)


class MasterKey(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "vault.key"

    def test_made_once_readable_by_its_owner_only(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        key = master_key(self.path, create=True)
        self.assertEqual((len(key), stat.S_IMODE(self.path.stat().st_mode)), (32, 0o600))
        self.assertEqual(master_key(self.path, create=True), key)

    def test_two_state_directories_have_two_keys(self) -> None:
        self.assertNotEqual(master_key(self.path, create=True), master_key(self.folder / "other.key", create=True))

    def test_a_key_others_can_read_is_refused_with_the_remedy(self) -> None:
        master_key(self.path, create=True)
        for mode in (0o640, 0o604, 0o620, 0o602):
            self.path.chmod(mode)
            with self.assertRaisesRegex(ConfigurationError, f"chmod 600 {self.path}"):
                master_key(self.path, create=False)

    def test_a_missing_key_is_not_replaced_once_there_are_secrets(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "master key is missing; put it back"):
            master_key(self.path, create=False)
        self.assertFalse(self.path.exists())

    def test_a_key_of_another_length(self) -> None:
        self.path.touch(0o600)
        self.path.write_bytes(b"short")
        with self.assertRaisesRegex(ConfigurationError, "32 bytes, this file has 5"):
            master_key(self.path, create=False)
