"""kill -9 under a whole platform with calls at every stage, and a change of its configuration on the way.

    python -m tests.bench.killed --rounds 20 --calls 20

In each round calls begin one after the other: some have ended, some are up, ring, or were refused when the platform is killed,
together with the command that is changing its trunk.  Then the database has to be sound, and after a start every call that was
given any answer has to be in the records, once, with its times.  Prints one JSON line; the exit status is 1 when one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from typing import Any

from tests.bench.leak import Callers, drain
from tests.interop.house import House
from tests.interop.peers import PBX
from tests.interop.platform import PYTHONPATH, Platform

KINDS = ("held", "answered", "ringing", "cancelled", "refused")


def one_round(house: House, number: int, calls: int, dice: random.Random) -> dict[str, str]:
    """The Call-IDs that were given an answer, and what became of them as far as we heard; the platform is dead afterwards."""
    callers = Callers(PBX, house.sip)
    for index in range(calls):
        callers.begin(KINDS[index % len(KINDS)], number * 1000 + index)
        drain([callers], dice.uniform(0, 0.1))
    change = changing(house, dice.choice((500, 1000)))
    while len(callers.heard_of) < calls:
        drain([callers], 0.05)
    drain([callers], dice.uniform(0, 1.5))
    house.kill()
    change.kill()
    change.wait()
    drain([callers], 0.1)
    return {call: callers.ended.get(call, "") for call in callers.heard_of}


def changing(house: House, limit: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "smartalex.cli.main", "trunks", "set", "pbx", "--max-calls", str(limit)]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    return subprocess.Popen([*command, "--state", str(house.state)], stdout=subprocess.DEVNULL, env=environment)


def database(house: House) -> Any:
    return closing(sqlite3.connect(house.state / "smartalex.db", timeout=10))


def sound(house: House) -> bool:
    with database(house) as opened:
        whole = opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        limits = opened.execute("SELECT max_calls FROM trunk WHERE name = 'pbx'").fetchall()
        return whole and limits in ([(500,)], [(1000,)])


def run(house: House, rounds: int, calls: int, seed: int) -> dict[str, Any]:
    dice = random.Random(seed)
    given: dict[str, str] = {}
    unsound = 0
    for number in range(rounds):
        given |= one_round(house, number, calls, dice)
        unsound += not sound(house)
        Platform.start(house)
    with database(house) as opened:
        rows = opened.execute("SELECT sip_call_id, disposition, started_at, ended_at FROM call").fetchall()
    found = Counter(row[0] for row in rows)
    fates = {row[0]: row[1] for row in rows}
    contrary = [call for call, fate in given.items() if fate and fates.get(call) == "interrupted"]
    return {
        "rounds": rounds, "given_an_answer": len(given), "found": sum(found[call] == 1 for call in given),
        "missing": sum(not found[call] for call in given), "twice": sum(found[call] > 1 for call in given),
        "without_times": sum(row[2] is None or row[3] is None for row in rows), "unsound": unsound,
        "contrary": len(contrary), "dispositions": dict(Counter(fates[call] for call in given if call in fates)),
    }  # fmt: skip


def ready(house: House) -> House:
    house.start()
    house.command("trunks", "set", "pbx", "--max-calls", "1000")
    house.command("dids", "add", "cps", "--trunk", "pbx", "--agent", "cps")
    return house


def bad(found: dict[str, Any]) -> bool:
    return any(found[name] for name in ("missing", "twice", "without_times", "unsound", "contrary"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    house = House("20000-30000", "[rtp]\nquarantine_s = 1.0\n")
    try:
        found = run(ready(house), given.rounds, given.calls, given.seed)
    finally:
        house.remove()
    print(json.dumps(found))
    return int(bad(found))


if __name__ == "__main__":
    sys.exit(main())
