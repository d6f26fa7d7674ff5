"""What is to be typed into each PBX: complete, and with the trunk's own values."""

from __future__ import annotations

from unittest import TestCase

import attrs

from smartalex.tenants.presets import PRESETS, Node, setup
from smartalex.tenants.trunk import Trunk

NODE = Node("198.51.100.7", 5080, 5081, "20000-30000", "realm.example", ("PCMU", "PCMA", "G722"), ("udp", "tcp", "tls"), 1200, 90)
TRUNK = Trunk("t1", "w1", "office", "pbx.example.com", "sa_abcdefghijkl", max_calls=25)
NUMBER = "+27215550100"


def text(trunk: Trunk, node: Node = NODE, password: str = "") -> str:
    return "\n".join(
        f"{screen} | {field} | {value}" for screen, lines in setup(trunk, node, NUMBER, password) for field, value in lines
    )


class Each(TestCase):
    def test_says_where_as_whom_and_how_many(self) -> None:
        for key, preset in PRESETS.items():
            with self.subTest(key):
                told = text(attrs.evolve(TRUNK, pbx=key, transports=("udp",)), password="s3cretPassword")
                for value in ("198.51.100.7", "5080", "sa_abcdefghijkl", "s3cretPassword", "25", NUMBER, "UDP"):
                    self.assertIn(value, told)
                for value in ("SIP ALG | off", "20000-30000", "RFC 2833", "1200", "REFER", "EXTENSION@pbx.example.com"):
                    self.assertIn(value, told)
                self.assertIn(preset.speech(("PCMU", "PCMA", "G722")), told)
                self.assertNotIn("{", told)

    def test_by_address_no_password_is_spoken_of(self) -> None:
        for key in PRESETS:
            with self.subTest(key):
                known = Trunk("t1", "w1", "office", "", "", "ip-allowlist", ("192.0.2.10",), pbx=key)
                told = text(known)
                self.assertNotIn("assword", told.replace("sip.tls", ""))
                self.assertNotIn(
                    "Register", told.partition("Network")[0].replace("Registrar", "").replace("Registration | None", "")
                )
                self.assertIn("Calls must come from | 192.0.2.10", told)
                self.assertIn("the address that the PBX calls from", told)

    def test_tls_and_srtp(self) -> None:
        for key in PRESETS:
            with self.subTest(key):
                told = text(attrs.evolve(TRUNK, pbx=key, transports=("tls",), srtp="required"))
                self.assertIn("5081", told)
                self.assertNotIn("5080", told)
                self.assertIn("TLS", told)
                self.assertIn("Certificate | ours must be trusted", told)
                self.assertRegex(told, "(?i)s?rtp|secur")
                self.assertNotRegex(
                    told, r"(SRTP|Media Encryption|SBC Media Security Mode)[^|]*\| (Disabled|None|off|Not Secured)"
                )

    def test_the_password_is_not_known_later(self) -> None:
        self.assertIn("smartalex secret rotate office", text(TRUNK))

    def test_without_session_timers_none_are_spoken_of(self) -> None:
        self.assertNotIn("RFC 4028", text(TRUNK, attrs.evolve(NODE, session_expires_s=0)))

    def test_codecs_in_the_order_of_the_trunk(self) -> None:
        told = text(attrs.evolve(TRUNK, pbx="freepbx", codecs=("G722", "PCMA")))
        self.assertIn("g722, alaw", told)
        self.assertIn("allow=!all,g722,alaw", told)
        self.assertNotIn("ulaw", told)


class Filling(TestCase):
    def test_3cx_is_udp_and_g711(self) -> None:
        made = PRESETS["3cx"].filled(TRUNK)
        self.assertEqual((made.pbx, made.codecs, made.transports, made.srtp), ("3cx", ("PCMU", "PCMA"), ("udp",), "off"))

    def test_teams_is_tls_and_srtp(self) -> None:
        made = PRESETS["teams-sbc"].filled(TRUNK)
        self.assertEqual((made.transports, made.srtp), (("tls",), "required"))

    def test_what_was_said_stays(self) -> None:
        own = attrs.evolve(TRUNK, codecs=("G722",), transports=("tcp",))
        made = PRESETS["3cx"].filled(own)
        self.assertEqual((made.codecs, made.transports), (("G722",), ("tcp",)))
        self.assertEqual(PRESETS["generic"].filled(own), own)
