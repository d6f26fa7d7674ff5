"""Digest credentials in the vault: those we issue, shown once and kept as HA1s, and those we were given."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence

from smartalex.interfaces import ISecretStore
from smartalex.sip.digest import HASHES, Secret, ha1

LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Letters and digits nobody mistakes for one another."""

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


OLD, UNTIL = "old:", "old:until"
"""What begins the keys of an earlier password's HA1s, and when that ends."""


NEVER = {OLD + algorithm: ha1("", "", secrets.token_hex(), algorithm) for algorithm in HASHES} | {UNTIL: f"{0:017.6f}"}


class Password(str):
    """One that is about to be shown, once, to who asked for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


class Kept(dict[str, str]):
    """What digest needs of passwords."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


def new_username() -> str:
    return "sa_" + "".join(secrets.choice(BASE32) for _ in range(12))


def issue(vault: ISecretStore, trunk_id: str, username: str, realm: str, *, until: float = 0.0) -> Password:
    """A new password for the trunk: the only time anybody sees it.  The one it has had opens `until` then (Unix seconds)."""
    password = Password("".join(secrets.choice(LETTERS) for _ in range(24)))
    kept = {"realm": realm, **{algorithm: ha1(username, realm, password, algorithm) for algorithm in HASHES}}
    if until:
        before = read(vault, trunk_id)
        kept |= {OLD + algorithm: before[algorithm] for algorithm in HASHES if algorithm in before}
        kept[UNTIL] = f"{until:017.6f}"
    vault.put(_name(trunk_id), json.dumps(kept).encode())
    return password


def read(vault: ISecretStore, trunk_id: str) -> Mapping[str, str]:
    """HA1 by algorithm, and 'realm'; those of an earlier password under OLD.  Raises KeyError when none was issued."""
    return Kept(json.loads(vault.get(_name(trunk_id))))


def shaped(kept: Mapping[str, str]) -> Mapping[str, str]:
    """With something in the place of an earlier password where there was none: to look at all takes the same time."""
    return Kept({**NEVER, **kept})


def drop_old(vault: ISecretStore, trunk_id: str) -> bool:
    """The earlier password opens nothing any more; False when there was none."""
    kept = read(vault, trunk_id)
    if UNTIL in kept:
        vault.put(_name(trunk_id), json.dumps({key: held for key, held in kept.items() if not key.startswith(OLD)}).encode())
    return UNTIL in kept


def read_many(vault: ISecretStore, trunk_ids: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """As `read` and `shaped`, of as many of them as a vault that can hand out many at once (`get_many`) has."""
    many = getattr(vault, "get_many", None)
    if many is None:
        return {}
    names = {_name(trunk_id): trunk_id for trunk_id in trunk_ids}
    return {names[name]: shaped(json.loads(kept)) for name, kept in many(list(names)).items()}


def forget(vault: ISecretStore, trunk_id: str) -> None:
    vault.delete(_name(trunk_id))


def put_register(vault: ISecretStore, trunk_id: str, password: str) -> None:
    """The password of our extension on this trunk's PBX: in plain, for the PBX's realm is not known before it asks."""
    vault.put(_register_name(trunk_id), password.encode())


def read_register(vault: ISecretStore, trunk_id: str) -> Secret:
    """Raises KeyError when none was given."""
    return Secret(vault.get(_register_name(trunk_id)).decode())


def forget_register(vault: ISecretStore, trunk_id: str) -> None:
    vault.delete(_register_name(trunk_id))


def _name(trunk_id: str) -> str:
    return f"trunk/{trunk_id}/digest"


def _register_name(trunk_id: str) -> str:
    return f"trunk/{trunk_id}/register"
