"""A running platform sees what the command line changes: real calls over each kind of trunk."""

from __future__ import annotations

import json
from typing import Any
from unittest import TestCase

from tests.interop.platform import Platform, smartalex


class Administration(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("24000-24900").start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def told(self, *arguments: str) -> dict[str, Any]:
        done = smartalex(*arguments, "--state", str(self.platform.state), "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def call(self, to: str, *options: str) -> int:
        """The status that the platform answers a call with."""
        done = smartalex("call", f"sip:{to}@{self.platform.address}", "--max-seconds", "0.5", "--json", *options)
        self.assertTrue(done.stdout, done.stderr)
        return int(json.loads(done.stdout)["status"])

    def test_a_trunk_by_password_comes_changes_and_goes(self) -> None:
        made = self.told("trunks", "add", "office")
        login = ("--username", made["username"], "--password", made["password"])
        self.assertEqual(self.call("play", *login), 404)
        self.told("dids", "add", "play", "--trunk", "office", "--agent", "play")
        self.assertEqual(self.call("play", *login), 200)
        self.told("trunks", "set", "office", "--suspend")
        self.assertEqual(self.call("play", *login), 403)
        self.told("trunks", "set", "office", "--activate", "--allow", "192.0.2.0/24")
        self.assertEqual(self.call("play", *login), 403)
        self.told("trunks", "set", "office", "--allow", "127.0.0.1")
        self.assertEqual(self.call("play", *login), 200)
        new = self.told("secret", "rotate", "office")
        self.assertEqual(self.call("play", *login), 403)
        self.assertEqual(self.call("play", "--username", new["username"], "--password", new["password"]), 200)
        self.told("trunks", "remove", "office")
        self.assertEqual(self.call("play", "--username", new["username"], "--password", new["password"]), 403)

    def test_a_trunk_by_address_needs_no_password(self) -> None:
        self.assertEqual(self.call("echo", "--username", "nobody", "--password", "x"), 403)
        made = self.told("trunks", "add", "carrier", "--allow", "127.0.0.0/8", "--no-digest")
        self.assertNotIn("password", made)
        self.told("dids", "add", "echo", "--trunk", "carrier", "--agent", "echo")
        self.assertEqual(self.call("echo", "--username", "nobody", "--password", "x"), 200)
        self.told("trunks", "remove", "carrier")
        self.assertNotEqual(self.call("echo", "--username", "nobody", "--password", "x"), 200)

    def test_the_directory_that_a_transfer_uses(self) -> None:
        self.told("extensions", "add", "299", "Sales", "--kind", "department", "--digit", "1")
        self.addCleanup(self.told, "extensions", "remove", "299")
        done = smartalex(
            "call", "--state", str(self.platform.state), "--dtmf", "1", "--dtmf", "1", "--max-seconds", "60", "--json"
        )
        self.assertEqual(json.loads(done.stdout)["transferred_to"], "299", done.stdout)
