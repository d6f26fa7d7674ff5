"""A whole SmartAlex in a process of its own, as an operator would start it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHONPATH = os.pathsep.join((str(ROOT), str(Path(__file__).parent / "plugins")))


def free_port(address: str = "127.0.0.1") -> int:
    """A port that was free a moment ago, on both UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind((address, 0))
            port = int(first.getsockname()[1])
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as second:
                try:
                    second.bind((address, port))
                    return port
                except OSError:
                    continue


def smartalex(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    environment = options.pop("environment", None) or {**os.environ, "PYTHONPATH": PYTHONPATH}
    command = [sys.executable, "-m", "smartalex.cli.main", *arguments]
    options = {"timeout": 120, **options}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, **options)


class Platform:
    """`start` waits for the JSON line; `environment` is added to ours; `address` is 127.0.0.1:PORT of the UDP transport."""

    def __init__(self, rtp_ports: str = "20000-24000", config: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-test-"))
        self.state = self.folder / "state"
        self.rtp_ports = rtp_ports
        self.config = self.folder / "smartalex.toml"
        self.config.write_text(config)
        self.environment = {**os.environ, "PYTHONPATH": PYTHONPATH, **(environment or {})}
        self.process: subprocess.Popen[str]
        self.ready: dict[str, Any] = {}
        self.password = ""

    def start(self) -> Platform:
        self.sip, self.tls, self.http = free_port(), free_port(), free_port()
        self.log = (self.folder / "log").open("ab")
        command = [
            sys.executable, "-m", "smartalex.cli.main", "run", "--json", "--config", str(self.config),
            "--state", str(self.state), "--host", "127.0.0.1", "--rtp-ports", self.rtp_ports,
            "--sip-port", str(self.sip), "--tls-port", str(self.tls), "--http-port", str(self.http),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the platform did not start:\n" + (self.folder / "log").read_text()[-4000:])
        self.ready = json.loads(line)
        self.password = self.ready.get("password") or self.password
        return self

    def add_trunk(self, name: str, source: str, *options: str) -> None:
        """A trunk known by its address; its numbers are the names of the demo's agents."""
        self.command("trunks", "add", name, "--allow", f"{source}/32", "--no-digest", "--max-calls", "50", *options)
        for agent in ("alex", "play", "echo"):
            self.command("dids", "add", agent, "--trunk", name, "--agent", agent)

    def command(self, *arguments: str) -> str:
        """What this command says about our state; AssertionError when it fails."""
        done = smartalex(*arguments, "--state", str(self.state), environment=self.environment)
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.sip}"

    @property
    def username(self) -> str:
        return str(self.ready["username"])

    def calls(self, *options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.command("calls", "--json", *options).splitlines()]

    def call(self, call_id: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(self.command("calls", "show", call_id, "--json"))
        return record

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line and line[0] != "#")}

    def logged(self) -> str:
        return (self.folder / "log").read_text()

    def kill(self) -> None:
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def _wait(self) -> int:
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
        return status

    def remove(self) -> None:
        """Whatever it is doing."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
