"""What records cost a call: CPU microseconds of `Journal.record` on the reactor, and of the batched move in its thread.

    python tests/bench/records_cost.py [--calls 20000] [--batch 70]

`--batch` is the calls in one flush: 70 is 700 calls a second at ten flushes a second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import process_time, thread_time, time
from typing import Any

from twisted.internet.task import Clock

from smartalex.interfaces import CallEvent
from smartalex.store.engine import open_engine, sqlite_url, thread_pool
from smartalex.store.journal import Journal
from smartalex.store.migrations import upgrade
from smartalex.store.repository import Repository
from smartalex.store.writer import JournalWriter

RTP = {
    "packets_sent": 1500, "bytes_sent": 258000, "packets_received": 1498, "bytes_received": 257656, "lost": 2, "late": 1, "concealed": 3,
    "jitter_ms": 1.234, "max_jitter_ms": 7.5, "remote_loss": 0.0, "remote_jitter_ms": 0.5, "rtt_ms": 0.8, "mos": 4.39,
}  # fmt: skip


def events_of(number: int) -> tuple[list[CallEvent], list[CallEvent]]:
    """A call's beginning and its end, as calls.record writes them."""
    call, now = f"01K{number:023}", time()
    invite = {
        "started_at": now, "sip_call_id": f"{number}-12345@192.0.2.17", "direction": "inbound", "did": "+27215550100", "caller": "+15550001111",
        "caller_name": "Bob", "source": "192.0.2.17:5060", "transport": "udp", "user_agent": "PBX 20.0", "workspace": "demo", "trunk": "acme",
        "agent": "Alex",
    }  # fmt: skip
    end = {"ended_at": now, "duration_s": 30.123, "disposition": "completed", "cause": "caller hung up", "rtp": RTP}
    begun = [
        CallEvent(call, 0, now, "invite", invite),
        CallEvent(call, 1, now, "answer", {"answered_at": now, "status": 200, "codec": "PCMU"}, {"after_ms": 12}),
    ]
    return begun, [CallEvent(call, 2, now, "end", end)]


def measure(folder: Path, calls: int, batch: int) -> dict[str, Any]:
    engine = open_engine(sqlite_url(folder / "smartalex.db"))
    upgrade(engine)
    journal = Journal(folder / "journal")
    writer = JournalWriter(journal, Repository(engine), thread_pool(), Clock())
    made = [events_of(number) for number in range(calls)]
    recording = moving = moving_all = 0.0
    longest = 0.0
    for start in range(0, calls + batch, batch):
        # New calls begin while the calls of the batch before end, as they would.
        events = [event for begun, _ in made[start : start + batch] for event in begun]
        events += [event for _, ended in made[max(0, start - batch) : start] for event in ended]
        before = thread_time()
        for event in events:
            journal.record(event)
        recording += thread_time() - before
        before, before_all = thread_time(), process_time()
        writer._move()
        moving += thread_time() - before
        moving_all += process_time() - before_all
        longest = max(longest, thread_time() - before)
    kept = len(Repository(engine).calls())
    engine.dispose()
    return {
        "calls": kept,
        "events_a_call": 3,
        "record_us_a_call": round(recording / calls * 1e6, 1),
        "flush_us_a_call": round(moving / calls * 1e6, 1),
        "both_us_a_call": round((recording + moving_all) / calls * 1e6, 1),
        "longest_flush_ms": round(longest * 1000, 2),
        "database_bytes_a_call": round((folder / "smartalex.db").stat().st_size / calls),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=70)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({"batch": options.batch, **measure(Path(folder), options.calls, options.batch)}))


if __name__ == "__main__":
    main()
