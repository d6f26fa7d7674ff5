"""`smartalex call` before anybody's telephone rings: whom it would call, as whom, and what is wrong with the wish."""

from __future__ import annotations

import fcntl
import io
import json
import sys
from pathlib import Path
from typing import Any
from unittest import TestCase
from unittest.mock import patch

import click

from smartalex.cli.aim import Aim, aim
from smartalex.cli.call import Ordered, command, telephone_wav
from smartalex.media.wav import write_wav
from tests.cli.commands import Commands

GIVEN: dict[str, Any] = {
    "transport": "udp", "agent": "alex", "trunk": None, "username": None, "password": None, "password_file": None,
    "caller": "+15550001111", "insecure": False,
}  # fmt: skip


class Order(TestCase):
    def test_items_as_they_stand(self) -> None:
        self.assertIsInstance(command, Ordered)
        context = command.make_context("call", ["--dtmf", "1", "--say=hello", "--json", "--dtmf", "2", "--say", "bye"])
        self.assertEqual(context.obj["order"], ["dtmf", "say", "dtmf", "say"])
        self.assertEqual((context.params["say"], context.params["dtmf"]), (("hello", "bye"), ("1", "2")))


class Aims(Commands):
    def running(self, host: str = "127.0.0.1") -> None:
        """The state directory as it is while a platform runs from it."""
        (self.state / "run.json").write_text(json.dumps({"host": host, "sip_port": 5070, "tls_port": 5071}))
        lock = (self.state / "lock").open("a+")
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.addCleanup(lock.close)

    def aim(self, text: str | None, **given: Any) -> Aim:
        return aim(text, str(self.state), None, {**GIVEN, **given})

    def test_the_local_demo_agent_as_the_demo_trunk(self) -> None:
        self.running("0.0.0.0")
        aimed = self.aim(None)
        self.assertEqual(str(aimed.target.uri), "sip:alex@127.0.0.1:5070")
        self.assertIsNotNone(aimed.local)
        self.assertRegex(aimed.target.username, "^sa_")
        self.assertIsNotNone(aimed.target.secret.ha1(aimed.target.username, "smartalex", "MD5"))
        self.assertEqual(self.aim(None, transport="tls", agent="play").target.peer.port, 5071)

    def test_another_trunk_of_it(self) -> None:
        self.running()
        self.output("trunks", "add", "office", "--username", "desk")
        self.assertEqual(self.aim(None, trunk="office").target.username, "desk")

    def test_a_foreign_platform_gets_no_secret_of_ours(self) -> None:
        self.running()
        for text in ("sip:alex@192.0.2.1:5070", "sip:alex@127.0.0.1:5999"):
            aimed = self.aim(text)
            self.assertEqual((aimed.local, aimed.target.username, aimed.target.certificate), (None, "", None))

    def test_ours_by_its_address(self) -> None:
        self.running()
        aimed = self.aim("sip:+27215550100@127.0.0.1:5070", username="me", password="secret")
        self.assertIsNotNone(aimed.local)
        self.assertEqual((aimed.target.username, aimed.target.uri.user_text), ("me", "+27215550100"))

    def test_defaults_of_an_address(self) -> None:
        self.assertEqual(self.aim("alex@192.0.2.1").target.peer.port, 5060)
        self.assertEqual(self.aim("sip:alex@192.0.2.1", transport="tls").target.peer.port, 5061)
        self.assertEqual(self.aim("sip:alex@[::1]:5080").target.peer.host, "::1")

    def test_the_password_need_not_be_on_the_command_line(self) -> None:
        for given in ({"password": "geheim"}, {"password_file": io.StringIO("geheim\n")}):
            secret = self.aim("sip:a@192.0.2.1", username="me", **given).target.secret
            self.assertEqual((secret.password, str(secret)), ("geheim", "<secret>"))

    def test_it_is_asked_for_at_a_terminal(self) -> None:
        with patch.object(sys, "stdin") as stdin, patch.object(click, "prompt", return_value="geheim") as prompt:
            stdin.isatty.return_value = True
            self.assertEqual(self.aim("sip:a@192.0.2.1", username="me").target.secret.password, "geheim")
        self.assertTrue(prompt.call_args.kwargs["hide_input"])


class Mistakes(Commands):
    def test_nothing_runs_here(self) -> None:
        self.assertIn("smartalex run --state", self.error("call"))
        (self.state / "run.json").write_text("{}")  # left behind by a platform that was killed
        self.assertIn("smartalex run --state", self.error("call"))

    def test_wishes_that_make_no_call(self) -> None:
        wav = str(self.folder / "text.wav")
        Path(wav).write_text("no sound")
        for arguments, said in (
            (("foo",), "'foo' is no SIP address"),
            (("tel:+15550001111",), "is no SIP address"),
            (("sip:alex@no-such-host.invalid",), "'no-such-host.invalid' has no address"),
            (("sip:a@192.0.2.1", "--username", "me"), "--password-file"),
            (("sip:a@192.0.2.1", "--password", "p"), "--username"),
            (("sip:a@192.0.2.1", "--trunk", "acme"), "--username"),
            (("sip:a@192.0.2.1", "--from", "a b"), "'a b'"),
            (("--dtmf", "12x"), "'12x'"),
            (("--wav", "no-such.wav"), "no-such.wav"),
            (("--wav", wav), "text.wav"),
            (("--record", str(self.folder / "none" / "call.wav")), "cannot be written"),
            (("--codec", "G729"), "'G729' is not one of"),
            (("--refer-answer", "maybe"), "no-answer"),
            (("--max-seconds", "0"), "--max-seconds"),
        ):
            with self.subTest(arguments):
                self.assertIn(said, self.error("call", *arguments))

    def test_a_stereo_wav_of_another_rate_is_made_to_fit(self) -> None:
        path = str(self.folder / "stereo.wav")
        for given, rate in ((8_000, 8_000), (11_025, 8_000), (16_000, 16_000), (48_000, 16_000)):
            write_wav(path, b"\x10\x20\x30\x40" * given, given, 2)
            pcm, taken = telephone_wav(path)
            self.assertEqual((len(pcm), taken), (2 * rate, rate))
