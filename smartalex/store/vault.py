"""The vault: AES-256-GCM with a data key per secret, wrapped by a master key that lives outside the database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, delete, func, select
from zope.interface import implementer

from smartalex.errors import ConfigurationError, LocalError
from smartalex.interfaces import ISecretStore
from smartalex.store import schema
from smartalex.store.engine import transaction

NONCE = 12
WRAPPED = 32 + 16


def master_key(path: Path, *, create: bool) -> bytes:
    """The 32 bytes in `path` (mode 0600); made when `create`, else its absence is a ConfigurationError."""
    if not path.exists():
        if not create:
            raise ConfigurationError(
                f"{path}: the vault's master key is missing; put it back, the secrets in the database cannot be read without it"
            )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"{path}: others may read the vault's master key; say: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != 32:
        raise ConfigurationError(f"{path}: a master key has 32 bytes, this file has {len(key)}")
    return key


@implementer(ISecretStore)
class Vault:
    """Each row: nonce, data key sealed by the master key, nonce, text sealed by the data key; both bound to the name."""

    def __init__(self, engine: Engine, key: bytes) -> None:
        self._engine = engine
        self._master = AESGCM(key)

    def __repr__(self) -> str:
        return "<Vault>"

    def put(self, name: str, plaintext: bytes) -> None:
        sealed = self.seal(name, plaintext)
        with transaction(self._engine) as connection:
            connection.execute(delete(schema.secret).where(schema.secret.c.name == name))
            connection.execute(schema.secret.insert().values(name=name, sealed=sealed))

    def get(self, name: str) -> bytes:
        with self._engine.connect() as connection:
            sealed = connection.execute(select(schema.secret.c.sealed).where(schema.secret.c.name == name)).scalar()
        if sealed is None:
            raise KeyError(name)
        return self.open(name, sealed)

    def get_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Of some hundreds at most, those that are there and can be opened; `get` says what is wrong with another."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(schema.secret).where(schema.secret.c.name.in_(names))).all()
        found = {}
        for name, sealed in rows:
            with suppress(LocalError):
                found[name] = self.open(name, sealed)
        return found

    def fits(self) -> bool:
        """Whether our master key is the one that the secrets were put with."""
        with self._engine.connect() as connection:
            row = connection.execute(select(schema.secret).limit(1)).first()
        try:
            if row is not None:
                self.open(*row)
        except LocalError:
            return False
        return True

    def delete(self, name: str) -> None:
        with transaction(self._engine) as connection:
            connection.execute(delete(schema.secret).where(schema.secret.c.name == name))

    def seal(self, name: str, plaintext: bytes) -> bytes:
        data_key, outer, inner = os.urandom(32), os.urandom(NONCE), os.urandom(NONCE)
        bound = name.encode()
        return outer + self._master.encrypt(outer, data_key, bound) + inner + AESGCM(data_key).encrypt(inner, plaintext, bound)

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises LocalError when the key is another or a byte was changed."""
        bound = name.encode()
        outer, wrapped, rest = sealed[:NONCE], sealed[NONCE : NONCE + WRAPPED], sealed[NONCE + WRAPPED :]
        try:
            data_key = self._master.decrypt(outer, wrapped, bound)
            return AESGCM(data_key).decrypt(rest[:NONCE], rest[NONCE:], bound)
        except (InvalidTag, ValueError):
            raise LocalError(f"secret {name!r} cannot be opened: another master key, or it was tampered with") from None


def holds_secrets(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(select(func.count()).select_from(schema.secret)).scalar())
