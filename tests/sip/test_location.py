"""RFC 3263: which questions are asked, and what order the targets come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.sip.headers import Peer
from smartalex.sip.location import MOST, Blocklist, Naptr, Srv, Target, in_order, locate
from smartalex.sip.uri import Uri

ALL = ("udp", "tcp", "tls")
WEB = (*ALL, "ws", "wss")
Zone = Mapping[tuple[str, str], Sequence[Any]]

ZONE: Zone = {
    ("NAPTR", "both.example"): (
        Naptr(20, 1, "s", "SIP+D2U", "_sip._udp.both.example"), Naptr(10, 2, "S", "sip+d2t", "_sip._tcp.both.example."),
        Naptr(10, 1, "s", "SIPS+D2W", "_sips._ws.both.example"), Naptr(1, 1, "u", "E2U+sip", "both.example"),
        Naptr(30, 1, "s", "SIPS+D2T", "_sips._tcp.tls.example"),
    ),
    ("NAPTR", "odd.example"): (
        Naptr(1, 1, "s", "SIP+D2S", "_sip._sctp.odd.example"), Naptr(1, 2, "s", "SIP+D2U", ""),
        Naptr(1, 2, "s", "SIP+D2U", "not a name"), Naptr(1, 2, "a", "SIP+D2U", "a.example"),
    ),
    ("NAPTR", "bare.example"): (Naptr(1, 1, "s", "SIP+D2T", "_sip._tcp.bare.example"),),
    ("A", "bare.example"): ("192.0.2.5",),
    ("SRV", "_sip._udp.both.example"): (Srv(1, 0, 5070, "a.example"),),
    ("SRV", "_sip._tcp.both.example"): (Srv(2, 0, 5081, "b.example"), Srv(1, 0, 5080, "A.example.")),
    ("SRV", "_sips._tcp.tls.example"): (Srv(1, 0, 5071, "a.example"),),
    ("SRV", "_sip._udp.off.example"): (Srv(0, 0, 0, "."),), ("A", "off.example"): ("192.0.2.9",),
    ("SRV", "_sip._udp.closed.example"): (Srv(0, 0, 5060, "."),), ("SRV", "_sip._tcp.closed.example"): (Srv(0, 0, 0, "."),),
    ("A", "closed.example"): ("192.0.2.9",),
    ("SRV", "_sip._udp.dead.example"): (Srv(0, 0, 5060, "nowhere.example"),), ("A", "dead.example"): ("192.0.2.9",),
    ("SRV", "_sip._tcp.srv.example"): (Srv(1, 1, 5090, "b.example"),),
    ("SRV", "_sip._udp.digits.example"): (Srv(1, 1, 5090, "192.0.2.6"),),
    ("A", "a.example"): ("192.0.2.1",), ("AAAA", "a.example"): ("2001:db8::1",), ("A", "b.example"): ("192.0.2.2", "192.0.2.3"),
    ("A", "tls.example"): ("192.0.2.8",), ("AAAA", "six.example"): ("2001:db8::6",),
}  # fmt: skip

NUMERIC = (
    ("sip:192.0.2.7", "udp 192.0.2.7 5060"),
    ("sip:192.0.2.7:5070", "udp 192.0.2.7 5070"),
    ("sip:192.0.2.7;transport=tcp", "tcp 192.0.2.7 5060"),
    ("sip:192.0.2.7;transport=TLS", "tls 192.0.2.7 5061"),
    ("sip:192.0.2.7;transport=ws", "ws 192.0.2.7 80"),
    ("sips:192.0.2.7", "tls 192.0.2.7 5061"),
    ("sips:192.0.2.7:5071", "tls 192.0.2.7 5071"),
    ("sips:192.0.2.7;transport=tcp", "tls 192.0.2.7 5061"),
    ("sips:192.0.2.7;transport=ws", "wss 192.0.2.7 443"),
    ("sip:[2001:db8::7]:5062", "udp 2001:db8::7 5062"),
    ("sip:x.example;maddr=192.0.2.7", "udp 192.0.2.7 5060"),
    ("sip:x.example:5070;maddr=[2001:db8::7];transport=tcp", "tcp 2001:db8::7 5070"),
)

NOWHERE = (
    ("sips:192.0.2.7;transport=udp", ALL),
    ("sips:tls.example;transport=sctp", ALL),
    ("sip:192.0.2.7;transport=sctp", ALL),
    ("sip:192.0.2.7;transport=ws", ALL),
    ("sips:192.0.2.7", ("udp", "tcp")),
    ("sip:192.0.2.7", ("tls",)),
    ("tel:+15550100", ALL),
    ("sip:" + "a" * 64 + ".example", ALL),
    ("sip:" + "a." * 127 + "b", ALL),
    ("sip:a..example", ALL),
)

ASKED = (
    ("a port skips NAPTR and SRV", "sip:a.example:5066", ["A a.example", "AAAA a.example"],
     ["udp 192.0.2.1 5066", "udp 2001:db8::1 5066"]),
    ("so do WebSockets, which have no services", "sip:a.example;transport=ws", ["A a.example", "AAAA a.example"],
     ["ws 192.0.2.1 80", "ws 2001:db8::1 80"]),
    ("a transport skips NAPTR", "sip:srv.example;transport=tcp", ["SRV _sip._tcp.srv.example", "A b.example", "AAAA b.example"],
     ["tcp 192.0.2.2 5090", "tcp 192.0.2.3 5090"]),
    ("maddr takes the place of the host", "sip:x.example;maddr=SRV.example;transport=tcp",
     ["SRV _sip._tcp.srv.example", "A b.example", "AAAA b.example"], ["tcp 192.0.2.2 5090", "tcp 192.0.2.3 5090"]),
    ("NAPTR says which transport comes first", "sip:both.example",
     ["NAPTR both.example", "SRV _sip._tcp.both.example", "SRV _sip._udp.both.example", "SRV _sips._tcp.tls.example",
      "A a.example", "AAAA a.example", "A b.example", "AAAA b.example"],
     ["tcp 192.0.2.1 5080", "tcp 2001:db8::1 5080", "tcp 192.0.2.2 5081", "tcp 192.0.2.3 5081",
      "udp 192.0.2.1 5070", "udp 2001:db8::1 5070", "tls 192.0.2.1 5071", "tls 2001:db8::1 5071"]),
    ("of NAPTR, a sips: URI takes what is TLS", "sips:both.example",
     ["NAPTR both.example", "SRV _sips._tcp.tls.example", "A a.example", "AAAA a.example"],
     ["tls 192.0.2.1 5071", "tls 2001:db8::1 5071"]),
    ("without NAPTR, SRV of each transport is asked for", "sip:srv.example",
     ["NAPTR srv.example", "SRV _sip._udp.srv.example", "SRV _sip._tcp.srv.example", "A b.example", "AAAA b.example"],
     ["tcp 192.0.2.2 5090", "tcp 192.0.2.3 5090"]),
    ("and for sips: that of TLS", "sips:tls.example",
     ["NAPTR tls.example", "SRV _sips._tcp.tls.example", "A a.example", "AAAA a.example"],
     ["tls 192.0.2.1 5071", "tls 2001:db8::1 5071"]),
    ("NAPTR of no use to us is none", "sip:odd.example",
     ["NAPTR odd.example", "SRV _sip._udp.odd.example", "SRV _sip._tcp.odd.example", "A odd.example", "AAAA odd.example"], []),
    ("NAPTR alone says the transport", "sip:bare.example",
     ["NAPTR bare.example", "SRV _sip._tcp.bare.example", "A bare.example", "AAAA bare.example"], ["tcp 192.0.2.5 5060"]),
    ("without SRV the address itself, by UDP", "sip:six.example.",
     ["NAPTR six.example", "SRV _sip._udp.six.example", "SRV _sip._tcp.six.example", "A six.example", "AAAA six.example"],
     ["udp 2001:db8::6 5060"]),
    ("an SRV of '.': no such service, the next transport", "sip:off.example",
     ["NAPTR off.example", "SRV _sip._udp.off.example", "SRV _sip._tcp.off.example", "A off.example", "AAAA off.example"],
     ["tcp 192.0.2.9 5060"]),
    ("and none at all", "sip:closed.example",
     ["NAPTR closed.example", "SRV _sip._udp.closed.example", "SRV _sip._tcp.closed.example"], []),
    ("an SRV that leads nowhere is still one", "sip:dead.example;transport=udp",
     ["SRV _sip._udp.dead.example", "A nowhere.example", "AAAA nowhere.example"], []),
    ("an SRV may name an address, though it should not", "sip:digits.example;transport=udp", ["SRV _sip._udp.digits.example"],
     ["udp 192.0.2.6 5090"]),
)  # fmt: skip

RECORDS = st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.text("abc", min_size=1))
NAMES = st.sampled_from(["", ".", "x.example", "a.example", "_sip._udp.x.example", "192.0.2.1", "a b", "x" * 300, "é"])
ANSWERS = {
    "NAPTR": st.lists(
        st.builds(Naptr, st.integers(0, 2), st.integers(0, 2), st.sampled_from("sSau"),
                  st.sampled_from(["SIP+D2U", "SIPS+D2T", "SIP+D2W", ""]), NAMES), max_size=40),
    "SRV": st.lists(st.builds(Srv, st.integers(0, 2), st.integers(0, 9), st.integers(0, 65535), NAMES), max_size=40),
    "A": st.lists(st.ip_addresses(v=4).map(str), max_size=40),
    "AAAA": st.lists(st.ip_addresses(v=6).map(str), max_size=40),
}  # fmt: skip


def found(uri: str, supported: Sequence[str] = ALL, zone: Zone = ZONE) -> tuple[tuple[Target, ...], list[str]]:
    """(the targets, the names asked for)"""
    asking, asked = locate(Uri.parse(uri), supported, Random(1).randrange), []
    try:
        queries = next(asking)
        while True:
            asked += [f"{query.kind} {query.name}" for query in queries]
            queries = asking.send([zone.get((query.kind, query.name), ()) for query in queries])
    except StopIteration as done:
        return done.value, asked


def shown(targets: Sequence[Target]) -> list[str]:
    return [f"{t.peer.transport} {t.peer.host} {t.peer.port}" for t in targets]


class Rules(TestCase):
    def test_a_numeric_host_asks_nothing(self) -> None:
        for uri, expected in NUMERIC:
            with self.subTest(uri):
                targets, asked = found(uri, WEB)
                self.assertEqual((shown(targets), asked), ([expected], []))

    def test_what_nothing_of_ours_leads_to_asks_nothing(self) -> None:
        for uri, supported in NOWHERE:
            with self.subTest(uri):
                self.assertEqual(found(uri, supported), ((), []))

    def test_what_is_asked_and_what_comes_of_it(self) -> None:
        for rule, uri, asked, expected in ASKED:
            with self.subTest(rule):
                targets, questions = found(uri, WEB)
                self.assertEqual((questions, shown(targets)), (asked, expected))

    def test_what_we_do_not_speak_is_passed_over(self) -> None:
        for supported, transports in ((("udp",), {"udp"}), (("tls", "udp"), {"tls", "udp"}), (("tls",), {"tls"})):
            with self.subTest(supported):
                self.assertEqual({target.peer.transport for target in found("sip:both.example", supported)[0]}, transports)

    def test_the_certificate_is_that_of_the_name_that_was_asked_for(self) -> None:
        for uri, domain in (("sips:both.example", "both.example"), ("sips:x.example;maddr=192.0.2.7", "x.example")):
            with self.subTest(uri):
                self.assertEqual({target.domain for target in found(uri)[0]}, {domain})


class Bounds(TestCase):
    def test_a_flood_of_records_is_cut(self) -> None:
        addresses = [f"192.0.2.{n}" for n in range(250)]
        zone: dict[tuple[str, str], Sequence[Any]] = {("A", "h0"): addresses}
        for transport, host in (("udp", "h"), ("tcp", "i")):
            zone["SRV", f"_sip._{transport}.big"] = [Srv(n, n, 5060, f"{host}{n}") for n in range(500)]
        targets, asked = found("sip:big", zone=zone)
        self.assertEqual((len(targets), len(asked)), (MOST, 3 + 2 * MOST))
        self.assertEqual(len(found("sip:h0:5060", zone=zone)[0]), MOST)

    def test_the_same_target_is_tried_once(self) -> None:
        zone = {("SRV", "_sip._udp.x"): [Srv(1, 1, 5060, "x"), Srv(2, 1, 5060, "x")], ("A", "x"): ["192.0.2.1"] * 3}
        self.assertEqual(shown(found("sip:x", zone=zone)[0]), ["udp 192.0.2.1 5060"])

    @given(st.data())
    def test_any_answers_give_few_questions_and_few_targets(self, data: st.DataObject) -> None:
        scheme = data.draw(st.sampled_from(["sip", "sips"]))
        asking, rounds = locate(Uri.parse(f"{scheme}:x.example"), WEB, Random(1).randrange), 0
        try:
            queries = next(asking)
            while True:
                rounds += 1
                self.assertLessEqual(len(queries), 2 * MOST)
                queries = asking.send([data.draw(ANSWERS[query.kind]) for query in queries])
        except StopIteration as done:
            self.assertLessEqual(rounds, 3)
            self.assertLessEqual(len(done.value), MOST)
            if scheme == "sips":
                self.assertLessEqual({target.peer.transport for target in done.value}, {"tls"})


class Order(TestCase):
    @given(st.lists(RECORDS, max_size=12), st.integers())
    def test_every_record_once_by_priority(self, records: list[Srv], seed: int) -> None:
        order = in_order(records, Random(seed).randrange)
        self.assertEqual(Counter(order), Counter(records))
        self.assertEqual([r.priority for r in order], sorted(r.priority for r in records))

    def test_weights(self) -> None:
        """RFC 2782: the one that a number from 0 to the sum of weights falls to, those of weight 0 first in the row."""
        small, large, idle = Srv(1, 10, 5060, "small"), Srv(1, 90, 5060, "large"), Srv(1, 0, 5060, "idle")
        for number, first in ((0, idle), (1, small), (10, small), (11, large), (100, large)):
            with self.subTest(number):
                self.assertEqual(in_order([large, small, idle], lambda n, number=number: min(number, n - 1))[0], first)

    def test_how_often(self) -> None:
        records, random = [Srv(1, 10, 5060, "small"), Srv(1, 90, 5060, "large")], Random(1)
        first = Counter(in_order(records, random.randrange)[0].target for _ in range(2000))
        self.assertAlmostEqual(first["large"] / 2000, 0.9, delta=0.05)


class Blocked(TestCase):
    def setUp(self) -> None:
        self.blocklist = Blocklist(30)
        self.one, self.two = (Target(Peer("udp", f"192.0.2.{n}", 5060), "x") for n in (1, 2))

    def tried(self, now: float) -> tuple[Target, ...]:
        return self.blocklist.without((self.one, self.two), now)

    def test_for_a_moment(self) -> None:
        self.blocklist.failed(self.one.peer, 0.0)
        self.assertEqual((self.tried(29.9), self.tried(30.0)), ((self.two,), (self.one, self.two)))

    def test_as_long_as_it_says_itself_up_to_five_minutes(self) -> None:
        for said, blocked in ((0, 0), (5, 5), (120, 120), (9999, 300)):
            with self.subTest(said):
                self.blocklist.failed(self.one.peer, 0.0, said)
                self.assertEqual(self.tried(blocked - 0.1), (self.two,) if said else (self.one, self.two))
                self.assertEqual(self.tried(blocked), (self.one, self.two))

    def test_only_where_there_is_another(self) -> None:
        self.blocklist.failed(self.one.peer, 0.0)
        self.blocklist.failed(self.two.peer, 0.0)
        self.assertEqual(self.tried(1.0), (self.one, self.two))

    def test_it_is_bounded_and_forgets_what_is_over(self) -> None:
        blocklist = Blocklist(30, most=10)
        for port in range(100):
            blocklist.failed(Peer("udp", "192.0.2.1", port), 0.0)
        self.assertEqual(len(blocklist), 10)
        again = Target(Peer("udp", "192.0.2.1", 0), "x")
        blocklist.failed(again.peer, 20.0)
        self.assertEqual(blocklist.without((again, self.two), 49.0), (self.two,))
        blocklist.failed(self.one.peer, 51.0)
        self.assertEqual((len(blocklist), blocklist.without((self.one, self.two), 52.0)), (1, (self.two,)))
