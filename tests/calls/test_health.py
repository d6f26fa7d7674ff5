from __future__ import annotations

from typing import Any
from unittest import TestCase

from twisted.internet.defer import Deferred, fail, succeed

from smartalex.calls.health import Health, RegionHealth, TrunkHealth
from smartalex.calls.registrar import Way
from smartalex.errors import LocalError
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk
from tests.sip.network import Agent, Network

INTERVAL_S = 60.0
ADDRESSES = {"pbx.example.com": "192.0.2.9"}


def locate(uri: Uri) -> Deferred[tuple[Peer, ...]]:
    address = ADDRESSES.get(uri.host)
    return succeed((Peer("udp", address, 5060),)) if address else fail(LocalError(f"{uri.host} cannot be found"))


class Known(TestCase):
    def test_the_first_answer_is_news_and_the_next_is_not(self) -> None:
        health = Health()
        self.assertEqual([health.answered(0.02), health.answered(0.03)], [True, False])
        self.assertEqual(health.shown(), {"state": "up", "latency_ms": 30.0, "detail": ""})

    def test_one_lost_request_is_no_news(self) -> None:
        health = Health("up", 0.02)
        self.assertEqual([health.failed("no answer") for _ in range(3)], [False, True, False])
        self.assertEqual(health.shown(), {"state": "down", "latency_ms": None, "detail": "no answer"})
        self.assertTrue(health.answered(0.01))

    def test_an_answer_between_two_losses_counts(self) -> None:
        health = Health("up")
        self.assertEqual([health.failed("x"), health.answered(0.1), health.failed("x")], [False, False, False])
        self.assertEqual(health.state, "up")


class Asking(TestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.us, self.pbx = Agent(self.network, "192.0.2.1"), Agent(self.network, "192.0.2.9")
        self.trunks = [Trunk("t1", "w1", "acme", "pbx.example.com"), Trunk("t2", "w1", "bare", "")]
        self.kept: list[dict[str, Any]] = []
        self.us.ua.locate = locate
        self.health = TrunkHealth(self.network.clock, self.us.ua, lambda: self.trunks, self.us.counters, self.kept.append)
        self.health.start(INTERVAL_S)
        self.addCleanup(self.health.stop)

    def asked(self) -> int:
        return len(self.network.messages("OPTIONS"))

    def rounds(self, count: int) -> None:
        self.network.run(count * INTERVAL_S)

    def test_a_pbx_that_answers_is_up(self) -> None:
        self.network.run(1)
        self.assertEqual(self.kept, [{"acme": {"state": "up", "latency_ms": 20.0, "detail": ""}}])
        self.assertEqual(self.health.gauges(), {"trunk_up": {"acme": 1.0}, "trunk_latency_seconds": {"acme": 0.02}})
        self.rounds(2)
        self.assertEqual((self.asked(), len(self.kept)), (3, 1))

    def test_silence_makes_it_down_and_an_answer_up_again(self) -> None:
        silent, self.network.udp = self.network.udp, {}
        self.rounds(2)
        self.assertEqual(self.kept[-1]["acme"]["detail"], "no answer")
        self.assertEqual(self.health.gauges(), {"trunk_up": {"acme": 0.0}, "trunk_latency_seconds": {}})
        self.network.udp = silent
        self.rounds(1)
        self.assertEqual([known["acme"]["state"] for known in self.kept], ["down", "up"])
        self.assertEqual(self.us.counters.values["trunk.unanswered", ""], 2)

    def test_503_is_down_and_any_other_answer_up(self) -> None:
        self.pbx.on_options = lambda request: 503  # type: ignore[method-assign]
        self.rounds(2)
        self.assertEqual(self.kept[-1]["acme"]["state"], "down")
        self.pbx.on_options = lambda request: 404  # type: ignore[method-assign]
        self.rounds(1)
        self.assertEqual(self.kept[-1]["acme"]["state"], "up")

    def test_a_name_that_is_none_is_said(self) -> None:
        self.trunks[0] = Trunk("t1", "w1", "acme", "nowhere.example.com:5070")
        self.rounds(2)
        self.assertEqual(self.kept[-1]["acme"]["detail"], "nowhere.example.com cannot be found")

    def test_without_a_domain_it_is_asked_where_it_has_registered_from(self) -> None:
        way = Way(Uri.parse("sip:300@10.0.0.5:5062"), Peer("udp", "192.0.2.9", 5060), (("Route", "<sip:edge.example.com;lr>"),))
        self.health.ways = lambda trunk_id: {"t2": [way]}.get(trunk_id, [])
        self.network.run(INTERVAL_S + 1)
        [first, bare] = self.network.messages("OPTIONS")[-2:]
        self.assertEqual((first.uri, bare.uri), ("sip:pbx.example.com", "sip:300@10.0.0.5:5062"))  # type: ignore[union-attr]
        self.assertEqual(bare.headers.get("Route"), "<sip:edge.example.com;lr>")
        self.assertEqual(self.kept[-1]["bare"]["state"], "up")

    def test_a_trunk_that_is_gone_or_suspended_is_forgotten(self) -> None:
        self.rounds(1)
        self.trunks[0] = Trunk("t1", "w1", "acme", "pbx.example.com", active=False)
        self.rounds(2)
        self.assertEqual((self.asked(), self.health.known, self.kept[-1]), (2, {}, {}))


class Regions(TestCase):
    """The nodes of two other regions, one of which is nowhere."""

    def setUp(self) -> None:
        self.network = Network()
        self.us, self.eu = Agent(self.network, "192.0.2.1"), Agent(self.network, "192.0.2.9")
        self.kept: list[dict[str, Any]] = []
        self.us.ua.locate = lambda uri: succeed((Peer("udp", uri.host, 5060),))
        nodes = {"eu": "sip:192.0.2.9", "asia": "sip:192.0.2.77"}
        self.health = RegionHealth(self.network.clock, self.us.ua, nodes, self.us.counters, self.kept.append)
        self.health.start(10)
        self.addCleanup(self.health.stop)

    def test_until_it_is_known_to_be_down_it_is_up(self) -> None:
        self.assertEqual((self.health.up("eu"), self.health.up("asia"), self.health.gauges()["region_up"]), (True, True, {}))

    def test_who_is_silent_is_down_at_the_second_round_that_follows(self) -> None:
        self.network.run(15)
        self.assertTrue(self.health.up("asia"))
        self.network.run(10)
        self.assertEqual((self.health.up("eu"), self.health.up("asia")), (True, False))
        self.assertEqual(self.health.gauges()["region_up"], {"eu": 1.0, "asia": 0.0})
        self.assertEqual(self.kept[-1]["asia"]["detail"], "no answer")

    def test_a_round_fails_once(self) -> None:
        """Also where SIP gives up (after 32 s) in the middle of a later one."""
        self.network.run(95)
        self.assertEqual(self.us.counters.values["region.unanswered", ""], 10)

    def test_who_is_stopping_is_down_and_comes_back(self) -> None:
        self.eu.on_options = lambda request: 503  # type: ignore[method-assign]
        self.network.run(15)
        self.assertFalse(self.health.up("eu"))
        del self.eu.on_options
        self.network.run(10)
        self.assertTrue(self.health.up("eu"))
