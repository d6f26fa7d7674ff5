"""The compiled media path (etc/compile.py): built into a copy, it does what the source does, and knows when it is not of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest, TestCase

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = ("test_plane", "test_jitter", "test_sender", "test_playback", "test_source", "test_packet", "test_changes")


@pytest.mark.slow
class Compiled(TestCase):
    folder: Path

    @classmethod
    def setUpClass(cls) -> None:
        """What is built is in a copy: others use the source at the same time."""
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise SkipTest(f"NOT TESTED: the compiled media path; there is no C compiler ({compiler}) with Python.h here")
        if None in (find_spec("mypyc"), find_spec("mypy_zope"), find_spec("setuptools")):
            raise SkipTest("NOT TESTED: the compiled media path; it needs pip install 'smartalex[compiled]'")
        cls.folder = Path(tempfile.mkdtemp(prefix="smartalex-compiled-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("smartalex", "tests", "etc", "twisted"):
            shutil.copytree(ROOT / name, cls.folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", cls.folder)
        cls.run_in(cls.folder, "etc/compile.py")

    @staticmethod
    def run_in(folder: Path, *arguments: str) -> str:
        environ = {**os.environ, "PYTHONPATH": str(folder), "SMARTALEX_TEST": "compiled"}
        command = [sys.executable, *arguments]
        ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
        return ended.stdout

    def state(self) -> str:
        return self.run_in(self.folder, "-c", "from smartalex.rtp.compiled import state; print(state())").strip()

    def test_1_it_does_what_the_source_does(self) -> None:
        suites = [f"tests/rtp/{name}.py" for name in SUITES]
        self.assertIn("passed", self.run_in(self.folder, "-m", "pytest", "-v", "-p", "no:xdist", *suites)[-200:])

    def test_2_it_knows_of_which_source_it_is(self) -> None:
        leg = self.folder / "smartalex/rtp/leg.py"
        before = leg.read_text()
        found = [self.state()]
        leg.write_text(before + "\n# changed\n")
        found.append(self.state())
        leg.write_text(before)
        found.append(self.state())
        self.assertEqual(found, ["compiled", "stale", "compiled"])

    def test_3_it_can_be_removed(self) -> None:
        self.run_in(self.folder, "etc/compile.py", "--remove")
        self.assertEqual((self.state(), list(self.folder.rglob("*.so"))), ("python", []))
