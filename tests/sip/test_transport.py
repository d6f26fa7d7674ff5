"""Connections and their limits, keepalives, and the addresses we write into messages."""

from __future__ import annotations

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
        raw = Raw()
        factory = ClientFactory()
        factory.buildProtocol = lambda addr: raw  # type: ignore[method-assign]
        (host or Host(self.network, address)).connectTCP("192.0.2.1", 5060, factory)
        self.network.run(0.1)
        return raw

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


class Addresses(TestCase):
    def advertised(self, bound: str, option: str = "") -> tuple[str, int]:
        transports = Transports(Host(Network(), bound), Counters(), TransportOptions(advertised=option))
        transports.listen_udp(bound, 5070)
        return transports.advertised("udp", Peer("udp", "127.0.0.1", 5060))

    def test_the_configured_one_then_the_bound_one_then_what_the_kernel_would_use(self) -> None:
        self.assertEqual(self.advertised("0.0.0.0", "203.0.113.1"), ("203.0.113.1", 5070))
        self.assertEqual(self.advertised("192.0.2.1"), ("192.0.2.1", 5070))
        self.assertEqual(self.advertised("0.0.0.0"), ("127.0.0.1", 5070))
