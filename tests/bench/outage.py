"""PostgreSQL goes away under a platform with calls: does any of them notice, and is any record lost?

    python -m tests.bench.outage --how stop --seconds 60 --rate 10
    python -m tests.bench.outage --how freeze            # it keeps its connections and says nothing

Short calls all the time, and some that last from before to after.  Prints one JSON line; the exit status is 1 when a call
was refused, or its record is missing or there twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from typing import Any

from tests.bench.leak import Callers, drain
from tests.interop.peers import PBX
from tests.interop.platform import Platform, smartalex
from tests.store.postgres import Postgres

HELD = 10
PATIENCE_S = 120.0


class Traffic:
    """Calls begun at a steady rate, and what the platform says of itself meanwhile."""

    def __init__(self, platform: Platform, rate: float) -> None:
        self.platform, self.rate = platform, rate
        self.callers = Callers(PBX, platform.sip)
        self.begun = 0
        self.most: Counter[str] = Counter()

    def run(self, seconds: float, kind: str = "answered") -> dict[str, int]:
        """The fates of the calls that came to their end in this time."""
        self.callers.fates.clear()
        end, looked = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            self.callers.begin(kind, self.begun)
            self.begun += 1
            drain([self.callers], 1 / self.rate)
            if now - looked > 1:
                looked = now
                self._look()
        return dict(self.callers.fates)

    def _look(self) -> None:
        metrics = self.platform.metrics()
        for name in ("records_pending", "journal_bytes", "store_down"):
            self.most[name] = max(self.most[name], int(metrics[f"smartalex_{name}"]))

    def end(self) -> None:
        for call in self.callers.held:
            self.callers.hang_up(call)
        drain([self.callers], 3)


def run(server: Postgres, how: str, seconds: float, rate: float, around_s: float = 5.0) -> dict[str, Any]:
    """A whole platform on a database of its own; `around_s` is how long there are calls before and after."""
    database = server.new_database()
    platform = on_server(server, database)
    try:
        platform.start()
        let_in(platform)
        return {"how": how, "seconds": seconds, **through(server, database, Traffic(platform, rate), how, seconds, around_s)}
    finally:
        platform.remove()


def on_server(server: Postgres, database: str, more: str = "") -> Platform:
    """One that keeps everything there; `more` belongs to the section [store]."""
    return Platform(
        "20000-40000", f'[store]\nurl = "{server.url(database)}"\n{more}[rtp]\nquarantine_s = 1.0\nmedia_timeout_s = 0.0\n'
    )


def let_in(platform: Platform) -> None:
    """Calls from PBX to the number cps, whose agent says nothing."""
    platform.command("trunks", "add", "pbx", "--allow", f"{PBX}/32", "--no-digest", "--max-calls", "500", *config(platform))
    platform.command("agents", "set", "Silent", "--silence-timeout", "600", *config(platform))
    platform.command("dids", "add", "cps", "--trunk", "pbx", "--agent", "cps", *config(platform))


def config(platform: Platform) -> tuple[str, str]:
    return "--config", str(platform.config)


def through(  # noqa: PLR0917
    server: Postgres, database: str, traffic: Traffic, how: str, seconds: float, around_s: float
) -> dict[str, Any]:
    platform = traffic.platform
    traffic.run(HELD / traffic.rate, "held")
    fates = {"before": traffic.run(around_s)}
    server.stop() if how == "stop" else server.freeze()
    away = time.monotonic()
    said = smartalex("calls", "--state", str(platform.state), *config(platform)).stderr.strip()
    fates["during"] = traffic.run(seconds - (time.monotonic() - away))
    server.start() if how == "stop" else server.thaw()
    back = time.monotonic()
    fates["after"] = traffic.run(around_s)
    traffic.end()
    while platform.metrics()["smartalex_records_pending"] and time.monotonic() - back < PATIENCE_S:
        time.sleep(0.2)
    caught_up_s = time.monotonic() - back
    with server.connect(database) as connection:
        rows = connection.execute("SELECT sip_call_id, disposition FROM call WHERE trunk = 'pbx'").fetchall()
    found = Counter(str(name) for name, _ in rows)
    wanted = [f"{'h' if number < HELD else 'a'}{number}" for number in range(traffic.begun)]
    return {
        "begun": traffic.begun, "fates": fates, "unfinished": len(traffic.callers),
        "not_up": sum(n for each in fates.values() for fate, n in each.items() if not fate.endswith(" 200")),
        "missing": sum(not found[name] for name in wanted), "twice": sum(found[name] > 1 for name in wanted),
        "dispositions": dict(Counter(str(fate) for _, fate in rows)), "caught_up_s": round(caught_up_s, 1),
        "most": dict(traffic.most), "calls_said": said,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=("stop", "freeze"), default="stop")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10.0)
    given = parser.parse_args()
    server = Postgres()
    try:
        result = run(server.start(), given.how, given.seconds, given.rate)
    finally:
        server.remove()
    print(json.dumps(result))
    return int(bool(result["not_up"] or result["unfinished"] or result["missing"] or result["twice"]))


if __name__ == "__main__":
    sys.exit(main())
