"""What no peer should send, while a good call goes on: it is answered or dropped, counted, and heard by nobody."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from unittest import TestCase

import numpy as np

from smartalex.media.codecs.g711 import PCMU
from smartalex.media.tone import sine
from tests.interop import voice
from tests.interop.platform import ROOT, Platform

PORTS = range(29000, 29020, 2)
"""So few that a stranger hits the call's own."""

HEAD = (
    "OPTIONS sip:alex@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5080;branch=z9hG4bK{0}\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:alex@127.0.0.1>\r\nCall-ID: {0}\r\nCSeq: 1 OPTIONS\r\n"
)


class BadInput(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform(f"{PORTS[0]}-{PORTS[-1] + 1}").start()
        cls.addClassCleanup(cls.platform.remove)

    def setUp(self) -> None:
        """A good call, to somebody who is silent."""
        platform = self.platform
        self.recording = platform.folder / f"{self.id()}.wav"
        command = [sys.executable, "-m", "smartalex.cli.main", "call", f"sip:echo@{platform.address}", "--json",
                   "--state", str(platform.state), "--max-seconds", "5", "--record", str(self.recording)]  # fmt: skip
        before = platform.metrics().get('smartalex_calls_accepted_total{label=""}', 0)
        self.phone = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.addCleanup(self.phone.wait)
        self.addCleanup(self.phone.kill)
        while platform.metrics().get('smartalex_calls_accepted_total{label=""}', 0) == before and self.phone.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)  # its audio has begun
        self.before = platform.metrics()

    def counted(self, name: str, label: str = "") -> float:
        key = f'smartalex_{name}_total{{label="{label}"}}'
        return self.platform.metrics().get(key, 0) - self.before.get(key, 0)

    def assertUnhurt(self) -> None:
        """The good call lost nothing, and heard nothing, for it said nothing."""
        result = json.loads(self.phone.communicate()[0].splitlines()[-1])
        self.assertEqual((result["status"], result["ended_by"]), (200, "timeout"))
        self.assertEqual((result["rtp"]["lost"], result["rtp"]["strangers"]), (0, 0), result)
        self.assertLess(np.abs(voice.read(self.recording)[1::2]).max(), 0.01)
        record = self.platform.call(result["call_id"])
        self.assertEqual((record["disposition"], record["cause"], record["rtp"]["lost"]), ("completed", "caller hung up", 0))

    def tcp(self, data: bytes, port: int = 0) -> bytes:
        """What is answered until we or they close."""
        with socket.create_connection(("127.0.0.1", port or self.platform.sip)) as connection:
            connection.settimeout(0.5)
            answer = b""
            try:
                connection.sendall(data)
                while more := connection.recv(65536):
                    answer += more
            except (TimeoutError, ConnectionError):
                pass
            return answer

    def test_over_sip(self) -> None:
        good = HEAD.format("good").encode() + b"Content-Length: 0\r\n\r\n"
        self.assertEqual(self.tcp(good)[:11], b"SIP/2.0 200")
        with self.subTest("a message that breaks off"):
            self.assertEqual(self.tcp(good[:150]), b"")
        with self.subTest("half a TLS handshake"):
            self.assertEqual(self.tcp(client_hello()[:100], self.platform.tls), b"")
        with self.subTest("a length beyond all bounds"):
            for length in ("999999999", "99999999999"):
                giant = f"{HEAD.format(len(length))}Content-Length: {length}\r\n\r\n"
                self.assertEqual(self.tcp(giant.encode())[:11], b"SIP/2.0 400")
        with self.subTest("more than 64 KiB"):
            self.assertEqual(self.tcp(HEAD.format("long").encode() + b"X-Filler: " + b"x" * 66_000 + b"\r\n\r\n"), b"")
            self.assertEqual(self.tcp(b"x" * 70_000), b"")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"INVITE " + b"x" * 65_000, ("127.0.0.1", self.platform.sip))
            time.sleep(0.3)
        self.assertGreaterEqual(self.counted("sip_truncated", "tcp"), 1)
        counts = [
            self.counted("sip_no_handshake", "tls"),
            self.counted("sip_malformed", "tcp"),
            self.counted("sip_malformed", "udp"),
        ]
        self.assertEqual(counts, [1, 4, 1])
        self.assertUnhurt()

    def test_over_rtp(self) -> None:
        tone = PCMU().encode(sine(1000, 2000, 8000, -6))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.9", 0))
            for number in range(100):
                packet = struct.pack("!BBHII", 0x80, 0, number, 160 * number, 99) + tone[160 * number : 160 * number + 160]
                junk = (b"", b"\x80", bytes(11), bytes(200), b"\xbf\x00" + b"\xff" * 40, os.urandom(1400))[number % 6]
                for port in PORTS:
                    stranger.sendto(packet, ("127.0.0.1", port))
                    stranger.sendto(junk, ("127.0.0.1", port))
                    stranger.sendto(junk, ("127.0.0.1", port + 1))
                time.sleep(0.02)
        self.assertUnhurt()
        counts = self.counted("rtp_stranger"), self.counted("rtp_malformed")
        print(counts)
        self.assertGreaterEqual(counts[0], 100)
        self.assertGreaterEqual(counts[1], 50)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()
