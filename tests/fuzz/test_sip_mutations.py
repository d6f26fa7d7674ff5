from __future__ import annotations

from unittest import TestCase

from tests.fuzz.sip_mutations import Mutator, fuzz
from tests.interop.platform import Platform, smartalex


class Mutations(TestCase):
    def test_one_seed_is_one_sequence(self) -> None:
        one, same, other = Mutator(1, 5060), Mutator(1, 5060), Mutator(2, 5060)
        first = [one.message() for _ in range(50)]
        self.assertEqual(first, [same.message() for _ in range(50)])
        self.assertNotEqual(first, [other.message() for _ in range(50)])

    def test_a_platform_stays_alive_and_takes_calls(self) -> None:
        platform = Platform("31000-32000").start()
        self.addCleanup(platform.remove)
        platform.add_trunk("fuzz", "127.0.0.1")
        for transport in ("udp", "tcp", "tls"):
            result = fuzz(platform, 1500, 7, transport)
            self.assertEqual(result["faults"], 0, platform.logged()[-3000:])
            self.assertNotEqual(result["worst_probe_s"], float("inf"))
            self.assertGreater(result["malformed"], 50)
        target = f"sip:play@127.0.0.1:{platform.sip}"
        done = smartalex("call", target, "--state", str(platform.state), "--json", "--max-seconds", "1")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
