"""The vault: AES-256-GCM with a data key per secret, wrapped by a master key that lives outside the database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, delete, func, select, update
from zope.interface import implementer

from smartalex.errors import ConfigurationError, LocalError
from smartalex.interfaces import IMasterKey, ISecretStore
from smartalex.store import schema
from smartalex.store.engine import transaction
from smartalex.store.keys import NONCE, Wrapped, given_keys, names

AT_ONCE = 200
"""Secrets that are opened, or wrapped anew in one transaction."""


@attrs.frozen
class Sealed:
    """A row: the data key as the master key wrapped it, and nonce and text sealed by the data key; both bound to the name."""

    name: str
    sealed: bytes = attrs.field(repr=False)
    key_id: str
    wrapped: bytes = attrs.field(repr=False)

    @property
    def key(self) -> Wrapped:
        return Wrapped(self.key_id, self.wrapped or b"", self.name.encode())


@implementer(ISecretStore)
class Vault:
    """`master` is an IMasterKey, or the 32 bytes of one."""

    def __init__(self, engine: Engine, master: IMasterKey | bytes) -> None:
        self._engine = engine
        self.master: IMasterKey = given_keys(master) if isinstance(master, bytes) else master

    def __repr__(self) -> str:
        return "<Vault>"

    def put(self, name: str, plaintext: bytes) -> None:
        sealed = attrs.asdict(self.seal(name, plaintext))
        with transaction(self._engine) as connection:
            connection.execute(delete(schema.secret).where(schema.secret.c.name == name))
            connection.execute(schema.secret.insert().values(**sealed))

    def get(self, name: str) -> bytes:
        with self._engine.connect() as connection:
            row = connection.execute(_ROWS.where(schema.secret.c.name == name)).first()
        if row is None:
            raise KeyError(name)
        return self.open(Sealed(*row))

    def get_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Of some hundreds at most, those that are there and can be opened; `get` says what is wrong with another."""
        with self._engine.connect() as connection:
            rows = connection.execute(_ROWS.where(schema.secret.c.name.in_(names))).all()
        return {sealed.name: text for sealed, text in self._opened([Sealed(*row) for row in rows]) if text is not None}

    def delete(self, name: str) -> None:
        with transaction(self._engine) as connection:
            connection.execute(delete(schema.secret).where(schema.secret.c.name == name))

    def seal(self, name: str, plaintext: bytes) -> Sealed:
        data_key, nonce = os.urandom(32), os.urandom(NONCE)
        bound = name.encode()
        key_id, wrapped = self.master.wrap(data_key, bound)
        return Sealed(name, nonce + AESGCM(data_key).encrypt(nonce, plaintext, bound), key_id, wrapped)

    def open(self, sealed: Sealed) -> bytes:
        """Raises LocalError when the key is another or a byte was changed."""
        ((_, text),) = self._opened([sealed])
        if text is None:
            raise LocalError(f"secret {sealed.name!r} cannot be opened: another master key, or it was tampered with")
        return text

    def _opened(self, rows: Sequence[Sealed]) -> Iterator[tuple[Sealed, bytes | None]]:
        for row, data_key in zip(rows, self.master.unwrap([row.key for row in rows]), strict=True):
            try:
                text = data_key and AESGCM(data_key).decrypt(row.sealed[:NONCE], row.sealed[NONCE:], row.name.encode())
            except (InvalidTag, ValueError):
                text = None
            yield row, text

    # ------------------------------------------------------------------ all of them

    def check(self, *, thoroughly: bool = False) -> None:
        """Raises ConfigurationError: they were put with a key that is not here or, looked at one by one, some are spoilt."""
        with self._engine.connect() as connection:
            used = set(connection.execute(select(schema.secret.c.key_id).distinct()).scalars())
        strange = {key_id for key_id in used if not self.master.knows(key_id)}
        if strange:
            raise ConfigurationError(
                f"{self.master.where}: this is the master key of another state directory: {self.master.id}, and the secrets"
                f" were put with {names(strange)}; put the right one back"
            )
        spoilt, whole = [], 0
        for rows in self._portions() if thoroughly or "" in used else ():
            for row, text in self._opened(rows):
                spoilt += [row.name] if text is None else []
                whole += text is not None
        if spoilt and not whole:
            raise ConfigurationError(
                f"{self.master.where}: this is the master key of another state directory, or every secret was tampered with;"
                " put the right one back"
            )
        if spoilt and thoroughly:
            raise ConfigurationError(_spoilt(spoilt))

    def rekey(self) -> int:
        """Wrap every data key with the newest master key, or one made now; returns how many.  Whoever reads meanwhile can.

        What an interrupted one has left is gone on with.  Raises ConfigurationError, and keeps the old key, when one cannot be
        opened.
        """
        if not self._outdated():
            self.master.renew()
        count, spoilt = 0, []
        for rows in self._portions():
            old = [row for row in rows if row.key_id != self.master.id]
            keys = list(zip(old, self.master.unwrap([row.key for row in old]), strict=True))
            spoilt += [row.name for row, data_key in keys if data_key is None]
            fresh = [(row, *self.master.wrap(key, row.name.encode())) for row, key in keys if key is not None]
            with transaction(self._engine) as connection:
                for row, key_id, wrapped in fresh:
                    same = (schema.secret.c.name == row.name) & (schema.secret.c.wrapped == row.wrapped)
                    changed = connection.execute(update(schema.secret).where(same).values(key_id=key_id, wrapped=wrapped))
                    count += changed.rowcount
        if spoilt:
            raise ConfigurationError(_spoilt(spoilt))
        self.master.settle()
        return count

    def _outdated(self) -> bool:
        """Whether some are still under another key than the one that wraps."""
        with self._engine.connect() as connection:
            return connection.execute(_ROWS.where(schema.secret.c.key_id != self.master.id).limit(1)).first() is not None

    def _portions(self) -> Iterator[list[Sealed]]:
        last = ""
        while True:
            with self._engine.connect() as connection:
                found = connection.execute(_ROWS.where(schema.secret.c.name > last).order_by(schema.secret.c.name).limit(AT_ONCE))
                rows = [Sealed(*row) for row in found]
            if not rows:
                return
            yield rows
            last = rows[-1].name


def holds_secrets(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(select(func.count()).select_from(schema.secret)).scalar())


def _spoilt(names: list[str]) -> str:
    few = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"the vault was tampered with, or the database is damaged: {few} cannot be opened; bring the database back from a backup,"
        " or make new ones with: smartalex secret rotate TRUNK, smartalex trunks set TRUNK --register-password-stdin"
    )


_ROWS: Any = select(schema.secret.c.name, schema.secret.c.sealed, schema.secret.c.key_id, schema.secret.c.wrapped)
