"""Refused calls, and the trunk they almost belonged to."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from smartalex.calls.near import Login, Near, login_of, offered
from smartalex.sip.headers import Peer
from smartalex.sip.trace import Traced
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

OFFICE = Trunk("t1", "w1", "office", "", "sa_office", "both", ("192.0.2.10/32",))
CARRIER = Trunk("t2", "w1", "carrier", "", "", "ip-allowlist", ("198.51.100.0/28",))
DESK = Trunk("t3", "w1", "desk", "", "sa_desk", transports=("tls",), active=False)
TENANCY = Tenancy(
    1,
    {"w1": Workspace("w1", "Acme", Directory(()))},
    {trunk.id: trunk for trunk in (OFFICE, CARRIER, DESK)},
    (Did("+27215550100", "t1", "a1"), Did("+27215550200", "t2", "a1"), Did("300", "t3", "a1")),
    {},
)
HERE = Peer("udp", "192.0.2.1", 5060)


def row(**fields: Any) -> dict[str, Any]:
    usual = {"disposition": "refused", "trunk": "", "source": "203.0.113.9:5060", "did": "+27215550100", "cause": "credentials"}
    return {**usual, "detail": "", "transport": "udp", **fields}


class NearMiss(TestCase):
    def miss(self, login: Login | None = None, **fields: Any) -> str:
        return Near(TENANCY, "smartalex").miss(row(**fields), login)

    def test_right_password_from_a_wrong_address(self) -> None:
        said = self.miss(Login("sa_office", "smartalex"), source="192.0.2.7:5060")
        self.assertIn("almost trunk office: it used its username sa_office", said)
        self.assertIn("192.0.2.7 is not in its allowlist (192.0.2.10/32)", said)

    def test_right_address_without_a_password(self) -> None:
        said = self.miss(source="192.0.2.10:5060")
        self.assertIn("almost trunk office: 192.0.2.10 is in its allowlist", said)
        self.assertIn("but no password came", said)

    def test_a_wrong_password_and_a_wrong_realm(self) -> None:
        wrong = self.miss(Login("sa_office", "smartalex"), detail="wrong password for sa_office")
        self.assertIn("the password was wrong", wrong)
        self.assertIn("for realm 'asterisk' instead of 'smartalex'", self.miss(Login("sa_office", "asterisk")))

    def test_a_username_that_is_nearly_one(self) -> None:
        said = self.miss(Login("sa_ofice", "smartalex"), did="nobody")
        self.assertIn("its username is sa_office, not sa_ofice", said)

    def test_the_address_next_door(self) -> None:
        said = self.miss(source="198.51.100.17:5060", did="+27215550200")
        self.assertIn("almost trunk carrier: 198.51.100.17 is beside its addresses, number +27215550200 is its", said)
        self.assertIn("198.51.100.17 is not in its allowlist (198.51.100.0/28)", said)

    def test_a_number_that_is_not_routed_names_the_nearest(self) -> None:
        said = self.miss(source="198.51.100.3:5060", did="27215550200")
        self.assertIn("number 27215550200 is not routed, the nearest is +27215550200", said)

    def test_suspended_and_over_the_wrong_transport(self) -> None:
        said = self.miss(Login("sa_desk", "smartalex"), did="300")
        self.assertIn("it is suspended, it may call over TLS, not UDP", said)

    def test_a_number_of_another_trunk(self) -> None:
        self.assertEqual(self.miss(trunk="office", cause="did", did="+27215550200"), "trunk carrier has that number")
        self.assertEqual(self.miss(trunk="office", cause="did", did="+1"), "")

    def test_a_scanner_was_nobody(self) -> None:
        self.assertEqual(self.miss(Login("admin", "smartalex"), did="900442079460000"), "")
        self.assertEqual(self.miss(disposition="completed"), "")


class WhatItBrought(TestCase):
    def test_the_last_credentials_count(self) -> None:
        sent = [self.invite(""), self.invite('Authorization: Digest username="sa_x", realm="asterisk", response="********"\r\n')]
        self.assertEqual(login_of(row(), sent), Login("sa_x", "asterisk"))

    def test_without_messages_what_was_noted_counts(self) -> None:
        self.assertEqual(login_of(row(detail="unknown username 'bob'"), ()), Login("bob"))
        self.assertEqual(login_of(row(detail="wrong password for sa_x"), ()), Login("sa_x"))
        self.assertIsNone(login_of(row(detail="192.0.2.1 is on no list"), ()))

    def invite(self, header: str) -> Traced:
        rows = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        rows += "Call-ID: 1\r\nCSeq: 1 INVITE\r\n"
        return Traced(0.0, True, HERE, HERE, f"INVITE sip:c@d SIP/2.0\r\n{rows}{header}\r\n".encode())


class Offers(TestCase):
    def said(self, media: str) -> str:
        head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        return offered((head + media).encode(), OFFICE, ("PCMU", "PCMA"))

    def test_what_it_had_and_what_would_have_been_taken(self) -> None:
        said = self.said("m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000\r\n")
        self.assertEqual(said, "it offers G729 over RTP/AVP, no keys; trunk office takes PCMU, PCMA, SRTP off")

    def test_keys_without_being_asked_for(self) -> None:
        key = "inline:" + "A" * 40
        said = self.said(f"m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n")
        self.assertIn("PCMU over RTP/SAVP with keys for AES_CM_128_HMAC_SHA1_80", said)
        self.assertNotIn("AAAA", said)

    def test_no_audio_and_nothing_readable(self) -> None:
        self.assertEqual(self.said("m=video 4000 RTP/AVP 31\r\n"), "there is no audio in its offer")
        self.assertEqual(offered(b"garbage", OFFICE, ()), "")
