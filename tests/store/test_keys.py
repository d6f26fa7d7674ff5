"""Where the master key comes from, and what is said of one that cannot be used."""

import os
import stat
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from zope.interface.verify import verifyObject

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IMasterKey
from smartalex.store.keys import VARIABLE, LocalKeys, Succession, Wrapped, given_keys, key_id, keys_of, local_keys

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


class KeyCase(TestCase):
    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.path = self.folder / "vault.key"

    def keys(self, environ: dict[str, str] | None = None, *, create: bool = False, chosen: bool = False) -> LocalKeys:
        return local_keys(self.path, environ or {}, create=create, chosen=chosen)

    def write(self, content: bytes, name: str = "vault.key") -> None:
        (self.folder / name).touch(0o600)
        (self.folder / name).write_bytes(content)


class File(KeyCase):
    def test_made_once_readable_by_its_owner_only(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        made = self.keys(create=True).id
        self.assertEqual((self.path.stat().st_size, stat.S_IMODE(self.path.stat().st_mode)), (32, 0o600))
        self.assertEqual(self.keys(create=True).id, made)

    def test_a_key_others_can_read_is_refused_with_the_remedy(self) -> None:
        self.keys(create=True)
        for mode in (0o640, 0o604, 0o620, 0o602):
            self.path.chmod(mode)
            with self.assertRaisesRegex(ConfigurationError, f"chmod 600 {self.path}"):
                self.keys()

    def test_a_missing_key_is_not_replaced_once_there_are_secrets(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "master key is missing; put it back"):
            self.keys()
        self.assertFalse(self.path.exists())

    def test_a_key_of_another_length(self) -> None:
        self.write(b"short")
        with self.assertRaisesRegex(ConfigurationError, "32 bytes.*this has 5 bytes"):
            self.keys()

    def test_in_text(self) -> None:
        for text in (KEY.hex(), KEY.hex().upper() + "\n", b64encode(KEY).decode(), urlsafe_b64encode(KEY).decode().rstrip("=")):
            self.write(text.encode())
            self.assertEqual(self.keys().id, key_id(KEY), text)


class Elsewhere(KeyCase):
    def test_the_environment_before_systemd_before_the_file(self) -> None:
        third = bytes(range(64, 96))
        self.write(third)
        handed = self.folder / "credentials"
        handed.mkdir()
        self.write(OTHER, "credentials/vault.key")
        both = {VARIABLE: KEY.hex(), "CREDENTIALS_DIRECTORY": str(handed)}
        self.assertEqual((self.keys(both).id, self.keys(both).where), (key_id(KEY), VARIABLE))
        del both[VARIABLE]
        self.assertEqual((self.keys(both).id, self.keys(both).where), (key_id(OTHER), str(handed / "vault.key")))
        self.assertEqual(self.keys(both, chosen=True).id, key_id(third))

    def test_no_file_is_made_where_it_comes_from_elsewhere(self) -> None:
        self.keys({VARIABLE: KEY.hex()}, create=True)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_what_is_no_key_is_not_shown(self) -> None:
        with self.assertRaises(ConfigurationError) as caught:
            self.keys({VARIABLE: "hunter2hunter2"})
        self.assertIn(VARIABLE, str(caught.exception))
        self.assertNotIn("hunter2", str(caught.exception))

    def test_several(self) -> None:
        self.assertEqual(keys_of(f"{KEY.hex()}, {b64encode(OTHER).decode()}\n".encode(), "x"), [KEY, OTHER])
        for wrong in (b"", b",", KEY.hex().encode() + b",nonsense"):
            self.assertRaises(ConfigurationError, keys_of, wrong, "x")


class Wrapping(TestCase):
    def test_they_provide_their_interface_and_do_not_show_themselves(self) -> None:
        for keys in (given_keys(KEY), Succession(given_keys(OTHER), given_keys(KEY))):
            self.assertTrue(verifyObject(IMasterKey, keys))
            for shown in (repr(keys), keys.id):
                self.assertNotIn(KEY.hex()[:8], shown)

    def test_one_after_another(self) -> None:
        earlier, master = given_keys(KEY), given_keys(OTHER)
        old = Wrapped(*earlier.wrap(bytes(32), b"a"), b"a")
        both = Succession(master, earlier)
        new = Wrapped(*both.wrap(bytes(31) + b"1", b"b"), b"b")
        self.assertEqual((old.key_id, new.key_id, both.id), (key_id(KEY), key_id(OTHER), key_id(OTHER)))
        self.assertEqual(both.unwrap([new, old]), [bytes(31) + b"1", bytes(32)])
        self.assertEqual([both.knows(one) for one in (old.key_id, new.key_id, "local:ffffffffffff")], [True, True, False])
