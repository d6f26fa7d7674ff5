"""What keeping a call's SIP messages costs: python -m tests.bench.trace_cost [CALLS] prints CPU microseconds per call.

The messages are those of a real call between two user agents, challenged, transferred by REFER and ended, with an SDP of
ordinary size.  "tap" and "close" are paid by the reactor's thread as the call goes on and when it ends; "journal" too;
"database" is the writer's thread.  The last two are what the trace adds to a call's other records.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from secrets import token_hex
from zlib import compress

from smartalex.interfaces import CallEvent
from smartalex.sip.digest import DigestClient, Secret, challenge
from smartalex.sip.headers import Peer
from smartalex.sip.message import REASONS
from smartalex.sip.redaction import redact
from smartalex.sip.trace import LEVEL, Trace, TraceBook
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.journal import Journal
from smartalex.store.repository import Repository
from smartalex.store.vault import Vault
from tests.bench.records_cost import cpu_us, story
from tests.bench.sip_parse import SDP
from tests.sip.network import Agent, Network, ring_and_answer

PBX = Peer("udp", "192.0.2.7", 5060)
Seen = list[tuple[bool, bytes]]
HEADERS = (
    ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY"),
    ("P-Asserted-Identity", '"Bench Caller" <sip:+15550123@pbx.example.com>'),
    ("User-Agent", "bench/1.0"),
)


def messages() -> Seen:
    """INVITE, 401, ACK, INVITE, 180, 200, ACK, REFER, 202, three NOTIFYs with their 200s, BYE, 200."""
    network, seen = Network(), Seen()
    pbx, ours = Agent(network, "192.0.2.7"), Agent(network, "192.0.2.1")
    ours.layer.tap = lambda call_id, incoming, peer, data: seen.append((incoming, data))
    ours.take = lambda session: (
        ring_and_answer(session)
        if session.request.headers.get("Authorization")
        else session.challenge([challenge("smartalex", token_hex(16), "MD5")])
    )
    pbx.recorder.accepts_refer = True
    pbx.call(ours, SDP.encode(), headers=HEADERS, digest=DigestClient("pbx", Secret("secret"), lambda: token_hex(8)))
    network.run(1)
    ours.session.refer("<sip:301@pbx.example.com>", None)
    network.run(1)
    for status, final in ((180, False), (200, True)):
        pbx.session.notify_refer(status, REASONS[status], final)
        network.run(1)
    pbx.session.hangup()
    network.run(1)
    return seen


def tapped(seen: Seen, calls: int) -> TraceBook:
    book = TraceBook(time.time, lambda peer: ("192.0.2.1", 5060))
    for number in range(calls):
        call_id = f"call-{number}@pbx.example.com"
        book.tap(call_id, True, PBX, seen[0][1])
        book.open(call_id)
        for incoming, data in seen[1:]:
            book.tap(call_id, incoming, PBX, data)
    return book


def events(trace: Trace, calls: int) -> list[CallEvent]:
    """Those of a call's whole record, with the trace before the last."""
    made = []
    for number in range(calls):
        *middle, end = story(number)
        kept = CallEvent(end.call, end.seq, end.at, "sip", {}, trace.to_data())
        made += [*middle, kept, CallEvent(end.call, end.seq + 1, end.at, "end", end.fields)]
    return made


def stored(folder: Path, made: list[CallEvent], calls: int) -> tuple[float, float, float]:
    """(journal, database, database octets) per call."""
    (folder / "journal").mkdir(parents=True)
    engine = open_engine(f"sqlite:///{folder / 'bench.db'}")
    upgrade(engine)
    repository, journal = Repository(engine, Vault(engine, bytes(32))), Journal(folder / "journal")
    journal.start()
    empty = (folder / "bench.db").stat().st_size
    batches = [made[start : start + 75] for start in range(0, len(made), 75)]
    written = cpu_us(lambda: [journal.record(event) for event in made], calls)
    applied = cpu_us(lambda: [repository.records.apply(batch) for batch in batches], calls)
    engine.dispose()
    return written, applied, ((folder / "bench.db").stat().st_size - empty) / calls


def main(calls: int) -> None:
    seen = messages()
    octets = sum(len(data) for _, data in seen)
    books: list[TraceBook] = []
    tapping = cpu_us(lambda: books.append(tapped(seen, calls)), calls)
    traces: list[Trace] = []
    closing = cpu_us(lambda: traces.extend(books[0].close(f"call-{n}@pbx.example.com") for n in range(calls)), calls)
    packing = cpu_us(lambda: [trace.to_data() for trace in traces], calls)
    hiding = cpu_us(lambda: [redact(data) for _ in range(calls) for _, data in seen], calls)
    print(f"{calls} calls of {len(seen)} messages, {octets} octets; {len(json.dumps(traces[0].to_data()))} in the record")
    plain = json.dumps([[m.at, m.data.decode()] for m in traces[0].messages]).encode()
    for level in (1, LEVEL, 9):
        spent = cpu_us(lambda level=level: [compress(plain, level) for _ in range(200)], 200)
        print(f"  zlib level {level}: {len(compress(plain, level)):6} octets of {len(plain)}, {spent:4.0f} us")
    print(f"tap       {tapping:8.0f} us CPU per call ({tapping / len(seen):.1f} a message)")
    print(f"close     {closing:8.0f} us CPU per call (redaction {hiding:.0f})")
    print(f"pack      {packing:8.0f} us CPU per call")
    with tempfile.TemporaryDirectory(prefix="smartalex-bench-") as name:
        without = stored(Path(name) / "a", [event for number in range(calls) for event in story(number)], calls)
        having = stored(Path(name) / "b", events(traces[0], calls), calls)
    for label, before, after in zip(("journal ", "database"), without, having, strict=False):
        print(f"{label}  {after - before:8.0f} us CPU per call more than {before:.0f}")
    print(f"database  {having[2] - without[2]:8.0f} octets per call more than {without[2]:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
