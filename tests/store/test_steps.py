"""kill -9 in the middle of changes: see tests.store.steps, which goes through every step where this goes through some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import TestCase

from tests.store.steps import CHANGES

ROOT = Path(__file__).resolve().parent.parent.parent
EVERY = 11


class Changes(TestCase):
    def test_each_is_made_as_a_whole_or_not_at_all(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.store.steps", str(EVERY)],
            capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        found = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["change"] for line in found], list(CHANGES), done.stderr)
        for line in found:
            self.assertTrue(line["changed"] and line["steps"] > EVERY, line)
            self.assertEqual(line["wrong"], [], line)
