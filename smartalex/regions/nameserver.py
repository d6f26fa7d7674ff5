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

QUIET_S, MOST_CONNECTIONS = 10.0, 100
PLAIN, WIDE = 512, 1232
"""Octets of an answer by UDP: to who says nothing (RFC 1035 2.3.4), and the most there is (what passes any path)."""

SAID = {dns.OK: "ok", dns.ENAME: "no such name", dns.EREFUSED: "refused"}
OPT, CLIENT_SUBNET = 41, 8
_OPTION, _SUBNET = Struct("!HH"), Struct("!HBB")


class NameServer:
    """The controller of Twisted's DNS protocols, which read and write messages."""

    def __init__(self, zone: Zone, counters: ICounters) -> None:
        self._zone, self._counters = zone, counters

    def connectionMade(self, protocol: Any) -> None:
        """Twisted's protocols say so."""

    def connectionLost(self, protocol: Any) -> None:
        """Likewise."""

    def unread(self) -> None:
        self._counters.count("dns.malformed")

    def messageReceived(self, message: dns.Message, protocol: Any, address: tuple[str, int] | None = None) -> None:
        if message.answer:
            return  # is answered by nobody
        host = address[0] if address is not None else protocol.transport.getPeer().host
        reply = self._reply(message, host)
        if address is None:
            protocol.writeMessage(reply)
        else:
            protocol.writeMessage(reply, address)

    def _reply(self, message: dns.Message, host: str) -> dns.Message:
        reply = dns.Message(message.id, answer=1, opCode=message.opCode, recDes=message.recDes)
        reply.queries = message.queries
        options = next((record for record in message.additional if record.type == OPT), None)
        subnet = None if options is None else client_subnet(getattr(options.payload, "data", b""))
        asker = host if subnet is None else subnet[0]
        if message.opCode != dns.OP_QUERY:
            reply.rCode = dns.ENOTIMP
        elif len(message.queries) != 1:
            reply.rCode = dns.EFORMAT
        else:
            reply.rCode, answers, authority = self._zone.answer(message.queries[0], asker)
            reply.answers, reply.authority = list(answers), list(authority)
        reply.auth = reply.rCode in (dns.OK, dns.ENAME)
        reply.maxSize = PLAIN if options is None else max(PLAIN, min(options.cls, WIDE))
        if options is not None:
            told = b"" if subnet is None else subnet[1]
            reply.additional = [dns.RRHeader(b"", OPT, WIDE, 0, dns.UnknownRecord(told))]
        self._counters.count(
            "dns.answered", {dns.OK: "ok", dns.ENAME: "no such name", dns.EREFUSED: "refused"}.get(reply.rCode, "error")
        )
        return reply


def client_subnet(data: bytes) -> tuple[str, bytes] | None:
    """Whom a resolver asks for (RFC 7871), and the option to answer with: (address, octets); None where it does not say."""
    at = 0
    try:
        while at < len(data):
            code, length = _OPTION.unpack_from(data, at)
            body = data[at + 4 : at + 4 + length]
            at += 4 + length
            if code == CLIENT_SUBNET:
                family, prefix, scope = _SUBNET.unpack_from(body)
                width = {1: 4, 2: 16}[family]
                if scope or not prefix or len(body) - 4 != -(-prefix // 8) or prefix > 8 * width:
                    return None
                number = body[4:].ljust(width, b"\0")
                subnet = ip_network((ip_address(number), prefix), strict=False)
                told = _SUBNET.pack(family, prefix, prefix) + body[4:]
                return str(subnet.network_address), _OPTION.pack(CLIENT_SUBNET, len(told)) + told
    except (error, KeyError, ValueError):
        pass
    return None


class Stream(dns.DNSProtocol, TimeoutMixin):
    """One connection; whoever says nothing is cut."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.setTimeout(QUIET_S)

    def dataReceived(self, data: bytes) -> None:
        self.resetTimeout()
        try:
            super().dataReceived(data)
        except Exception:  # whatever Twisted's decoder does with a damaged message
            self.controller.unread()
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
        try:
            super().datagramReceived(data, addr)
        except Exception:
            self.controller.unread()
