"""Secrets at rest: only the right key opens them, and only untouched."""

from base64 import b64encode
from unittest import mock

import attrs
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, update
from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError, LocalError
from smartalex.interfaces import ISecretStore
from smartalex.store import schema
from smartalex.store.keys import VARIABLE, key_id, local_keys
from smartalex.store.vault import AT_ONCE, Sealed, Vault, holds_secrets
from tests.store.stores import KEY, StoreCase, on_both

SECRET = b"correct horse battery staple"
LONE = Vault(create_engine("sqlite://"), KEY)


@on_both
class Keeping(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.vault = self.repository.vault

    def row(self, name: str) -> Sealed:
        with self.repository.engine.connect() as connection:
            table = schema.secret.c
            query = select(table.name, table.sealed, table.key_id, table.wrapped).where(table.name == name)
            return Sealed(*connection.execute(query).one())

    def overwrite(self, name: str, **values: object) -> None:
        with self.repository.engine.begin() as connection:
            connection.execute(update(schema.secret).where(schema.secret.c.name == name).values(**values))

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
        first = self.row("a")
        self.vault.put("a", SECRET)
        self.assertNotEqual(first.sealed, self.row("a").sealed)
        self.assertNotEqual(first.wrapped, self.row("a").wrapped)

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
        mine = self.row("mine")
        self.overwrite("yours", sealed=mine.sealed, wrapped=mine.wrapped)
        self.assertRaises(LocalError, self.vault.get, "yours")

    def test_one_changed_byte_anywhere_is_noticed(self) -> None:
        self.vault.put("a", SECRET)
        row = self.row("a")
        for part, whole in (("sealed", row.sealed), ("wrapped", row.wrapped)):
            for position in range(len(whole)):
                self.overwrite("a", **{part: whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]})
                self.assertRaises(LocalError, self.vault.get, "a")
            self.overwrite("a", **{part: whole})

    def test_a_shortened_secret_is_noticed(self) -> None:
        self.vault.put("a", SECRET)
        row = self.row("a")
        for size in range(len(row.sealed)):
            self.assertRaises(LocalError, self.vault.open, attrs.evolve(row, sealed=row.sealed[:size]))
        for size in range(len(row.wrapped)):
            self.assertRaises(LocalError, self.vault.open, attrs.evolve(row, wrapped=row.wrapped[:size]))

    def test_each_says_which_master_key_it_needs(self) -> None:
        self.vault.put("a", SECRET)
        self.assertEqual(self.row("a").key_id, key_id(KEY))
        self.assertNotIn(KEY.hex()[:8], key_id(KEY))

    def test_one_from_before_keys_had_names(self) -> None:
        self.vault.put("a", SECRET)
        self.overwrite("a", key_id="")
        self.assertEqual(self.vault.get("a"), SECRET)
        self.vault.check(thoroughly=True)
        with self.assertRaisesRegex(ConfigurationError, "another state directory"):
            self.open(bytes(32)).vault.check()
        self.assertEqual(self.vault.rekey(), 1)
        self.assertEqual((self.row("a").key_id, self.vault.get("a")), (key_id(KEY), SECRET))

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
        self.assertEqual(LONE.open(LONE.seal(name, text)), text)

    @given(st.binary(max_size=200))
    def test_any_bytes_that_were_never_sealed_are_refused(self, junk: bytes) -> None:
        real = LONE.seal("a", b"text")
        self.assertRaises(LocalError, LONE.open, attrs.evolve(real, sealed=junk))
        for named in (real.key_id, "", "strange"):
            self.assertRaises(LocalError, LONE.open, attrs.evolve(real, wrapped=junk, key_id=named))


@on_both
class Checking(StoreCase):
    """What a start looks at."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("trunk/a/digest", "trunk/b/digest", "trunk/c/digest"):
            self.repository.vault.put(name, SECRET)

    def test_all_is_well(self) -> None:
        self.open().vault.check(thoroughly=True)

    def test_another_key_is_named_and_so_is_the_right_one(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, f"{key_id(bytes(32))}, and .* put with {key_id(KEY)}; put the right one"):
            self.open(bytes(32)).vault.check()

    def test_one_byte_of_one_row(self) -> None:
        with self.repository.engine.begin() as connection:
            row = connection.execute(select(schema.secret).where(schema.secret.c.name == "trunk/b/digest")).one()
            spoilt = bytes([row.sealed[0] ^ 1]) + row.sealed[1:]
            connection.execute(update(schema.secret).where(schema.secret.c.name == row.name).values(sealed=spoilt))
        with self.assertRaisesRegex(ConfigurationError, "trunk/b/digest cannot be opened; bring the database back"):
            self.repository.vault.check(thoroughly=True)
        self.repository.vault.check()  # so that a command can make a new one


@on_both
class Rekeying(StoreCase):
    """From KEY to another, with somebody reading."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "vault.key"
        self.path.touch(0o600)
        self.path.write_bytes(KEY)
        self.vault, self.reader = (Vault(self.repository.engine, local_keys(self.path, {}, create=False)) for _ in range(2))
        self.names = [f"trunk/{n:03d}/digest" for n in range(AT_ONCE + 50)]
        for name in self.names:
            self.vault.put(name, name.encode())

    def ids(self) -> set[str]:
        with self.repository.engine.connect() as connection:
            return set(connection.execute(select(schema.secret.c.key_id)).scalars())

    def texts(self) -> list[bytes]:
        with self.repository.engine.connect() as connection:
            return list(connection.execute(select(schema.secret.c.sealed).order_by(schema.secret.c.name)).scalars())

    def readable(self, vault: Vault) -> bool:
        found = {name: text for start in (0, 200) for name, text in vault.get_many(self.names[start : start + 200]).items()}
        return found == {name: name.encode() for name in self.names}

    def interrupt(self) -> None:
        """A rekey that dies after its first portion."""
        portions = self.vault._portions()

        def first() -> object:
            yield next(portions)
            raise KeyboardInterrupt

        with mock.patch.object(self.vault, "_portions", first):
            self.assertRaises(KeyboardInterrupt, self.vault.rekey)

    def test_everything_is_under_the_new_key_and_its_text_is_what_it_was(self) -> None:
        sealed = self.texts()
        self.assertEqual(self.vault.rekey(), len(self.names))
        self.assertNotEqual(self.path.read_bytes(), KEY)
        self.assertEqual(self.ids(), {key_id(self.path.read_bytes())})
        self.assertTrue(self.readable(self.reader))
        self.assertEqual(self.texts(), sealed)

    def test_in_the_middle_of_it_a_running_platform_reads_both(self) -> None:
        self.interrupt()
        self.assertEqual(len(self.ids()), 2)
        self.assertTrue(self.readable(self.reader))
        self.assertTrue(self.readable(Vault(self.repository.engine, local_keys(self.path, {}, create=False))))

    def test_what_was_interrupted_is_gone_on_with_by_another_process(self) -> None:
        self.interrupt()
        fresh = (self.folder / "vault.key.next").read_bytes()
        other = Vault(self.repository.engine, local_keys(self.path, {}, create=False))
        self.assertEqual(other.rekey(), len(self.names) - AT_ONCE)
        self.assertEqual((self.path.read_bytes(), self.ids()), (fresh, {key_id(fresh)}))
        self.assertFalse((self.folder / "vault.key.next").exists())
        self.assertTrue(self.readable(self.reader))

    def test_what_is_put_meanwhile_is_under_the_new_key(self) -> None:
        self.interrupt()
        self.reader.put(self.names[-1], self.names[-1].encode())
        self.assertEqual(self.vault.rekey(), len(self.names) - AT_ONCE - 1)
        self.assertTrue(self.readable(self.reader))

    def test_what_somebody_put_late_under_the_old_key_is_read_and_wrapped_anew_the_next_time(self) -> None:
        late = self.open().vault  # has the old key only
        self.vault.rekey()
        late.put(self.names[7], self.names[7].encode())
        self.assertTrue(self.readable(self.reader))
        self.assertEqual(self.vault.rekey(), 1)
        self.assertEqual(len(self.ids()), 1)

    def test_again_makes_another_key(self) -> None:
        self.vault.rekey()
        first = self.path.read_bytes()
        self.assertEqual(self.vault.rekey(), len(self.names))
        self.assertNotEqual(self.path.read_bytes(), first)
        self.assertTrue(self.readable(self.reader))

    def test_one_that_cannot_be_opened_keeps_the_old_key(self) -> None:
        with self.repository.engine.begin() as connection:
            connection.execute(update(schema.secret).where(schema.secret.c.name == self.names[3]).values(wrapped=bytes(60)))
        with self.assertRaisesRegex(ConfigurationError, f"{self.names[3]} cannot be opened"):
            self.vault.rekey()
        self.assertEqual(self.path.read_bytes(), KEY)

    def test_keys_of_the_environment_the_first_one_wraps(self) -> None:
        new = bytes(range(32, 64))
        both = local_keys(self.path, {VARIABLE: f"{new.hex()},{b64encode(KEY).decode()}"}, create=False)
        self.assertEqual(Vault(self.repository.engine, both).rekey(), len(self.names))
        self.assertEqual(self.ids(), {key_id(new)})
        self.assertTrue(self.readable(Vault(self.repository.engine, new)))
        self.assertEqual(self.path.read_bytes(), KEY)
