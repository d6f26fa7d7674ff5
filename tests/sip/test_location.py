"""RFC 3263: which questions are asked, and what order the targets come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.sip.headers import Peer
from smartalex.sip.location import MOST, Blocklist, Naptr, Query, Srv, Target, in_order, locate
from smartalex.sip.uri import Uri

RECORDS = st.builds(Srv, st.integers(0, 3), st.integers(0, 65535), st.just(5060), st.text("abc", min_size=1))
ALL = ("udp", "tcp", "tls")
ZONE: Mapping[tuple[str, str], Sequence[Any]] = {
    ("NAPTR", "both.example"): (
        Naptr(20, 1, "s", "SIP+D2U", "_sip._udp.both.example"), Naptr(10, 2, "S", "sip+d2t", "_sip._tcp.both.example"),
        Naptr(10, 1, "s", "SIPS+D2W", "_sips._ws.both.example"), Naptr(1, 1, "u", "E2U+sip", "both.example"),
    ),
    ("SRV", "_sip._udp.both.example"): (Srv(1, 0, 5070, "a.example"),),
    ("SRV", "_sip._tcp.both.example"): (Srv(2, 0, 5081, "b.example"), Srv(1, 0, 5080, "a.example")),
    ("SRV", "_sips._tcp.tls.example"): (Srv(1, 0, 5071, "a.example"),),
    ("SRV", "_sip._udp.none.example"): (Srv(0, 0, 0, "."),),
    ("SRV", "_sip._tcp.srv.example"): (Srv(1, 1, 5090, "b.example"),),
    ("A", "a.example"): ("192.0.2.1",), ("AAAA", "a.example"): ("2001:db8::1",), ("A", "b.example"): ("192.0.2.2", "192.0.2.3"),
    ("A", "none.example"): ("192.0.2.9",), ("A", "tls.example"): ("192.0.2.8",),
}  # fmt: skip


def found(uri: str, supported: Sequence[str] = ALL, zone: Mapping[tuple[str, str], Sequence[Any]] = ZONE) -> tuple[Any, ...]:
    """(the targets as text, the names asked for)"""
    asking, asked = locate(Uri.parse(uri), supported, Random(1).randrange), []
    try:
        queries = next(asking)
        while True:
            asked += [f"{query.kind} {query.name}" for query in queries]
            queries = asking.send([zone.get((query.kind, query.name), ()) for query in queries])
    except StopIteration as done:
        return [f"{t.peer.transport} {t.peer.host} {t.peer.port}" for t in done.value], asked


class Rules(TestCase):
    def test_a_numeric_host_asks_nothing(self) -> None:
        for uri, target in (
            ("sip:192.0.2.7", "udp 192.0.2.7 5060"), ("sip:192.0.2.7:5070", "udp 192.0.2.7 5070"),
            ("sip:192.0.2.7;transport=tcp", "tcp 192.0.2.7 5060"), ("sips:192.0.2.7", "tls 192.0.2.7 5061"),
            ("sip:192.0.2.7;transport=TLS", "tls 192.0.2.7 5061"), ("sips:192.0.2.7;transport=tcp", "tls 192.0.2.7 5061"),
            ("sip:[2001:db8::7]:5062", "udp 2001:db8::7 5062"), ("sip:x.example;maddr=192.0.2.7", "udp 192.0.2.7 5060"),
        ):  # fmt: skip
            self.assertEqual(found(uri), ([target], []), uri)

    def test_a_port_skips_naptr_and_srv(self) -> None:
        targets, asked = found("sip:a.example:5066")
        self.assertEqual(asked, ["A a.example", "AAAA a.example"])
        self.assertEqual(targets, ["udp 192.0.2.1 5066", "udp 2001:db8::1 5066"])

    def test_a_transport_skips_naptr(self) -> None:
        targets, asked = found("sip:srv.example;transport=tcp")
        self.assertEqual(asked, ["SRV _sip._tcp.srv.example", "A b.example", "AAAA b.example"])
        self.assertEqual(targets, ["tcp 192.0.2.2 5090", "tcp 192.0.2.3 5090"])

    def test_naptr_says_which_transport_comes_first(self) -> None:
        targets, asked = found("sip:both.example")
        self.assertEqual(asked[:3], ["NAPTR both.example", "SRV _sip._tcp.both.example", "SRV _sip._udp.both.example"])
        tcp = ["tcp 192.0.2.1 5080", "tcp 2001:db8::1 5080", "tcp 192.0.2.2 5081", "tcp 192.0.2.3 5081"]
        self.assertEqual(targets, [*tcp, "udp 192.0.2.1 5070", "udp 2001:db8::1 5070"])

    def test_what_we_do_not_speak_is_passed_over(self) -> None:
        targets, _ = found("sip:both.example", ("udp",))
        self.assertEqual(targets, ["udp 192.0.2.1 5070", "udp 2001:db8::1 5070"])
        self.assertEqual(found("sip:192.0.2.7;transport=sctp"), ([], []))
        self.assertEqual(found("sips:192.0.2.7", ("udp", "tcp")), ([], []))

    def test_without_naptr_srv_of_each_transport_is_asked(self) -> None:
        targets, asked = found("sip:srv.example")
        self.assertEqual(asked[:3], ["NAPTR srv.example", "SRV _sip._udp.srv.example", "SRV _sip._tcp.srv.example"])
        self.assertEqual(targets[0], "tcp 192.0.2.2 5090")

    def test_sips_is_tls_and_nothing_else(self) -> None:
        targets, asked = found("sips:tls.example")
        self.assertEqual(targets, ["tls 192.0.2.1 5071", "tls 2001:db8::1 5071"])
        self.assertEqual(asked[0], "SRV _sips._tcp.tls.example")

    def test_the_certificate_is_that_of_the_name_that_was_asked_for(self) -> None:
        asking = locate(Uri.parse("sips:tls.example"), ALL, Random(1).randrange)
        queries = next(asking)
        try:
            while True:
                queries = asking.send([ZONE.get((query.kind, query.name), ()) for query in queries])
        except StopIteration as done:
            self.assertEqual({target.domain for target in done.value}, {"tls.example"})

    def test_without_srv_the_address_itself(self) -> None:
        self.assertEqual(found("sip:none.example")[0], ["udp 192.0.2.9 5060"], "an SRV of '.' is none")
        self.assertEqual(found("sip:nowhere.example")[0], [])

    def test_a_flood_of_records_is_cut(self) -> None:
        zone = {("SRV", "_sip._udp.big"): [Srv(n, n, 5060, "many") for n in range(500)], ("A", "many"): ["192.0.2.1"] * 500}
        self.assertEqual(len(found("sip:big", zone=zone)[0]), MOST)

    @given(st.lists(RECORDS, max_size=12), st.integers())
    def test_every_record_once_by_priority(self, records: list[Srv], seed: int) -> None:
        order = in_order(records, Random(seed).randrange)
        self.assertEqual(sorted(map(repr, order)), sorted(map(repr, records)))
        self.assertEqual([r.priority for r in order], sorted(r.priority for r in records))

    def test_weights(self) -> None:
        records, random = [Srv(1, 10, 5060, "small"), Srv(1, 90, 5060, "large"), Srv(1, 0, 5060, "never")], Random(1)
        first = [in_order(records, random.randrange)[0].target for _ in range(2000)]
        self.assertAlmostEqual(first.count("large") / 2000, 0.9, delta=0.05)
        self.assertLess(first.count("never"), 100)


class Blocked(TestCase):
    def test_for_a_moment_and_only_where_there_is_another(self) -> None:
        one, two = (Target(Peer("udp", f"192.0.2.{n}", 5060), "x") for n in (1, 2))
        blocklist = Blocklist(30)
        blocklist.failed(one.peer, 0.0)
        self.assertEqual(blocklist.sort((one, two), 29.0), (two,))
        self.assertEqual(blocklist.sort((one,), 29.0), (one,))
        self.assertEqual(blocklist.sort((one, two), 30.0), (one, two))
        blocklist.failed(one.peer, 0.0, retry_after_s=9999)
        self.assertEqual(blocklist.sort((one, two), 299.0), (two,))
        self.assertEqual(blocklist.sort((one, two), 300.0), (one, two))

    def test_it_is_bounded(self) -> None:
        blocklist = Blocklist(30, most=10)
        for port in range(100):
            blocklist.failed(Peer("udp", "192.0.2.1", port), 0.0)
        self.assertEqual(len(blocklist._until), 10)
        self.assertEqual(Query("A", "x"), Query("A", "x"))
