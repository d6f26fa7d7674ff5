"""linphone, with a password: what it hears over each transport, and how it holds a call."""

from __future__ import annotations

import time
from typing import Any
from unittest import TestCase

import numpy as np

from tests.interop.house import CALLER_LEFT, media, outcome
from tests.interop.linphone import Linphone
from tests.interop.peers import needs
from tests.interop.platform import Platform
from tests.interop.voice import compare, voice


@needs("linphonec", "tshark")
class Telephone(TestCase):
    platform: Platform
    voice: np.ndarray

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("27800-27900")
        cls.addClassCleanup(cls.platform.remove)
        cls.platform.start()
        cls.voice = voice(3)

    def established(self, number: str) -> dict[str, Linphone]:
        """One over each transport."""
        telephones = {transport: Linphone(self.platform, transport, self.voice) for transport in ("udp", "tcp", "tls")}
        for telephone in telephones.values():
            self.addCleanup(telephone.close)
            telephone.dial(number)
        for telephone in telephones.values():
            telephone.wait("Media streams established")
        return telephones

    def records(self) -> list[dict[str, Any]]:
        """Of the last call over each transport, once they have ended."""
        rows: list[dict[str, Any]] = []
        for _ in range(100):
            rows = self.platform.calls("--limit", "3")
            if all(row["disposition"] for row in rows):
                break
            time.sleep(0.1)
        return [self.platform.call(row["id"]) for row in rows]

    def test_the_receptionist_greets(self) -> None:
        telephones = self.established("alex")
        time.sleep(2.0)
        for transport, telephone in telephones.items():
            telephone.command("terminate")
            telephone.wait("ended")
            self.assertGreater(np.abs(telephone.heard()).max(), 0.1, transport)
        records = self.records()
        self.assertEqual({(record["transport"], *outcome(record)) for record in records},
                         {(transport, *CALLER_LEFT) for transport in telephones})  # fmt: skip
        self.assertTrue(all(record["user_agent"].startswith("Linphone") for record in records))

    def test_the_echo_is_what_was_said_and_the_call_is_held(self) -> None:
        telephones = self.established("echo")
        time.sleep(4.0)
        for telephone in telephones.values():
            telephone.command("pause")
            telephone.wait("is now paused")
            telephone.command("resume 1")
            telephone.wait("Media streams established", times=2)
        for transport, telephone in telephones.items():
            telephone.command("terminate")
            telephone.wait("ended")
            likeness, delay_ms = compare(self.voice, telephone.heard())
            print(f"echo over {transport}: correlation {likeness:.3f}, delay {delay_ms:.0f} ms")
            self.assertGreater(likeness, 0.8, transport)
        for record in self.records():
            self.assertEqual((outcome(record), media(record), record["codec"]), (CALLER_LEFT, ["hold", "media"], "PCMU"))
            self.assertGreater(record["rtp"]["packets_received"], 100)
