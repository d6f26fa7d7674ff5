"""Dialogs: route sets, sequence numbers, targets, and where the next request goes (RFC 3261 12)."""

from __future__ import annotations

from unittest import TestCase

from smartalex.errors import RemoteError
from smartalex.sip.dialog import Dialog, is_address, peer_of
from smartalex.sip.headers import Peer
from smartalex.sip.message import Headers, Request, Response, response_to
from smartalex.sip.uri import Uri

CAME_FROM = Peer("udp", "198.51.100.7", 33_000)


def invite(*extra: tuple[str, str], via: str = "192.0.2.1:5060", contact: str = "<sip:ann@192.0.2.1:5062>") -> Request:
    rows = [
        ("Via", f"SIP/2.0/UDP {via};branch=z9hG4bK1"),
        ("From", '"Ann" <sip:ann@h>;tag=a'),
        ("To", "<sip:bob@h>"),
        ("Call-ID", "c"),
    ]
    return Request("INVITE", "sip:bob@192.0.2.2", Headers([*rows, ("CSeq", "41 INVITE"), ("Contact", contact), *extra]))


def ok(request: Request, *extra: tuple[str, str], contact: str = "<sip:bob@192.0.2.9>") -> Response:
    return response_to(request, 200, to_tag="b", headers=(("Contact", contact), *extra))


class AsUas(TestCase):
    def test_from_an_invite(self) -> None:
        dialog = Dialog.of_uas(invite(("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")), "b")
        self.assertEqual(dialog.id, ("c", "b", "a"))
        self.assertEqual((dialog.target, dialog.remote_seq), ("sip:ann@192.0.2.1:5062", 41))
        self.assertEqual(dialog.route_set, ("<sip:p2;lr>", "<sip:p1;lr>"), "as received")

    def test_a_request_inside(self) -> None:
        dialog = Dialog.of_uas(invite(("Record-Route", "<sip:p2;lr>, <sip:p1;lr>")), "b")
        bye = dialog.request("BYE", (("Reason", "x"),))
        self.assertEqual(
            (bye.method, bye.uri, bye.headers.get_all("Route")), ("BYE", "sip:ann@192.0.2.1:5062", ["<sip:p2;lr>", "<sip:p1;lr>"])
        )
        self.assertEqual((str(bye.from_), str(bye.to)), ("<sip:bob@h>;tag=b", '"Ann" <sip:ann@h>;tag=a'))
        self.assertEqual((bye.call_id, bye.cseq.number, bye.max_forwards, bye.headers.get("Reason")), ("c", 1, 70, "x"))
        self.assertEqual(str(dialog.next_hop()), "sip:p2;lr")

    def test_a_strict_router_takes_the_request_uri(self) -> None:
        dialog = Dialog.of_uas(invite(("Record-Route", "<sip:strict>, <sip:p1;lr>")), "b")
        request = dialog.request("INFO")
        self.assertEqual(request.uri, "sip:strict")
        self.assertEqual(request.headers.get_all("Route"), ["<sip:p1;lr>", "<sip:ann@192.0.2.1:5062>"])

    def test_requests_without_what_a_dialog_needs(self) -> None:
        without = invite()
        without.headers.remove("Contact")
        for request in (without, invite(contact="<sip:x"), invite(("Record-Route", "nonsense"))):
            with self.assertRaises(RemoteError) as caught:
                Dialog.of_uas(request, "b")
            self.assertEqual(caught.exception.status, 400)

    def test_without_a_from_tag(self) -> None:
        request = invite()
        request.headers.set("From", "<sip:ann@h>")
        self.assertEqual(Dialog.of_uas(request, "b").id, ("c", "b", ""))


class AsUac(TestCase):
    def test_from_a_response(self) -> None:
        request = invite()
        dialog = Dialog.of_uac(request, ok(request, ("Record-Route", "<sip:p2;lr>"), ("Record-Route", "<sip:p1;lr>")))
        self.assertEqual(dialog.id, ("c", "a", "b"))
        self.assertEqual(dialog.route_set, ("<sip:p1;lr>", "<sip:p2;lr>"), "turned round")
        self.assertEqual((dialog.target, dialog.local_seq, dialog.remote_seq), ("sip:bob@192.0.2.9", 41, None))

    def test_the_ack_keeps_the_invites_number_and_the_next_request_has_one_more(self) -> None:
        request = invite()
        dialog = Dialog.of_uac(request, ok(request))
        self.assertEqual(dialog.request("ACK", seq=41).cseq.number, 41)
        self.assertEqual([dialog.request("BYE").cseq.number for _ in range(2)], [42, 43])

    def test_what_cannot_be_read_is_left_out(self) -> None:
        request = invite()
        dialog = Dialog.of_uac(request, ok(request, ("Record-Route", "<sip:p1;lr>"), ("Record-Route", "<sip:"), contact="<sip:x"))
        self.assertEqual((dialog.target, dialog.route_set), ("sip:bob@192.0.2.2", ("<sip:p1;lr>",)))


class Sequence(TestCase):
    def request(self, number: int) -> Request:
        return Request("INFO", "sip:h", Headers([("CSeq", f"{number} INFO")]))

    def test_numbers_have_to_rise(self) -> None:
        dialog = Dialog.of_uas(invite(), "b")
        self.assertEqual([dialog.accepts(self.request(number)) for number in (41, 40, 42, 42, 50, 49, 51)], [0, 0, 1, 0, 1, 0, 1])

    def test_the_first_from_the_other_side_may_be_any(self) -> None:
        request = invite()
        dialog = Dialog.of_uac(request, ok(request))
        self.assertEqual([dialog.accepts(self.request(number)) for number in (7, 6, 8)], [True, False, True])


class Targets(TestCase):
    def test_refresh(self) -> None:
        dialog = Dialog.of_uas(invite(), "b")
        dialog.refresh_target(invite(contact="<sip:ann@192.0.2.50>"))
        self.assertEqual(dialog.request("BYE").uri, "sip:ann@192.0.2.50")
        plain = invite()
        plain.headers.remove("Contact")
        dialog.refresh_target(plain)
        self.assertEqual(dialog.target, "sip:ann@192.0.2.50")

    def test_numeric_addresses_are_taken_as_they_stand(self) -> None:
        for uri, peer in (
            ("sip:x@192.0.2.1", Peer("udp", "192.0.2.1", 5060)),
            ("sip:x@192.0.2.1:5070;transport=TCP", Peer("tcp", "192.0.2.1", 5070)),
            ("sips:x@192.0.2.1", Peer("tls", "192.0.2.1", 5061)),
            ("sip:x@[2001:db8::1];transport=tls", Peer("tls", "2001:db8::1", 5061)),
            ("sip:x@192.0.2.1;transport=sctp", Peer("udp", "192.0.2.1", 5060)),
        ):
            self.assertEqual(peer_of(Uri.parse(uri), CAME_FROM, None), peer)

    def test_names_and_other_schemes_go_back_where_they_came_from(self) -> None:
        for uri in ("sip:x@pbx.example.com", "tel:+15550100", "urn:x:y"):
            self.assertEqual(peer_of(Uri.parse(uri), CAME_FROM, None), CAME_FROM)

    def test_behind_a_nat_back_where_it_came_from(self) -> None:
        private = invite(via="10.0.0.5;rport=33000;received=198.51.100.7", contact="<sip:ann@10.0.0.5>")
        self.assertEqual(peer_of(Uri.parse("sip:ann@10.0.0.5"), CAME_FROM, private), CAME_FROM)

    def test_a_stated_address_that_was_true_is_no_nat(self) -> None:
        same = invite(via="198.51.100.7:33000;rport=33000;received=198.51.100.7")
        self.assertEqual(peer_of(Uri.parse("sip:ann@198.51.100.7:5062"), CAME_FROM, same), Peer("udp", "198.51.100.7", 5062))

    def test_addresses(self) -> None:
        self.assertEqual([is_address(text) for text in ("192.0.2.1", "[::1]", "h.example", "")], [True, True, False, False])
