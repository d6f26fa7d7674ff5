"""The service as a whole: what it says when it cannot start, and how it starts, changes and stops in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import TestCase as PlainCase

from sqlalchemy import update
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from smartalex.config import load
from smartalex.service import SmartAlexService
from smartalex.store import schema
from tests.interop.platform import ROOT, Platform, free_port, smartalex

PATIENCE_S = 60.0


class Starting(TestCase):
    """In this process, up to the ports."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def service(self, **options: Any) -> SmartAlexService:
        free = {"sip.port": free_port(), "sip.tls_port": free_port(), "http.port": free_port()}
        given = {name.replace("__", "."): value for name, value in options.items()}
        made = SmartAlexService(reactor, load(None, {"node.state_dir": str(self.folder / "state"), **free, **given}))
        self.addCleanup(self._close, made)
        return made

    async def _close(self, service: SmartAlexService) -> None:
        if hasattr(service, "transports"):
            for closing in (*service.transports.stop(), service._http and service._http.stopListening()):
                await ensured(closing)
        if hasattr(service, "state"):
            service.state.journal.close()
            service.state.repository.engine.dispose()
            assert service.state.lock is not None
            service.state.lock.close()

    def refused(self, service: SmartAlexService) -> str:
        with self.assertRaises(SystemExit) as caught:
            service.privilegedStartService()
        return str(caught.exception)

    def test_a_busy_port_is_named_with_the_option_to_change(self) -> None:
        for kind, what, option in (
            (socket.SOCK_DGRAM, "UDP", "sip.port"),
            (socket.SOCK_STREAM, "TCP", "sip.port"),
            (socket.SOCK_STREAM, "TLS", "sip.tls_port"),
            (socket.SOCK_STREAM, "HTTP", "http.port"),
        ):
            with self.subTest(what), socket.socket(socket.AF_INET, kind) as other:
                other.bind(("127.0.0.1", 0))
                if kind == socket.SOCK_STREAM:
                    other.listen()
                port = other.getsockname()[1]
                self.folder = self.folder / "deeper"
                self.folder.mkdir()
                said = self.refused(self.service(**{option.replace(".", "__"): port}))
                wanted = f"smartalex: {what} port {port} cannot be opened (Address already in use): "
                self.assertEqual(said, wanted + f"stop the program that uses it, or choose another {option}")

    def test_an_address_that_is_not_ours(self) -> None:
        said = self.refused(self.service(node__host="192.0.2.1"))
        self.assertIn("(Cannot assign requested address): its host is no address of this machine", said)

    def test_a_certificate_that_cannot_be_read(self) -> None:
        missing = str(self.folder / "missing.pem")
        said = self.refused(self.service(sip__tls_certificate=missing, sip__tls_key=missing))
        self.assertEqual(said, f"smartalex: sip.tls_certificate: {missing} cannot be read: No such file or directory")

    def test_a_second_one_on_the_same_state(self) -> None:
        self.service().privilegedStartService()
        said = self.refused(self.service())
        self.assertEqual(said.count(f"(pid {os.getpid()})"), 1, said)

    def test_only_the_transports_asked_for_are_opened(self) -> None:
        service = self.service(sip__transports=("udp",))
        service.privilegedStartService()
        sip = service.config.sip
        for port in (sip.port, sip.tls_port):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
                other.bind(("127.0.0.1", port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            self.assertRaises(OSError, other.bind, ("127.0.0.1", sip.port))

    def test_a_backend_that_does_not_exist_costs_its_own_agent_only(self) -> None:
        service = self.service()
        service.privilegedStartService()
        agents = service.admission.tenancy.agents
        with service.state.repository.engine.begin() as connection:
            connection.execute(
                update(schema.agent).where(schema.agent.c.id == "echo").values(backends=["gpt-9", "echo:volume=11"])
            )
        broken = service.state.repository.tenancy().agents["echo"]
        self.assertEqual(service._conversation_options(broken).factories, ())
        self.assertEqual(service.counters.values["ai.not_loaded", ""], 2)
        self.assertEqual(len(service._conversation_options(agents["play"]).factories), 1)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class Running(PlainCase):
    """`smartalex run` in a process of its own."""

    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("26000-26900").start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def status(self, password: str) -> int:
        return int(phone(self.platform.address, self.platform.username, password)["status"])

    def test_the_json_line_tells_everything_once(self) -> None:
        platform = self.platform
        wanted = {
            "host": "127.0.0.1", "sip_port": platform.sip, "tls_port": platform.tls, "http_port": platform.http,
            "rtp_ports": "26000-26900", "state": str(platform.state), "pid": platform.process.pid, "trunk": "acme",
        }  # fmt: skip
        found = dict(platform.ready)
        self.assertEqual(len(found.pop("password")), 24)
        self.assertRegex(found.pop("username"), "^sa_[a-z2-7]{12}$")
        self.assertEqual(found, wanted)

    def test_run_json_holds_the_same_without_the_password(self) -> None:
        found = json.loads((self.platform.state / "run.json").read_text())
        self.assertEqual(found, {k: v for k, v in self.platform.ready.items() if k != "password"})

    def test_only_its_owner_may_look_into_the_state(self) -> None:
        state = self.platform.state
        modes = {
            name: stat.S_IMODE((state / name).stat().st_mode) for name in (".", "messages", "journal", "vault.key", "tls.key")
        }
        self.assertEqual(modes, {".": 0o700, "messages": 0o700, "journal": 0o700, "vault.key": 0o600, "tls.key": 0o600})

    def test_a_rotated_password_counts_at_once(self) -> None:
        self.assertEqual(self.status(self.platform.password), 200)
        done = smartalex("secret", "rotate", "acme", "--state", str(self.platform.state), "--json")
        fresh = json.loads(done.stdout)["password"]
        self.assertEqual((self.status(self.platform.password), self.status(fresh)), (403, 200))
        type(self).platform.password = fresh

    def test_metrics_of_a_real_node(self) -> None:
        self.status(self.platform.password)
        metrics = self.platform.metrics()
        self.assertGreaterEqual(metrics['smartalex_calls_accepted_total{label=""}'], 1)
        self.assertEqual(metrics["smartalex_records_pending"], 0)


class Stopping(PlainCase):
    def test_sigterm_ends_an_idle_one_with_status_0(self) -> None:
        platform = Platform("26900-26990").start()
        self.addCleanup(platform.remove)
        self.assertEqual(platform.stop(), 0, platform.logged())
        self.assertFalse((platform.state / "run.json").exists())


class Twistd(PlainCase):
    """`twistd -n --reactor=uvloop smartalex --config FILE`; after its shutdown twistd dies of the signal it got."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.state = self.folder / "state"
        self.config = self.folder / "smartalex.toml"
        self.sip, self.http = free_port(), free_port()

    def start(self, drain_timeout_s: float = 30.0) -> subprocess.Popen[bytes]:
        self.config.write_text(
            f'[node]\nstate_dir = "{self.state}"\n[sip]\nport = {self.sip}\ntls_port = {free_port()}\n'
            f'[http]\nport = {self.http}\n[rtp]\nports = "27000-27900"\n[limits]\ndrain_timeout_s = {drain_timeout_s}\n'
        )
        child = self.twistd()
        until(lambda: (self.state / "run.json").exists() or child.poll() is not None)
        self.assertIsNone(child.poll(), self.said())
        return child

    def twistd(self) -> subprocess.Popen[bytes]:
        script = "from twisted.scripts.twistd import run; run()"
        command = [
            sys.executable,
            "-c",
            script,
            "-n",
            "--pidfile=",
            "--reactor=uvloop",
            "smartalex",
            "--config",
            str(self.config),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (self.folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, env=environment)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def call(self, seconds: int) -> subprocess.Popen[str]:
        """A call in progress: one that has been answered."""
        command = [sys.executable, "-m", "smartalex.cli.main", "call", f"sip:play@127.0.0.1:{self.sip}", "--json"]
        command += ["--state", str(self.state), "--max-seconds", str(seconds)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        until(lambda: any(row["answered_at"] for row in self.calls()))
        return child

    def calls(self) -> list[dict[str, Any]]:
        done = smartalex("calls", "--state", str(self.state), "--json")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_sigterm_drains(self) -> None:
        child = self.start(drain_timeout_s=6)
        self.call(60)
        child.send_signal(signal.SIGTERM)
        until(lambda: "stopping when 1 calls have ended" in self.said())
        answer = self.options()
        self.assertTrue(answer.startswith("SIP/2.0 503 "), answer)
        self.assertIsNone(child.poll())
        self.assertEqual(child.wait(PATIENCE_S), -signal.SIGTERM, self.said())
        [row] = self.calls()
        self.assertEqual((row["disposition"], row["cause"]), ("completed", "drain"))
        self.assertFalse((self.state / "run.json").exists())

    def test_a_new_call_is_refused_with_503_while_draining(self) -> None:
        child = self.start()
        running = self.call(8)
        child.send_signal(signal.SIGTERM)
        until(lambda: "stopping when 1 calls have ended" in self.said())
        done = smartalex("call", f"sip:play@127.0.0.1:{self.sip}", "--state", str(self.state), "--json")
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["status"], 503)
        self.assertEqual(json.loads(running.communicate()[0].splitlines()[-1])["status"], 200)
        self.assertEqual(child.wait(PATIENCE_S), -signal.SIGTERM, self.said())
        self.assertEqual(sorted((row["disposition"], row["cause"]) for row in self.calls())[0], ("completed", "caller hung up"))

    def test_a_second_signal_ends_the_calls_now(self) -> None:
        child = self.start(drain_timeout_s=3600)
        self.call(3600)
        child.send_signal(signal.SIGTERM)
        until(lambda: "stopping when 1 calls have ended" in self.said())
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(PATIENCE_S), -signal.SIGTERM, self.said())
        self.assertEqual([row["cause"] for row in self.calls()], ["drain"])

    def test_the_password_is_not_in_the_log_but_how_to_get_one_is(self) -> None:
        self.start()
        self.assertIn("show its password with: smartalex secret rotate acme", self.said())

    def test_a_wrong_configuration_is_one_sentence(self) -> None:
        self.config.write_text("[sip]\nprot = 5060\n")
        child = self.twistd()
        self.assertEqual(child.wait(PATIENCE_S), 1)
        self.assertEqual(self.said(), f"smartalex: {self.config}:2: sip.prot: there is no such option; did you mean 'port'?\n")

    def options(self) -> str:
        """The status line of an OPTIONS."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            udp.settimeout(PATIENCE_S)
            port = udp.getsockname()[1]
            head = f"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK1;rport\r\n"
            who = f"From: <sip:a@127.0.0.1:{port}>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {port}\r\nCSeq: 1 OPTIONS\r\n"
            udp.sendto(f"{head}Max-Forwards: 70\r\n{who}\r\n".encode(), ("127.0.0.1", self.sip))
            return udp.recv(4096).decode().splitlines()[0]


def phone(address: str, username: str, password: str) -> dict[str, Any]:
    """What became of a short call with these credentials."""
    credentials = ("--username", username, "--password-file", "-")
    done = smartalex("call", f"sip:play@{address}", *credentials, "--json", "--max-seconds", "1", input=password)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ensured(result: Any) -> Deferred[Any]:
    """What stopListening gives, a Deferred or nothing, as a Deferred."""
    return result if isinstance(result, Deferred) else succeed(result)


def until(condition: Any) -> None:
    """Return when it holds; the limit is there for machines that are broken, not for slow ones."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("nothing happened")
        time.sleep(0.1)
