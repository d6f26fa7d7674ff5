"""What a call's records cost: python -m tests.bench.records_cost [--postgresql] [CALLS] prints CPU microseconds per call.

A call has EVENTS events.  "journal" is what the reactor's thread pays as they happen; "database" is the writer's
thread, in batches as a call rate of RATE a second makes them; "replay" is a start after everything was left over.  "look" is
one look for changes, of which there are two a second.  A server's own work comes on top: "takes" is time, not CPU.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from smartalex.interfaces import CallEvent
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.journal import Journal, leftovers
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault
from smartalex.store.writer import FLUSH_S
from tests.store.postgres import postgres
from tests.store.stores import call

RATE = 50
SAID = "I would like to speak to Sarah in billing about my last invoice, please."


def story(number: int) -> list[CallEvent]:
    """An ordinary call: greeting, two turns each, a transfer, the end."""
    name = f"01BENCH{number:010d}"
    opening, answer, end = call(name, at=1_700_000_000.0 + number, user_agent="PBX 1.0", source="192.0.2.1:5060", transport="udp")
    lines = [("said", {"role": "agent" if turn % 2 else "caller", "text": SAID}) for turn in range(5)]
    lines += [("tool", {"tool": "transfer", "refused": None, "for": "sarah"})]
    lines += [("transfer", {"step": step, "to": "301"}) for step in ("refer", "accepted", "progress", "done")]
    middle = [CallEvent(name, seq, opening.at + seq, kind, {}, data) for seq, (kind, data) in enumerate(lines, 2)]
    closing = CallEvent(name, len(middle) + 2, end.at, "end", {**end.fields, "rtp": {"packets_sent": 450, "mos": 4.3}})
    return [opening, answer, *middle, closing]


EVENTS = len(story(0))


def cpu_us(work: Callable[[], object], calls: int) -> float:
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1e6 / calls


def took_ms(work: Callable[[], object], times: int) -> float:
    before = time.monotonic()
    work()
    return (time.monotonic() - before) * 1e3 / times


def measure(folder: Path, url: str, calls: int) -> None:
    (folder / "journal").mkdir()
    engine = open_engine(url)
    upgrade(engine)
    repository = Repository(engine, Vault(engine, bytes(32)))
    events = [event for number in range(calls) for event in story(number)]
    journal = Journal(folder / "journal")
    journal.start()
    batch = max(1, round(RATE * FLUSH_S)) * EVENTS
    batches = [events[start : start + batch] for start in range(0, len(events), batch)]
    print(f"{engine.dialect.name}: {calls} calls of {EVENTS} events, {batch} events a transaction")
    print(f"journal   {cpu_us(lambda: [journal.record(event) for event in events], calls):8.0f} us CPU per call")
    began = time.monotonic()
    print(f"database  {cpu_us(lambda: [repository.records.apply(each) for each in batches], calls):8.0f} us CPU per call")
    print(f"takes     {(time.monotonic() - began) * 1e3 / len(batches):8.1f} ms a transaction")
    left: list[CallEvent] = []
    print(f"replay    {cpu_us(lambda: left.extend(leftovers(folder / 'journal')), calls):8.0f} us CPU per call (reading)")
    print(f"          {cpu_us(lambda: repository.records.apply(left), calls):8.0f} us CPU per call (nothing is new)")
    looks = range(1000)
    print(f"look      {cpu_us(lambda: [repository.revision() for _ in looks], len(looks)):8.0f} us CPU")
    print(f"takes     {took_ms(lambda: [repository.revision() for _ in looks], len(looks)):8.2f} ms")
    engine.dispose()


def main(calls: int, *, postgresql: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="smartalex-bench-") as name:
        url = f"sqlite:///{Path(name) / 'bench.db'}"
        if postgresql:
            server = postgres()
            url = server.url(server.new_database())
        measure(Path(name), url, calls)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(*(numbers or [1000]), postgresql="--postgresql" in sys.argv)
