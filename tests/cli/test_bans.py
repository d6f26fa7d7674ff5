"""Bans on the command line: shown, made and lifted, whoever made them."""

from __future__ import annotations

import time

from smartalex.store.bans import BanBook
from tests.cli.commands import Commands


class BanCommands(Commands):
    def test_nobody_is_banned(self) -> None:
        self.assertEqual(self.output("bans"), "nobody is banned\n")

    def test_an_address_is_banned_shown_and_lifted(self) -> None:
        self.assertIn("192.0.2.66 is banned for 60 min", self.output("ban", "add", "192.0.2.66", "--for", "1h", "--why", "scans"))
        row = self.line("bans")
        self.assertEqual(
            (row["network"], row["by"], row["why"], row["until"] - row["since"]), ("192.0.2.66", "operator", "scans", 3600)
        )
        self.assertRegex(self.output("bans"), r"SOURCE +LEFT +BY +WHY\n192\.0\.2\.66 +60 min +operator +scans\n")
        self.assertEqual(self.output("ban", "lift", "192.0.2.66"), "192.0.2.66 is listened to again\n")
        self.assertEqual(self.lines("bans"), [])

    def test_networks_and_the_64_of_an_ipv6_address(self) -> None:
        self.output("ban", "add", "192.0.2.0/24", "--for", "7d")
        self.output("ban", "add", "2001:db8::1")
        self.assertEqual([row["network"] for row in self.lines("bans")], ["192.0.2.0/24", "2001:db8::/64"])
        self.output("ban", "lift", "2001:db8::77")
        self.assertIn("it is within 192.0.2.0/24", self.error("ban", "lift", "192.0.2.9"))

    def test_what_the_platform_found_is_lifted_as_well(self) -> None:
        now = time.time()
        row = {"network": "198.51.100.9", "why": "guesses", "level": 2, "since": now, "until": now + 300, "by": ""}
        BanBook(self.opened().repository.engine).put(row)
        self.assertEqual(self.line("bans")["level"], 2)
        self.output("bans", "lift", "198.51.100.9")
        self.assertEqual(self.lines("bans"), [])

    def test_what_is_over_is_not_shown(self) -> None:
        row = {"network": "198.51.100.9", "why": "", "level": 0, "since": time.time() - 99, "until": time.time() - 1, "by": ""}
        BanBook(self.opened().repository.engine).put(row)
        self.assertEqual(self.lines("bans"), [])

    def test_mistakes(self) -> None:
        self.assertIn("192.0.2.1 is not banned; see who is: smartalex bans", self.error("ban", "lift", "192.0.2.1"))
        self.assertIn("write it as 90s, 30m, 1h or 7d", self.error("ban", "add", "192.0.2.1", "--for", "long"))
        self.assertIn("write an address or a network", self.error("ban", "add", "thief.example.com"))
