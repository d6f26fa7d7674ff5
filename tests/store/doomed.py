"""A child that records calls until it is killed: `python -m tests.store.doomed FOLDER`.

It prints the id of a call when the call's record was accepted, and moves
records to the database now and then, as the service does.
"""

import sys
from pathlib import Path

from smartalex.store.engine import open_engine
from smartalex.store.journal import Journal
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault
from tests.store.stores import KEY, call


def main(folder: Path) -> None:
    engine = open_engine(f"sqlite:///{folder / 'smartalex.db'}")
    repository = Repository(engine, Vault(engine, KEY))
    journal = Journal(folder / "journal", "node.doomed")
    journal.start()
    number = 0
    while True:
        number += 1
        name = f"CALL{number:06d}"
        for event in call(name, end=number % 2 == 0):
            journal.record(event)
        print(name, flush=True)
        if number % 7 == 0:
            pending = journal.first(1000)
            assert isinstance(pending, list)
            repository.records.apply(pending)
            journal.settled(pending)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
