"""Whether the time of an answer tells who exists: unknown user, wrong password, wrong password of one with two.

    python -m tests.bench.auth_timing [--tries 10000]

Welch's t of two equal distributions is within 3.3 in 999 of 1000 runs; the Kolmogorov-Smirnov distance D is
compared with what equal ones stay below in 999 of 1000 (1.95 * sqrt(2 / n)).
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Mapping

import numpy as np

from smartalex.auth.digest import DigestAuthenticator
from smartalex.auth.ground import Ground, Once
from smartalex.auth.identity import identity
from smartalex.interfaces import AuthAttempt
from smartalex.sip.digest import HASHES, DigestClient, NonceSource, Secret, ha1
from smartalex.sip.message import Headers, Response
from smartalex.store.credentials import shaped
from smartalex.tenants.trunk import Trunk

REALM, URI, USERS = "smartalex", "sip:alex@192.0.2.9", 1000


def credentials() -> dict[str, tuple[str, Mapping[str, str]]]:
    known = {}
    for n in range(USERS):
        name = f"sa_{n:012d}"
        kept = {a: ha1(name, REALM, "right", a) for a in HASHES}
        lately = {f"old:{a}": ha1(name, REALM, "older", a) for a in HASHES} | {"old:until": "9999999999.000000"}
        known[name] = (f"t{n}", shaped(kept | lately if n % 2 else kept))
    return known


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=10_000)
    tries = parser.parse_args().tries
    known, dice = credentials(), random.Random(1)
    digest = DigestAuthenticator(REALM, ("MD5",), known.get, NonceSource(bytes(32)), names=tuple(known))
    who = identity([Trunk(f"t{n}", "w", f"trunk{n}", "", name) for n, name in enumerate(known)], Ground(Once(digest)))
    kinds = {
        "unknown user": lambda: f"sa_{dice.randrange(USERS, 10 * USERS):012d}",
        "wrong password": lambda: f"sa_{dice.randrange(0, USERS, 2):012d}",
        "wrong password, two": lambda: f"sa_{dice.randrange(1, USERS, 2):012d}",
        "unknown user again": lambda: f"sa_{dice.randrange(USERS, 10 * USERS):012d}",
    }
    attempts = []
    for n in range(tries):  # side by side in memory, too
        for kind, name in kinds.items():
            challenge = digest.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", now=1000.0)).challenges[0]
            response = Response(401, "Unauthorized", Headers([("WWW-Authenticate", challenge)]))
            client = DigestClient(name(), Secret(f"guess {n:05d}"), lambda: "c0ffee")
            ((_, value),) = client.authorization(response, "INVITE", URI)
            attempts.append((kind, AuthAttempt("INVITE", URI, "192.0.2.1", "udp", (value,), 1000.5)))
    dice.shuffle(attempts)
    spent: dict[str, list[int]] = {kind: [] for kind in kinds}
    gc.disable()
    for kind, attempt in attempts:
        began = time.perf_counter_ns()
        who.authenticate(attempt)
        spent[kind].append(time.perf_counter_ns() - began)
    gc.enable()
    longest = float(np.quantile(np.concatenate([np.array(times) for times in spent.values()]), 0.98))
    for kind, times in spent.items():
        mean = trimmed(times, longest).mean() / 1e3
        print(f"{kind:<20} median {np.median(times) / 1e3:.2f} us, mean {mean:.3f} us of those below {longest / 1e3:.1f} us")
    limit = 1.95 * (2 / tries) ** 0.5
    for one in list(kinds)[1:]:
        t = welch(*(trimmed(spent[kind], longest) for kind in ("unknown user", one)))
        d = distance(spent["unknown user"], spent[one])
        print(f"unknown user / {one:<20} Welch t {t:+.2f}   KS D {d:.4f} (equal ones: < {limit:.4f})")


def trimmed(times: list[int], longest: float) -> np.ndarray:
    """Without what the machine did meanwhile."""
    found = np.array(times, dtype=float)
    return found[found <= longest]


def welch(one: np.ndarray, other: np.ndarray) -> float:
    return float((one.mean() - other.mean()) / np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)))


def distance(one: list[int], other: list[int]) -> float:
    """Kolmogorov and Smirnov's: the most that the two distributions are apart."""
    a, b = np.sort(one), np.sort(other)
    both = np.concatenate((a, b))
    return float(np.abs(np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)).max())


if __name__ == "__main__":
    main()
