"""Asked over real sockets."""

from __future__ import annotations

import socket
import struct
from typing import Any
from unittest import TestCase as PlainTestCase

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.names import dns
from twisted.trial.unittest import TestCase

from smartalex.counters import Counters
from smartalex.regions.nameserver import CLIENT_SUBNET, OPT, Datagrams, NameServer, Streams, client_subnet
from smartalex.regions.nearest import Region, Regions
from smartalex.regions.zone import Zone

NAME = "sip.example.com"
EU = Region("eu", "sip:eu.example.com", ("198.51.100.0/24", "127.0.0.0/8"), addresses=("192.0.2.1", "192.0.2.2", "2001:db8::1"))
US = Region("us", "sip:us.example.com", ("203.0.113.0/24",), addresses=("192.0.2.9",))
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


def subnet(address: str, prefix: int = 24) -> bytes:
    packed = socket.inet_aton(address)[: -(-prefix // 8)]
    body = struct.pack("!HBB", 1, prefix, 0) + packed
    return struct.pack("!HH", CLIENT_SUBNET, len(body)) + body


class Answers(TestCase):
    def setUp(self) -> None:
        self.down: set[str] = set()
        self.regions = Regions((EU, US), "eu", up=lambda name: name not in self.down)
        self.counters = Counters()
        server = NameServer(Zone(NAME, ("ns1.example.com",), 30, PORTS, self.regions), self.counters)
        self.port = reactor.listenTCP(0, Streams(server), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(self.port.stopListening)
        self.number = self.port.getHost().port
        datagrams = reactor.listenUDP(self.number, Datagrams(server), "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(datagrams.stopListening)

    async def records(self, name: str, kind: int, *, tcp: bool = False) -> list[str]:
        message = await self.asked(name, kind, tcp=tcp)
        self.assertEqual((message.auth, message.recAv, message.rCode), (1, 0, dns.OK))
        return [_text(record.payload) for record in message.answers]

    async def asked(self, name: str, kind: int, *, tcp: bool = False) -> dns.Message:
        message = dns.Message(4711)
        message.addQuery(name.encode(), kind, dns.IN)
        ask = over_tcp if tcp else over_udp
        reply = dns.Message()
        reply.fromStr(await deferToThread(ask, self.number, message.toStr()))
        return reply

    def test_the_nearest_region_over_udp_and_tcp(self) -> Deferred[None]:
        return ensureDeferred(self._nearest())  # type: ignore[return-value]

    async def _nearest(self) -> None:
        for tcp in (False, True):
            self.assertEqual(await self.records(NAME, dns.A, tcp=tcp), ["192.0.2.1", "192.0.2.2"])
            self.assertEqual(await self.records(NAME.upper(), dns.AAAA, tcp=tcp), ["2001:db8::1"])
            self.assertEqual(
                await self.records(NAME, dns.NAPTR, tcp=tcp),
                [f"10 s SIP+D2U _sip._udp.{NAME}", f"20 s SIP+D2T _sip._tcp.{NAME}", f"30 s SIPS+D2T _sips._tcp.{NAME}"],
            )
            self.assertEqual(
                await self.records(f"_sips._tcp.{NAME}", dns.SRV, tcp=tcp), [f"10 5061 eu.{NAME}", f"20 5061 us.{NAME}"]
            )
            self.assertEqual(await self.records(f"us.{NAME}", dns.A, tcp=tcp), ["192.0.2.9"])
            self.assertEqual(await self.records(NAME, dns.NS, tcp=tcp), ["ns1.example.com"])
        self.down.add("eu")
        self.assertEqual(await self.records(NAME, dns.A), ["192.0.2.1", "192.0.2.2"])  # it is our own
        self.down.add("us")
        self.assertEqual(await self.records(f"_sip._udp.{NAME}", dns.SRV), [f"10 5060 eu.{NAME}"])

    def test_what_is_not_there(self) -> Deferred[None]:
        return ensureDeferred(self._not_there())  # type: ignore[return-value]

    async def _not_there(self) -> None:
        for name, kind, wanted in (
            (f"ap.{NAME}", dns.A, dns.ENAME),
            ("example.com", dns.A, dns.EREFUSED),
            (f"x{NAME}", dns.A, dns.EREFUSED),
            (NAME, dns.MX, dns.OK),
            (f"_tcp.{NAME}", dns.A, dns.OK),
            (f"us.{NAME}", dns.AAAA, dns.OK),
        ):
            message = await self.asked(name, kind)
            soa = [record.type for record in message.authority]
            self.assertEqual(
                (message.rCode, message.answers, soa), (wanted, [], [] if wanted == dns.EREFUSED else [dns.SOA]), name
            )
        self.assertEqual(self.counters.values["dns.answered", "refused"], 2)

    def test_for_whom_a_resolver_asks(self) -> Deferred[None]:
        return ensureDeferred(self._for_whom())  # type: ignore[return-value]

    async def _for_whom(self) -> None:
        for address, wanted in (("203.0.113.0", ["192.0.2.9"]), ("198.51.100.0", ["192.0.2.1", "192.0.2.2"])):
            message = self.exchange(subnet(address))
            self.assertEqual([_text(record.payload) for record in message.answers], wanted)
            [option] = message.additional
            self.assertEqual((option.type, option.payload.data[6:8]), (OPT, b"\x18\x18"))  # it holds for a /24

    def exchange(self, option: bytes, version: int = 0) -> dns.Message:
        server = NameServer(Zone(NAME, ("ns1.example.com",), 30, PORTS, Regions((EU, US), "eu")), self.counters)
        query = dns.Message(7)
        query.addQuery(NAME.encode(), dns.A)
        query.additional = [dns.RRHeader(b"", OPT, 4096, version << 16, dns.UnknownRecord(option))]
        read = server.read(query.toStr())
        assert read is not None
        reply = dns.Message()
        reply.fromStr(server.datagram(read, "127.0.0.1").toStr())
        return reply

    def test_whoever_does_not_want_to_be_looked_at_is_not(self) -> None:
        message = self.exchange(subnet("0.0.0.0", 0))
        self.assertEqual([_text(record.payload) for record in message.answers], ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(message.additional[0].payload.data[4:], b"\0\1\0\0")

    def test_options_that_are_none_and_of_another_time(self) -> None:
        damaged = self.exchange(subnet("192.0.2.0")[:-1])
        self.assertEqual((damaged.rCode, damaged.answers, len(damaged.additional)), (dns.EFORMAT, [], 1))
        later = self.exchange(b"", version=1)
        self.assertEqual((later.rCode, later.additional[0].ttl >> 24, later.answers), (dns.OK, 1, []))

    def test_what_is_too_long_for_a_datagram_is_had_by_tcp(self) -> Deferred[None]:
        return ensureDeferred(self._too_long())  # type: ignore[return-value]

    async def _too_long(self) -> None:
        self.regions.known["eu"] = attrs.evolve(EU, addresses=tuple(f"192.0.2.{n}" for n in range(1, 101)))  # type: ignore[index]
        cut = await self.asked(NAME, dns.A)
        self.assertEqual((cut.trunc, cut.answers, cut.rCode), (1, [], dns.OK))
        whole = await self.asked(NAME, dns.A, tcp=True)
        self.assertEqual((whole.trunc, len(whole.answers)), (0, 100))

    def test_damaged_questions_cost_nothing(self) -> Deferred[None]:
        return ensureDeferred(self._damaged())  # type: ignore[return-value]

    async def _damaged(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        for data in (
            b"",
            b"x",
            b"\0" * 12,
            bytes(11) + b"\x05",
            b"\xff" * 400,
            bytes(4) + b"\x00\x09" + bytes(6) + b"\xc0\x0c" * 40,
        ):
            sock.sendto(data, ("127.0.0.1", self.number))
        with socket.create_connection(("127.0.0.1", self.number)) as stream:
            stream.sendall(b"\x00\x05hello")
        self.assertEqual(await self.records(NAME, dns.A), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(await self.records(NAME, dns.A, tcp=True), ["192.0.2.1", "192.0.2.2"])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertGreater(self.counters.values["dns.malformed", ""], 0)


class Subnets(PlainTestCase):
    def test_read(self) -> None:
        self.assertEqual(client_subnet(subnet("203.0.113.0"))[0], "203.0.113.0")  # type: ignore[index]
        self.assertEqual(client_subnet(struct.pack("!HH", 10, 2) + b"ab" + subnet("192.0.2.0"))[0], "192.0.2.0")  # type: ignore[index]
        six = struct.pack("!HHHBB", CLIENT_SUBNET, 10, 2, 48, 0) + bytes.fromhex("20010db8000e")
        self.assertEqual(client_subnet(six)[0], "2001:db8:e::")  # type: ignore[index]
        self.assertIsNone(client_subnet(b""))
        self.assertIsNone(client_subnet(struct.pack("!HH", 10, 2) + b"ab"))
        for wrong in (
            b"\0",
            subnet("192.0.2.0")[:-1],
            struct.pack("!HHHBB", CLIENT_SUBNET, 4, 3, 0, 0),
            struct.pack("!HHHBB", CLIENT_SUBNET, 8, 1, 32, 24) + bytes(4),  # a scope is the server's to say
            struct.pack("!HHHBB", CLIENT_SUBNET, 9, 1, 33, 0) + bytes(5),
            struct.pack("!HHHBB", CLIENT_SUBNET, 5, 1, 4, 0) + b"\xff",  # more than its prefix
        ):
            with self.assertRaises(ValueError, msg=wrong):
                client_subnet(wrong)

    @given(st.binary(max_size=40))
    def test_whatever_it_is_it_is_read_or_not(self, data: bytes) -> None:
        try:
            found = client_subnet(data)
        except ValueError:
            return
        self.assertTrue(found is None or found[1])


def over_udp(port: int, query: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(query, ("127.0.0.1", port))
        return sock.recv(4096)


def over_tcp(port: int, query: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        with sock.makefile("rb") as stream:
            (length,) = struct.unpack("!H", stream.read(2))
            return stream.read(length)


def _text(record: Any) -> str:
    if isinstance(record, (dns.Record_A, dns.Record_AAAA)):
        return record.dottedQuad() if isinstance(record, dns.Record_A) else socket.inet_ntop(socket.AF_INET6, record.address)
    if isinstance(record, dns.Record_NAPTR):
        return f"{record.order} {record.flags.string.decode()} {record.service.string.decode()} {record.replacement}"
    if isinstance(record, dns.Record_SRV):
        return f"{record.priority} {record.port} {record.target}"
    return str(record.name)
