"""kill -9 with calls at every stage; tests.bench.killed does it more often."""

from __future__ import annotations

from unittest import TestCase

import pytest

from tests.bench.killed import bad, ready, run
from tests.interop.house import House


@pytest.mark.slow
class Killed(TestCase):
    def test_every_call_that_was_given_an_answer_has_one_record(self) -> None:
        house = House("24000-25000", "[rtp]\nquarantine_s = 1.0\n")
        self.addCleanup(house.remove)
        found = run(ready(house), rounds=2, calls=10, seed=7)
        self.assertEqual((found["given_an_answer"], found["found"]), (20, 20), found)
        self.assertFalse(bad(found), found)
