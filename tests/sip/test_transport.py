"""Connections and their limits, keepalives, and the addresses we write into messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import TestCase

from twisted.internet.protocol import ClientFactory, Protocol

from smartalex.counters import Counters
from smartalex.sip.budget import BudgetLimits
from smartalex.sip.headers import Peer
from smartalex.sip.transport import TransportOptions, Transports
from tests.sip.network import Host, Network

SERVER = Peer("tcp", "192.0.2.1", 5060)
MESSAGE = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n"


class Raw(Protocol):
    """A client that sends what it is told and keeps what it gets."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)


def raw_client(network: Network, host: Host, server: str = "192.0.2.1") -> Raw:
    raw = Raw()
    factory = ClientFactory()
    factory.buildProtocol = lambda addr: raw  # type: ignore[method-assign]
    host.connectTCP(server, 5060, factory)
    network.run(0.1)
    return raw


class Connections(TestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.server = self.transports("192.0.2.1", TransportOptions(budget=BudgetLimits(connections_per_source=3, connections=5)))
        self.server.listen_tcp("192.0.2.1", 5060)
        self.received: list[tuple[bytes, Peer]] = []
        self.server.receive = lambda data, peer: self.received.append((data, peer))

    def transports(self, address: str, options: TransportOptions | None = None) -> Transports:
        return Transports(Host(self.network, address), Counters(), options)

    def counted(self, name: str, label: str = "tcp") -> int:
        return self.server.counters.values[name, label]  # type: ignore[attr-defined]

    def client(self, address: str = "192.0.2.2", host: Host | None = None) -> Raw:
        return raw_client(self.network, host or Host(self.network, address))

    def test_a_ping_gets_its_pong_and_is_no_message(self) -> None:
        client = self.client()
        client.write(b"\r\n\r\n")
        self.network.run(0.1)
        self.assertEqual((client.got, self.received), (b"\r\n", []))

    def test_answers_use_the_connection_they_came_by(self) -> None:
        client = self.client()
        client.write(MESSAGE)
        self.network.run(0.1)
        ((data, peer),) = self.received
        self.assertEqual((data, peer.transport, peer.host, self.server.connected(peer)), (MESSAGE, "tcp", "192.0.2.2", True))
        self.server.send(peer, b"answer")
        self.network.run(0.1)
        self.assertEqual((client.got, len(self.network.links)), (b"answer", 1))

    def test_who_says_nothing_whole_is_dropped(self) -> None:
        silent, slow, fine = (self.client(f"192.0.2.{n}") for n in (2, 3, 4))
        slow.write(MESSAGE[:20])
        fine.write(MESSAGE)
        self.network.run(31.0)
        self.assertEqual((silent.lost, slow.lost, fine.lost), (True, True, False))
        self.network.run(900.0)
        self.assertTrue(fine.lost)
        self.assertEqual((self.counted("sip.connection_idle"), self.counted("sip.slow_sender")), (2, 1))

    def test_dripping_does_not_buy_time(self) -> None:
        client = self.client()
        for byte in MESSAGE[:30]:
            client.write(bytes((byte,)))
            self.network.run(1.1)
        self.assertTrue(client.lost)

    def test_a_message_begun_later_has_its_own_time(self) -> None:
        client = self.client()
        client.write(MESSAGE)
        self.network.run(100.0)
        client.write(MESSAGE + MESSAGE[:9])
        self.network.run(20.0)
        client.write(MESSAGE[9:] + MESSAGE[:5])
        self.network.run(29.0)
        self.assertEqual((client.lost, len(self.received)), (False, 3))
        client.write(MESSAGE[5:9])
        self.network.run(2.0)
        self.assertEqual((client.lost, self.counted("sip.slow_sender"), self.counted("sip.truncated")), (True, 1, 0))

    def test_a_line_end_is_no_message_begun(self) -> None:
        client = self.client()
        client.write(MESSAGE + b"\r\n")
        self.network.run(100.0)
        client.write(MESSAGE)
        self.network.run(0.1)
        self.assertEqual((client.lost, len(self.received)), (False, 2))

    def test_one_source_has_a_limit_and_gets_its_place_back(self) -> None:
        host = Host(self.network, "192.0.2.2")
        clients = [self.client(host=host) for _ in range(4)]
        self.assertEqual([client.lost for client in clients], [False, False, False, True])
        self.network.links[0].cut()
        self.assertFalse(self.client(host=host).lost)

    def test_all_together_have_one_too(self) -> None:
        clients = [self.client(f"192.0.2.{n}") for n in range(2, 9)]
        self.assertEqual([client.lost for client in clients], [False] * 5 + [True] * 2)

    def test_messages_wait_while_dialling(self) -> None:
        client = self.transports("192.0.2.2")
        for data in (MESSAGE, MESSAGE.replace(b"OPTIONS", b"INFO")):
            client.send(SERVER, data)
        self.network.run(0.1)
        self.assertEqual([data[:4] for data, _ in self.received], [b"OPTI", b"INFO"])
        self.assertEqual(len(self.network.links), 1)

    def test_nobody_there(self) -> None:
        client = self.transports("192.0.2.2")
        failed: list[Peer] = []
        client.failed = failed.append
        nobody = Peer("tcp", "192.0.2.77", 5060)
        client.send(nobody, MESSAGE)
        self.network.run(0.1)
        self.assertEqual((failed, client.connected(nobody)), ([nobody], False))

    def test_no_udp_port_is_a_failure_not_a_fault(self) -> None:
        failed: list[Peer] = []
        self.server.failed = failed.append
        self.server.send(Peer("udp", "192.0.2.2", 5060), MESSAGE)
        self.assertEqual(failed, [], "not from within send")
        self.network.run(0.1)
        self.assertEqual(failed, [Peer("udp", "192.0.2.2", 5060)])


class Budgets(TestCase):
    LIMITS = BudgetLimits(rate=10, burst=20)
    FRIEND = "192.0.2.9"

    def setUp(self) -> None:
        self.network = Network()
        self.received: list[str] = []
        self.server = Transports(Host(self.network, "192.0.2.1"), Counters(), TransportOptions(budget=self.LIMITS))
        self.server.budget.trusted = lambda host: host == self.FRIEND
        self.server.listen_udp("192.0.2.1", 5060)
        self.server.listen_tcp("192.0.2.1", 5060)
        self.server.receive = lambda data, peer: self.received.append(peer.host)

    def client(self, address: str, transport: str) -> Callable[[bytes], object]:
        client = Transports(Host(self.network, address), Counters())
        client.listen_udp(address, 5060)
        return lambda data: client.send(Peer(transport, "192.0.2.1", 5060), data)

    def over(self, transport: str) -> int:
        return self.server.counters.values["sip.over_budget", transport]  # type: ignore[attr-defined]

    def test_a_flood_of_one_source_is_cut_down_and_costs_the_others_nothing(self) -> None:
        for transport, admitted in (("udp", 20), ("tcp", 19)):  # to connect costs as much as a message
            self.received.clear()
            stranger, friend, other = (self.client(host, transport) for host in ("192.0.2.7", self.FRIEND, "192.0.2.8"))
            for send in (stranger, friend):
                for _ in range(50):
                    send(MESSAGE)
            other(MESSAGE)
            self.network.run(0.01 if transport == "udp" else 0.1)
            counts = Counter(self.received)
            self.assertEqual(counts, {self.FRIEND: 50, "192.0.2.8": 1, "192.0.2.7": admitted})
            self.assertEqual(self.over(transport), 50 - admitted)
            self.network.run(10.0)

    def test_a_connection_over_budget_for_long_is_cut_and_a_busy_one_is_not(self) -> None:
        calm, greedy = self.client("192.0.2.7", "tcp"), self.client("192.0.2.8", "tcp")
        calm(MESSAGE)
        greedy(MESSAGE)
        for _ in range(12):
            for _ in range(5):
                self.network.run(0.2)
                greedy(MESSAGE * 20)
            calm(MESSAGE * 9)
        self.network.run(0.1)
        self.assertEqual([link.up for link in self.network.links[:2]], [True, False])

    def test_bursts_with_pauses_are_not_cut(self) -> None:
        client = self.client("192.0.2.7", "tcp")
        for _ in range(20):
            client(MESSAGE * 40)
            self.network.run(1.5)
        self.assertEqual((len(self.network.links), self.network.links[0].up), (1, True))
        self.assertGreater(self.over("tcp"), 200)

    def test_connecting_again_and_again_is_paid_for(self) -> None:
        clients: list[Raw] = []
        factory = ClientFactory()
        factory.buildProtocol = lambda addr: clients.append(Raw()) or clients[-1]  # type: ignore[func-returns-value,method-assign]
        for _ in range(30):
            Host(self.network, "192.0.2.7").connectTCP("192.0.2.1", 5060, factory)
        self.network.run(0.1)
        self.assertEqual([client.lost for client in clients], [False] * 20 + [True] * 10)

    def test_keepalives_are_paid_for_too_on_a_connection(self) -> None:
        client = raw_client(self.network, Host(self.network, "192.0.2.7"))
        client.write(b"\r\n\r\n" * 50)
        self.network.run(0.02)
        self.assertEqual((len(client.got) // 2, self.over("tcp")), (20, 30))

    def test_a_keepalive_datagram_is_nothing(self) -> None:
        client = self.client("192.0.2.7", "udp")
        for data in (b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b"", b"\0"):
            client(data)
        self.network.run(0.1)
        self.assertEqual((self.received, self.server.counters.values), ([], {}))  # type: ignore[attr-defined]


class KeptAlive(TestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.theirs = Transports(Host(self.network, "192.0.2.1"), Counters())
        self.theirs.listen_tcp("192.0.2.1", 5060)
        self.chances = iter((0.0, 1.0, 0.5, 0.5, 0.5, 0.5))
        self.ours = Transports(Host(self.network, "192.0.2.2"), Counters(), None, lambda: next(self.chances))
        self.failed: list[Peer] = []
        self.ours.failed = self.failed.append
        self.ours.send(SERVER, MESSAGE)
        self.network.run(0.1)
        self.pinged: list[float] = []

    def listen_in(self, answered: bool) -> None:
        """Note the pings; unless they are `answered` the peer is as good as gone."""
        side = self.network.links[0]._sides[0]
        arrive = side.write

        def write(data: bytes) -> None:
            if data == b"\r\n\r\n":
                self.pinged.append(round(self.network.clock.seconds(), 1))
            if answered:
                arrive(data)

        side.write = write

    def test_at_random_times_and_the_connection_stays(self) -> None:
        self.listen_in(answered=True)
        self.ours.keep_alive(SERVER, 120.0)
        self.network.run(440.0)
        self.assertEqual(self.pinged, [96.1, 216.1, 324.1, 432.1])
        self.assertEqual((self.failed, self.ours.connected(SERVER)), ([], True))
        self.ours.keep_alive(SERVER, 0)
        self.network.run(300.0)
        self.assertEqual(len(self.pinged), 4)

    def test_no_answer_is_the_end_of_the_connection(self) -> None:
        self.listen_in(answered=False)
        self.ours.keep_alive(SERVER, 120.0)
        self.network.run(105.5)
        self.assertEqual(self.failed, [])
        self.network.run(1.0)
        self.assertEqual((self.pinged, self.failed, self.ours.connected(SERVER)), ([96.1], [SERVER], False))
        self.assertEqual(self.ours.counters.values["sip.no_pong", "tcp"], 1)  # type: ignore[attr-defined]

    def test_any_message_is_an_answer_too(self) -> None:
        self.listen_in(answered=False)
        self.ours.keep_alive(SERVER, 120.0)
        self.network.run(100.0)
        self.network.links[0]._sides[1].write(MESSAGE)
        self.network.run(8.0)
        self.assertEqual((self.pinged, self.failed), ([96.1], []))

    def test_it_goes_on_with_the_next_connection(self) -> None:
        self.ours.keep_alive(SERVER, 120.0)
        self.network.links[0].cut()
        self.network.run(100.0)
        self.ours.send(SERVER, MESSAGE)
        self.network.run(300.0)
        self.assertEqual((self.failed, self.ours.connected(SERVER)), ([SERVER], True))

    def test_over_udp_the_way_is_kept_open(self) -> None:
        self.ours.listen_udp("192.0.2.2", 5060)
        self.ours.keep_alive(Peer("udp", "192.0.2.1", 5060), 30.0)
        self.network.run(65.0)
        sent = [(round(at, 1), data) for at, _, data in self.network.seen if data == b"\r\n\r\n"]
        self.assertEqual(sent, [(24.1, b"\r\n\r\n"), (54.1, b"\r\n\r\n")])
        self.ours.stop()
        self.network.run(100.0)
        self.assertEqual(len([data for _, _, data in self.network.seen if data == b"\r\n\r\n"]), 2)


class LargeRequests(TestCase):
    PEER = Peer("udp", "192.0.2.1", 5060)
    BY_TCP = Peer("tcp", "192.0.2.1", 5060)

    def setUp(self) -> None:
        self.network = Network()
        self.ours = Transports(Host(self.network, "192.0.2.2"), Counters())
        self.ours.listen_udp("192.0.2.2", 5060)

    def test_what_might_not_fit_a_datagram_goes_by_tcp(self) -> None:
        self.assertEqual(self.ours.for_request(self.PEER, 1301), self.PEER, "we could not be answered by TCP")
        self.ours.listen_tcp("192.0.2.2", 5060)
        self.assertEqual(self.ours.for_request(self.PEER, 1300), self.PEER)
        self.assertEqual(self.ours.for_request(self.PEER, 1301), self.BY_TCP)
        tls = Peer("tls", "192.0.2.1", 5061)
        self.assertEqual(self.ours.for_request(tls, 60_000), tls)

    def test_who_has_no_tcp_is_not_asked_again_soon(self) -> None:
        self.ours.listen_tcp("192.0.2.2", 5060)
        self.ours.send(self.BY_TCP, MESSAGE)
        self.network.run(0.1)
        self.assertEqual(self.ours.for_request(self.PEER, 2000), self.PEER)
        self.network.run(601.0)
        self.assertEqual(self.ours.for_request(self.PEER, 2000), self.BY_TCP)

    def test_a_connection_that_ends_does_not_mean_that_there_is_no_tcp(self) -> None:
        theirs = Transports(Host(self.network, "192.0.2.1"), Counters())
        theirs.listen_tcp("192.0.2.1", 5060)
        self.ours.listen_tcp("192.0.2.2", 5060)
        self.ours.send(self.BY_TCP, MESSAGE)
        self.network.run(0.1)
        self.network.links[0].cut()
        self.network.run(0.1)
        self.assertEqual(self.ours.for_request(self.PEER, 2000), self.BY_TCP)


class Addresses(TestCase):
    def advertised(self, bound: str, option: str = "") -> tuple[str, int]:
        transports = Transports(Host(Network(), bound), Counters(), TransportOptions(advertised=option))
        transports.listen_udp(bound, 5070)
        return transports.advertised("udp", Peer("udp", "127.0.0.1", 5060))

    def test_the_configured_one_then_the_bound_one_then_what_the_kernel_would_use(self) -> None:
        self.assertEqual(self.advertised("0.0.0.0", "203.0.113.1"), ("203.0.113.1", 5070))
        self.assertEqual(self.advertised("192.0.2.1"), ("192.0.2.1", 5070))
        self.assertEqual(self.advertised("0.0.0.0"), ("127.0.0.1", 5070))

    def test_each_family_has_its_own(self) -> None:
        options = TransportOptions(advertised="203.0.113.1", advertised_ipv6="2001:db8::1")
        transports = Transports(Host(Network(), "192.0.2.1"), Counters(), options)
        transports.listen_udp("192.0.2.1", 5070)
        for host, told in (("198.51.100.1", ("203.0.113.1", 5070)), ("2001:db8::9", ("2001:db8::1", 5060))):
            self.assertEqual(transports.advertised("udp", Peer("udp", host, 5060)), told)

    def test_ports_we_do_not_listen_on(self) -> None:
        transports = Transports(Host(Network(), "192.0.2.1"), Counters())
        ports = [transports.advertised(kind, Peer(kind, "127.0.0.1", 9))[1] for kind in ("udp", "tcp", "tls", "ws", "wss")]
        self.assertEqual(ports, [5060, 5060, 5061, 80, 443])
