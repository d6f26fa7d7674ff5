"""HashiCorp Vault, or OpenBao, as the master key: data keys are wrapped by its transit engine and the key never leaves it."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zope.interface import implementer

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IMasterKey
from smartalex.store.keys import Wrapped

ADDRESS, TOKEN = "VAULT_ADDR", "VAULT_TOKEN"
TIMEOUT_S = 5.0


class KeyServerUnreachable(ConfigurationError):
    """It may come back: what is known goes on being true."""


@implementer(IMasterKey)
class TransitKey:
    """`engine` is hvac's transit engine.  A key's id is "transit:NAME:vVERSION"; the newest version wraps, all of them open."""

    def __init__(self, engine: Any, key: str, mount: str, where: str) -> None:
        self.where = where
        self._engine, self._key, self._mount = engine, key, mount
        self.id = self._newest()

    def __repr__(self) -> str:
        return f"<TransitKey {self.id}>"

    def wrap(self, data_key: bytes, bound: bytes) -> tuple[str, bytes]:
        text = b64encode(data_key).decode()
        answer = self._asked(lambda: self._engine.encrypt_data(self._key, plaintext=text, mount_point=self._mount))
        wrapped = str(answer["data"]["ciphertext"])
        self.id = f"transit:{self._key}:{wrapped.split(':')[1]}"
        return self.id, wrapped.encode()

    def unwrap(self, given: Sequence[Wrapped]) -> list[bytes | None]:
        """One question for all of them; if it takes not all, one by one."""
        if not given:
            return []
        if not all(map(_sound, given)):
            return [self.unwrap([one])[0] if _sound(one) else None for one in given]
        batch = [{"ciphertext": one.wrapped.decode("ascii")} for one in given]
        answer = self._asked(
            lambda: self._engine.decrypt_data(self._key, ciphertext="", batch_input=batch, mount_point=self._mount), refused=None
        )
        if answer is not None:
            return [b64decode(one["plaintext"]) if one.get("plaintext") else None for one in answer["data"]["batch_results"]]
        return [None] if len(given) == 1 else [self.unwrap([one])[0] for one in given]

    def knows(self, key_id: str) -> bool:
        name, _, version = key_id.removeprefix("transit:").partition(":v")
        return key_id.startswith("transit:") and name == self._key and version.isdigit()

    def renew(self) -> None:
        self._asked(lambda: self._engine.rotate_key(self._key, mount_point=self._mount))
        self.id = self._newest()

    def settle(self) -> None:
        """Earlier versions stay: backups need them.  vault write transit/keys/NAME/config min_decryption_version= ends that."""

    def _newest(self) -> str:
        answer = self._asked(lambda: self._engine.read_key(self._key, mount_point=self._mount))
        return f"transit:{self._key}:v{answer['data']['latest_version']}"

    def _asked(self, ask: Callable[[], Any], refused: Any = ...) -> Any:
        """Its answer; `refused` where it finds fault with what it was given."""
        from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultError  # noqa: PLC0415  (an extra)
        from requests.exceptions import RequestException  # noqa: PLC0415

        try:
            return ask()
        except InvalidRequest as error:
            if refused is not ...:
                return refused
            raise ConfigurationError(f"{self.where}: {error.errors or error}") from None
        except InvalidPath:
            raise ConfigurationError(
                f"{self.where}: there is no such key; say: vault write -f {self._mount}/keys/{self._key}"
            ) from None
        except Forbidden:
            raise ConfigurationError(f"{self.where}: the token may not; {self._needed()}") from None
        except (VaultError, RequestException) as error:
            raise KeyServerUnreachable(f"{self.where}: the key server does not answer ({type(error).__name__})") from None

    def _needed(self) -> str:
        paths = ("encrypt", "decrypt", "keys")
        return "it needs read and update of " + ", ".join(f"{self._mount}/{path}/{self._key}" for path in paths)


def transit(*, key: str = "smartalex", address: str = "", mount: str = "transit", token_file: str = "") -> TransitKey:
    """The provider.  What is not given comes from VAULT_ADDR and VAULT_TOKEN."""
    try:
        import hvac  # noqa: PLC0415  (an extra)
    except ImportError:
        raise ConfigurationError("vault.provider: hvac is not installed; say: pip install 'smartalex[vault]'") from None
    address = address or os.environ.get(ADDRESS, "")
    if not address:
        raise ConfigurationError(
            f"vault.provider: where is the key server? set {ADDRESS}, or write transit:address=https:://HOST::8200"
        )
    try:
        token = Path(token_file).read_text().strip() if token_file else os.environ.get(TOKEN, "")
    except OSError as error:
        raise ConfigurationError(f"vault.provider: {token_file} cannot be read: {error.strerror}") from None
    if not token:
        raise ConfigurationError(f"vault.provider: no token; set {TOKEN}, or write token_file=PATH")
    client = hvac.Client(url=address, token=token, timeout=TIMEOUT_S)
    return TransitKey(client.secrets.transit, key, mount, f"{address}/v1/{mount}/keys/{key}")


def _sound(one: Wrapped) -> bool:
    return one.wrapped.startswith(b"vault:v") and one.wrapped.isascii()
