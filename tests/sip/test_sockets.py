"""The transports over real sockets on the loopback interface."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions, trustRootFromCertificates

from smartalex.sip.budget import BudgetLimits
from smartalex.sip.headers import Peer
from smartalex.sip.stream import StreamLimits
from smartalex.sip.transport import TransportOptions
from smartalex.store.certificate import CertificateFiles
from tests.helpers.pki import Authority
from tests.interop.platform import free_port
from tests.sip.loopback import MESSAGE, Loopback, Raw, Side, a_moment, until


def numbered(number: int) -> bytes:
    return MESSAGE.replace(b"sip:h", b"sip:%d" % number)


class Dialling(Loopback):
    def listening(self, protocols: list[Raw]) -> Peer:
        """A TCP port that says nothing by itself."""

        class Silent(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Raw:
                protocols.append(Raw())
                return protocols[-1]

        port: Any = reactor.listenTCP(0, Silent(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return Peer("tls", "127.0.0.1", port.getHost().port)

    async def test_nobody_listens(self) -> None:
        ours = Side(self)
        nobody = Peer("tcp", "127.0.0.1", free_port())
        self.assertEqual([ours.transports.send(nobody, numbered(n)) for n in range(3)], [True] * 3)
        self.assertEqual(ours.failed, [], "not from within send")
        await until(lambda: ours.failed)
        await a_moment()
        self.assertEqual(ours.failed, [nobody])
        self.assertFalse(ours.transports.connected(nobody))

    async def test_a_tls_handshake_that_is_refused(self) -> None:
        theirs, ours = Side(self), Side(self)
        certificate, key = Authority(self.folder).issue("theirs", "127.0.0.1")
        port = theirs.transports.listen_tls("127.0.0.1", 0, CertificateFiles(str(certificate), str(key)))
        ours.transports.client_context = CertificateOptions(trustRoot=trustRootFromCertificates([]))
        peer = Peer("tls", "127.0.0.1", port.getHost().port)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: ours.failed)
        await until(lambda: theirs.counted)
        self.assertEqual((ours.failed, theirs.received), ([peer], []))
        self.assertEqual(theirs.counted, {("sip.no_handshake", "tls"): 1})

    async def test_a_tls_handshake_that_gets_no_answer_or_a_foolish_one(self) -> None:
        protocols: list[Raw] = []
        peer = self.listening(protocols)
        ours = Side(self, TransportOptions(streams=StreamLimits(handshake_s=0.3)))
        ours.transports.client_context = CertificateOptions(verify=False)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: ours.failed)
        self.assertEqual(ours.failed, [peer])
        ours.transports.send(peer, MESSAGE)
        await until(lambda: len(protocols) == 2)
        protocols[1].write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        await until(lambda: len(ours.failed) == 2)
        self.assertEqual(ours.counted, {("sip.no_handshake", "tls"): 2, ("sip.send_failed", "tls"): 2})

    async def test_what_waits_for_a_connection_is_bounded(self) -> None:
        for limits, size, kept in ((StreamLimits(waiting=3), 60, 3), (StreamLimits(waiting_bytes=2000), 900, 2)):
            theirs, ours = Side(self), Side(self, TransportOptions(streams=limits))
            port = theirs.transports.listen_tcp("127.0.0.1", 0).getHost().port
            peer = Peer("tcp", "127.0.0.1", port)
            messages = [numbered(n).replace(b"Content", b"X: %s\r\nContent" % (b"x" * size)) for n in range(5)]
            self.assertEqual([ours.transports.send(peer, m) for m in messages], [True] * kept + [False] * (5 - kept))
            await until(lambda theirs=theirs, kept=kept: len(theirs.received) == kept)
            self.assertEqual(theirs.messages, messages[:kept])
            self.assertEqual((ours.counted, ours.failed), ({("sip.send_failed", "tcp"): 5 - kept}, []))

    async def test_a_connection_lost_fails_what_waits_on_it_once(self) -> None:
        theirs, ours = Side(self), Side(self)
        port = theirs.transports.listen_tcp("127.0.0.1", 0).getHost().port
        peer = Peer("tcp", "127.0.0.1", port)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: theirs.received)
        self.assertTrue(ours.transports.connected(peer))
        theirs.transports.stop()
        await until(lambda: ours.failed)
        await a_moment()
        self.assertEqual((ours.failed, theirs.failed), ([peer], []), "who stops is not told")
        self.assertFalse(ours.transports.connected(peer))

    async def test_a_connection_that_carried_nothing_fails_nothing(self) -> None:
        theirs = Side(self)
        raw = await self.raw(theirs.transports.listen_tcp("127.0.0.1", 0).getHost().port)
        raw.write(b"\r\n\r\n")
        await until(lambda: raw.got)
        transport: Any = raw.transport
        transport.loseConnection()
        await until(lambda: not theirs.transports._connections._sockets)
        await a_moment()
        self.assertEqual(theirs.failed, [])

    async def test_stopping_while_dialling_is_quiet(self) -> None:
        protocols: list[Raw] = []
        ours = Side(self)
        ours.transports.client_context = CertificateOptions(verify=False)
        peer = self.listening(protocols)
        ours.transports.send(peer, MESSAGE)
        await until(lambda: protocols)
        ours.transports.stop()
        await until(lambda: protocols[0].lost)
        self.assertFalse(ours.transports.send(peer, MESSAGE))
        await a_moment()
        self.assertEqual(ours.failed, [])


class Slow(Loopback):
    async def test_a_handshake(self) -> None:
        server = Side(self, TransportOptions(streams=StreamLimits(handshake_s=0.3)))
        certificate, key = Authority(self.folder).issue("theirs", "127.0.0.1")
        context = CertificateFiles(str(certificate), str(key))
        raw = await self.raw(server.transports.listen_tls("127.0.0.1", 0, context).getHost().port)
        raw.write(b"\x16\x03\x01")
        await until(lambda: raw.lost)
        self.assertEqual(server.counted, {("sip.no_handshake", "tls"): 1})

    async def test_a_sender(self) -> None:
        server = Side(self, TransportOptions(streams=StreamLimits(message_s=0.3)))
        raw = await self.raw(server.transports.listen_tcp("127.0.0.1", 0).getHost().port)
        raw.write(MESSAGE + MESSAGE[:20])
        await until(lambda: raw.lost)
        self.assertEqual((server.messages, server.counted), ([MESSAGE], {("sip.slow_sender", "tcp"): 1}))

    async def test_a_reader(self) -> None:
        server = Side(self, TransportOptions(streams=StreamLimits(unsent=200_000)))
        raw = await self.raw(server.transports.listen_tcp("127.0.0.1", 0).getHost().port)
        transport: Any = raw.transport
        raw.write(MESSAGE)
        await until(lambda: server.received)
        transport.pauseProducing()
        peer = server.received[0][1]
        sent = 0
        while server.transports.connected(peer):
            server.transports.send(peer, b"x" * 60_000)
            sent += 1
            await a_moment(0.0)
            self.assertLess(sent, 2000)
        await until(lambda: server.failed)
        self.assertEqual((server.counted, server.failed), ({("sip.slow_reader", "tcp"): 1}, [peer]))
        transport.resumeProducing()

    async def test_a_reader_who_catches_up_misses_nothing(self) -> None:
        server = Side(self)
        raw = await self.raw(server.transports.listen_tcp("127.0.0.1", 0).getHost().port)
        raw.write(MESSAGE)
        await until(lambda: server.received)
        peer = server.received[0][1]
        sent = [b"%06d" % number + b"x" * 9_994 for number in range(100)]
        self.assertEqual({server.transports.send(peer, data) for data in sent}, {True})
        await until(lambda: len(raw.got) == 1_000_000)
        self.assertEqual(raw.got, b"".join(sent))

    async def test_who_is_one_too_many(self) -> None:
        server = Side(self, TransportOptions(budget=BudgetLimits(connections_per_source=1)))
        certificate, key = Authority(self.folder).issue("theirs", "127.0.0.1")
        context = CertificateFiles(str(certificate), str(key))
        port = server.transports.listen_tls("127.0.0.1", 0, context).getHost().port
        first, second = await self.raw(port), await self.raw(port)
        await until(lambda: second.lost)
        self.assertEqual((first.lost, server.counted), (False, {("sip.connection_refused", "tls"): 1}))
        transport: Any = first.transport
        transport.abortConnection()
        await until(lambda: not server.transports._connections._sockets)
        third = await self.raw(port)
        await a_moment()
        self.assertFalse(third.lost)


class Families(Loopback):
    """IPv4 and IPv6 beside each other, and several addresses of each."""

    def listening(self, *hosts: str) -> tuple[Side, int]:
        """By UDP and TCP, on one port that is free for all."""
        for _ in range(20):
            side, port = Side(self, echoes=True), 0
            try:
                for host in hosts:
                    port = side.transports.listen_udp(host, port).getHost().port
                for host in hosts:
                    side.transports.listen_tcp(host, port)
                return side, port
            except CannotListenError as error:
                if error.socketError.errno != errno.EADDRINUSE:
                    raise
        raise AssertionError("no port is free")

    async def answered(self, peer: Peer, own: str) -> None:
        client = Side(self)
        client.transports.listen_udp(own, 0)
        client.transports.send(peer, MESSAGE)
        await until(lambda: client.received)
        self.assertEqual(client.received, [(MESSAGE, peer)], "the answer comes from where the request went")

    async def test_everything_on_one_port(self) -> None:
        side, port = self.listening("0.0.0.0", "::")
        for transport in ("udp", "tcp"):
            await self.answered(Peer(transport, "127.0.0.1", port), "127.0.0.1")
            await self.answered(Peer(transport, "::1", port), "::1")
            self.assertEqual(side.transports.advertised(transport, Peer(transport, "127.0.0.1", 9)), ("127.0.0.1", port))
            self.assertEqual(side.transports.advertised(transport, Peer(transport, "::1", 9)), ("::1", port))

    async def test_answers_leave_by_the_address_that_was_asked(self) -> None:
        side, port = self.listening("127.0.0.1", "127.0.0.2", "::1")
        for host in ("127.0.0.2", "127.0.0.1", "127.0.0.2"):
            await self.answered(Peer("udp", host, port), "127.0.0.1")
        await self.answered(Peer("udp", "::1", port), "::1")
        (heard,) = {peer for _, peer in side.received if peer.host == "::1"}
        self.assertEqual(side.transports.advertised("udp", heard), ("::1", port))

    async def test_a_port_that_is_taken_and_an_address_that_is_not_ours(self) -> None:
        side, port = self.listening("::1")
        for listen in (side.transports.listen_udp, side.transports.listen_tcp):
            for host, number, code in (("::1", port, errno.EADDRINUSE), ("2001:db8::1", 0, errno.EADDRNOTAVAIL)):
                with self.assertRaises(CannotListenError) as caught:
                    listen(host, number)
                self.assertEqual(caught.exception.socketError.errno, code)

    async def test_nobody_of_that_family(self) -> None:
        side, _ = self.listening("127.0.0.1")
        peer = Peer("udp", "::1", 5060)
        self.assertFalse(side.transports.send(peer, MESSAGE))
        await until(lambda: side.failed)
        self.assertEqual(side.failed, [peer])

    async def test_an_address_written_otherwise_is_the_same_connection(self) -> None:
        side, port = self.listening("::1")
        client = Side(self)
        peer = Peer("tcp", "0:0:0:0:0:0:0:1", port)
        for _ in range(2):
            client.transports.send(peer, MESSAGE)
            await until(lambda: client.received)
        self.assertEqual((client.received[0][1], client.transports.connected(peer)), (peer, True))
        await until(lambda: len(side.received) == 2)
        self.assertEqual(len({source for _, source in side.received}), 1)

    async def test_an_address_with_a_zone(self) -> None:
        zoned = link_local()
        if not zoned:
            self.skipTest("no interface has a link-local address")
        side, port = self.listening("::1", zoned)
        for transport in ("udp", "tcp"):
            client = Side(self)
            client.transports.listen_udp(zoned, 0)
            client.transports.send(Peer(transport, zoned, port), MESSAGE)
            await until(lambda client=client: client.received)
        for _, peer in side.received:
            self.assertEqual(side.transports.advertised(peer.transport, peer), (zoned.partition("%")[0], port))

    async def test_a_datagram_that_is_too_long_is_not_sent(self) -> None:
        side, port = self.listening("127.0.0.1")
        self.assertFalse(side.transports.send(Peer("udp", "127.0.0.1", port), b"x" * 70_000))
        self.assertEqual(side.counted, {("sip.send_failed", "udp"): 1})


def link_local() -> str:
    """ "fe80::1%eth0", or "" without one."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return ""
    for address, _, _, scope, _, interface in map(str.split, lines):
        if scope == "20":
            return f"{ip_address(bytes.fromhex(address))}%{interface}"
    return ""
