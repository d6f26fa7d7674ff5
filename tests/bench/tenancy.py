"""What many tenants cost: reading them, admitting a call among them, and reading what one change touched.

python -m tests.bench.tenancy [--trunks 10000] [--dids 100000] [--extensions 100000] [--workspaces 1000] [--url URL]

The load beside a tick is measured against a thread that wants to send 40 packets every 20 ms, as the media plane does.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
from sqlalchemy import insert
from zope.interface import implementer

from smartalex.calls.admission import Accepted, Admission, Refused
from smartalex.calls.limits import Bounds, Limits
from smartalex.config import load
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, ha1
from smartalex.store import schema
from smartalex.store.engine import open_engine, upgrade
from smartalex.store.repository import Repository
from smartalex.store.state import open_state
from smartalex.store.tenancy import Rests
from smartalex.store.vault import Vault
from smartalex.tenants.did import Did
from smartalex.tenants.workspace import Tenancy
from tests.interop.platform import Platform

CHUNK = 5000


@implementer(IAuthenticator)
class Known:
    """Says at once which trunk it is: finding that out is measured elsewhere."""

    name = "known"
    trunk_id = ""

    def authenticate(self, attempt: AuthAttempt) -> Verdict:
        return Verdict(self.trunk_id)


def fill(repository: Repository, sizes: argparse.Namespace) -> None:
    every = max(1, sizes.workspaces)
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (schema.workspace, [{"id": f"w{n}", "name": f"Workspace {n}"} for n in range(every)]),
        (schema.agent, [{"id": f"a{n}", "workspace": f"w{n}", "name": "Alex", "backends": []} for n in range(every)]),
        (schema.trunk, [
            {"id": f"t{n}", "workspace": f"w{n % every}", "name": f"trunk{n}", "pbx_domain": f"pbx{n}.example.com",
             "username": f"sa_{n:012d}", "codecs": ["PCMA", "PCMU"], "allowed_sources": [f"10.{n >> 8 & 255}.{n & 255}.0/24"]}
            for n in range(sizes.trunks)
        ]),
        (schema.did, [did(n, sizes) for n in range(sizes.dids)]),
        (schema.extension, [
            {"id": f"e{n}", "workspace": f"w{n % every}", "number": str(1000 + n), "name": f"Extension Number {n}",
             "department": "sales", "aliases": [f"alias {n}", "somebody"], "availability": "Mo-Fr 08:00-17:00"}
            for n in range(sizes.extensions)
        ]),
    ]  # fmt: skip
    kept = json.dumps({"realm": "smartalex", **{a: ha1("user", "smartalex", "password", a) for a in HASHES}}).encode()
    names = [f"trunk/t{n}/digest" for n in range(sizes.trunks)]
    vault = cast(Vault, repository.vault)
    rows.append((schema.secret, [attrs.asdict(vault.seal(name, kept)) for name in names]))
    with repository.engine.begin() as connection:
        for table, values in rows:
            for start in range(0, len(values), CHUNK):
                connection.execute(insert(table), values[start : start + CHUNK])
        repository.changed(connection)


def did(n: int, sizes: argparse.Namespace) -> dict[str, Any]:
    """Every tenth with hours, every hundredth a prefix."""
    trunk = n % sizes.trunks
    agent = f"a{trunk % max(1, sizes.workspaces)}"
    number = f"+2721{n:07d}" if n % 100 else f"+2722{n:07d}*"
    timed = {"hours": "Mo-Fr 08:00-17:00; Sa 09:00-12:00", "timezone": "Africa/Johannesburg", "closed_agent": agent}
    return {"number": number, "trunk": f"t{trunk}", "agent": agent, **(timed if n % 10 == 0 else dict.fromkeys(timed, ""))}


def memory_mib() -> float:
    """Resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def cpu_of(function: Callable[[], Any], times: int) -> float:
    began = time.thread_time()
    for _ in range(times):
        function()
    return (time.thread_time() - began) / times


def admission(tenancy: Tenancy, sizes: argparse.Namespace) -> None:
    known = Known()
    deciding = Admission(known, tenancy, Limits(Bounds(10_000)))
    attempt = AuthAttempt("INVITE", "sip:x@host", "192.0.2.1", "udp")
    one_a_trunk = [next(iter(tenancy.routes_of(f"t{n}"))) for n in range(0, min(sizes.trunks, sizes.dids), 7)]
    dialled = {
        "a number": [(d.trunk_id, d.number.rstrip("*")) for d in one_a_trunk if not d.hours],
        "with hours": [(d.trunk_id, d.number.rstrip("*")) for d in one_a_trunk if d.hours],
        "unknown, nearly right": [(d.trunk_id, d.number.rstrip("*")[:-2] + "x9") for d in one_a_trunk],
        "unknown, 64 letters": [(d.trunk_id, "z" * 64) for d in one_a_trunk],
    }
    for what, calls in dialled.items():
        worst = total = 0.0
        for trunk, number in calls:
            known.trunk_id = trunk
            began = time.thread_time()
            decision = deciding.decide(attempt, number)
            took = time.thread_time() - began
            assert isinstance(decision, (Accepted, Refused))
            if isinstance(decision, Accepted):
                deciding.leave(decision)
            worst, total = max(worst, took), total + took
        if calls:
            print(f"  admission, {what:24} {total / len(calls) * 1e6:7.1f} us, worst {worst * 1e6:7.1f} us of {len(calls)}")


class Ticking:
    """A thread that sends `packets` of 172 bytes every 20 ms, and by how much its rounds were late or long."""

    def __init__(self, packets: int = 40) -> None:
        self.rounds: list[float] = []
        self._packets = packets
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Ticking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        out, sink = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        sink.bind(("127.0.0.1", 0))
        address, packet = sink.getsockname(), bytes(172)
        due = time.monotonic()
        while not self._stop.is_set():
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))
            for _ in range(self._packets):
                out.sendto(packet, address)
            self.rounds.append(time.monotonic() - due)
        out.close()
        sink.close()

    def told(self) -> str:
        rounds = sorted(self.rounds)
        late = sum(1 for took in rounds if took > 0.02)
        middle, worst = rounds[len(rounds) // 2] * 1e3, rounds[-1] * 1e3
        return f"median {middle:.1f} ms, worst {worst:.1f} ms, {late} of {len(rounds)} late by 20 ms"


def beside_a_tick(what: str, load: Callable[[], Any]) -> None:
    with Ticking() as ticking:
        time.sleep(0.2)
        began, cpu = time.monotonic(), time.thread_time()
        load()
        took, used = time.monotonic() - began, time.thread_time() - cpu
    print(f"  {what:34} {took:6.2f} s, {used * 1e3:7.1f} ms CPU; the tick: {ticking.told()}")


def reloading(repository: Repository, tenancy: Tenancy) -> None:
    trunk = tenancy.trunks["t0"]

    def beside(what: str, change: Callable[[], Any]) -> None:
        nonlocal tenancy
        change()
        known = tenancy
        found: list[Tenancy] = []
        beside_a_tick(what, lambda: found.append(repository.tenancy(known, Rests())))
        tenancy = found[0]

    beside_a_tick("nothing", lambda: time.sleep(1.0))
    beside_a_tick("everything, without rests", repository.tenancy)
    beside_a_tick("everything, with rests", lambda: repository.tenancy(None, Rests()))
    beside("one trunk", lambda: repository.change_trunk(trunk, attrs.evolve(trunk, max_calls=11), "realm"))
    beside("one DID", lambda: repository.put_did(Did("+1555", "t0", trunk.workspace_id.replace("w", "a"))))
    directory = tenancy.workspaces[trunk.workspace_id].directory
    beside("one directory", lambda: repository.put_directory(trunk.workspace_id, directory))


def start(sizes: argparse.Namespace) -> None:
    """A whole platform, from its command to its first call."""
    platform = Platform()
    try:
        state = open_state(load(None, {"node.state_dir": str(platform.state)}))
        assert state.lock is not None
        fill(state.repository, sizes)
        state.repository.engine.dispose()
        state.lock.close()
        for what in ("first", "second"):
            began = time.monotonic()
            platform.start()
            took = time.monotonic() - began
            status = Path(f"/proc/{platform.process.pid}/status").read_text()
            resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
            print(f"  {what + ' start of a platform':34} {took:6.2f} s, {resident:.0f} MiB in all")
            platform.stop()
    finally:
        platform.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("trunks", 10_000), ("dids", 100_000), ("extensions", 100_000), ("workspaces", 1000)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--url", default="")
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smartalex-bench-") as folder:
        engine = open_engine(sizes.url or f"sqlite:///{folder}/smartalex.db")
        upgrade(engine)
        repository = Repository(engine, Vault(engine, bytes(32)))
        fill(repository, sizes)
        print(f"{sizes.workspaces} workspaces, {sizes.trunks} trunks, {sizes.dids} DIDs, {sizes.extensions} extensions")
        gc.collect()
        before, began, cpu = memory_mib(), time.monotonic(), time.thread_time()
        tenancy = repository.tenancy()
        took, used = time.monotonic() - began, time.thread_time() - cpu
        print(f"  read in {took:.2f} s ({used:.2f} s CPU), {memory_mib() - before:.0f} MiB")
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 5, 1_000_000)  # as the service does
        admission(tenancy, sizes)
        reloading(repository, tenancy)
        began = time.thread_time()
        known = repository.credentials()
        print(f"  {len(known)} secrets opened in {time.thread_time() - began:.2f} s CPU", end="")
        began = time.thread_time()
        repository.credentials()
        print(f", looked at again in {(time.thread_time() - began) * 1e3:.0f} ms")
        engine.dispose()
    start(sizes)


if __name__ == "__main__":
    main()
