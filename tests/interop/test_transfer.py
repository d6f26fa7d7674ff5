"""SIPp as a PBX that is asked to transfer: the caller presses a key, the REFER comes, and the record tells each step."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any
from unittest import TestCase

from tests.interop.peers import needs, sipp
from tests.interop.platform import Platform
from tests.interop.scenario import (
    ACTIVE,
    OVER,
    answered,
    contains,
    hang_up,
    invite,
    notify,
    pause,
    play,
    recv,
    reply,
    scenario,
)

KEYS = Path("/usr/share/sip-tester")
"""Key presses as SIPp's package brings them."""

REFER = recv("REFER", contains("sip:200@pbx.example.com", "Refer-To"), timeout="20000")


@needs("sipp")
class Transfer(TestCase):
    platform: Platform
    called: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("23000-23900").start()
        cls.platform.command("trunks", "set", "acme", "--no-digest", "--allow", "127.0.0.0/8")
        yes = later(KEYS / "dtmf_2833_1.pcap", cls.platform.folder / "yes.pcap")
        cls.called = invite() + answered() + pause(500) + play(KEYS / "dtmf_2833_1.pcap") + pause(1500) + play(yes)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def transferred(self, *steps: str) -> dict[str, Any]:
        """The record of a call in which a caller pressed 1, and 1 for yes, and the PBX did this."""
        sipp(self.platform, scenario(self.called, *steps), "alex")
        for _ in range(100):
            row = self.platform.calls("--limit", "1")[0]
            if row["disposition"]:
                break
            time.sleep(0.1)
        return self.platform.call(row["id"])

    def story(self, record: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The steps of the transfer with what is told about each."""
        told = [event for event in record["events"] if event["kind"] == "transfer"]
        return [tuple(event[key] for key in ("step", "to", "status", "cause") if key in event) for event in told]

    def test_somebody_picks_up(self) -> None:
        trying = notify(3, "100 Trying", ACTIVE) + notify(4, "180 Ringing", ACTIVE)
        record = self.transferred(REFER, reply(202, "Accepted"), trying, notify(5, "200 OK", OVER), recv("BYE"), reply(200))
        self.assertEqual((record["disposition"], record["transferred_to"]), ("transferred", "200"))
        steps = [("refer", "200"), ("accepted",), ("progress", 100), ("progress", 180), ("progress", 200), ("done",)]
        self.assertEqual(self.story(record), steps)

    def test_the_pbx_declines(self) -> None:
        record = self.transferred(REFER, reply(603, "Decline"), pause(500), hang_up())
        self.assertEqual((record["disposition"], record["transferred_to"]), ("completed", ""))
        self.assertEqual(self.story(record), [("refer", "200"), ("progress", 603), ("failed", "declined")])

    def test_the_extension_is_busy(self) -> None:
        record = self.transferred(REFER, reply(202, "Accepted"), notify(3, "100 Trying", ACTIVE),
                                  notify(4, "486 Busy Here", OVER), pause(500), hang_up())  # fmt: skip
        self.assertEqual((record["disposition"], record["flagged"]), ("completed", "transfer failed"))
        self.assertEqual(
            self.story(record), [("refer", "200"), ("accepted",), ("progress", 100), ("progress", 486), ("failed", "busy")]
        )

    def test_a_pbx_that_takes_the_caller_and_says_bye(self) -> None:
        record = self.transferred(REFER, reply(202, "Accepted"), pause(200), hang_up())
        self.assertEqual((record["disposition"], record["transferred_to"]), ("transferred", "200"))
        self.assertEqual(self.story(record), [("refer", "200"), ("accepted",), ("done",)])


def later(recording: Path, copy: Path, frames: int = 1000) -> Path:
    """The same RTP packets, so many frames later: the same key once more."""
    data = bytearray(recording.read_bytes())
    at = 24
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 8)
        rtp = at + 16 + 14 + 20 + 8  # headers of the record, Ethernet, IPv4, UDP
        sequence, timestamp = struct.unpack_from("!HI", data, rtp + 2)
        struct.pack_into("!HI", data, rtp + 2, sequence + frames & 0xFFFF, timestamp + 160 * frames)
        at += 16 + size
    copy.write_bytes(data)
    return copy
