"""Master keys, which live outside the database: in a file, the environment, or what systemd hands over.

A key is 32 bytes, as they are or in hexadecimal or base64.  Where several are given the first one wraps; all of them open.
Beside a file there may be FILE.next, the key that a rekey is going over to, and FILE.previous, the one it came from.
"""

from __future__ import annotations

import binascii
import hmac
import os
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from zope.interface import implementer

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IMasterKey

SIZE, NONCE = 32, 12
VARIABLE, CREDENTIAL = "SMARTALEX_VAULT_KEY", "vault.key"
"""The environment's variable, and the credential's name: LoadCredential=vault.key:/path."""


@attrs.frozen
class Wrapped:
    """A data key as the database has it; `bound` is the name of its secret."""

    key_id: str
    wrapped: bytes
    bound: bytes


@implementer(IMasterKey)
class LocalKeys:
    """`read` gives all keys there are now, the one that wraps first; it is asked again for a key that is not known."""

    def __init__(self, read: Callable[[], Sequence[bytes]], where: str, file: KeyFile | None = None) -> None:
        self.where = where
        self._read = read
        self._file = file
        self._lock = Lock()
        self._known: dict[str, AESGCM] = {}
        self.id = ""
        self._learn()

    def __repr__(self) -> str:
        return f"<LocalKeys {self.id}>"

    def wrap(self, data_key: bytes, bound: bytes) -> tuple[str, bytes]:
        self._learn()
        nonce = os.urandom(NONCE)
        return self.id, nonce + self._known[self.id].encrypt(nonce, data_key, bound)

    def unwrap(self, given: Sequence[Wrapped]) -> list[bytes | None]:
        if any(one.key_id not in self._known for one in given):
            self._learn()
        return [self._opened(one) for one in given]

    def knows(self, key_id: str) -> bool:
        if key_id not in self._known:
            self._learn()
        return not key_id or key_id in self._known

    def renew(self) -> None:
        if self._file is not None:
            self._file.begin()
            self._learn()

    def settle(self) -> None:
        if self._file is not None:
            self._file.finish()

    def _learn(self) -> None:
        with self._lock:
            keys = {key_id(key): AESGCM(key) for key in self._read()}
            self._known.update(keys)
            self.id = next(iter(keys))

    def _opened(self, one: Wrapped) -> bytes | None:
        """Before secrets had one, their key had no id."""
        keys = [self._known.get(one.key_id)] if one.key_id else list(self._known.values())
        for key in filter(None, keys):
            try:
                return key.decrypt(one.wrapped[:NONCE], one.wrapped[NONCE:], one.bound)
            except (InvalidTag, ValueError):
                continue
        return None


@implementer(IMasterKey)
class Succession:
    """`master` wraps; what `earlier` has wrapped can still be opened."""

    def __init__(self, master: IMasterKey, earlier: IMasterKey) -> None:
        self.where = master.where
        self._master, self._earlier = master, earlier

    def __repr__(self) -> str:
        return f"<Succession {self._earlier!r} {self._master!r}>"

    @property
    def id(self) -> str:
        return str(self._master.id)

    def wrap(self, data_key: bytes, bound: bytes) -> tuple[str, bytes]:
        wrapped: tuple[str, bytes] = self._master.wrap(data_key, bound)
        return wrapped

    def unwrap(self, given: Sequence[Wrapped]) -> list[bytes | None]:
        theirs = [one for one in given if one.key_id and self._master.knows(one.key_id)]
        opened = dict(zip(theirs, self._master.unwrap(theirs), strict=True)) if theirs else {}
        ours = [one for one in given if one not in opened]
        opened.update(zip(ours, self._earlier.unwrap(ours), strict=True))
        return [opened[one] for one in given]

    def knows(self, key_id: str) -> bool:
        return bool(self._master.knows(key_id) or self._earlier.knows(key_id))

    def renew(self) -> None:
        self._master.renew()

    def settle(self) -> None:
        self._master.settle()


@attrs.frozen
class KeyFile:
    path: Path

    @property
    def next(self) -> Path:
        return self.path.with_name(self.path.name + ".next")

    @property
    def previous(self) -> Path:
        return self.path.with_name(self.path.name + ".previous")

    def begin(self) -> None:
        """A new key beside the old, unless an interrupted rekey has made it."""
        if not self.next.exists():
            _write(self.next, os.urandom(SIZE))

    def finish(self) -> None:
        """The new one takes the old one's place; at no time there is none."""
        if self.next.exists():
            self.previous.unlink(missing_ok=True)
            os.link(self.path, self.previous)
            os.replace(self.next, self.path)
            _settle(self.path.parent)

    def keys(self) -> list[bytes]:
        """Newest first."""
        found = [key for path in (self.next, self.path, self.previous) if path.exists() for key in self._read(path)]
        if not found:
            raise ConfigurationError(_gone(self.path))
        return found

    def _read(self, path: Path) -> list[bytes]:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path}: others may read the vault's master key; say: chmod 600 {path}")
        return keys_of(path.read_bytes(), str(path))


def local_keys(file: Path, environ: Mapping[str, str], *, create: bool, chosen: bool = False) -> LocalKeys:
    """From `file` where it was `chosen`, else the environment, else systemd, else `file`, which is made when `create`.

    Raises ConfigurationError that says what is wrong with it.
    """
    handed = Path(environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / CREDENTIAL
    if not chosen and environ.get(VARIABLE):
        given = keys_of(environ[VARIABLE].encode(), VARIABLE)
        return LocalKeys(lambda: given, VARIABLE)
    if not chosen and handed.exists():
        return LocalKeys(lambda: keys_of(handed.read_bytes(), str(handed)), str(handed))
    if not file.exists() and not KeyFile(file).next.exists():
        if not create:
            raise ConfigurationError(_gone(file))
        _write(file, os.urandom(SIZE))
    return LocalKeys(KeyFile(file).keys, str(file), KeyFile(file))


def given_keys(*keys: bytes) -> LocalKeys:
    """The first one wraps."""
    return LocalKeys(lambda: keys, "the keys given")


def keys_of(content: bytes, where: str) -> list[bytes]:
    """32 bytes, or some in text, between commas or blanks; raises ConfigurationError."""
    if len(content) == SIZE:
        return [content]
    keys = [_key(word) for word in re.split(rb"[\s,]+", content.strip()) if word]
    good = [key for key in keys if key is not None]
    if not good or len(good) != len(keys):
        raise ConfigurationError(f"{where}: a master key has 32 bytes, as they are or in base64 or hex; {_wrong(content)}")
    return good


def key_id(key: bytes) -> str:
    """Names a key and says nothing about it."""
    return "local:" + hmac.digest(key, b"smartalex master key", "sha256")[:6].hex()


def _wrong(content: bytes) -> str:
    return f"this has {len(content)} bytes"


def _key(word: bytes) -> bytes | None:
    for decode in (bytes.fromhex, lambda text: b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)):
        try:
            found: bytes = decode(word.decode("ascii").replace("+", "-").replace("/", "_"))
        except (ValueError, binascii.Error):
            continue
        if len(found) == SIZE:
            return found
    return None


def _gone(path: Path) -> str:
    return f"{path}: the vault's master key is missing; put it back, the secrets in the database cannot be read without it"


def _write(path: Path, key: bytes) -> None:
    """Whole or not at all, for its owner only."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names(ids: Iterable[str]) -> str:
    return ", ".join(sorted(one or "one without a name" for one in ids))
