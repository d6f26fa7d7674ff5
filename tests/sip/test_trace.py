"""A call's messages are kept from its INVITE on, in order and within bounds; what is kept holds no secret."""

from __future__ import annotations

import json
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.sip.headers import Peer
from smartalex.sip.session import Session
from smartalex.sip.trace import MESSAGES, OCTETS, WAITING_MESSAGES, WAITING_OCTETS, Trace, TraceBook, Traced
from tests.sip.network import Agent, Network, ring_and_answer, title_of

PBX = Peer("udp", "192.0.2.7", 5060)
OTHER = Peer("tcp", "2001:db8::7", 40_000)


class Kept(TestCase):
    def setUp(self) -> None:
        self.now = 1_700_000_000.0
        self.book = TraceBook(self.wall, lambda peer: ("2001:db8::1" if ":" in peer.host else "192.0.2.1", 5060))

    def wall(self) -> float:
        self.now += 0.5
        return self.now

    def tapped(self, trace: Trace) -> list[bytes]:
        return [message.data for message in trace.messages]

    def test_from_before_it_was_known_until_the_end(self) -> None:
        self.book.tap("a", True, PBX, b"INVITE")
        self.book.tap("b", True, PBX, b"another")
        self.book.tap("a", False, PBX, b"401")
        self.book.open("a")
        self.book.tap("a", False, OTHER, b"200")
        trace = self.book.close("a")
        self.book.tap("a", True, PBX, b"late")
        self.assertEqual(
            trace.messages,
            (
                Traced(1_700_000_000.5, True, PBX, Peer("udp", "192.0.2.1", 5060), b"INVITE"),
                Traced(1_700_000_001.5, False, PBX, Peer("udp", "192.0.2.1", 5060), b"401"),
                Traced(1_700_000_002.0, False, OTHER, Peer("tcp", "2001:db8::1", 5060), b"200"),
            ),
        )
        self.assertEqual((trace.dropped, len(self.book)), (0, 0))
        self.assertEqual(self.book.close("a"), Trace())

    def test_two_calls_of_one_call_id_each_have_it_whole(self) -> None:
        self.book.tap("a", True, PBX, b"1")
        self.book.open("a")
        self.book.tap("a", True, PBX, b"2")
        self.book.open("a")
        self.assertEqual(self.tapped(self.book.close("a")), [b"1", b"2"])
        self.book.tap("a", True, PBX, b"3")
        self.assertEqual(self.tapped(self.book.close("a")), [b"1", b"2", b"3"])
        self.assertEqual(len(self.book), 0)

    def test_forgotten(self) -> None:
        self.book.tap("a", True, PBX, b"1")
        self.book.open("a")
        self.book.forget("a")
        self.book.forget("a")
        self.assertEqual(self.book.close("a"), Trace())

    def test_no_more_messages_than_the_bound(self) -> None:
        self.book.open("a")
        for number in range(MESSAGES + 7):
            self.book.tap("a", True, PBX, b"%d" % number)
        trace = self.book.close("a")
        self.assertEqual((len(trace.messages), trace.messages[-1].data, trace.dropped), (MESSAGES, b"%d" % (MESSAGES - 1), 7))

    def test_no_more_octets_than_the_bound(self) -> None:
        self.book.open("a")
        for size in (OCTETS - 10, 11, 10, 1):
            self.book.tap("a", True, PBX, b"x" * size)
        trace = self.book.close("a")
        self.assertEqual(([len(data) for data in self.tapped(trace)], trace.dropped), ([OCTETS - 10, 10], 2))

    def test_what_no_call_wants_is_forgotten_oldest_first(self) -> None:
        for number in range(WAITING_MESSAGES + 1):
            self.book.tap(f"{number}", True, PBX, b"x")
        for call_id, kept in (("0", 0), ("1", 1), (f"{WAITING_MESSAGES}", 1)):
            self.book.open(call_id)
            self.assertEqual(len(self.book.close(call_id).messages), kept, call_id)

    def test_what_waits_is_bounded_in_octets_too(self) -> None:
        self.book.tap("a", True, PBX, b"x")
        for call_id in "bcde":
            self.book.tap(call_id, True, PBX, b"x" * (WAITING_OCTETS // 4))
        for call_id, kept in (("a", 0), ("b", 1), ("e", 1)):
            self.book.open(call_id)
            self.assertEqual(len(self.book.close(call_id).messages), kept, call_id)

    def test_without_secrets(self) -> None:
        self.book.open("a")
        self.book.tap("a", True, PBX, b'INVITE sip:x SIP/2.0\r\nAuthorization: Digest username="bob", response="1234"\r\n\r\n')
        (data,) = self.tapped(self.book.close("a"))
        self.assertIn(b'username="bob", response="****"', data)


class OnTheWire(TestCase):
    def test_a_whole_call(self) -> None:
        """The book is opened where a call begins: when the INVITE is handed up."""
        network = Network()
        ann, bob = Agent(network, "10.0.0.1"), Agent(network, "10.0.0.2")
        book = TraceBook(network.clock.seconds, lambda peer: bob.transports.advertised(peer.transport, peer))
        bob.layer.tap = book.tap

        def take(session: Session) -> None:
            book.open(session.request.call_id)
            ring_and_answer(session)

        bob.take = take
        ann.call(bob)
        network.run(1)
        ann.session.hangup()
        network.run(1)
        trace = book.close(bob.session.request.call_id)
        seen = [(message.incoming, title_of(message.data)) for message in trace.messages]
        expected = [(True, "INVITE"), (False, "SIP/2.0 180 INVITE"), (False, "SIP/2.0 200 INVITE"), (True, "ACK"), (True, "BYE")]
        self.assertEqual([one for one in seen if one[1] != "SIP/2.0 100 INVITE"], [*expected, (False, "SIP/2.0 200 BYE")])
        self.assertEqual({message.peer for message in trace.messages}, {Peer("udp", "10.0.0.1", 5060)})
        self.assertEqual({message.local for message in trace.messages}, {Peer("udp", "10.0.0.2", 5060)})


hosts = st.sampled_from(["192.0.2.1", "2001:db8::1", "fe80::1%eth0"])
peers = st.builds(Peer, st.sampled_from(["udp", "tcp", "tls", "ws", "wss"]), hosts, st.integers(0, 65535))


@st.composite
def traced(draw: st.DrawFn) -> Traced:
    peer = draw(peers)
    at = round(draw(st.floats(0, 2e9)), 6)
    return Traced(at, draw(st.booleans()), peer, Peer(peer.transport, draw(hosts), 5060), draw(st.binary(max_size=50)))


class Recorded(TestCase):
    @given(st.lists(traced(), max_size=5), st.integers(0, 9))
    def test_it_comes_back_as_it_was(self, messages: list[Traced], dropped: int) -> None:
        trace = Trace(tuple(messages), dropped)
        self.assertEqual(Trace.from_data(json.loads(json.dumps(trace.to_data()))), trace)

    def test_a_call_takes_a_fraction_of_its_bytes(self) -> None:
        local = Peer("udp", "192.0.2.1", 5060)
        data = b"".join(b"X-Header-%d: some value that is said again and again\r\n" % number for number in range(10))
        trace = Trace(tuple(Traced(1.0, True, PBX, local, data) for _ in range(12)))
        self.assertLess(len(json.dumps(trace.to_data())), len(data))

    def test_what_is_no_trace(self) -> None:
        for data in ({}, {"messages": "AAAA", "dropped": 0}, {"messages": 7, "dropped": 0}, {"messages": "eJyrjgUAARUAuQ=="}):
            with self.assertRaises(ValueError):
                Trace.from_data(data)
