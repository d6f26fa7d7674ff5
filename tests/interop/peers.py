"""The programs we did not write; without them a test is skipped aloud, and in CI that is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from unittest import SkipTest

import pytest

from tests.interop.platform import free_port

PACKAGES = {"sipp": "sip-tester", "kamcmd": "kamailio", "linphonec": "linphone-cli"}
"""Debian's packages of another name than their program."""

PBX = "127.0.0.2"
"""Where SIPp calls from: an address of its own, so that a trunk can be known by it."""


def missing(*programs: str) -> str:
    """A sentence about what is not installed, or ''."""
    absent = [p for p in programs if shutil.which(p) is None]
    return (
        f"{', '.join(absent)} not installed (Debian: apt-get install {' '.join(PACKAGES.get(p, p) for p in absent)})"
        if absent
        else ""
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


TRANSPORTS = {"udp": "u1", "tcp": "t1"}


class Sipp:
    """A SIPp at work in a folder of its own; `close` whatever it is doing."""

    def __init__(self, scenario: str, source: str, transport: str, *options: str, calls: int = 1, port: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-sipp-"))
        self.source, self.transport = source, transport
        self.port = port or free_port(source)
        (self.folder / "scenario.xml").write_text(scenario)
        command = [
            "sipp", *options, *(("-sf", "scenario.xml") if scenario.startswith("<") else ("-sn", scenario)),
            "-t", TRANSPORTS[transport], "-i", source, "-p", str(self.port), "-mi", source, "-mp", str(free_port(source)),
            "-m", str(calls), "-r", "50", "-d", "500", "-nostdin", "-timeout", "40", "-timeout_error", "-recv_timeout", "30000",
            "-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages",
        ]  # fmt: skip
        self._said = (self.folder / "said").open("wb")
        self.process = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._said
        )

    def listens(self) -> bool:
        """Whether anybody has bound its port."""
        address = "".join(f"{int(part):02X}" for part in reversed(self.source.split(".")))
        wanted = (f"{address}:{self.port:04X}", f"00000000:{self.port:04X}")
        return any(line.split()[1] in wanted for line in Path(f"/proc/net/{self.transport}").read_text().splitlines()[1:])

    def check(self) -> None:
        """AssertionError with its own words when a call did not go as written."""
        if self.process.returncode:
            files = (self.folder / name for name in ("said", "errors", "messages"))
            said = "\n".join(path.read_text(errors="replace")[-6000:] for path in files if path.exists())
            raise AssertionError(f"SIPp ended with {self.process.returncode}\n{said}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._said.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Reachable(Protocol):
    """`address` is HOST:PORT."""

    @property
    def address(self) -> str: ...


def sipp(
    peer: Reachable,
    scenario: str,
    to: str,
    *options: str,
    transport: str = "udp",
    calls: int = 1,
    source: str = PBX,
    port: int = 0,
) -> None:
    """Run the scenario, or one that SIPp has by this name, so many times at once; `options` are SIPp's.

    AssertionError with SIPp's own words when a call did not go as written.
    """
    caller = Sipp(scenario, source, transport, peer.address, "-s", to, *options, calls=calls, port=port)
    try:
        caller.process.wait(timeout=60)
        caller.check()
    finally:
        caller.close()
