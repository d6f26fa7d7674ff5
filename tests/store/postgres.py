"""A private PostgreSQL for the tests: in a folder of its own, on a unix socket, ended with them."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

import psycopg

from smartalex.store.engine import open_engine, upgrade
from tests.interop.peers import not_run

BINARIES = Path("/usr/lib/postgresql")
PATIENCE_S = 60.0
SETTINGS = {
    "listen_addresses": "", "fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB", "max_connections": "60",
    "autovacuum": "off",
}  # fmt: skip
TEMPLATE = "smartalex"


class Postgres:
    """A server of its own; the methods are what may happen to one."""

    def __init__(self) -> None:
        self._binaries = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-postgres-"))
        self._data = self.folder / "data"
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:  # it refuses to be root
            shutil.chown(self.folder, self._user)
        self.pid = 0
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale", "C.UTF-8")
        options = "".join(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"{options}unix_socket_directories = '{self.folder}'\n")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **self._as())

    def _as(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def start(self) -> Postgres:
        """Returns when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            command = [str(self._binaries / "postgres"), "-D", str(self._data)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._as())  # type: ignore[call-overload]
        self.pid = self._process.pid
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.connect().close()
                return self
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"PostgreSQL does not start: {error}\n{(self.folder / 'log').read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """At once, as `pg_ctl stop -m immediate`: nobody is waited for, nothing is written."""
        if self.pid:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self.pid = 0

    def freeze(self) -> None:
        """Connections stay, and nothing is answered."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._processes():
            os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        return [self.pid, *(int(child) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())]

    def remove(self) -> None:
        if self.pid:
            self.thaw()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, template: str = "template1") -> str:
        """Its name."""
        name = f"t{uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return name

    def drop(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def binaries() -> Path:
    """Where Debian keeps the newest server's; a skip aloud without one."""
    found = sorted(BINARIES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise not_run("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return found[-1].parent


@cache
def postgres() -> Postgres:
    """The one of this test run, with a database of the newest schema to copy."""
    server = Postgres()
    atexit.register(server.remove)
    server.start()
    with server.connect() as connection:
        connection.execute(f'CREATE DATABASE "{TEMPLATE}"'.encode())
    engine = open_engine(server.url(TEMPLATE))
    upgrade(engine)
    engine.dispose()
    return server
