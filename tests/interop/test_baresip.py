"""baresip with a voice of its own: what it hears, over each transport, and what it does with a REFER."""

from __future__ import annotations

import time
from typing import Any
from unittest import TestCase

import numpy as np

from tests.interop.baresip import Baresip
from tests.interop.peers import needs
from tests.interop.platform import Platform
from tests.interop.voice import compare, loudest_hz, voice


@needs("baresip", "sipp", "tshark")
class Telephone(TestCase):
    platform: Platform
    voice: np.ndarray

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("24000-24900").start()
        cls.voice = voice(3)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def telephone(self, transport: str = "udp", said: np.ndarray | None = None) -> Baresip:
        telephone = Baresip(self.platform, transport, said)
        self.addCleanup(telephone.close)
        return telephone

    def ended(self, count: int = 1) -> list[dict[str, Any]]:
        """The newest calls, once they are closed."""
        for _ in range(100):
            rows = self.platform.calls("--limit", str(count))
            if all(row["disposition"] for row in rows):
                break
            time.sleep(0.1)
        return rows

    def test_the_echo_is_what_was_said(self) -> None:
        said = np.concatenate((self.voice, np.zeros(8000)))
        telephones = {transport: self.telephone(transport, said) for transport in ("udp", "tcp", "tls")}
        for telephone in telephones.values():
            telephone.dial("echo")
        for transport, telephone in telephones.items():
            telephone.wait("CALL_CLOSED")  # when its file ends
            likeness, delay_ms = compare(self.voice, telephone.heard())
            print(f"echo over {transport}: correlation {likeness:.3f}, delay {delay_ms:.0f} ms")
            self.assertGreater(likeness, 0.8, transport)
        rows = [(row["transport"], row["disposition"], row["cause"]) for row in self.ended(3)]
        self.assertEqual(sorted(rows), [(transport, "completed", "caller hung up") for transport in ("tcp", "tls", "udp")])

    def test_a_sound_is_played(self) -> None:
        telephone = self.telephone()
        telephone.dial("play")
        telephone.wait("CALL_ESTABLISHED")
        time.sleep(1.5)
        telephone.command("hangup")
        telephone.wait("CALL_CLOSED")
        self.assertGreater(loudest_hz(telephone.heard()[:12000]), 200)
        self.assertEqual(self.ended()[0]["cause"], "caller hung up")

    def test_the_receptionist_greets(self) -> None:
        telephone = self.telephone()
        telephone.dial("alex")
        telephone.wait("CALL_ESTABLISHED")
        time.sleep(2.0)
        telephone.command("hangup")
        telephone.wait("CALL_CLOSED")
        self.assertGreater(np.abs(telephone.heard()).max(), 0.1)
        self.assertEqual(self.ended()[0]["disposition"], "completed")

    def test_a_transfer_is_followed(self) -> None:
        """The PBX is ourselves: extension 200 is a number that plays a sound."""
        self.platform.command("trunks", "set", "acme", "--pbx-domain", f"127.0.0.1:{self.platform.sip}")
        self.platform.command("dids", "add", "200", "--trunk", "acme", "--agent", "play")
        telephone = self.telephone()
        telephone.dial("alex")
        telephone.wait("CALL_ESTABLISHED")
        for _ in range(2):
            time.sleep(1.5)
            telephone.press("1")
        telephone.wait("CALL_CLOSED")
        second, first = self.platform.calls("--limit", "2")
        self.assertEqual((first["disposition"], first["transferred_to"]), ("transferred", "200"))
        self.assertEqual((second["did"], second["status"], second["disposition"]), ("200", 200, ""))
        telephone.command("hangup")
        self.assertEqual(self.ended()[0]["disposition"], "completed")
        steps = [(e["step"], e.get("status")) for e in self.platform.call(first["id"])["events"] if e["kind"] == "transfer"]
        self.assertEqual([steps[0], steps[-2], steps[-1]], [("refer", None), ("progress", 200), ("done", None)])
