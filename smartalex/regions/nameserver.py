"""The name server itself, by UDP and TCP: reads a question, has the zone answer it, writes that."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from struct import Struct, error
from typing import Any, cast

from twisted.internet.protocol import Factory
from twisted.names import dns
from twisted.protocols.policies import TimeoutMixin

from smartalex.interfaces import ICounters
from smartalex.regions.zone import Zone

QUIET_S, MOST_CONNECTIONS, MOST_QUESTIONS = 10.0, 100, 100
"""Of connections: seconds for a question to be complete, how many there may be, how much each may ask."""
PLAIN, WIDE = 512, 1232
"""Octets of an answer by UDP: to who says nothing (RFC 1035 2.3.4), and the most there is (what passes any path)."""

SAID = {dns.OK: "ok", dns.ENAME: "no such name", dns.EREFUSED: "refused"}
OPT, CLIENT_SUBNET = 41, 8
ANOTHER_VERSION = 1 << 24
"""BADVERS, as far as it stands in an OPT record (RFC 6891 6.1.3)."""
_OPTION, _SUBNET = Struct("!HH"), Struct("!HBB")


class NameServer:
    """The controller of Twisted's DNS protocols."""

    def __init__(self, zone: Zone, counters: ICounters) -> None:
        self._zone, self._counters = zone, counters

    def connectionMade(self, protocol: Any) -> None:
        """Twisted's protocols say so."""

    def connectionLost(self, protocol: Any) -> None:
        """Likewise."""

    def read(self, data: bytes) -> dns.Message | None:
        """The question in these octets."""
        message = dns.Message()
        try:
            message.fromStr(data)
        except Exception:  # whatever Twisted's decoder does with a damaged message
            self._counters.count("dns.malformed")
            return None
        return None if message.answer else message  # an answer is answered by nobody

    def reply(self, message: dns.Message, host: str) -> dns.Message:
        """The whole answer to what `host` asks."""
        reply = dns.Message(message.id, answer=1, opCode=message.opCode, recDes=message.recDes, maxSize=0)
        reply.queries = message.queries
        options = _options(message)
        told, extended = b"", 0
        try:
            asker, told = (client_subnet(getattr(options.payload, "data", b"")) if options else None) or (host, b"")
            if options and (options.ttl >> 16) & 0xFF:
                extended = ANOTHER_VERSION
            elif message.opCode != dns.OP_QUERY:
                reply.rCode = dns.ENOTIMP
            elif len(message.queries) != 1:
                reply.rCode = dns.EFORMAT
            else:
                reply.rCode, answers, authority = self._zone.answer(message.queries[0], asker or host)
                reply.answers, reply.authority = list(answers), list(authority)
                reply.auth = reply.rCode in (dns.OK, dns.ENAME)
        except ValueError:
            reply.rCode = dns.EFORMAT
        if options:
            reply.additional = [dns.RRHeader(b"", OPT, WIDE, extended, dns.UnknownRecord(told))]
        self._counters.count("dns.answered", "error" if extended else SAID.get(reply.rCode, "error"))
        return reply

    def datagram(self, message: dns.Message, host: str) -> dns.Message:
        """The answer as far as a datagram may be long: else the asker comes again by TCP (RFC 2181 9)."""
        reply, options = self.reply(message, host), _options(message)
        if len(reply.toStr()) > (max(PLAIN, min(options.cls, WIDE)) if options else PLAIN):
            reply.answers, reply.authority, reply.trunc = [], [], 1
        return reply


def _options(message: dns.Message) -> Any:
    return next((record for record in message.additional if record.type == OPT), None)


def client_subnet(data: bytes) -> tuple[str, bytes] | None:
    """Whom a resolver asks for (RFC 7871): (address, the option to answer with), None where it does not say.

    The address is "" where it wants that not to be looked at.  ValueError where the option is damaged.
    """
    try:
        while data:
            code, length = _OPTION.unpack_from(data)
            body, data = data[4 : 4 + length], data[4 + length :]
            if code == CLIENT_SUBNET:
                family, prefix, scope = _SUBNET.unpack_from(body)
                width = {1: 4, 2: 16}[family]
                if scope or len(body) != length or length - 4 != -(-prefix // 8):
                    raise ValueError("a client subnet that is none")
                address = ip_address(body[4:].ljust(width, b"\0"))
                ip_network((address, prefix))
                told = _OPTION.pack(CLIENT_SUBNET, length) + _SUBNET.pack(family, prefix, prefix) + body[4:]
                return str(address) if prefix else "", told
    except (error, KeyError) as damage:
        raise ValueError("options that cannot be read") from damage
    return None


class Stream(dns.DNSProtocol, TimeoutMixin):
    """One connection; who does not come to a question, or to the end, is cut."""

    _asked = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        self.setTimeout(QUIET_S)

    def stringReceived(self, data: bytes) -> None:
        transport = cast(Any, self.transport)
        message = self.controller.read(data)
        if message is None:
            transport.abortConnection()
            return
        self._asked += 1
        self.resetTimeout()
        self.writeMessage(self.controller.reply(message, transport.getPeer().host))
        if self._asked >= MOST_QUESTIONS:
            transport.loseConnection()

    def timeoutConnection(self) -> None:
        cast(Any, self.transport).abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.setTimeout(None)
        self.factory.connections.discard(self)
        super().connectionLost(reason)


class Streams(Factory):
    noisy = False

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self.connections: set[Stream] = set()

    def buildProtocol(self, addr: Any) -> Stream | None:
        if len(self.connections) >= MOST_CONNECTIONS:
            return None
        stream = Stream(self._server)
        stream.factory = self
        self.connections.add(stream)
        return stream

    def stopFactory(self) -> None:
        """No connection outlives the port."""
        for stream in self.connections:
            stream.setTimeout(None)
            cast(Any, stream.transport).abortConnection()


class Datagrams(dns.DNSDatagramProtocol):
    noisy = False

    def datagramReceived(self, data: bytes, addr: tuple[str, int]) -> None:
        """What cannot be read is nothing."""
        message = self.controller.read(data)
        if message is not None:
            self.writeMessage(self.controller.datagram(message, addr[0]), addr)
