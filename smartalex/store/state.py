"""The state directory: everything that must be kept, opened by one service at a time."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from smartalex.errors import ConfigurationError, LocalError
from smartalex.store.certificate import CertificateFiles, ensure_certificate
from smartalex.store.credentials import Issued
from smartalex.store.demo import seed_demo
from smartalex.store.engine import open_engine, sqlite_url
from smartalex.store.migrations import HEAD, revision_of, upgrade
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault, open_vault


@attrs.frozen
class State:
    """What `open_state` opened.  `created` holds the credentials of a first start: show them, they are kept nowhere."""

    folder: Path
    engine: Engine
    vault: Vault
    repository: Repository
    tls_certificate: Path
    tls_key: Path
    created: Issued | None = None
    lock: int = attrs.field(default=-1, repr=False)

    @property
    def journal_folder(self) -> Path:
        return self.folder / "journal"

    @property
    def messages_folder(self) -> Path:
        return self.folder / "messages"

    def close(self) -> None:
        self.engine.dispose()
        if self.lock >= 0:
            os.close(self.lock)


def open_state(config: Any) -> State:
    """For the service; `config` is a config.Config.  Blocks; creates what is missing.

    ConfigurationError for what the operator must put right, LocalError when
    another service uses the directory.
    """
    folder = config.state_dir
    _create(folder)
    lock = _lock(folder)
    try:
        return _open(config, folder, lock)
    except BaseException:
        os.close(lock)
        raise


def read_state(config: Any) -> State:
    """For the command line, beside a running service or without one; creates nothing, takes no lock."""
    folder = config.state_dir
    engine = open_engine(config.store.url or sqlite_url(folder / "smartalex.db"))
    known = bool(config.store.url) or (folder / "smartalex.db").is_file()
    if not known:
        raise LocalError(f"there is no SmartAlex in {folder} yet; start it once with: smartalex run")
    try:
        with engine.connect() as connection:
            found = revision_of(connection)
    except SQLAlchemyError as error:
        raise LocalError(f"the database of {folder} cannot be read: {plain(error)}") from None
    if found != HEAD:
        raise LocalError(
            f"the database of {folder} belongs to another version of SmartAlex; start the service to bring it to this one"
        )
    vault = open_vault(engine, _key_file(config))
    files = _certificate_files(config)
    return State(folder, engine, vault, Repository(engine, vault), files.certificate, files.key)


def running_pid(folder: Path) -> int | None:
    """The process whose service has this state directory open, if any."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return int(os.read(fd, 20).strip() or b"0")
    finally:
        os.close(fd)


# ----------------------------------------------------------------------


def _create(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "messages").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"node.state_dir: {folder} cannot be created: {error.strerror}") from None


def _lock(folder: Path) -> int:
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"node.state_dir: {folder} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 20).decode("ascii", "replace").strip()
        os.close(fd)
        raise LocalError(f"{folder} is in use by process {pid}; stop that one, or choose another --state") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def _open(config: Any, folder: Path, lock: int) -> State:
    engine = open_engine(config.store.url or sqlite_url(folder / "smartalex.db"))
    try:
        upgrade(engine)
    except SQLAlchemyError as error:
        raise ConfigurationError(f"store.url: the database cannot be opened: {plain(error)}") from None
    vault = open_vault(engine, _key_file(config))
    repository = Repository(engine, vault)
    created = seed_demo(repository, vault, config.sip.realm)
    _check_realm(repository, config.sip.realm)
    files = _certificate_files(config)
    if not config.sip.tls_certificate:
        ensure_certificate(files, config.node.name, _names(config), datetime.now(UTC))
    return State(folder, engine, vault, repository, files.certificate, files.key, created, lock)


def _check_realm(repository: Repository, realm: str) -> None:
    for trunk, issued_for in repository.realms().items():
        if issued_for != realm:
            raise ConfigurationError(
                f'sip.realm: is "{realm}", but the credentials of trunk {trunk} are bound to "{issued_for}"; '
                f'write realm = "{issued_for}", or say: smartalex secret rotate {trunk}'
            )


def _key_file(config: Any) -> Path:
    return Path(config.vault.key_file) if config.vault.key_file else Path(config.state_dir) / "vault.key"


def _certificate_files(config: Any) -> CertificateFiles:
    if config.sip.tls_certificate:
        return CertificateFiles(Path(config.sip.tls_certificate), Path(config.sip.tls_key))
    folder = Path(config.state_dir)
    return CertificateFiles(folder / "tls.pem", folder / "tls.key")


def _names(config: Any) -> list[str]:
    """Everything a peer may call us, as far as we know."""
    candidates = ["localhost", "127.0.0.1", "::1", socket.gethostname(), config.node.host, config.node.advertised_address]
    return list(dict.fromkeys(name for name in candidates if _is_host_name(name) or _is_one_address(name)))


def _is_host_name(name: str) -> bool:
    return (
        re.fullmatch(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name) is not None
        and not name.replace(".", "").isdecimal()
    )


def _is_one_address(name: str) -> bool:
    try:
        return not ip_address(name).is_unspecified
    except ValueError:
        return False


def plain(error: SQLAlchemyError) -> str:
    """The database's own words, without SQLAlchemy's."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
