"""What messages tell of the other side, and of what was done to them on the way."""

from __future__ import annotations

from unittest import TestCase

from smartalex.doctor.talk import Talk, private, read
from smartalex.sip.headers import Peer
from smartalex.sip.trace import Traced

PBX, US = Peer("udp", "203.0.113.5", 5060), Peer("udp", "198.51.100.1", 5060)
AT = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
VIA = "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1;rport"
SAME = ("From: <sip:300@pbx.example.com>;tag=1", "To: <sip:600@pbx.example.com>", "Call-ID: 1", "CSeq: 1 INVITE")


def sdp(*, origin: str = "203.0.113.5", connection: str = "203.0.113.5", media: str = "RTP/AVP 0 101", more: str = "") -> str:
    head = f"v=0\r\no=- 1 1 IN IP4 {origin}\r\ns=-\r\nc=IN IP4 {connection}\r\nt=0 0\r\nm=audio 4000 {media}\r\n"
    return head + ("a=rtpmap:101 telephone-event/8000\r\n" if "101" in media else "") + more


def message(first: str, *rows: str, body: str = "") -> bytes:
    kind = ("Content-Type: application/sdp",) if body else ()
    return "\r\n".join((first, *rows, *kind, f"Content-Length: {len(body)}", "", body)).encode()


def sent(first: str = "INVITE sip:600@pbx.example.com SIP/2.0", *rows: str) -> Traced:
    contact = "Contact: <sip:smartalex@198.51.100.1:5060>"
    return Traced(AT, False, PBX, US, message(first, VIA, *SAME, contact, *rows))


def came(first: str = "SIP/2.0 200 OK", *rows: str, body: str = "", via: str = VIA, same: tuple[str, ...] = SAME) -> Traced:
    return Traced(AT + 0.2, True, PBX, US, message(first, via, *same, *rows, body=body))


def asked(uri: str, *rows: str, via: str = "203.0.113.5", body: str = "", method: str = "BYE") -> Traced:
    tagged = ("From: <sip:600@p>;tag=2", "To: <sip:300@p>;tag=1", "Call-ID: 1", f"CSeq: 2 {method}")
    top = f"Via: SIP/2.0/UDP {via}:5060;branch=z9hG4bK2"
    return Traced(AT + 1, True, PBX, US, message(f"{method} {uri} SIP/2.0", top, *tagged, *rows, body=body))


class WhatTheyCan(TestCase):
    def test_headers_of_a_response(self) -> None:
        talk = read([sent(), came(
            "SIP/2.0 200 OK", "Allow: INVITE, refer", "Supported: timer", "Server: Echo", "Session-Expires: 1800;refresher=uac",
            body=sdp(),
        )])  # fmt: skip
        self.assertEqual((talk.agent, talk.allow, talk.supported), ("Echo", {"INVITE", "REFER"}, {"timer"}))
        self.assertEqual((talk.session_expires, talk.heard, talk.signs), ("1800;refresher=uac", 1, ()))
        [spoken] = talk.spoken
        self.assertEqual((spoken.codecs, spoken.keys, spoken.profile, spoken.secured), (("PCMU",), True, "RTP/AVP", False))

    def test_keys_in_the_description_of_which_only_the_kind_is_told(self) -> None:
        body = sdp(media="RTP/SAVP 0", more="a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:********\r\n")
        [spoken] = read([sent(), came(body=body)]).spoken
        self.assertEqual((spoken.suites, spoken.secured, spoken.keys), (("AES_CM_128_HMAC_SHA1_80",), True, False))

    def test_dates(self) -> None:
        for date, skew in (
            ("Fri, 15 Jan 2027 08:00:00 GMT", 0.3),
            ("Fri, 15 Jan 2027 09:00:00 GMT", 3600.3),
            ("yesterday", None),
        ):
            self.assertEqual(read([came("SIP/2.0 200 OK", f"Date: {date}")]).skew_s, skew)

    def test_keys_by_info(self) -> None:
        info = asked("sip:smartalex@198.51.100.1", "Content-Type: application/dtmf-relay", method="INFO")
        self.assertEqual(read([info]).infos, 1)

    def test_nothing_at_all(self) -> None:
        self.assertEqual(read(()), Talk())
        self.assertEqual(read([sent()]).heard, 0)


class OnTheWay(TestCase):
    def sign(self, *messages: Traced) -> tuple[str, bool]:
        [sign] = read(messages).signs
        return sign.text, sign.certain

    def test_our_via_comes_back_as_another(self) -> None:
        text, certain = self.sign(sent(), came(via="Via: SIP/2.0/UDP 10.1.1.1:1024;branch=z9hG4bK1"))
        self.assertEqual((text, certain), ("our Via 198.51.100.1:5060 came back as 10.1.1.1:1024", True))

    def test_our_from_comes_back_as_another(self) -> None:
        same = ("From: <sip:300@10.1.1.1>;tag=1", *SAME[1:])
        self.assertIn("our From sip:300@pbx.example.com came back as sip:300@10.1.1.1", self.sign(sent(), came(same=same))[0])

    def test_they_ask_for_another_contact_than_we_gave(self) -> None:
        text, certain = self.sign(sent(), asked("sip:smartalex@192.0.2.99:1030"))
        self.assertEqual((text, certain), ("we said to be reached at 198.51.100.1:5060; it asks for 192.0.2.99:1030", True))
        self.assertEqual(read([sent(), asked("sip:smartalex@198.51.100.1;transport=udp")]).signs, ())

    def test_half_of_it_is_rewritten(self) -> None:
        invite = asked("sip:5@x", "Contact: <sip:600@203.0.113.5>", via="192.168.1.2", body=sdp(), method="INVITE")
        text, certain = self.sign(invite)
        self.assertEqual(
            (text, certain), ("from 203.0.113.5 comes Via 192.168.1.2, but Contact and c= and o= as it is outside", True)
        )

    def test_nothing_of_it_is(self) -> None:
        body = sdp(origin="192.168.1.2", connection="192.168.1.2")
        invite = asked("sip:5@x", "Contact: <sip:600@192.168.1.2>", via="192.168.1.2", body=body, method="INVITE")
        text, certain = self.sign(invite)
        self.assertIn("addresses of its own network", text)
        self.assertFalse(certain)

    def test_an_address_put_into_the_description(self) -> None:
        text, certain = self.sign(sent(), came(body=sdp(origin="203.0.113.7")))
        self.assertEqual((text, certain), ("its SDP was made at 203.0.113.7 (o=) and names 203.0.113.5 (c=)", False))

    def test_a_body_that_was_made_longer_without_saying_so(self) -> None:
        broken = came(body=sdp())
        broken = Traced(broken.at, True, PBX, US, broken.data[:-20])
        self.assertIn("a message came in pieces or spoilt", self.sign(sent(), broken)[0])

    def test_a_nat_before_us(self) -> None:
        talk = read([sent(), came(via=f"{VIA.replace(';rport', '')};received=192.0.2.44;rport=1024")])
        self.assertEqual((talk.seen_as, talk.signs), ("192.0.2.44", ()))

    def test_private_addresses(self) -> None:
        for host in ("10.0.0.1", "172.20.1.1", "192.168.0.1", "100.64.0.1", "[fd00::1]"):
            self.assertTrue(private(host), host)
        for host in ("203.0.113.5", "127.0.0.1", "pbx.example.com", "2001:db8::1", ""):
            self.assertFalse(private(host), host)
