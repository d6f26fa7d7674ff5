"""A whole platform in its own process: the built-in phone, bad input, kill -9."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from unittest import TestCase

from tests.interop.platform import Platform, smartalex


class Calls(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("21000-22000").start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def phone(self, *options: str, to: str = "play", transport: str = "udp") -> dict[str, object]:
        platform = self.platform
        port = platform.tls if transport == "tls" else platform.sip
        done = smartalex(
            "call", f"sip:{to}@127.0.0.1:{port}", "--state", str(platform.state), "--transport", transport, "--json", *options
        )  # fmt: skip
        self.assertTrue(done.stdout, done.stderr)
        result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return result

    def test_a_sound_is_heard_over_every_transport_and_codec(self) -> None:
        for transport, codec in (("udp", "PCMU"), ("tcp", "PCMA"), ("tls", "PCMU")):
            result = self.phone("--codec", codec, "--max-seconds", "2", transport=transport)
            self.assertEqual((result["status"], result["codec"]), (200, codec), transport)
            self.assertIsNotNone(result["first_audio_ms"], transport)

    def test_the_receptionist_greets(self) -> None:
        result = self.phone("--max-seconds", "3", to="alex")
        self.assertEqual(result["status"], 200)
        self.assertIsNotNone(result["first_audio_ms"])

    def test_refusals_say_why_to_us_only(self) -> None:
        self.assertEqual(self.phone(to="+27215550101")["status"], 404)
        wrong = self.phone("--username", self.platform.username, "--password", "wrong")
        self.assertEqual(wrong["status"], 403)
        time.sleep(0.5)
        details = [call["detail"] for call in self.platform.calls("--refused")]
        self.assertIn("DID +27215550101 unknown; trunk acme has +27215550100", details)
        self.assertIn(f"wrong password for {self.platform.username}", details)

    def test_garbage_on_every_port_hurts_nobody(self) -> None:
        platform = self.platform
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for junk in (b"\x00" * 50, b"INVITE", b"INVITE sip:x SIP/2.0\r\n\r\n", bytes(range(256)) * 4):
                udp.sendto(junk, ("127.0.0.1", platform.sip))
        for port in (platform.sip, platform.tls, platform.http):
            with socket.create_connection(("127.0.0.1", port)) as tcp:
                tcp.sendall(b"\xff" * 1000 + b"\r\n\r\n")
        self.assertEqual(self.phone("--max-seconds", "1")["status"], 200)
        self.assertGreaterEqual(platform.metrics()['smartalex_sip_malformed_total{label="udp"}'], 3)

    def test_the_password_is_nowhere(self) -> None:
        password = self.platform.password.encode()
        self.assertEqual(len(password), 24)
        for path in (p for p in self.platform.folder.rglob("*") if p.is_file()):
            self.assertNotIn(password, path.read_bytes(), path)


class KillNine(TestCase):
    def test_an_accepted_call_is_never_lost(self) -> None:
        platform = Platform("23000-24000").start()
        self.addCleanup(platform.remove)
        for _ in range(3):
            phone = subprocess.Popen(
                [*_phone_command(platform), "--max-seconds", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
            self.addCleanup(phone.kill)
        deadline = time.monotonic() + 15
        while len(platform.calls()) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
        platform.kill()
        platform.start()
        self.assertEqual([call["disposition"] for call in platform.calls()], ["interrupted"] * 3)


def _phone_command(platform: Platform) -> list[str]:
    return [
        sys.executable,
        "-m",
        "smartalex.cli.main",
        "call",
        f"sip:play@127.0.0.1:{platform.sip}",
        "--state",
        str(platform.state),
        "--json",
    ]
