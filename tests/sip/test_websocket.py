"""WebSockets: the handshake, messages however they are cut, and limits; over real sockets too."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ClientEndpoint, TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import CertificateOptions
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from smartalex.errors import RemoteError
from smartalex.sip.framing import PING, PONG
from smartalex.sip.headers import Peer
from smartalex.sip.message import MAX_MESSAGE
from smartalex.sip.stream import StreamLimits
from smartalex.sip.transport import TransportOptions
from smartalex.sip.websocket import MAX_FRAGMENTS, WebSocketFramer
from smartalex.store.certificate import CertificateFiles
from tests.helpers.pki import Authority
from tests.sip.loopback import MESSAGE, Loopback, Side, a_moment, until

HELLO = (
    b"GET /anything HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, sip\r\n\r\n"
)


def shaken() -> tuple[WebSocketFramer, WSConnection]:
    """Both ends after the handshake."""
    framer, client = WebSocketFramer(), WSConnection(ConnectionType.CLIENT)
    request = client.send(Request(host="h", target="/", subprotocols=["sip"]))
    assert list(framer.feed(request)) == []
    client.receive_data(framer.replies())
    (event,) = client.events()
    assert isinstance(event, AcceptConnection)
    return framer, client


def said(client: WSConnection, data: bytes) -> list[Event]:
    client.receive_data(data)
    return list(client.events())


class Handshake(TestCase):
    def answer(self, hello: bytes, origins: tuple[str, ...] = ()) -> tuple[int, bool, bool]:
        """Status, whether it is open, whether it is over."""
        framer = WebSocketFramer(origins)
        self.assertEqual(list(framer.feed(hello)), [])
        replies = framer.replies()
        return int(replies.split()[1]), framer.open, framer.over

    def test_sip_is_spoken_here(self) -> None:
        framer = WebSocketFramer()
        self.assertEqual((list(framer.feed(HELLO)), framer.open), ([], True))
        replies = framer.replies()
        self.assertIn(b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", replies)
        self.assertIn(b"\r\nSec-WebSocket-Protocol: sip\r\n", replies)
        self.assertNotIn(b"xtensions", replies)

    def test_in_pieces(self) -> None:
        framer = WebSocketFramer()
        for byte in HELLO:
            self.assertFalse(framer.open)
            self.assertEqual(list(framer.feed(bytes((byte,)))), [])
        self.assertEqual((framer.open, framer.replies()[:12]), (True, b"HTTP/1.1 101"))

    def test_nothing_else_is(self) -> None:
        for status, old, new in (
            (400, b"chat, sip", b"chat, SIP"),
            (400, b"Sec-WebSocket-Protocol: chat, sip\r\n", b""),
            (400, b"GET", b"POST"),
            (400, b"Upgrade: WebSocket\r\n", b""),
            (400, b"Connection: keep-alive, Upgrade\r\n", b""),
            (400, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
            (426, b"Version: 13", b"Version: 8"),
            (400, b"Host: h", b"Host: \xff"),
            (400, b"chat, sip", b"\xff"),
            (400, b"/anything", b"/\xff"),
            (400, b"HTTP/1.1", b"SIP/2.0"),
            (400, b"Host: h", b"X: " + b"x" * 20_000),
        ):
            self.assertIn(old, HELLO)
            self.assertEqual(self.answer(HELLO.replace(old, new)), (status, False, True), new)
        self.assertEqual(self.answer(MESSAGE), (400, False, True))

    def test_only_pages_of_listed_sites(self) -> None:
        def hello(origin: bytes) -> bytes:
            return HELLO.replace(b"Host", b"Origin: %b\r\nHost" % origin)

        sites = ("https://phone.example.com", "https://Example.org")
        for origin, status in (
            (b"https://phone.example.com", 101),
            (b"https://EXAMPLE.org", 101),
            (b"https://evil.example", 403),
        ):
            self.assertEqual(self.answer(hello(origin), sites)[0], status, origin)
            self.assertEqual(self.answer(hello(origin))[0], 101)
        self.assertEqual(self.answer(hello(b"http://phone.example.com"), sites)[0], 403)
        self.assertEqual(self.answer(hello(b"https://example.org\r\nOrigin: https://evil.example"), sites)[0], 403)
        self.assertEqual(self.answer(HELLO, sites)[0], 101, "no browser")


class Messages(TestCase):
    def test_text_and_bytes_one_message_each(self) -> None:
        framer, client = shaken()
        frames = client.send(TextMessage("caf\u00e9")) + client.send(BytesMessage(b"\xff\r\n\r\nx"))
        self.assertEqual((list(framer.feed(frames)), framer.empty), (["caf\u00e9".encode(), b"\xff\r\n\r\nx"], True))

    def test_a_message_in_fragments_with_a_ping_between(self) -> None:
        framer, client = shaken()
        self.assertEqual(list(framer.feed(client.send(TextMessage("one ", message_finished=False)))), [])
        self.assertFalse(framer.empty)
        self.assertEqual(list(framer.feed(client.send(Ping(b"!")))), [PING])
        self.assertEqual(said(client, framer.pong()), [Pong(b"!")])
        self.assertEqual(list(framer.feed(client.send(TextMessage("two")))), [b"one two"])

    def test_answers_are_text_where_they_can_be(self) -> None:
        framer, client = shaken()
        for data, kind in ((MESSAGE, TextMessage), ("\u00e9".encode(), TextMessage), (b"\xe9", BytesMessage)):
            (event,) = said(client, framer.wrap(data))
            assert isinstance(event, Message)
            self.assertIs(type(event), kind)
            self.assertEqual(event.data.encode() if isinstance(event.data, str) else event.data, data)

    def test_keepalives_of_both_kinds(self) -> None:
        framer, client = shaken()
        self.assertEqual(said(client, framer.ping()), [Ping(b"")])
        self.assertEqual(list(framer.feed(client.send(Pong(b"")))), [PONG])
        self.assertEqual(list(framer.feed(client.send(TextMessage("\r\n\r\n")))), [PING])
        self.assertEqual(said(client, framer.pong()), [TextMessage("\r\n")])
        self.assertEqual(list(framer.feed(client.send(TextMessage("\r\n")))), [PONG])

    def test_goodbye_from_either_side(self) -> None:
        framer, client = shaken()
        frames = client.send(TextMessage("last")) + client.send(CloseConnection(1000)) + b"more"
        self.assertEqual((list(framer.feed(frames)), framer.over), ([b"last"], True))
        (event,) = said(client, framer.replies())
        assert isinstance(event, CloseConnection)
        self.assertEqual((event.code, framer.goodbye(), framer.wrap(b"x"), list(framer.feed(b"more"))), (1000, b"", b"", []))
        framer, client = shaken()
        (event,) = said(client, framer.goodbye())
        assert isinstance(event, CloseConnection)
        self.assertEqual((event.code, framer.goodbye(), framer.open), (1001, b"", False))

    def refused(self, framer: WebSocketFramer, client: WSConnection, frames: bytes) -> tuple[int, int]:
        """The status it gives up with, and the code that the client is told."""
        with self.assertRaises(RemoteError) as caught:
            list(framer.feed(frames))
        (event,) = said(client, framer.replies())
        assert isinstance(event, CloseConnection)
        self.assertEqual((framer.rest(), framer.open), (b"", False))
        return caught.exception.status, event.code

    def test_what_is_too_long(self) -> None:
        framer, client = shaken()
        self.assertEqual(list(framer.feed(client.send(BytesMessage(b"x" * MAX_MESSAGE)))), [b"x" * MAX_MESSAGE])
        self.assertEqual(self.refused(framer, client, client.send(BytesMessage(b"x" * (MAX_MESSAGE + 1)))), (513, 1009))
        framer, client = shaken()
        fragment = client.send(BytesMessage(b"x" * 1000, message_finished=False))
        fragments = b"".join(client.send(BytesMessage(b"x" * 1000, message_finished=False)) for _ in range(70))
        self.assertEqual(self.refused(framer, client, fragment + fragments), (513, 1009))

    def test_too_many_fragments_of_nothing(self) -> None:
        framer, client = shaken()
        frames = b"".join(client.send(BytesMessage(b"", message_finished=False)) for _ in range(MAX_FRAGMENTS + 1))
        self.assertEqual(self.refused(framer, client, frames), (513, 1009))

    def test_what_breaks_the_rules(self) -> None:
        for frames, code in (
            (b"\x81\x03abc", 1002),  # not masked
            (b"\xc1\x83\0\0\0\0abc", 1002),  # compressed, which was not agreed on
            (b"\x83\x80\0\0\0\0", 1002),  # an opcode that there is not
            (b"\x80\x83\0\0\0\0abc", 1002),  # goes on with nothing
            (b"\x81\x82\0\0\0\0\xff\xff", 1007),  # text that is none
            (b"\x09\x80\0\0\0\0", 1002),  # a ping in fragments
            (b"\x89\xfe\0\x7e\0\0\0\0", 1002),  # a ping too long
        ):
            framer, client = shaken()
            self.assertEqual(self.refused(framer, client, frames), (400, code), frames)

    @given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 40), st.integers(1, 40))
    @settings(max_examples=80, deadline=None)
    def test_however_it_is_cut(self, messages: list[bytes], fragment: int, chunk: int) -> None:
        framer, client = shaken()
        frames = b""
        for data in messages:
            starts = range(0, len(data), fragment) or range(1)
            for at in starts:
                part = BytesMessage(data[at : at + fragment], message_finished=at == starts[-1])
                frames += client.send(part)
        found = [piece for at in range(0, len(frames), chunk) for piece in framer.feed(frames[at : at + chunk])]
        self.assertEqual(found, [data if data.strip(b"\r\n") else PING if PING in data else PONG for data in messages])
        self.assertTrue(framer.empty)

    @given(
        st.lists(
            st.binary(max_size=40) | st.sampled_from((HELLO, HELLO[:60], b"\x81\x80\0\0\0\0", b"\x88\x80\0\0\0\0")), max_size=5
        )
    )
    @settings(max_examples=150, deadline=None)
    def test_any_bytes_are_followed_or_refused(self, chunks: list[bytes]) -> None:
        framer = WebSocketFramer()
        try:
            for data in chunks:
                for piece in framer.feed(data):
                    self.assertIsInstance(piece, bytes)
        except RemoteError:
            self.assertFalse(framer.open)
        self.assertIsInstance(framer.replies() + framer.wrap(b"x") + framer.goodbye(), bytes)


class Browser(Protocol):
    """As much of a browser as opens a WebSocket."""

    def __init__(self) -> None:
        self.socket = WSConnection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        self.lost = False

    def connectionMade(self) -> None:
        self.say(Request(host="h", target="/", subprotocols=["sip"]))

    def say(self, event: Event) -> None:
        self.write(self.socket.send(event))

    def write(self, data: bytes) -> None:
        transport: Any = self.transport
        transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        self.socket.receive_data(data)
        self.events += self.socket.events()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class OverSockets(Loopback):
    def setUp(self) -> None:
        super().setUp()
        limits = StreamLimits(handshake_s=1.0, message_s=0.3, pong_s=0.3)
        self.server = Side(self, TransportOptions(streams=limits, origins=("https://a.example",)), echoes=True)
        self.port = self.server.transports.listen_ws("127.0.0.1", 0).getHost().port

    async def browser(self, endpoint: Any = None) -> Browser:
        browser: Browser = await connectProtocol(endpoint or TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Browser())
        transport: Any = browser.transport
        self.addCleanup(until, lambda: browser.lost)
        self.addCleanup(transport.abortConnection)
        await until(lambda: browser.events)
        self.assertIsInstance(browser.events.pop(), AcceptConnection)
        return browser

    async def test_requests_come_in_and_responses_and_requests_go_out(self) -> None:
        browser = await self.browser()
        browser.say(TextMessage(MESSAGE.decode()))
        await until(lambda: browser.events)
        ((data, peer),) = self.server.received
        self.assertEqual((data, peer.transport, peer.host), (MESSAGE, "ws", "127.0.0.1"))
        self.assertEqual(self.server.transports.advertised("ws", peer), ("127.0.0.1", self.port))
        self.server.transports.send(peer, b"a request")
        await until(lambda: len(browser.events) == 2)
        self.assertEqual(browser.events, [TextMessage(MESSAGE.decode()), TextMessage("a request")])

    async def test_over_tls(self) -> None:
        certificate, key = Authority(self.folder).issue("server", "127.0.0.1")
        port = self.server.transports.listen_wss("127.0.0.1", 0, CertificateFiles(str(certificate), str(key))).getHost().port
        browser = await self.browser(SSL4ClientEndpoint(reactor, "127.0.0.1", port, CertificateOptions(verify=False)))
        browser.say(BytesMessage(MESSAGE))
        await until(lambda: browser.events)
        self.assertEqual((self.server.received[0][1].transport, browser.events), ("wss", [TextMessage(MESSAGE.decode())]))

    async def test_a_browser_is_not_dialled(self) -> None:
        gone = Peer("ws", "127.0.0.1", self.port)
        self.assertFalse(self.server.transports.send(gone, MESSAGE))
        self.assertEqual(self.server.failed, [])
        await until(lambda: self.server.failed)
        self.assertEqual(self.server.failed, [gone])

    async def test_one_that_closes_fails_what_waits_on_it(self) -> None:
        browser = await self.browser()
        browser.say(TextMessage(MESSAGE.decode()))
        await until(lambda: browser.events)
        browser.say(CloseConnection(1000))
        await until(lambda: browser.lost)
        await until(lambda: self.server.failed)
        self.assertIsInstance(browser.events[-1], CloseConnection)
        self.assertEqual(self.server.failed, [self.server.received[0][1]])

    async def test_pings_both_ways(self) -> None:
        browser = await self.browser()
        browser.say(TextMessage(MESSAGE.decode()))
        browser.say(Ping(b"?"))
        await until(lambda: len(browser.events) == 2)
        self.assertEqual(browser.events.pop(), Pong(b"?"))
        peer = self.server.received[0][1]
        self.server.transports.keep_alive(peer, 0.1)
        await until(lambda: browser.events[-1] == Ping(b""))
        await until(lambda: self.server.failed)
        self.assertEqual(self.server.counted[("sip.no_pong", "ws")], 1)

    async def test_a_handshake_that_is_wrong_or_slow(self) -> None:
        wrong, slow = await self.raw(self.port), await self.raw(self.port)
        wrong.write(HELLO.replace(b"sip", b"sap"))
        slow.write(HELLO[:50])
        await until(lambda: wrong.lost)
        self.assertEqual((wrong.got[:13], slow.lost), (b"HTTP/1.1 400 ", False))
        await until(lambda: slow.lost)
        self.assertEqual((slow.got, self.server.counted), (b"", {("sip.no_handshake", "ws"): 2}))

    async def test_a_message_that_is_slow_or_too_long(self) -> None:
        slow, long = await self.browser(), await self.browser()
        slow.say(TextMessage("OPT", message_finished=False))
        long.say(BytesMessage(b"x" * (MAX_MESSAGE + 1)))
        await until(lambda: slow.lost and long.lost)
        (event,) = long.events
        assert isinstance(event, CloseConnection)
        self.assertEqual((event.code, slow.events, self.server.received), (1009, [], []))
        self.assertEqual(
            self.server.counted, {("sip.slow_sender", "ws"): 1, ("sip.malformed", "ws"): 1, ("sip.truncated", "ws"): 1}
        )

    async def test_a_page_of_somebody_else(self) -> None:
        raw = await self.raw(self.port)
        raw.write(HELLO.replace(b"Host", b"Origin: https://b.example\r\nHost"))
        await until(lambda: raw.lost)
        self.assertEqual(raw.got[:13], b"HTTP/1.1 403 ")

    async def test_it_is_told_when_we_stop(self) -> None:
        browser = await self.browser()
        self.server.transports.stop()
        await until(lambda: browser.lost)
        (event,) = browser.events
        assert isinstance(event, CloseConnection)
        self.assertEqual(event.code, 1001)
        await a_moment(0.05)
