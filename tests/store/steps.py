"""Changes of the configuration, killed at each of their steps: `python -m tests.store.steps [EVERY]`.

A step is a line of smartalex/store that is executed; a child makes the change on a copy of the database and is killed with -9
at its every EVERY-th.  Afterwards the database has to be sound, and to say what it said before, or what it says after the change
was made as a whole.  Prints one JSON line for each change.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import attrs
from sqlalchemy import select

from smartalex.store import schema
from smartalex.store.demo import seed_demo
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk

KEY, REALM = bytes(range(32)), "smartalex"
STORE = str(Path(__file__).resolve().parent.parent.parent / "smartalex" / "store")
OFFICE = Trunk("office", "demo", "office", "pbx.example.com", "sa_office", register="sip:1@pbx.example.com")
PEOPLE = Directory((Extension("ann", "301", "Ann"), Extension("bob", "302", "Bob")), "ann")

Change = Callable[[Repository], object]


def acme(repository: Repository) -> Trunk:
    trunk = repository.trunk_named("acme")
    assert trunk is not None
    return trunk


CHANGES: dict[str, Change] = {
    "trunk added": lambda r: r.add_trunk(OFFICE, REALM, "a password of theirs"),
    "trunk with another username": lambda r: r.change_trunk(acme(r), attrs.evolve(acme(r), username="other"), REALM),
    "trunk without digest": lambda r: r.change_trunk(
        acme(r), attrs.evolve(acme(r), auth="ip-allowlist", username="", allowed_sources=("192.0.2.1",)), REALM
    ),
    "trunk removed": lambda r: r.remove_trunk(acme(r)),
    "password rotated": lambda r: r.rotate(acme(r), REALM),
    "number added": lambda r: r.put_did(Did("100", "acme", "alex")),
    "number removed": lambda r: r.remove_did(Did("play", "acme", "play")),
    "directory replaced": lambda r: r.put_directory("demo", PEOPLE),
}


def opened(folder: Path) -> Repository:
    engine = open_engine(f"sqlite:///{folder / 'smartalex.db'}")
    return Repository(engine, Vault(engine, KEY))


def said(folder: Path) -> Any:
    """All that admission sees: who there is, and which passwords let them in."""
    repository = opened(folder)
    try:
        with repository.engine.connect() as connection:
            names = sorted(connection.execute(select(schema.secret.c.name)).scalars())
        return repr(repository.tenancy()), repr(repository.credentials()), sorted(repository.register_passwords()), names
    finally:
        repository.engine.dispose()


def sound(folder: Path) -> bool:
    with sqlite3.connect(folder / "smartalex.db") as database:
        whole = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return whole and not database.execute("PRAGMA foreign_key_check").fetchall()


def child(folder: Path, change: Change, step: int) -> bool:
    """True when the change was made before it came to this step."""
    pid = os.fork()
    if not pid:
        left = [step]

        def trace(frame: Any, event: str, _: object) -> Any:
            if not frame.f_code.co_filename.startswith(STORE):
                return None
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        secrets.choice = Random(7).choice  # the same password each time
        repository = opened(folder)
        sys.settrace(trace)
        change(repository)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def killed(seeded: Path, work: Path, change: Change, every: int) -> dict[str, Any]:
    """How many steps there are, and those after which the database was wrong."""
    shutil.copytree(seeded, work)
    child(work, change, 1 << 30)
    fine = (said(seeded), said(work))
    wrong, step, done = [], 0, False
    while not done:
        shutil.rmtree(work)
        shutil.copytree(seeded, work)
        done = child(work, change, step)
        if not sound(work) or said(work) not in fine:
            wrong.append(step)
        step += every
    return {"steps": step, "changed": fine[0] != fine[1], "wrong": wrong}


def main(every: int) -> int:
    with tempfile.TemporaryDirectory(prefix="smartalex-steps-") as name:
        seeded = Path(name) / "seeded"
        seeded.mkdir()
        repository = opened(seeded)
        upgrade(repository.engine)
        seed_demo(repository, REALM)
        repository.engine.dispose()
        faults = 0
        for what, change in CHANGES.items():
            found = killed(seeded, Path(name) / "work" / what, change, every)
            faults += len(found["wrong"])
            print(json.dumps({"change": what, **found}), flush=True)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
