"""The state directory: database, vault key, certificate, messages, journal; made at the first start."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

import attrs
from sqlalchemy import Engine

from smartalex import plugins
from smartalex.config import Config
from smartalex.errors import ConfigurationError
from smartalex.interfaces import IMasterKey
from smartalex.store.certificate import self_signed
from smartalex.store.demo import seed_demo
from smartalex.store.engine import StoreUnreachable, exclusive, open_engine, upgrade
from smartalex.store.journal import Journal
from smartalex.store.keys import Succession, local_keys
from smartalex.store.picture import Picture
from smartalex.store.presence import Presence
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault, holds_secrets


@attrs.frozen
class Issued:
    """Credentials that were just made: the password is shown once and not kept."""

    trunk: str
    username: str
    password: str = attrs.field(repr=False)


@attrs.frozen
class State:
    """`known` is what a start reads: the repository itself, or the `picture` of what it held while it cannot be reached."""

    folder: Path
    repository: Repository
    known: Repository
    picture: Picture | None
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
    picture = Picture(folder) if engine.dialect.name != "sqlite" else None
    known = _known(engine, picture if serve else None, config.store.cache_lifetime_s)
    key = _master_key(config, folder, create=not holds_secrets(known))
    Vault(known, key).check(thoroughly=serve)
    repository = Repository(engine, Vault(engine, key))
    issued = _issued(repository, config) if known is engine else None
    certificate, private = folder / "tls.crt", folder / "tls.key"
    if not certificate.exists():
        self_signed(certificate, private, filter(None, (config.node.host, config.node.advertised_address)))
    run = f"{_node(folder)}.{token_hex(8)}"
    presence = Presence(engine, run, config.store.node_timeout_s)
    last_known = repository if known is engine else Repository(known, Vault(known, key))
    journal = Journal(folder / "journal", run)
    return State(folder, repository, last_known, picture, journal, presence, certificate, private, issued, lock)


def _master_key(config: Config, folder: Path, *, create: bool) -> IMasterKey:
    """Where the provider is another, the keys of before open what they have wrapped."""
    file, chosen = Path(config.vault.key_file or folder / "vault.key"), bool(config.vault.key_file)
    if config.vault.provider == "local":
        return local_keys(file, os.environ, create=create, chosen=chosen)
    provider, options = plugins.find("IMasterKey", config.vault.provider)
    master: IMasterKey = provider.load()(**options)
    with suppress(ConfigurationError):
        return Succession(master, local_keys(file, os.environ, create=False, chosen=chosen))
    return master


def _known(engine: Engine, picture: Picture | None, lifetime_s: float) -> Engine:
    """What a start reads: the database at the newest schema, or, while it cannot be reached, the picture of an earlier time."""
    try:
        upgrade(engine)
    except StoreUnreachable as error:
        age_s = picture.age_s() if picture is not None else None
        if picture is None or age_s is None:
            raise
        if age_s > lifetime_s:
            raise StoreUnreachable(
                f"{error}; what was last known of it is {age_s / 3600:.1f} h old, more than store.cache_lifetime_s"
            ) from None
        return picture.open()
    return engine


def _issued(repository: Repository, config: Config) -> Issued | None:
    """Of several nodes that start on an empty database one makes the demo."""
    if not repository.empty():
        return None
    with exclusive(repository.engine):
        return Issued(*seed_demo(repository, config.sip.realm)) if repository.empty() else None


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
ASKED_FILE = "asked.json"
REGIONS_FILE = "regions.json"
"""What the running platform knows of each trunk's PBX, of our registrations there, of who asks for our OPTIONS, of regions."""


def health(folder: Path) -> dict[str, dict[str, Any]]:
    """By trunk name: state, latency_ms, detail; empty when nothing runs or nothing is known."""
    return _told(folder, HEALTH_FILE)


def registrations(folder: Path) -> dict[str, dict[str, Any]]:
    """By trunk name: state, until and again_at (Unix seconds or None), detail; empty when nothing runs or nothing is known."""
    return _told(folder, REGISTRATIONS_FILE)


def asked_at(folder: Path) -> dict[str, float]:
    """When each host last asked for our OPTIONS (Unix seconds); empty when nothing runs."""
    return {host: float(at) for host, at in _told(folder, ASKED_FILE).items()}


def regions(folder: Path) -> dict[str, dict[str, Any]]:
    """By name, those of other nodes: state, latency_ms, detail; empty when nothing runs or nothing is known."""
    return _told(folder, REGIONS_FILE)


def running_addresses(folder: Path) -> dict[str, Any]:
    """Where the running platform listens, as it said when it began; empty when nothing runs."""
    return _told(folder, "run.json")


def _told(folder: Path, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / name).read_text()) if running(folder) else {}
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
