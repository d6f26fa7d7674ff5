"""Regions on the command line: which there are, which answer, and why a call is served where it is."""

from __future__ import annotations

import fcntl
import json

from smartalex.store.state import REGIONS_FILE
from tests.cli.commands import Commands

CONFIG = """
[node]
state_dir = "{state}"
[regions]
here = "us"
[regions.known.eu]
node = "sip:eu.example.com"
networks = ["198.51.100.0/24"]
countries = ["DE"]
place = [50.1, 8.7]
[regions.known.us]
node = "sip:us.example.com"
"""


class RegionCommands(Commands):
    def setUp(self) -> None:
        super().setUp()
        self.config = self.folder / "smartalex.toml"
        self.config.write_text(CONFIG.format(state=self.state))
        lock = (self.state / "lock").open("a+")
        self.addCleanup(lock.close)
        self.run_platform = lambda: fcntl.flock(lock, fcntl.LOCK_EX)

    def of(self, *arguments: str) -> tuple[str, ...]:
        return (*arguments, "--config", str(self.config))

    def known(self, state: str) -> None:
        """By a platform that runs."""
        self.run_platform()
        detail = "no answer" if state == "down" else ""
        known = {"eu": {"state": state, "latency_ms": 81.5 if state == "up" else None, "detail": detail}}
        (self.state / REGIONS_FILE).write_text(json.dumps(known))

    def test_they_are_listed(self) -> None:
        self.assertEqual([row["state"] for row in self.lines(*self.of("regions"))], ["unknown", "here"])
        self.known("up")
        self.assertRegex(
            self.output(*self.of("region")),
            r"REGION +STATE +LATENCY +NODE +FOR\n"
            r"eu +up +81\.5 ms +sip:eu\.example\.com +198\.51\.100\.0/24, DE, 50\.1,8\.7\n"
            r"us +here +- +sip:us\.example\.com +all others\n",
        )
        self.known("down")
        self.assertEqual(self.lines(*self.of("regions"))[0]["detail"], "no answer")

    def test_which_is_nearest_and_why(self) -> None:
        self.assertEqual(
            self.output(*self.of("region", "locate", "198.51.100.7")),
            "198.51.100.7 is nearest to eu, by network 198.51.100.0/24\n  order     eu, us\n",
        )
        self.assertIn("192.0.2.1 is nearest to us, by default", self.output(*self.of("region", "locate", "192.0.2.1")))
        self.known("down")
        self.assertEqual(
            self.line(*self.of("region", "locate", "198.51.100.7")),
            {"address": "198.51.100.7", "nearest": "us", "by": "network 198.51.100.0/24", "order": ["eu", "us"]},
        )
        self.assertIn("order     eu, us (eu down)", self.output(*self.of("region", "locate", "198.51.100.7")))

    def test_what_becomes_of_a_trunks_call(self) -> None:
        self.output(
            "trunk", "add", "office", "--allow", "198.51.100.7", "--pbx-domain", "pbx.example.com", "--auth", "ip-allowlist"
        )

        def served() -> str:
            return str(self.line(*self.of("region", "locate", "198.51.100.7", "--trunk", "office"))["served"])

        self.assertEqual(served(), "here, in us (its PBX does not follow redirects)")
        self.output("trunk", "set", "office", "--follow-redirects")
        self.assertIn("302 to sip:eu.example.com: eu is nearest to 198.51.100.7", served())
        self.output("trunk", "set", "office", "--region", "eu")
        self.known("down")
        self.assertEqual(served(), "503: it is served in eu only, which does not answer")

    def test_mistakes(self) -> None:
        self.assertIn("there are no regions; write them into [regions]", self.error("regions"))
        self.assertIn("there is no trunk 'ofice'", self.error(*self.of("region", "locate", "192.0.2.1", "--trunk", "ofice")))
        self.assertIn("'pbx.example.com' is no address; write one", self.error(*self.of("region", "locate", "pbx.example.com")))
