"""IPv6 in SIP messages: every case of RFC 5118, in messages of our own, read by the parser and answered by a user agent.

Only section 4.2's is wrong; all others have to be understood.
"""

from __future__ import annotations

from ipaddress import ip_address
from unittest import TestCase

from smartalex.errors import RemoteError
from smartalex.sdp.description import SessionDescription
from smartalex.sdp.negotiation import Capabilities, Local, answer
from smartalex.sip.headers import Peer
from smartalex.sip.message import Request, UnparsableRequest, parse
from smartalex.sip.uri import Uri, equivalent
from tests.sip.network import Agent, Network, ring_and_answer
from tests.sip.torture import send

FAR = "2001:db8::9:1"


def message(method: str, uri: str, *lines: str, body: tuple[str, ...] = ()) -> bytes:
    """A whole one; `lines` take the place of the usual ones of their names."""
    usual = [
        f"Via: SIP/2.0/UDP [{FAR}];branch=z9hG4bK7a51", "Max-Forwards: 69", "From: sip:anna@example.com;tag=a71",
        "To: sip:service@example.com", "Call-ID: 5118-19@example.com", f"CSeq: 4711 {method}",
        f'Contact: "Anna" <sip:anna@[{FAR}]>',
    ]  # fmt: skip
    given = {line.partition(":")[0] for line in lines}
    rows = [*lines, *(line for line in usual if line.partition(":")[0] not in given)]
    if body:
        rows.append("Content-Type: application/sdp")
    content = "".join(f"{line}\r\n" for line in body)
    return "\r\n".join((f"{method} {uri} SIP/2.0", *rows, f"Content-Length: {len(content)}", "", content)).encode()


def session(*connections: str, origin: str = "IN IP6 2001:db8::20", first: str = "") -> tuple[str, ...]:
    """SDP with a stream of PCMU and one of video, each with its own c= line where `connections` has one."""
    audio, video = (*(f"c={one}" for one in connections), "", "")[:2]
    lines = ("v=0", f"o=anna 5118 1 {origin}", "s=-", first, "t=0 0", "m=audio 6000 RTP/AVP 0", audio)
    return tuple(line for line in (*lines, "m=video 6024 RTP/AVP 107", video, "a=rtpmap:107 H263-1998/90000") if line)


MESSAGES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "4.1 reference": (message("REGISTER", "sip:[2001:db8::10]"), (405,)),
    "4.2 no brackets": (message("REGISTER", "sip:2001:db8::10"), (400,)),
    "4.3 port inside": (message("REGISTER", "sip:[2001:db8::10:5070]"), (405,)),
    "4.4 port outside": (message("REGISTER", "sip:[2001:db8::10]:5070"), (405,)),
    "4.5 received in brackets": (
        message(
            "BYE", "sip:[2001:db8::10]", f"Via: SIP/2.0/UDP [{FAR}];received=[2001:db8::9:255];branch=z9hG4bK7a52",
            "To: sip:service@example.com;tag=b6",
        ), (481,),
    ),
    "4.5 received without": (
        message("OPTIONS", "sip:[2001:db8::10]", f"Via: SIP/2.0/UDP [{FAR}];received=2001:db8::9:255;branch=z9hG4bK7a53"), (200,),
    ),
    "4.6 in SDP": (
        message("INVITE", "sip:service@[2001:db8::10]", body=session(first="c=IN IP6 2001:db8::20")), (180, 200),
    ),
    "4.7 mixed in Via": (
        message(
            "BYE", "sip:service@host.example.net", f"Via: SIP/2.0/UDP [{FAR}]:6050;branch=z9hG4bK7a54",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK7a55",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK7a56;received=192.0.2.200", "To: sip:service@example.com;tag=b7",
        ), (481,),
    ),
    "4.8 mixed in SDP": (
        message(
            "INVITE", "sip:service@[2001:db8::10]",
            body=session("IN IP4 192.0.2.1", "IN IP6 2001:db8::1", origin="IN IP4 host.example.com"),
        ), (180, 200),
    ),
    "4.9 IPv4-mapped": (
        message(
            "INVITE", "sip:service@example.com", "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bK7a57",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bK7a58", 'Contact: "Desk" <sip:ted@[::ffff:192.0.2.2]>',
            body=session(origin="IN IP6 ::ffff:192.0.2.2", first="c=IN IP6 ::ffff:192.0.2.2"),
        ), (180, 200),
    ),
    "4.10 three colons": (
        message("OPTIONS", "sip:service@[2001:db8:::192.0.2.1]", "To: sip:service@[2001:db8:::192.0.2.1]"), (200,),
    ),
    "4.10 two colons": (
        message("OPTIONS", "sip:service@[2001:db8::192.0.2.1]", "To: sip:service@[2001:db8::192.0.2.1]"), (200,),
    ),
}  # fmt: skip
"""By section: the message, and the statuses of a UAS that is no registrar."""


def read(name: str) -> Request:
    request = parse(MESSAGES[name][0])
    assert isinstance(request, Request)
    return request


class Verdicts(TestCase):
    def test_by_datagram_and_by_stream(self) -> None:
        for name, (data, statuses) in MESSAGES.items():
            for transport in ("udp", "tcp"):
                with self.subTest(name=name, transport=transport):
                    reaction = send(data, transport)
                    self.assertEqual((reaction.statuses, reaction.cut), (statuses, False))

    def test_from_an_ipv6_address(self) -> None:
        """Responses go to it, at the port of the Via, which holds it as `received` without brackets."""
        for name, (data, statuses) in MESSAGES.items():
            with self.subTest(name=name):
                answers = self.answers(data)
                self.assertEqual(tuple(int(data.split(b" ")[1]) for _, data in answers), statuses)
                request = parse(data)
                for peer, response in answers:
                    self.assertEqual(peer, Peer("udp", "2001:db8::7", request.via.port or 5060))
                    self.assertEqual(parse(response).via.received, "2001:db8::7")
                    self.assertEqual(len(parse(response).vias), len(request.vias))

    def answers(self, data: bytes) -> list[tuple[Peer, bytes]]:
        agent = Agent(Network(), "192.0.2.200")
        agent.take = ring_and_answer
        sent: list[tuple[Peer, bytes]] = []
        agent.transports.send = lambda peer, data: sent.append((peer, data))  # type: ignore[method-assign]
        agent.layer.receive(data, Peer("udp", "2001:db8::7", 40_000))
        return sent

    def test_every_typed_value_can_be_read_and_the_bytes_stay(self) -> None:
        for name, (data, statuses) in MESSAGES.items():
            if statuses != (400,):
                request = read(name)
                for value in (*request.vias, request.from_, request.to, request.contact, request.request_uri):
                    self.assertIsNotNone(value, name)
                self.assertEqual(request.to_bytes(), data, name)


class References(TestCase):
    def test_an_address_without_brackets_is_no_host(self) -> None:
        for text in ("sip:2001:db8::10", "sip:2001:db8::10:5070", "sip:anna@2001:db8::10", "sip:::1"):
            self.assertRaises(RemoteError, Uri.parse, text)

    def test_it_can_be_answered_all_the_same(self) -> None:
        request = parse(MESSAGES["4.2 no brackets"][0])  # refused only when its Request-URI is looked at
        self.assertEqual(request.via.host, f"[{FAR}]")
        broken = MESSAGES["4.1 reference"][0].replace(b"From: ", b"From: <", 1)
        with self.assertRaises(UnparsableRequest) as caught:
            parse(broken)
        assert caught.exception.request is not None
        self.assertEqual(caught.exception.request.via.host, f"[{FAR}]")

    def test_what_stands_inside_the_brackets_is_the_address(self) -> None:
        inside, outside = (read(f"4.{section}").request_uri for section in ("3 port inside", "4 port outside"))
        self.assertEqual((inside.host, inside.port), ("[2001:db8::10:5070]", None))
        self.assertEqual((outside.host, outside.port), ("[2001:db8::10]", 5070))

    def test_received_is_kept_as_it_was_written(self) -> None:
        self.assertEqual(read("4.5 received in brackets").via.received, "[2001:db8::9:255]")
        self.assertEqual(read("4.5 received without").via.received, "2001:db8::9:255")

    def test_each_via_has_its_own_family(self) -> None:
        vias = read("4.7 mixed in Via").vias
        self.assertEqual([via.host for via in vias], [f"[{FAR}]", "192.0.2.1", "[2001:db8::9:255]"])
        self.assertEqual((vias[0].port, vias[2].transport, vias[2].received), (6050, "TCP", "192.0.2.200"))

    def test_ipv4_mapped(self) -> None:
        request = read("4.9 IPv4-mapped")
        assert request.contact is not None
        self.assertEqual((request.via.host, request.via.port), ("[::ffff:192.0.2.10]", 19823))
        self.assertEqual((request.vias[1].host, request.contact.uri.host), ("[::ffff:192.0.2.2]",) * 2)

    def test_the_third_colon_makes_no_difference(self) -> None:
        three, two = read("4.10 three colons"), read("4.10 two colons")
        self.assertTrue(equivalent(three.request_uri, two.request_uri))
        self.assertTrue(equivalent(three.to.uri, two.to.uri))
        self.assertEqual(ip_address(three.request_uri.host.strip("[]")), ip_address("2001:db8::192.0.2.1"))


class Descriptions(TestCase):
    def agreed(self, name: str, ours: str) -> tuple[str, int]:
        described = SessionDescription.parse(read(name).body)
        agreed, _ = answer(described, Capabilities(), Local(ours, 5000, 1, 1))
        return agreed.remote_address, agreed.remote_port

    def test_ipv6_stands_there_without_brackets(self) -> None:
        self.assertEqual(self.agreed("4.6 in SDP", "2001:db8::10"), ("2001:db8::20", 6000))

    def test_each_stream_may_have_its_own_family(self) -> None:
        described = SessionDescription.parse(read("4.8 mixed in SDP").body)
        self.assertEqual((described.address, [media.address for media in described.media]), (None, ["192.0.2.1", "2001:db8::1"]))
        self.assertEqual(self.agreed("4.8 mixed in SDP", "192.0.2.200"), ("192.0.2.1", 6000))

    def test_ipv4_mapped_is_an_ipv6_address(self) -> None:
        address, port = self.agreed("4.9 IPv4-mapped", "2001:db8::10")
        self.assertEqual((ip_address(address), port), (ip_address("::ffff:192.0.2.2"), 6000))
