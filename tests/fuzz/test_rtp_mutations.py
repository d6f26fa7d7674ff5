from __future__ import annotations

from unittest import TestCase

from tests.fuzz.rtp_mutations import Mutator, fuzz
from tests.interop.platform import Platform

GENUINE = bytes.fromhex("80000001000003e85eed5eed") + bytes(160)


class Mutations(TestCase):
    def test_one_seed_is_one_sequence(self) -> None:
        one, same, other = Mutator(1), Mutator(1), Mutator(2)
        first = [one.packet(GENUINE) for _ in range(50)]
        self.assertEqual(first, [same.packet(GENUINE) for _ in range(50)])
        self.assertNotEqual(first, [other.packet(GENUINE) for _ in range(50)])

    def test_a_call_goes_on_under_fire(self) -> None:
        platform = Platform("31000-32000").start()
        self.addCleanup(platform.remove)
        platform.add_trunk("fuzz", "127.0.0.1")
        result = fuzz(platform, 4000, 7)
        self.assertEqual(result["faults"], 0, platform.logged()[-3000:])
        self.assertNotEqual(result["worst_probe_s"], float("inf"))
        self.assertEqual(result["ended"], "completed: caller hung up")
        self.assertGreater(result["strangers"], 500)
        self.assertGreater(result["malformed"], 500)
        self.assertGreater(result["received"], 900)
