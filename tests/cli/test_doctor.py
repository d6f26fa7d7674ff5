"""`smartalex trunk doctor` before anybody is asked anything: what makes no sense ends with a sentence."""

from __future__ import annotations

import json

from tests.cli.commands import Commands
from tests.interop.platform import smartalex


class Wrong(Commands):
    def test_a_trunk_that_does_not_exist(self) -> None:
        self.assertIn("there is no trunk 'acne'; did you mean acme?", self.error("trunk", "doctor", "acne"))

    def test_a_transfer_without_a_call(self) -> None:
        self.assertIn("give --call as well", self.error("trunk", "doctor", "acme", "--refer", "301"))

    def test_a_call_to_nowhere(self) -> None:
        self.assertIn("no extension and no SIP address", self.error("trunk", "doctor", "acme", "--call", "sip:a b@c"))


class Stopped(Commands):
    def test_without_a_platform_and_with_nobody_at_the_address(self) -> None:
        self.output("trunk", "set", "acme", "--pbx-domain", "127.0.0.1:9")
        done = smartalex("trunk", "doctor", "acme", "--state", str(self.state), "--json")
        found = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual({name for name, one in found.items() if one["level"] == "bad"}, {"platform", "options"})
        self.assertEqual(found["platform"]["change"], "smartalex run")
