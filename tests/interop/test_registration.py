"""baresip registers to us, and we register at Kamailio, as telephones and PBXs do."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any
from unittest import TestCase

from tests.interop import scenario
from tests.interop.baresip import Baresip
from tests.interop.kamailio import ADDRESS, PASSWORD, Kamailio
from tests.interop.peers import needs, sipp
from tests.interop.platform import Platform, smartalex


def trunk(platform: Platform, name: str) -> dict[str, Any]:
    rows = [json.loads(line) for line in platform.command("trunks", "--json").splitlines()]
    return next(row for row in rows if row["trunk"] == name)


def until(platform: Platform, name: str, condition: Any) -> dict[str, Any]:
    """The trunk as it is shown, once it is so."""
    deadline = time.monotonic() + 20
    while not condition(row := trunk(platform, name)):
        if time.monotonic() > deadline:
            raise AssertionError(f"{row}\n{platform.logged()[-3000:]}")
        time.sleep(0.2)
    return row


@needs("baresip")
class ToUs(TestCase):
    platform: Platform

    def setUp(self) -> None:
        self.platform = Platform("28600-28700", config="[sip]\noptions_interval_s = 1.0\n").start()
        self.addCleanup(self.platform.remove)
        made = json.loads(self.platform.command("trunks", "add", "office", "--json"))
        self.platform.ready["username"], self.platform.password = made["username"], made["password"]

    def test_over_every_transport_and_over_a_restart(self) -> None:
        telephones = [Baresip(self.platform, transport, register_s=600) for transport in ("udp", "tcp", "tls")]
        for telephone in telephones:
            self.addCleanup(telephone.close)
        row = until(self.platform, "office", lambda row: len(row["contacts"]) == 3 and row["pbx"])
        self.assertEqual({one["source"].split()[0] for one in row["contacts"]}, {"udp", "tcp", "tls"})
        self.assertTrue(all(580 < one["expires_in_s"] <= 600 for one in row["contacts"]))
        self.assertRegex(self.platform.command("trunks"), r"3 contacts, 10 min")
        self.assertEqual(self.platform.metrics()['smartalex_trunk_contacts{label="office"}'], 3.0)
        until(self.platform, "office", lambda row: row["pbx"] and row["pbx"]["state"] == "up")
        self.platform.stop()
        self.platform.start()
        self.assertEqual(self.platform.metrics()['smartalex_trunk_contacts{label="office"}'], 3.0)

    def test_a_telephone_that_leaves_unregisters(self) -> None:
        telephone = Baresip(self.platform, register_s=600)
        self.addCleanup(telephone.close)
        until(self.platform, "office", lambda row: len(row["contacts"]) == 1)
        telephone.command("quit")
        until(self.platform, "office", lambda row: not row["contacts"])

    def test_a_wrong_password_is_refused_and_counted(self) -> None:
        self.platform.password = "guess"
        telephone = Baresip(self.platform, register_s=600)
        self.addCleanup(telephone.close)
        refused = 'smartalex_register_refused_total{label="403"}'
        row = until(self.platform, "office", lambda row: refused in self.platform.metrics())
        self.assertEqual(row["contacts"], [])
        self.assertIn("403 Forbidden", telephone.logged())


@needs("kamailio", "kamcmd", "sipp")
class AtThem(TestCase):
    def setUp(self) -> None:
        self.platform = Platform("28800-28900").start()
        self.addCleanup(self.platform.remove)

    def kamailio(self, expires_s: int) -> Kamailio:
        kamailio = Kamailio(expires_s)
        self.addCleanup(kamailio.close)
        return kamailio

    def register(self, name: str, address: str, password: str = PASSWORD, command: str = "add") -> None:
        words = ("trunks", command, name, "--register", address, "--register-password-stdin")
        more = ("--allow", ADDRESS, "--no-digest") if command == "add" else ()
        done = smartalex(*words, *more, "--state", str(self.platform.state), input=f"{password}\n")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_refreshed_in_time_called_and_unregistered(self) -> None:
        kamailio = self.kamailio(expires_s=4)
        self.register("desk", f"sip:300@{kamailio.address}")
        self.platform.command("dids", "add", "300", "--trunk", "desk", "--agent", "play")
        kamailio.until(lambda: kamailio.contacts() == [f"sip:300@{self.platform.address}"])
        row = until(self.platform, "desk", lambda row: row["registration"])
        self.assertEqual(row["registration"]["state"], "registered")
        first = kamailio.sequence()
        kamailio.until(lambda: kamailio.sequence() > first + 1)
        call = scenario.scenario(scenario.invite(), scenario.answered(), scenario.pause(200), scenario.hang_up())
        sipp(SimpleNamespace(address=kamailio.address), call, "300")  # type: ignore[arg-type]
        self.assertEqual(self.platform.metrics()['smartalex_trunk_registered{label="desk"}'], 1.0)
        self.assertEqual(self.platform.calls()[0]["trunk"], "desk")
        self.platform.command("trunks", "set", "desk", "--suspend")
        kamailio.until(lambda: not kamailio.contacts())

    def test_over_tcp_and_stopping_unregisters(self) -> None:
        kamailio = self.kamailio(expires_s=600)
        self.register("desk", f"sip:300@{kamailio.address};transport=tcp")
        kamailio.until(lambda: kamailio.contacts() == [f"sip:300@{self.platform.address};transport=tcp"])
        self.platform.stop()
        kamailio.until(lambda: not kamailio.contacts())

    def test_a_wrong_password_is_shown_and_the_right_one_mends_it_at_once(self) -> None:
        kamailio = self.kamailio(expires_s=600)
        address = f"sip:300@{kamailio.address}"
        self.register("desk", address, "wrong")
        row = until(self.platform, "desk", lambda row: row["registration"] and row["registration"]["state"] == "refused")
        self.assertIn("401 Unauthorized", row["registration"]["detail"])
        self.assertRegex(self.platform.command("trunks"), r"cannot register: 401 Unauthorized .*, again in \d+ min")
        self.register("desk", address, command="set")
        kamailio.until(kamailio.contacts)
        self.assertNotIn(PASSWORD, self.platform.logged())
