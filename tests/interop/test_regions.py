"""Two nodes in two regions: a PBX that follows redirects is sent to the nearer one, others are served where they come in."""

from __future__ import annotations

import json
import shutil
import subprocess
from unittest import TestCase

from smartalex.store.state import REGIONS_FILE
from tests.interop.baresip import ADDRESS, Baresip
from tests.interop.house import until
from tests.interop.peers import needs, sipp
from tests.interop.platform import Platform, free_port
from tests.interop.scenario import answered, hang_up, invite, refused, scenario
from tests.interop.voice import voice

FOLLOWS, STAYS, BOUND = ADDRESS, "127.0.0.31", "127.0.0.32"

CONFIG = """
[regions]
here = "{here}"
check_interval_s = 1.0
[regions.known.eu]
node = "sip:127.0.0.1:{eu}"
networks = ["127.0.0.0/8"]
addresses = ["192.0.2.1"]
[regions.known.us]
node = "sip:127.0.0.1:{us}"
addresses = ["192.0.2.2"]
[dns]
name = "sip.example.com"
port = {dns}
"""


@needs("baresip", "sipp")
class TwoRegions(TestCase):
    def setUp(self) -> None:
        self.dns = free_port()
        self.eu = Platform("25000-25100", CONFIG.format(here="eu", eu=1, us=2, dns=free_port())).start()
        self.addCleanup(self.eu.remove)
        self.us = Platform("25200-25300", CONFIG.format(here="us", eu=self.eu.sip, us=2, dns=self.dns)).start()
        self.addCleanup(self.us.remove)
        for node in (self.eu, self.us):
            node.add_trunk("follows", FOLLOWS, "--follow-redirects")
            node.add_trunk("stays", STAYS)
            node.add_trunk("bound", BOUND, "--region", "eu")

    def dial(self) -> None:
        telephone = Baresip(self.us, "udp", voice(1))
        self.addCleanup(telephone.close)
        telephone.dial("play")
        telephone.wait("CALL_CLOSED")

    def newest(self, node: Platform) -> tuple[str, int | None]:
        row = until(lambda: next((row for row in node.calls("--limit", "1") if row["disposition"]), None))
        return row["disposition"], row["status"]

    def state(self, wanted: str) -> None:
        """The eu node, as the us node has it."""
        until(lambda: json.loads((self.us.state / REGIONS_FILE).read_text())["eu"]["state"] == wanted)

    def test_where_calls_go(self) -> None:
        self.state("up")
        self.dial()
        self.assertEqual(self.newest(self.us), ("refused", 302))
        self.assertEqual(self.newest(self.eu)[0], "completed")
        [refusal] = self.us.calls("--refused", "--limit", "1")
        self.assertIn("eu is nearest to 127.0.0.5, by network 127.0.0.0/8", refusal["detail"])
        with self.subTest("who does not follow is served where it came in"):
            sipp(self.us, scenario(invite(), answered(), hang_up()), "play", source=STAYS)
            self.assertEqual(self.newest(self.us)[0], "completed")
        with self.subTest("who is served elsewhere only is sent there all the same"):
            sipp(self.us, scenario(invite(), refused(302)), "play", source=BOUND)
        with self.subTest("a command tells why"):
            said = self.us.command("region", "locate", FOLLOWS, "--trunk", "follows", "--config", str(self.us.config))
            self.assertIn(f"302 to sip:127.0.0.1:{self.eu.sip}: eu is nearest", said)
        with self.subTest("names"):
            self.assertEqual(self.names(), "192.0.2.1")
        with self.subTest("a region that died"):
            self.eu.kill()
            self.state("down")
            self.assertEqual(self.us.metrics()['smartalex_region_up{label="eu"}'], 0)
            self.assertEqual(self.names(), "192.0.2.2")
            self.dial()
            self.assertEqual(self.newest(self.us)[0], "completed")
            sipp(self.us, scenario(invite(), refused(503)), "play", source=BOUND)

    def names(self) -> str:
        """What dig says the SIP host is, where it is installed."""
        if shutil.which("dig") is None:
            self.skipTest("dig is not installed")
        ask = ("dig", "+short", "-p", str(self.dns), "@127.0.0.1", "sip.example.com", "A")
        return subprocess.run(ask, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
