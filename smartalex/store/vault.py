"""Secrets at rest: AES-256-GCM, a data key for each secret, the data keys wrapped by the master key of a file."""

from __future__ import annotations

import os
import secrets
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, delete, func, insert, select
from zope.interface import implementer

from smartalex.errors import ConfigurationError, LocalError
from smartalex.interfaces import ISecretStore
from smartalex.store.engine import writing
from smartalex.store.schema import secret

KEY_BYTES = 32
NONCE_BYTES = 12


class Secret:
    """Text that is shown once, by whoever calls `reveal`; never in a repr or a log."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


@implementer(ISecretStore)
class Vault:
    """`key` is the master key, 32 bytes; `tokens(n)` gives n random bytes."""

    __slots__ = ("_engine", "_master", "_tokens")

    def __init__(self, engine: Engine, key: bytes, tokens: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._engine = engine
        self._master = AESGCM(key)
        self._tokens = tokens

    def __repr__(self) -> str:
        return "<vault>"

    def put(self, name: str, plaintext: bytes) -> None:
        data_key = self._tokens(KEY_BYTES)
        row = {
            "name": name,
            "wrapped_key": self._seal(self._master, data_key, _wrapping(name)),
            "sealed": self._seal(AESGCM(data_key), plaintext, name.encode()),
        }
        with writing(self._engine) as connection:
            connection.execute(delete(secret).where(secret.c.name == name))
            connection.execute(insert(secret), row)

    def get(self, name: str) -> bytes:
        with self._engine.connect() as connection:
            row = connection.execute(select(secret).where(secret.c.name == name)).first()
        if row is None:
            raise KeyError(name)
        try:
            data_key = self._open(self._master, row.wrapped_key, _wrapping(name))
            return self._open(AESGCM(data_key), row.sealed, name.encode())
        except (InvalidTag, ValueError):
            raise LocalError(
                f"secret {name!r} cannot be opened: it was altered, or the vault key is not the one it was kept with"
            ) from None

    def delete(self, name: str) -> None:
        with writing(self._engine) as connection:
            connection.execute(delete(secret).where(secret.c.name == name))

    def _seal(self, cipher: AESGCM, plaintext: bytes, bound_to: bytes) -> bytes:
        nonce = self._tokens(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plaintext, bound_to)

    @staticmethod
    def _open(cipher: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)


def _wrapping(name: str) -> bytes:
    """What a wrapped key is bound to: never the same bytes as the secret itself."""
    return b"key of " + name.encode()


def open_vault(engine: Engine, path: Path) -> Vault:
    """The vault with the key of `path`, created 0600 where there is none.

    ConfigurationError when others may read the key, when it is no key, or when
    it is missing although secrets are kept: a new key would lose them.
    """
    try:
        key = read_key(path)
    except FileNotFoundError:
        with engine.connect() as connection:
            kept = connection.execute(select(func.count()).select_from(secret)).scalar_one()
        if kept:
            raise ConfigurationError(
                f"vault.key_file: {path} is missing and {kept} secrets need it; bring it back from your backup"
            ) from None
        key = create_key(path)
    return Vault(engine, key)


def read_key(path: Path) -> bytes:
    """FileNotFoundError where there is none."""
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"vault.key_file: {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"vault.key_file: {path} can be read by others; say: chmod 600 {path}")
    try:
        key = b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"vault.key_file: {path} is not a vault key; bring it back from your backup")
    return key


def create_key(path: Path) -> bytes:
    """On the disk for good before it is used for anything."""
    key = AESGCM.generate_key(KEY_BYTES * 8)
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise ConfigurationError(f"vault.key_file: {path} cannot be created: {error.strerror}") from None
    return key
