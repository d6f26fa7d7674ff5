"""A running platform sees what the command line changes: real calls over each kind of trunk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any
from unittest import TestCase

import pytest

from tests.interop.platform import ROOT, Platform, smartalex


@pytest.mark.slow
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
        self.told("trunks", "remove", "office", "--yes")
        self.assertEqual(self.call("play", "--username", new["username"], "--password", new["password"]), 403)

    def test_a_trunk_by_address_needs_no_password(self) -> None:
        self.assertEqual(self.call("echo", "--username", "nobody", "--password", "x"), 403)
        made = self.told("trunks", "add", "carrier", "--allow", "127.0.0.0/8", "--no-digest")
        self.assertNotIn("password", made)
        self.told("dids", "add", "echo", "--trunk", "carrier", "--agent", "echo")
        self.assertEqual(self.call("echo", "--username", "nobody", "--password", "x"), 200)
        self.told("trunks", "remove", "carrier", "--yes")
        self.assertNotEqual(self.call("echo", "--username", "nobody", "--password", "x"), 200)

    def test_a_transfer_goes_by_the_directory_to_where_the_call_came_from(self) -> None:
        self.told("trunks", "add", "desk")
        self.told("dids", "add", "alex", "--trunk", "desk", "--agent", "alex")
        self.told("extensions", "add", "299", "Sales", "--kind", "department", "--digit", "1")
        done = smartalex("call", "--state", str(self.platform.state), "--trunk", "desk", "--dtmf", "1", "--dtmf", "1", "--json")
        told = json.loads(done.stdout)
        self.assertEqual((told["transferred_to"], told["refer_to"]), ("299", "sip:299@127.0.0.1"), told)
        self.assertEqual(self.platform.call(told["record"])["trunk"], "desk")

    def test_numbers_by_their_beginning_and_an_agent_out_of_hours(self) -> None:
        made = self.told("trunk", "add", "night")
        login = ("--username", made["username"], "--password", made["password"])
        self.assertEqual(self.call("+27215550199", *login), 404)
        self.told("did", "add", "+2721555*", "--trunk", "night", "--agent", "echo")
        self.assertEqual(self.call("+27215550199", *login), 200)
        self.told("did", "set", "+2721555*", "--hours", "off", "--closed-message", "We are closed today.")
        done = smartalex(
            "call", f"sip:+27215550199@{self.platform.address}", "--state", str(self.platform.state), "--json", *login
        )
        told = json.loads(done.stdout)
        said = [line["text"] for line in told["transcript"]]
        self.assertEqual(said[0], "We are closed today.", told)
        self.assertEqual(self.platform.call(told["record"])["agent"], "Echo closed")
        self.told("trunk", "remove", "night", "--yes")
        self.told("agent", "remove", "Echo closed", "--yes")


@pytest.mark.slow
class Phone(TestCase):
    """`smartalex call` as its help promises it."""

    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("24900-25800").start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def test_the_conversation_as_it_goes_and_in_one_line(self) -> None:
        options = ("call", "--state", str(self.platform.state), "--dtmf", "2", "--dtmf", "1", "--refer-answer", "busy")
        shown = smartalex(*options, "--max-seconds", "25")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        order = [
            "answered after",
            "Hello, this is Alex",
            "[dtmf 2]",
            "billing?",
            "[dtmf 1]",
            "transfer to 300",
            "300 is busy",
            "MOS",
        ]
        places = [shown.stdout.find(text) for text in order]
        self.assertEqual(places, sorted(places), shown.stdout)
        self.assertGreater(places[0], 0)
        record = self.platform.call(shown.stdout.split()[-1])
        self.assertEqual(record["flagged"], "transfer failed")

    def test_one_json_line_with_the_transcript(self) -> None:
        done = smartalex("call", "--state", str(self.platform.state), "--dtmf", "2", "--dtmf", "1", "--json")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 1), done.stderr)
        told = json.loads(done.stdout)
        self.assertEqual((told["transferred_to"], told["codec"], told["ended_by"]), ("300", "PCMU", "agent"))
        self.assertEqual(told["transcript"][0]["role"], "agent")
        self.assertIn({"role": "caller", "text": "[pressed 2]"}, told["transcript"])
        self.assertEqual(told["said"]["caller"], ["[dtmf 2]", "[dtmf 1]"])
        self.assertEqual(self.platform.call(told["record"])["sip_call_id"], told["call_id"])

    def test_a_foreign_platform_with_the_password_from_a_file(self) -> None:
        secret = self.platform.folder / "password"
        secret.write_text(self.platform.password + "\n")
        self.addCleanup(secret.unlink)
        elsewhere = str(self.platform.folder / "none")
        done = smartalex(
            "call", f"sip:play@{self.platform.address}", "--state", elsewhere, "--username", self.platform.username,
            "--password-file", str(secret), "--max-seconds", "2", "--json",
        )  # fmt: skip
        told = json.loads(done.stdout)
        self.assertEqual((done.returncode, told["ok"], told["transcript"], told["record"]), (0, True, None, None))
        self.assertGreater(told["speech_heard_s"], 0)

    def test_a_refused_call_says_why_and_fails(self) -> None:
        done = smartalex("call", "--state", str(self.platform.state), "--agent", "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("404", done.stderr)
        self.assertIn("no such number", done.stderr)

    def test_ctrl_c_says_goodbye(self) -> None:
        program = "import signal; signal.signal(2, signal.default_int_handler); from smartalex.cli.main import main; main()"
        command = [sys.executable, "-c", program, "call", "--state", str(self.platform.state)]
        phone = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )
        assert phone.stdout is not None
        for line in phone.stdout:
            if "answered" in line:
                phone.send_signal(signal.SIGINT)
                break
        rest, _ = phone.communicate(timeout=30)
        self.assertIn("ended by the caller", rest)
        self.assertEqual(phone.returncode, 0)
