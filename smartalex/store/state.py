"""The state directory: database, vault key, certificate, messages, journal; made at the first start."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import attrs

from smartalex.config import Config
from smartalex.errors import ConfigurationError
from smartalex.store.certificate import self_signed
from smartalex.store.demo import seed_demo
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.journal import Journal
from smartalex.store.presence import Presence
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault, holds_secrets, master_key


@attrs.frozen
class Issued:
    """Credentials that were just made: the password is shown once and not kept."""

    trunk: str
    username: str
    password: str = attrs.field(repr=False)


@attrs.frozen
class State:
    folder: Path
    repository: Repository
    journal: Journal
    presence: Presence
    certificate: Path
    key: Path
    issued: Issued | None
    lock: IO[str] | None = None

    @property
    def messages(self) -> Path:
        return self.folder / "messages"


def open_state(config: Config, *, serve: bool = True) -> State:
    """Open or make it; with `serve` take the lock (one service at a time).  Raises ConfigurationError."""
    folder = Path(config.node.state_dir)
    if not serve and not (folder / "smartalex.db").exists() and not config.store.url:
        raise ConfigurationError(f"{folder} holds no SmartAlex yet; start one with: smartalex run --state {folder}")
    _make(folder)
    lock = _lock(folder) if serve else None
    engine = open_engine(config.store.url or f"sqlite:///{folder / 'smartalex.db'}", config.store.timeout_s)
    upgrade(engine)
    key_file = Path(config.vault.key_file or folder / "vault.key")
    vault = Vault(engine, master_key(key_file, create=not holds_secrets(engine)))
    if not vault.fits():
        raise ConfigurationError(f"{key_file}: this is the master key of another state directory; put the right one back")
    repository = Repository(engine, vault)
    issued = None
    if repository.empty():
        issued = Issued(*seed_demo(repository, config.sip.realm))
    certificate, private = folder / "tls.crt", folder / "tls.key"
    if not certificate.exists():
        self_signed(certificate, private, filter(None, (config.node.host, config.node.advertised_address)))
    run = f"{_node(folder)}.{token_hex(8)}"
    presence = Presence(engine, run, config.store.node_timeout_s)
    return State(folder, repository, Journal(folder / "journal", run), presence, certificate, private, issued, lock)


def _node(folder: Path) -> str:
    """Who we are to other nodes on the same database: made once, and kept with the journal."""
    path = folder / "node"
    if not path.exists():
        path.write_text(token_hex(8))
    return path.read_text().strip()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("messages", "journal"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: the state directory cannot be made: {error.strerror}; choose another --state"
        ) from None


HEALTH_FILE = "health.json"
REGISTRATIONS_FILE = "registrations.json"
"""What the running platform knows of each trunk's PBX, and of our registrations there."""


def health(folder: Path) -> dict[str, dict[str, Any]]:
    """By trunk name: state, latency_ms, detail; empty when nothing runs or nothing is known."""
    return _told(folder, HEALTH_FILE)


def registrations(folder: Path) -> dict[str, dict[str, Any]]:
    """By trunk name: state, until and again_at (Unix seconds or None), detail; empty when nothing runs or nothing is known."""
    return _told(folder, REGISTRATIONS_FILE)


def _told(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads((folder / name).read_text()) if running(folder) else {}
    except (OSError, ValueError):
        return {}
    return found


def running(folder: Path) -> bool:
    """True while a service holds this directory."""
    try:
        with (folder / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False


def _lock(folder: Path) -> IO[str]:
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        pid = file.read().strip()
        file.close()
        raise ConfigurationError(f"{folder} is in use by another SmartAlex (pid {pid}); give this one another --state") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
