"""What a REGISTER makes of the bindings: RFC 3261 10.3 step by step, Path, flows, limits."""

from __future__ import annotations

from unittest import TestCase

import attrs
from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.bindings import Binding, Limits, Register, updated
from smartalex.sip.headers import Peer
from smartalex.sip.message import Headers, Request

PBX = Peer("udp", "192.0.2.9", 5070)
LIMITS = Limits()
INSTANCE = '+sip.instance="<urn:uuid:0C67446E-F1A1-11D9-94D3-000A95A0E128>"'


def register(*contacts: str, cseq: int = 1, call_id: str = "a", vias: int = 1, **headers: str) -> Request:
    rows = [("Via", f"SIP/2.0/UDP hop{n}.example.com;branch=z9hG4bK{n}") for n in range(vias)]
    rows += [("From", "<sip:acme@us>;tag=1"), ("To", "<sip:acme@us>"), ("Call-ID", call_id), ("CSeq", f"{cseq} REGISTER")]
    rows += [("Contact", contact) for contact in contacts]
    return Request("REGISTER", "sip:us", Headers([*rows, *((name.title(), value) for name, value in headers.items())]))


class Bound(TestCase):
    """`known` after a number of REGISTERs."""

    known: tuple[Binding, ...] = ()
    now = 1000.0
    limits = LIMITS

    def register(self, *contacts: str, peer: Peer = PBX, **options: object) -> list[str]:
        read = Register.of(register(*contacts, **options), self.limits)  # type: ignore[arg-type]
        self.known = updated(self.known, read, peer, self.now, self.limits)
        return [binding.shown(self.now) for binding in self.known]

    def refused(self, *contacts: str, **options: object) -> RemoteError:
        before = self.known
        with self.assertRaises(RemoteError) as caught:
            self.register(*contacts, **options)
        self.assertEqual(self.known, before)
        return caught.exception


class Expiry(Bound):
    def test_the_contact_parameter_comes_first_then_the_header_then_an_hour(self) -> None:
        bound = self.register("<sip:a@pbx>;expires=100, <sip:b@pbx>", "<sip:c@pbx>;q=0.5", expires="200")
        self.assertEqual(bound, ["<sip:a@pbx>;expires=100", "<sip:b@pbx>;expires=200", "<sip:c@pbx>;q=0.5;expires=200"])
        self.assertEqual(self.register("<sip:d@pbx>")[-1], "<sip:d@pbx>;expires=3600")

    def test_what_is_no_number_is_an_hour(self) -> None:
        for text in ("soon", "-1", "1.5", "99999999999", "\u0663\u0660\u0660"):
            self.known = ()
            self.assertEqual(self.register("<sip:a@pbx>", expires=text), ["<sip:a@pbx>;expires=3600"], text)

    def test_too_long_is_shortened(self) -> None:
        self.assertEqual(self.register("<sip:a@pbx>;expires=4294967295"), ["<sip:a@pbx>;expires=7200"])

    def test_too_brief_is_said_with_what_would_do(self) -> None:
        error = self.refused("<sip:a@pbx>", "<sip:b@pbx>;expires=59")
        self.assertEqual((error.status, error.headers), (423, (("Min-Expires", "60"),)))  # type: ignore[attr-defined]
        self.assertEqual(self.register("<sip:a@pbx>;expires=60"), ["<sip:a@pbx>;expires=60"])

    def test_what_has_run_out_is_gone(self) -> None:
        self.register("<sip:a@pbx>;expires=60")
        self.now += 59.5
        self.assertEqual(self.register(), ["<sip:a@pbx>;expires=1"])
        self.now += 0.5
        self.assertEqual(self.register(), [])


class Contacts(Bound):
    def test_a_query_changes_nothing(self) -> None:
        self.register("<sip:a@pbx>", "<sip:b@pbx>")
        self.assertEqual(len(self.register(cseq=0)), 2)

    def test_zero_unbinds_that_contact_alone(self) -> None:
        self.register("<sip:a@pbx>", "<sip:b@pbx>")
        self.assertEqual(self.register("<sip:a@PBX>;expires=0", cseq=2), ["<sip:b@pbx>;expires=3600"])
        self.assertEqual(self.register("<sip:nobody@pbx>;expires=0", cseq=3), ["<sip:b@pbx>;expires=3600"])

    def test_the_star_unbinds_all(self) -> None:
        self.register("<sip:a@pbx>", "<sip:b@pbx>", call_id="b")
        self.assertEqual(self.register("*", expires="0"), [])

    def test_the_star_only_alone_and_with_zero(self) -> None:
        self.register("<sip:a@pbx>")
        for contacts, expires in ((("*",), "60"), (("*",), "x"), (("*", "<sip:a@pbx>"), "0"), (("*, <sip:a@pbx>",), "0")):
            self.assertEqual(self.refused(*contacts, expires=expires, cseq=2).status, 400)
        self.assertEqual(self.refused("*", cseq=2).status, 400)

    def test_what_is_no_contact(self) -> None:
        for contact in ("<mailto:a@pbx>", "<tel:+1555>", "sip:a@pbx?Route=%3Csip:b%3E", "<sip:a@pbx", "<sip:>", "<sip:a b@pbx>"):
            self.assertEqual(self.refused(contact).status, 400, contact)
        self.assertEqual(len(self.register("<sip:a@pbx?Route=%3Csip:b%3E>", "sip:%00@pbx;unknown", '"*" <sip:c@pbx>')), 3)

    def test_parameters_are_kept(self) -> None:
        self.assertEqual(self.register("sip:a@pbx;q=0.1;methods=\"INVITE,BYE\""),
                         ['<sip:a@pbx>;q=0.1;methods="INVITE,BYE";expires=3600'])  # fmt: skip
        self.assertEqual(self.known[0].q, 0.1)

    def test_where_it_came_from_is_kept(self) -> None:
        self.register("<sip:a@10.0.0.1>")
        self.assertEqual(self.known[0].peer, PBX)
        moved = Peer("udp", "192.0.2.9", 5071)
        self.register("<sip:a@10.0.0.1>", cseq=2, peer=moved)
        self.assertEqual([binding.peer for binding in self.known], [moved])


class Order(Bound):
    def test_the_same_again_or_older_fails_and_changes_nothing(self) -> None:
        self.register("<sip:a@pbx>", cseq=5)
        self.register("<sip:b@pbx>", cseq=9, call_id="b")
        self.assertEqual(self.refused("<sip:new@pbx>", "<sip:a@pbx>;expires=0", cseq=5).status, 500)
        self.assertEqual(self.refused("*", expires="0", cseq=9, call_id="b").status, 500)
        self.assertEqual(self.refused("<sip:b@pbx>", cseq=8, call_id="b").status, 500)

    def test_another_call_id_is_another_order(self) -> None:
        self.register("<sip:a@pbx>", cseq=5)
        self.assertEqual(len(self.register("<sip:a@pbx>", cseq=1, call_id="rebooted")), 1)
        self.assertEqual((self.known[0].call_id, self.known[0].cseq), ("rebooted", 1))

    def test_one_contact_named_twice_is_one(self) -> None:
        self.assertEqual(self.register("<sip:a@pbx>;q=1", "<sip:a@pbx>;q=0.5"), ["<sip:a@pbx>;q=0.5;expires=3600"])
        self.assertEqual(self.register("<sip:a@pbx>", "<sip:a@pbx>;expires=0", cseq=2), [])


class HowMany(Bound):
    limits = Limits(bindings=3)

    def test_one_register_may_not_name_more(self) -> None:
        error = self.refused(*(f"<sip:{n}@pbx>" for n in range(4)))
        self.assertEqual((error.status, error.reason), (403, "Too Many Contacts"))

    def test_those_refreshed_longest_ago_give_way(self) -> None:
        for n in range(3):
            self.register(f"<sip:{n}@pbx>", cseq=n + 1)
        self.register("<sip:0@pbx>", cseq=4)
        self.register("<sip:3@pbx>", cseq=5)
        self.assertEqual([binding.uri.user for binding in self.known], ["2", "0", "3"])


class Paths(Bound):
    def test_kept_with_the_binding(self) -> None:
        self.register("<sip:a@pbx>", path="<sip:p2;lr>, <sip:p1;lr>", supported="path")
        self.assertEqual(self.known[0].path, ("<sip:p2;lr>", "<sip:p1;lr>"))

    def test_refused_where_the_pbx_does_not_expect_it(self) -> None:
        error = self.refused("<sip:a@pbx>", path="<sip:p1;lr>", supported="outbound")
        self.assertEqual((error.status, error.headers), (420, (("Unsupported", "path"),)))  # type: ignore[attr-defined]


class Flows(Bound):
    def test_a_flow_is_replaced_whatever_its_uri(self) -> None:
        self.register(f"<sip:a@10.0.0.1:5060>;{INSTANCE};reg-id=1", supported="outbound")
        self.register(f"<sip:a@10.0.0.1:5060>;{INSTANCE};reg-id=2", supported="outbound", cseq=2)
        self.assertEqual(len(self.known), 2)
        self.register(f"<sip:a@10.0.0.7:6000>;{INSTANCE};reg-id=1", supported="path, outbound", call_id="rebooted")
        self.assertEqual([binding.uri.host for binding in self.known], ["10.0.0.1", "10.0.0.7"])

    def test_a_flow_and_a_plain_contact_live_beside_each_other(self) -> None:
        self.register("<sip:a@10.0.0.1>")
        self.assertEqual(len(self.register(f"<sip:a@10.0.0.1>;{INSTANCE};reg-id=1", supported="outbound", cseq=2)), 2)

    def test_without_the_option_or_the_instance_or_a_number_there_is_no_flow(self) -> None:
        for contact, supported in (
            (f"<sip:a@pbx>;{INSTANCE};reg-id=1", "path"),
            ("<sip:a@pbx>;reg-id=1", "outbound"),
            (f"<sip:a@pbx>;{INSTANCE};reg-id=0", "outbound"),
            (f"<sip:a@pbx>;{INSTANCE}", "outbound"),
        ):
            self.known = ()
            self.register(contact, supported=supported)
            self.assertEqual((self.known[0].flow, "reg-id" in dict(self.known[0].params)), ((), False), contact)  # fmt: skip

    def test_each_flow_registers_by_itself(self) -> None:
        both = (f"<sip:a@pbx>;{INSTANCE};reg-id=1", "<sip:b@pbx>")
        self.assertEqual(self.refused(*both, supported="outbound").status, 400)
        self.assertEqual(len(self.register(both[0], "<sip:b@pbx>;expires=0", supported="outbound")), 1)

    def test_the_first_hop_has_to_keep_it(self) -> None:
        contact = f"<sip:a@pbx>;{INSTANCE};reg-id=1"
        self.assertEqual(self.refused(contact, supported="outbound", vias=2).status, 439)
        edge = {"supported": "outbound, path", "vias": 2}
        self.assertEqual(self.refused(contact, path="<sip:edge;lr>", **edge).status, 439)
        self.register(contact, path="<sip:inner;lr>, <sip:edge;lr;ob>", **edge)
        self.assertNotEqual(self.known[0].flow, ())


TRIED = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["<sip:a@h>", "<sip:b@h>;q=0.2", "<sip:c@h>;expires=0", "<sip:a@h>;expires=61"]), max_size=3),
        st.integers(1, 6), st.sampled_from("xy"), st.sampled_from([0.0, 30.0, 61.0, 4000.0]),
    ),
    max_size=12,
)  # fmt: skip


class Any(TestCase):
    @given(TRIED)
    def test_never_two_of_a_kind_never_too_many_never_a_sequence_that_falls(
        self, tried: list[tuple[list[str], int, str, float]]
    ) -> None:
        known: tuple[Binding, ...] = ()
        now, limits = 0.0, attrs.evolve(LIMITS, bindings=2)
        for contacts, cseq, call_id, later in tried:
            now += later
            before = {(str(b.uri), b.call_id): b.cseq for b in known if b.expires_at > now}
            try:
                known = updated(known, Register.of(register(*contacts, cseq=cseq, call_id=call_id), limits), PBX, now, limits)
            except RemoteError as error:
                self.assertIn(error.status, (403, 500))
            self.assertLessEqual(len(known), 2)
            self.assertEqual(len({str(binding.uri) for binding in known}), len(known))
            for binding in known:
                self.assertGreaterEqual(binding.cseq, before.get((str(binding.uri), binding.call_id), 0))
