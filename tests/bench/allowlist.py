"""What it costs to find the trunk of an address among many networks.

python -m tests.bench.allowlist [--nets 5000]
"""

from __future__ import annotations

import argparse
import random
import time
from ipaddress import ip_address

from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.interfaces import AuthAttempt


def networks(count: int, family: int, dice: random.Random) -> list[tuple[str, str]]:
    """As customers have them: mostly single addresses and small networks."""
    bits, prefixes = (32, (32, 32, 32, 29, 28, 24)) if family == 4 else (128, (128, 64, 64, 56, 48))
    found = []
    for n in range(count):
        prefix = dice.choice(prefixes)
        number = dice.getrandbits(bits) >> bits - prefix << bits - prefix
        found.append((f"t{n}", f"{ip_address(number) if family == 4 else ip_address(number | 1 << 127)}/{prefix}"))
    return found


def each(sources: list[tuple[str, str]], addresses: list[str], times: int) -> float:
    """Microseconds, by the median of five."""
    found = []
    for _ in range(5):
        look, asked = AllowlistAuthenticator(sources).owners, addresses * times
        began = time.perf_counter()
        for one in asked:
            look(one)
        spent = time.perf_counter() - began
        began = time.perf_counter()
        for _one in asked:
            pass
        found.append((spent - time.perf_counter() + began) / len(asked) * 1e6)
    return sorted(found)[2]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nets", type=int, default=5000)
    count = parser.parse_args().nets
    dice = random.Random(1)
    for family in (4, 6):
        sources = [(owner, net) for owner, net in networks(count, family, dice)]
        began = time.perf_counter()
        nets = AllowlistAuthenticator(sources)
        built = time.perf_counter() - began
        known = [net.partition("/")[0] for _, net in sources]
        strangers = [str(ip_address(dice.getrandbits(32) if family == 4 else dice.getrandbits(128))) for _ in range(count)]
        for who, addresses in (("known", known), ("strangers", strangers)):
            print(f"IPv{family}: {count} networks, {who}: {each(sources, addresses, 1):.2f} us an address the first time,"
                  f" {each(sources, addresses, 40):.2f} us for those that come again and again")  # fmt: skip
        attempts = [AuthAttempt("INVITE", "sip:x@y", one, "udp") for one in known]
        began = time.perf_counter()
        for attempt in attempts:
            nets.authenticate(attempt)
        spent = (time.perf_counter() - began) / len(attempts) * 1e6
        print(f"IPv{family}: {spent:.2f} us with its verdict; built in {built * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
