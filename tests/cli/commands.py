"""Running commands in this process on a state directory of their own."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import TestCase

from click.testing import CliRunner, Result

from smartalex.cli.main import main
from smartalex.config import load
from smartalex.store.state import State, open_state


class Commands(TestCase):
    """Each test gets a fresh copy of the demo state; `issued` is what the first start printed."""

    seeded: Path
    issued: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.seeded = Path(tempfile.mkdtemp(prefix="smartalex-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.seeded, ignore_errors=True)
        state = open_state(load(None, {"node.state_dir": str(cls.seeded / "demo")}))
        assert state.issued is not None and state.lock is not None
        cls.issued = state.issued.password
        state.repository.engine.dispose()
        state.lock.close()

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.state = self.folder / "state"
        shutil.copytree(self.seeded / "demo", self.state)

    def run_command(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(
            main, [*arguments], env={"SMARTALEX_STATE": str(self.state), "SMARTALEX_PASSWORD": None}, input=stdin
        )

    def output(self, *arguments: str) -> str:
        done = self.run_command(*arguments)
        self.assertEqual(done.exit_code, 0, done.output)
        return done.stdout

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """What --json prints."""
        return [json.loads(line) for line in self.output(*arguments, "--json").splitlines()]

    def line(self, *arguments: str) -> dict[str, Any]:
        (line,) = self.lines(*arguments)
        return line

    def error(self, *arguments: str) -> str:
        """What a command that fails says, in one sentence and no traceback."""
        done = self.run_command(*arguments)
        self.assertIn(done.exit_code, (1, 2), done.output)
        self.assertNotIn("Traceback", done.output)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def opened(self) -> State:
        return open_state(load(None, {"node.state_dir": str(self.state)}), serve=False)
