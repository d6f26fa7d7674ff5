"""The programs we did not write; without them a test is skipped aloud, and in CI that is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest

from tests.interop.platform import Platform, free_port

PACKAGES = {"sipp": "sip-tester"}
"""Debian's packages of another name than their program."""

PBX = "127.0.0.2"
"""Where SIPp calls from: an address of its own, so that a trunk can be known by it."""


def missing(*programs: str) -> str:
    """A sentence about what is not installed, or ''."""
    absent = [p for p in programs if shutil.which(p) is None]
    return (
        f"{', '.join(absent)} not installed (Debian: apt-get install {' '.join(PACKAGES[p] for p in absent)})" if absent else ""
    )


def not_run(reason: str) -> Exception:
    """What to raise: in CI nothing is skipped."""
    return (
        AssertionError(f"in CI nothing is skipped: {reason}") if os.environ.get("CI") else SkipTest(f"INTEROP NOT RUN: {reason}")
    )


def needs(*programs: str) -> Callable[[Any], Any]:
    """Class decorator: marks interop tests and skips (fails in CI) where a program is missing."""

    def decorate(case: Any) -> Any:
        prepare = case.setUpClass

        def check(cls: Any) -> None:
            reason = missing(*programs)
            if reason:
                raise not_run(reason)
            prepare()

        case.setUpClass = classmethod(check)
        return pytest.mark.interop(case)

    return decorate


def sipp(platform: Platform, scenario: str, to: str, *, transport: str = "udp", calls: int = 1, source: str = PBX) -> None:
    """Run the scenario, or one that SIPp has by this name, so many times at once.

    AssertionError with SIPp's own words when a call did not go as written.
    """
    with tempfile.TemporaryDirectory(prefix="smartalex-sipp-") as name:
        folder = Path(name)
        (folder / "scenario.xml").write_text(scenario)
        command = [
            "sipp", platform.address, *(("-sf", "scenario.xml") if scenario.startswith("<") else ("-sn", scenario)), "-s", to,
            "-t", {"udp": "u1", "tcp": "t1"}[transport], "-i", source, "-p", str(free_port(source)),
            "-mi", source, "-mp", str(free_port(source)), "-m", str(calls), "-r", "50", "-d", "500",
            "-nostdin", "-timeout", "40", "-timeout_error", "-recv_timeout", "30000",
            "-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            said = [path.read_text()[-6000:] for path in (folder / "errors", folder / "messages") if path.exists()]
            raise AssertionError(f"SIPp ended with {done.returncode}: {done.stderr[-1000:]}\n" + "\n".join(said))
