"""A leg's SRTP on real sockets, against the reference and against a handshake's other end."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from smartalex.errors import LocalError
from smartalex.rtp import dtmf, rtcp
from smartalex.rtp.dtls import UNPROVED, DtlsEndpoint, DtlsPeer, Handshake, Identity, is_dtls
from smartalex.rtp.packet import pack
from smartalex.rtp.plane import Leg, MediaPlane
from smartalex.rtp.protection import Protection
from smartalex.rtp.receiver import Receiver
from smartalex.rtp.srtp import Srtp, SrtpKeys
from tests.rtp.reference_srtp import Reference
from tests.rtp.wire import PARAMS, Bench, Peer, bound, everything

CM80, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"
NODE, OTHER = Identity("node"), Identity("other")
SPOKEN = bytes(range(160))


def keys(suite: str = CM80) -> SrtpKeys:
    size = {CM80: 30, GCM: 28}[suite]
    return SrtpKeys(suite, os.urandom(size), os.urandom(size))


class Case(TestCase):
    def setUp(self) -> None:
        self.bench = Bench(MediaPlane)
        self.addCleanup(self.bench.close)
        self.bench.plane.identity = NODE
        self.told: list[tuple[str, str]] = []
        self.unread: list[bytes] = []
        self.leg: Leg = self.bench.plane.open()
        self.leg.on_secured = lambda suite, why: self.told.append((suite, why))
        self.peer = Peer(self.bench.clock)
        self.addCleanup(self.peer.close)
        self.addCleanup(self.close_leg)

    def close_leg(self) -> None:
        """Whichever it is then."""
        self.leg.close()

    def demand(self, wanted: Any, **changes: Any) -> None:
        self.leg.set_remote(self.peer.address, self.peer.port, attrs.evolve(PARAMS, secured=wanted, **changes))

    def received(self) -> list[bytes]:
        """What the peer got on its RTP port."""
        return everything(self.peer.socket)

    def send(self, data: bytes) -> None:
        self.peer.raw(self.leg, data)
        self.bench.run(0.02)

    def heard(self) -> bool:
        """Whether any frame of what was `SPOKEN` came to the sink."""
        voice = self.leg._codec.decode(SPOKEN)
        return voice in self.bench.sink.pcm(self.leg)


class ByKeys(Case):
    def test_nothing_leaves_in_clear_and_nothing_clear_is_heard(self) -> None:
        wanted = keys()
        self.demand(wanted)
        self.leg.play(self.leg._codec.decode(SPOKEN) * 5)
        self.leg.send_dtmf("5")
        ours, theirs = Reference(CM80, wanted.sending), Reference(CM80, wanted.receiving)
        out = []
        for index in range(40):
            self.peer.raw(self.leg, theirs.rtp(pack(index, 160 * index, 7, 0) + SPOKEN, 0))
            self.peer.raw(self.leg, pack(index + 100, 160 * index, 7, 0) + bytes(160))
            self.bench.run(0.02)
            out += self.received()
        self.assertGreater(len(out), 35)
        context = Srtp()
        context.use(SrtpKeys(CM80, wanted.receiving, wanted.sending))
        plain = [context.unprotect(memoryview(data), len(data)) for data in out]
        self.assertNotIn(None, plain)
        self.assertEqual([ours.rtp(data, 0) for data in plain if data], out)
        self.assertEqual({data[1] & 0x7F for data in plain if data}, {0, 101})
        self.assertFalse(any(SPOKEN in data for data in out))
        stats = self.leg.stats()
        self.assertEqual((stats.forged, stats.replayed, stats.packets_received, stats.lost), (40, 0, 40, 0))
        self.assertTrue(self.heard())
        self.assertEqual((stats.packets_sent, self.leg.sender.octets), (len(out), sum(len(data) - 12 for data in plain if data)))
        self.assertEqual(self.told, [(CM80, "")])

    def test_keys_pressed_are_heard(self) -> None:
        wanted = keys(GCM)
        self.demand(wanted)
        theirs = Reference(GCM, wanted.receiving)
        for index, (payload, _) in enumerate(dtmf_packets("7")):
            self.send(theirs.rtp(pack(index, 800, 7, 101) + payload, 0))
        self.assertEqual([digit for _, digit, _ in self.bench.sink.keys], ["7"])

    def test_bad_packets_end_nothing_and_latch_nobody(self) -> None:
        wanted = keys()
        self.demand(wanted)
        theirs, stranger = Reference(CM80, wanted.receiving), bound("127.0.0.1", 0)
        self.addCleanup(stranger.close)
        good = theirs.rtp(pack(1, 160, 7, 0) + SPOKEN, 0)
        for _ in range(20):
            for data in (pack(1, 160, 7, 0) + SPOKEN, good[:-1] + b"?", good[:20], b"", os.urandom(200), b"\x80" * 1700):
                stranger.sendto(data, ("127.0.0.1", self.leg.local_port))
                self.peer.raw(self.leg, data)
            self.bench.run(0.02)
        self.assertEqual(self.leg.receiver.remote, (self.peer.address, self.peer.port))
        self.assertEqual(self.leg.packets_received, 0)
        for _ in range(3):
            self.send(good)
        stats = self.leg.stats()
        self.assertEqual((stats.packets_received, stats.replayed), (1, 2))
        self.assertGreater(stats.forged + stats.malformed, 100)
        self.assertEqual(self.bench.counters.values["rtp.fault", ""], 0)

    def test_reports_are_protected_too(self) -> None:
        wanted = keys()
        self.demand(wanted)
        self.bench.run(12)
        self.peer.reports += everything(self.peer.control)
        theirs, context = Reference(CM80, wanted.receiving), Srtp()
        context.use(SrtpKeys(CM80, wanted.receiving, wanted.sending))
        found = [context.unprotect_control(data) for data in self.peer.reports]
        self.assertTrue(found)
        self.assertTrue(all(data is not None and rtcp.parse(data) for data in found))
        block = rtcp.Block(self.leg.sender.ssrc, 64, 5, 1, 80)
        report = rtcp.compound(rtcp.Report(7, None, (block,)), "x")
        for data in (report, theirs.rtcp(report, 1)[:-1] + b"?", theirs.rtcp(report, 1)):
            self.peer.control.sendto(data, (self.peer.address, self.leg.local_port + 1))
            self.bench.run(0.01)
        stats = self.leg.stats()
        self.assertEqual((stats.remote_lost, stats.forged + stats.malformed), (5, 2))

    def test_on_hold_and_back_with_the_same_keys(self) -> None:
        wanted = keys()
        self.demand(wanted)
        self.bench.run(1)
        first = self.received()
        self.demand(wanted, send=False)
        self.bench.run(1)
        self.received()
        self.demand(wanted)
        self.bench.run(1)
        again = self.received()
        self.assertEqual({data[8:12] for data in first}, {data[8:12] for data in again})
        numbers = [int.from_bytes(data[2:4], "big") for data in (*first, *again)]
        self.assertEqual(numbers, sorted(set(numbers)))
        context = Srtp()
        context.use(SrtpKeys(CM80, wanted.receiving, wanted.sending))
        self.assertTrue(all(context.unprotect(memoryview(data), len(data)) for data in (*first, *again)))

    def test_with_a_new_key_of_ours_we_are_another_source(self) -> None:
        """So that no reading of the RFCs expects another rollover counter."""
        before, after = keys(), keys(GCM)
        self.demand(before)
        self.bench.run(0.1)
        old = {data[8:12] for data in self.received()}
        self.demand(after)
        self.bench.run(0.1)
        out = self.received()
        self.assertEqual(len(old | {data[8:12] for data in out}), 2)
        context = Srtp()
        context.use(SrtpKeys(GCM, after.receiving, after.sending))
        self.assertTrue(all(context.unprotect(memoryview(data), len(data)) for data in out))
        self.assertEqual(self.leg.rtcp.ssrc, self.leg.sender.ssrc)
        self.assertEqual(self.told, [(CM80, ""), (GCM, "")])

    def test_the_first_sequence_number_is_far_from_its_wrap(self) -> None:
        for _ in range(40):
            leg, peer = self.bench.connected()
            self.bench.run(0.02)
            self.assertLess(peer.packets[0].sequence, 0x8001)
            leg.close()

    def test_plain_again_only_when_signalling_says_so(self) -> None:
        self.demand(keys())
        self.bench.run(0.1)
        self.received()
        self.demand(None)
        self.bench.run(0.1)
        self.send(pack(1, 160, 7, 0) + SPOKEN)
        self.assertEqual({len(data) for data in self.received()}, {172})
        self.assertEqual(self.leg.packets_received, 1)


class ByHandshake(Case):
    def shaken(
        self, active: bool = False, identity: Identity = OTHER, sock: Any = None, seconds: float = 0.5, port: int = 0
    ) -> DtlsEndpoint:
        """The other end, until both have said what they had to; whatever is no DTLS fails the test."""
        sock = sock or self.peer.socket
        endpoint = DtlsEndpoint(identity.context, DtlsPeer(active, (("sha-256", NODE.sha256),)))
        there = ("127.0.0.1", port or self.leg.local_port)
        for datagram in endpoint.start():
            sock.sendto(datagram, there)
        for _ in range(round(seconds * 50)):
            self.bench.run(0.02)
            waiting, self.unread = self.unread, []
            for data in (*waiting, *everything(sock)):
                if not self.leg.protection or not self.leg.protection.srtp.keys:
                    self.assertTrue(is_dtls(data[0]), data)
                for answer in endpoint.received(data) if is_dtls(data[0]) else ():
                    sock.sendto(answer, there)
        return endpoint

    def wish(self, active: bool, identity: Identity = OTHER) -> DtlsPeer:
        return DtlsPeer(active, (("sha-256", identity.sha256),))

    def speaks(self, endpoint: DtlsEndpoint, sock: Any = None) -> None:
        """Both ways, and in no other way than by these keys."""
        sock = sock or self.peer.socket
        assert endpoint.keys is not None
        context = Srtp()
        context.use(endpoint.keys)
        self.unread += filter(lambda data: is_dtls(data[0]), everything(sock))
        for index in range(10):
            data = context.protect(pack(index, 160 * index, 7, 0) + SPOKEN)
            assert data is not None
            sock.sendto(data, ("127.0.0.1", self.leg.local_port))
            self.bench.run(0.02)
        out = [data for data in everything(sock) if not is_dtls(data[0])]
        self.assertEqual(len(out), 10)
        self.assertTrue(all(context.unprotect(memoryview(data), len(data)) for data in out))
        self.assertEqual(self.leg.packets_received, 10)
        self.assertTrue(self.heard())

    def test_both_roles(self) -> None:
        for active in (True, False):
            self.demand(self.wish(active))
            endpoint = self.shaken(not active)
            self.speaks(endpoint)
            self.assertEqual(self.told, [("AEAD_AES_256_GCM", "")])
            self.leg.close()
            self.setUp()

    def test_nothing_is_sent_or_heard_before_the_keys(self) -> None:
        self.demand(self.wish(False))
        self.leg.play(self.leg._codec.decode(SPOKEN) * 5)
        for index in range(20):
            self.send(pack(index, 160 * index, 7, 0) + SPOKEN)
        self.assertEqual((self.received(), self.leg.packets_received, self.heard()), ([], 0, False))
        self.assertEqual(self.leg.stats().packets_sent, 0)

    def test_a_certificate_that_nobody_signalled(self) -> None:
        self.demand(self.wish(True))
        self.shaken(identity=Identity("mallory"))
        self.assertEqual(self.told, [("", UNPROVED)])
        self.bench.run(1)
        self.assertEqual([data for data in self.received() if not is_dtls(data[0])], [])

    def test_behind_a_nat(self) -> None:
        natted = bound("127.0.0.1", 0)
        self.addCleanup(natted.close)
        self.demand(self.wish(False))
        endpoint = self.shaken(True, sock=natted)
        self.speaks(endpoint, natted)
        self.assertEqual(self.leg.receiver.remote, natted.getsockname())

    def test_the_same_description_again_changes_nothing(self) -> None:
        self.demand(self.wish(True))
        endpoint = self.shaken()
        self.demand(self.wish(True), send=False)
        self.bench.run(0.2)
        self.leg.set_remote("0.0.0.0", 9, attrs.evolve(PARAMS, secured=self.wish(True)))
        self.bench.run(0.2)
        self.demand(self.wish(True))
        self.speaks(endpoint)
        self.assertEqual(len(self.told), 1)

    def test_another_certificate_means_another_handshake_and_the_old_keys_until_then(self) -> None:
        third = Identity("third")
        self.demand(self.wish(True))
        first = self.shaken()
        self.demand(self.wish(True, third))
        self.speaks(first)
        self.assertEqual(len(self.told), 1)
        self.assertIsNotNone(self.shaken(identity=third).keys)
        self.assertEqual(len(self.told), 2)

    def test_reports_have_a_handshake_of_their_own(self) -> None:
        for active in (True, False):
            self.demand(self.wish(active))
            audio = self.shaken(not active)
            control = self.shaken(not active, sock=self.peer.control, port=self.leg.local_port + 1)
            assert audio.keys is not None and control.keys is not None
            self.assertNotEqual(audio.keys.sending, control.keys.sending)
            context = Srtp()
            context.use(control.keys)
            block = rtcp.Block(self.leg.sender.ssrc, 64, 5, 1, 80)
            report = context.protect_control(rtcp.compound(rtcp.Report(7, None, (block,)), "x"))
            assert report is not None
            self.peer.control.sendto(report, (self.peer.address, self.leg.local_port + 1))
            self.bench.run(12)
            found = [context.unprotect_control(data) for data in everything(self.peer.control) if not is_dtls(data[0])]
            self.assertTrue(found)
            self.assertTrue(all(data is not None and rtcp.parse(data) for data in found))
            self.assertEqual((self.leg.stats().remote_lost, self.leg.stats().forged), (5, 0))
            self.leg.close()
            self.setUp()

    def test_reports_that_nobody_shakes_hands_for_wait(self) -> None:
        """And where the port is shared, nobody asks."""
        for mux in (False, True):
            self.demand(self.wish(True), mux=mux)
            endpoint = self.shaken()
            asked = everything(self.peer.control)
            self.assertEqual((bool(asked), all(is_dtls(data[0]) for data in asked)), (not mux, True))
            self.speaks(endpoint)
            self.assertEqual(len(self.told), 1)
            self.leg.close()
            self.setUp()

    def test_what_is_closed_leads_nowhere(self) -> None:
        others = self.parts()  # of tests before this one
        for wanted in (keys(), self.wish(True), self.wish(False)):
            self.demand(wanted)
            if isinstance(wanted, DtlsPeer):
                self.shaken(not wanted.active, seconds=0.2)
            known = weakref.ref(self.leg)
            gc.collect()
            gc.disable()
            self.addCleanup(gc.enable)
            self.leg.close()
            self.leg = self.bench.plane.open()
            self.bench.sink.frames.clear()
            self.bench.run(0.1)
            kinds = [type(one) for one in self.parts() if not any(one is other for other in others)]
            self.assertEqual((known(), kinds), (None, [Receiver]), wanted)

    def parts(self) -> list[object]:
        return [one for one in gc.get_objects() if type(one) in (Protection, Receiver, Handshake, Srtp)]

    def test_without_a_certificate_of_ours(self) -> None:
        self.bench.plane.identity = None
        leg = self.bench.plane.open()
        params = attrs.evolve(PARAMS, secured=self.wish(True))
        self.assertRaises(LocalError, leg.set_remote, self.peer.address, self.peer.port, params)

    def test_a_leg_closed_in_a_handshake_leaves_nothing(self) -> None:
        self.demand(self.wish(True))
        self.leg.close()
        self.bench.plane.stop()
        self.bench.run(30)
        self.assertEqual((self.told, self.bench.clock.getDelayedCalls()), ([], []))


def dtmf_packets(digit: str) -> list[tuple[bytes, bool]]:
    """(payload, last) of one key of 100 ms."""
    code = dtmf.DIGITS.index(digit)
    return [
        (dtmf.EVENT.pack(code, 0x8A if last else 10, 160 * n), last) for n, last in ((1, False), (2, False), (5, True), (5, True))
    ]
