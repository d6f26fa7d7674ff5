"""SIP credentials that we issue: shown once, kept as HA1 in the vault, the password not at all."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable

import attrs

from smartalex.interfaces import ISecretStore
from smartalex.store.repository import Repository, credential_name
from smartalex.store.vault import Secret

PASSWORD_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Nothing that is read for something else: no l, o, I, O, 0, 1."""

USERNAME_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"

Below = Callable[[int], int]
"""n -> a random integer from 0 to n - 1."""


@attrs.frozen
class Issued:
    """What the customer types into the PBX."""

    trunk: str
    username: str
    password: Secret


def ha1s(username: str, realm: str, password: str) -> dict[str, str]:
    """H(username:realm:password) by algorithm (RFC 7616 3.4.2)."""
    text = f"{username}:{realm}:{password}".encode()
    return {"MD5": hashlib.md5(text).hexdigest(), "SHA-256": hashlib.sha256(text).hexdigest()}


def new_username(below: Below = secrets.randbelow) -> str:
    return "sa_" + "".join(USERNAME_LETTERS[below(len(USERNAME_LETTERS))] for _ in range(12))


def issue(vault: ISecretStore, realm: str, trunk_id: str, username: str, below: Below = secrets.randbelow) -> Issued:
    """A new password for `username`; the vault holds its HA1s when this returns."""
    password = "".join(PASSWORD_LETTERS[below(len(PASSWORD_LETTERS))] for _ in range(24))
    kept = {"realm": realm, "ha1s": ha1s(username, realm, password)}
    vault.put(credential_name(trunk_id), json.dumps(kept).encode())
    return Issued(trunk_id, username, Secret(password))


def rotate(repository: Repository, vault: ISecretStore, realm: str, trunk_name: str) -> Issued:
    """A new password for a trunk, named by id or name; the old one is void once the service has read the new revision.

    LookupError when there is no such trunk.  A trunk that had no username gets one.
    """
    trunk = repository.find_trunk(trunk_name)
    username = trunk.username or new_username()
    issued = issue(vault, realm, trunk.id, username)
    repository.set_username(trunk.id, username)
    return issued
