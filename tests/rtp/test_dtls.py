from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from unittest import TestCase

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.task import Clock

from smartalex.rtp import dtls
from smartalex.rtp.dtls import Address, DtlsEndpoint, DtlsPeer, Handshake, Identity
from smartalex.rtp.packet import pack
from smartalex.rtp.srtp import Srtp, SrtpKeys

ALICE, BOB = Identity("alice"), Identity("bob")
THERE: Address = ("192.0.2.1", 4000)
ELSEWHERE: Address = ("203.0.113.9", 5000)
ALGORITHMS = (hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28"
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "large")])


def proof(identity: Identity, name: str = "sha-256") -> tuple[tuple[str, bytes], ...]:
    return ((name, identity.sha256),)


def ends(alice: Identity = ALICE, bob: Identity = BOB) -> tuple[DtlsEndpoint, DtlsEndpoint]:
    """Who begins, and who waits."""
    return DtlsEndpoint(alice.context, DtlsPeer(True, proof(bob))), DtlsEndpoint(bob.context, DtlsPeer(False, proof(alice)))


def talk(first: DtlsEndpoint, second: DtlsEndpoint, flight: Sequence[bytes] | None = None) -> list[bytes]:
    """Until nobody has anything to say; `flight` is from `first`.  Every datagram there was."""
    flight, said, turn = list(first.start() if flight is None else flight), [], (second, first)
    while flight:
        said += flight
        flight = [answer for datagram in flight for answer in turn[0].received(datagram)]
        turn = turn[::-1]
    return said


def keys_of(endpoint: DtlsEndpoint) -> SrtpKeys:
    assert endpoint.keys is not None, endpoint.failed
    return endpoint.keys


def only(profiles: bytes) -> Identity:
    """A node that knows no other protection profiles."""
    identity = Identity("only")
    identity.context.set_tlsext_use_srtp(profiles)
    return identity


def large(kilobytes: int) -> Identity:
    """A node with an RSA certificate of this length."""
    identity, key, today = Identity("large"), rsa.generate_private_key(65537, 2048), datetime.now(UTC)
    names = [x509.DNSName(f"{n:04}.{'long' * 14}.{'name' * 14}.example.com") for n in range(8 * kilobytes)]
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 1).not_valid_before(today - timedelta(1))
    builder = builder.not_valid_after(today + timedelta(1)).add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    identity.context = dtls.context_of(certificate, key)
    identity.sha256 = certificate.fingerprint(hashes.SHA256())
    return identity


class Keys(TestCase):
    def test_both_sides_have_the_same_and_audio_passes(self) -> None:
        alice, bob = ends()
        said = talk(alice, bob)
        self.assertTrue(all(dtls.is_dtls(datagram[0]) and len(datagram) <= dtls.MTU for datagram in said))
        ours, theirs = keys_of(alice), keys_of(bob)
        self.assertEqual((ours.sending, ours.receiving), (theirs.receiving, theirs.sending))
        self.assertNotEqual(ours.sending, ours.receiving)
        here, there, packet = Srtp(), Srtp(), pack(1, 160, 7, 0) + bytes(160)
        here.use(ours)
        there.use(theirs)
        for one, other in ((here, there), (there, here)):
            protected = one.protect(packet)
            assert protected is not None
            self.assertEqual(other.unprotect(memoryview(protected), len(protected)), packet)

    def test_every_profile(self) -> None:
        for profile, (suite, key, salt) in dtls.SUITES.items():
            for alice, bob in ((only(profile), BOB), (ALICE, only(profile))):
                first, second = ends(alice, bob)
                talk(first, second)
                self.assertEqual((keys_of(first).suite, len(keys_of(first).sending)), (suite, key + salt))

    def test_the_best_of_both(self) -> None:
        first, second = ends(only(b"SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80"), BOB)
        talk(first, second)
        self.assertEqual(keys_of(second).suite, "AES_CM_128_HMAC_SHA1_80")

    def test_every_hash_of_a_fingerprint(self) -> None:
        first, second = ends()
        talk(first, second)
        shown = second._connection.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        for name, algorithm in zip(dtls.HASHES, ALGORITHMS, strict=True):
            first = DtlsEndpoint(ALICE.context, DtlsPeer(True, proof(BOB)))
            prints = (("sha-256", bytes(32)), (name, shown.fingerprint(algorithm())))
            talk(first, second := DtlsEndpoint(BOB.context, DtlsPeer(False, prints)))
            self.assertEqual(keys_of(first).sending, keys_of(second).receiving, name)

    def test_a_large_certificate_comes_in_many_datagrams(self) -> None:
        for alice, bob in ((large(8), BOB), (ALICE, large(8))):
            first, second = ends(alice, bob)
            said = talk(first, second)
            self.assertGreater(len(said), 8)
            self.assertLessEqual(max(map(len, said)), dtls.MTU)
            self.assertEqual(keys_of(first).sending, keys_of(second).receiving)


class Refusals(TestCase):
    def refused(self, first: DtlsEndpoint, second: DtlsEndpoint, *reasons: str) -> None:
        talk(first, second)
        failed = next(end for end in (first, second) if end.failed)
        self.assertIsNone(failed.keys)
        self.assertTrue(any(reason in failed.failed for reason in reasons), failed.failed)
        self.assertIsNone(failed.timeout_s)
        self.assertEqual(failed.received(b"\x16\xfe\xfd" + bytes(10)), [])

    def test_another_certificate_than_signalling_named(self) -> None:
        mallory = Identity("mallory")
        for active in (True, False):
            checks = DtlsEndpoint(ALICE.context, DtlsPeer(active, proof(BOB)))
            shows = DtlsEndpoint(mallory.context, DtlsPeer(not active, proof(ALICE)))
            self.refused(*((checks, shows) if active else (shows, checks)), dtls.UNPROVED)
            self.assertIsNone(checks.keys)

    def test_a_fingerprint_of_another_hash_or_none(self) -> None:
        for prints in ((), (("sha-512", BOB.sha256),), (("md5", BOB.sha256),), (("sha-256", BOB.sha256[:-1]),)):
            _, second = ends()
            self.refused(DtlsEndpoint(ALICE.context, DtlsPeer(True, prints)), second, dtls.UNPROVED)

    def test_no_protection_profile_in_common(self) -> None:
        first, second = ends(only(b"SRTP_AES128_CM_SHA1_80"), only(b"SRTP_AEAD_AES_128_GCM"))
        self.refused(first, second, "profile")

    def test_a_peer_without_certificate(self) -> None:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
        context.set_options(SSL.OP_NO_QUERY_MTU)
        first = DtlsEndpoint(context, DtlsPeer(True, proof(BOB)))
        talk(first, second := DtlsEndpoint(BOB.context, DtlsPeer(False, proof(ALICE))))
        self.assertEqual((second.keys, second.failed), (None, "peer did not return a certificate"))

    def test_dtls_1_0(self) -> None:
        old = Identity("old")
        old.context.set_min_proto_version(0)
        old.context.set_cipher_list(b"ALL:@SECLEVEL=0")
        old.context.set_max_proto_version(0xFEFF)
        first, second = ends(old, BOB)
        talk(first, second)
        self.assertEqual((first.keys, second.keys, second.failed), (None, None, "unsupported protocol"))
        self.assertEqual(first.alert, "the peer refuses the handshake (alert 70)")

    def test_too_long_a_handshake(self) -> None:
        """Fragments of a message of 16 MB, of which the end never comes."""
        _, second = ends()
        for number in range(200):
            fragment = b"\x01\xff\xff\xff\0\0" + (number * 1000).to_bytes(3, "big") + (1000).to_bytes(3, "big") + bytes(1000)
            second.received(b"\x16\xfe\xfd\0\0" + number.to_bytes(6, "big") + len(fragment).to_bytes(2, "big") + fragment)
        self.assertTrue(second.failed)
        self.assertIsNone(second.keys)

    def test_what_is_too_much(self) -> None:
        _, second = ends()
        later = b"\x17\xfe\xfd\0\x05" + bytes(6) + (1000).to_bytes(2, "big") + bytes(1000)  # of an epoch to come
        for _ in range(70):
            second.received(later)
        self.assertEqual(second.failed, "too long a handshake")


class Network(TestCase):
    @given(st.lists(st.binary(max_size=80), max_size=5), st.lists(st.booleans(), min_size=8, max_size=8))
    @settings(deadline=None, max_examples=30)
    def test_junk_and_repetition_are_passed_over(self, junk: list[bytes], twice: list[bool]) -> None:
        first, second = ends()
        flight, turn = first.start(), (second, first)
        for again in twice:
            for data in junk:
                if not 20 <= data[:1][0:1].ljust(1, b"\0")[0] < 26:
                    self.assertEqual(turn[0].received(data), [])
            flight = [answer for datagram in flight * (1 + again) for answer in turn[0].received(datagram)]
            turn = turn[::-1]
        self.assertEqual(keys_of(first).sending, keys_of(second).receiving)

    @given(st.lists(st.tuples(st.integers(20, 25), st.integers(0, 2), st.binary(max_size=120)), max_size=12), st.integers(0, 3))
    @settings(deadline=None, max_examples=60)
    def test_whatever_records_come_nothing_is_raised(self, records: list[tuple[int, int, bytes]], steps: int) -> None:
        """At any time of a handshake, and after it."""
        for end in ends():
            first, second = (end, ends()[1]) if end._peer.active else (ends()[0], end)
            flight, turn = first.start(), (second, first)
            for _ in range(steps):
                flight = [answer for datagram in flight for answer in turn[0].received(datagram)]
                turn = turn[::-1]
            for number, (kind, epoch, body) in enumerate(records):
                head = bytes((kind, 0xFE, 0xFD)) + epoch.to_bytes(2, "big") + (number + 50).to_bytes(6, "big")
                self.assertIsInstance(end.received(head + len(body).to_bytes(2, "big") + body), list)
            self.assertIsInstance(end.timed_out(), list)

    def test_half_a_record_does_not_spoil_the_next(self) -> None:
        first, second = ends()
        [hello] = first.start()
        for cut in (1, 12, 13, 50, len(hello) - 1):
            self.assertEqual(second.received(hello[:cut]), [])
            self.assertEqual(second.received(hello + hello[:cut]), [])
        talk(first, second, [hello])
        self.assertEqual(keys_of(first).sending, keys_of(second).receiving)

    def test_each_lost_flight_comes_again(self) -> None:
        """OpenSSL's timer is real time, so that all are lost at the same time."""
        pairs = []
        for lost in range(4):
            first, second = ends()
            flight, turn = first.start(), (second, first)
            for _ in range(lost):
                flight = [answer for datagram in flight for answer in turn[0].received(datagram)]
                turn = turn[::-1]
            self.assertTrue(flight)
            pairs.append((first, second))
        waits = [end.timeout_s for pair in pairs for end in pair if end.timeout_s is not None]
        self.assertTrue(waits)
        time.sleep(max(waits) + 0.05)
        for first, second in pairs:
            for one, other in ((first, second), (second, first)):
                talk(one, other, one.timed_out())
            self.assertEqual(keys_of(first).sending, keys_of(second).receiving)

    def test_the_last_flight_is_said_again_when_asked_for_but_not_for_ever(self) -> None:
        first, second = ends()
        hello = first.start()
        certificate = [answer for datagram in hello for answer in second.received(datagram)]
        finished = [answer for datagram in certificate for answer in first.received(datagram)]
        for datagram in finished:
            self.assertTrue(second.received(datagram))  # and is lost
        time.sleep((first.timeout_s or 0) + 0.05)
        again = first.timed_out()
        last = [answer for datagram in again for answer in second.received(datagram)]
        self.assertTrue(last)
        for datagram in last:
            first.received(datagram)
        self.assertEqual(keys_of(first).sending, keys_of(second).receiving)
        for _ in range(dtls.MOST_AFTERWARDS):
            second.received(again[0])
        self.assertEqual(second.received(again[0]), [])


class Shell:
    """A handshake of ours with the world around it."""

    def __init__(self, active: bool, identity: Identity = ALICE, peer: Identity = BOB) -> None:
        self.clock = Clock()
        self.sent: list[tuple[bytes, Address]] = []
        self.keys: list[tuple[SrtpKeys, Address]] = []
        self.why: list[str] = []
        self.handshake = Handshake(self.clock, identity.context, DtlsPeer(active, proof(peer)), THERE)
        self.handshake.send = lambda data, address: self.sent.append((data, address))
        self.handshake.done = lambda keys, address: self.keys.append((keys, address))
        self.handshake.failed = self.why.append
        self.handshake.start()

    def taken(self) -> list[tuple[bytes, Address]]:
        sent, self.sent[:] = list(self.sent), []
        return sent

    def talk(self, peer: DtlsEndpoint, address: Address = THERE) -> None:
        """With this peer, at this address."""
        for datagram in peer.start():
            self.handshake.received(datagram, address)
        while sent := self.taken():
            for data, to in sent:
                for answer in peer.received(data) if to == address else ():
                    self.handshake.received(answer, address)


class Handshakes(TestCase):
    def peer(self, active: bool, identity: Identity = BOB) -> DtlsEndpoint:
        return DtlsEndpoint(identity.context, DtlsPeer(active, proof(ALICE)))

    def test_both_roles(self) -> None:
        for active in (True, False):
            shell, peer = Shell(active), self.peer(not active)
            shell.talk(peer)
            self.assertEqual([(keys.sending, address) for keys, address in shell.keys], [(keys_of(peer).receiving, THERE)])
            shell.clock.advance(dtls.LIMIT_S)
            self.assertEqual((shell.why, shell.clock.getDelayedCalls(), shell.handshake._endpoint), ([], [], None))
            self.assertTrue(shell.handshake.received(b"\x16", THERE))
            self.assertFalse(shell.handshake.received(b"\x16", ELSEWHERE))

    def test_who_was_not_listening_yet_is_told_again_soon(self) -> None:
        for lost in range(3):
            shell, peer = Shell(True), self.peer(False)
            for _ in range(lost):
                self.assertTrue(shell.taken())
                shell.clock.advance(0.1)
            shell.talk(peer)
            self.assertEqual([keys.sending for keys, _ in shell.keys], [keys_of(peer).receiving])
        shell = Shell(False)
        first = self.peer(True)
        shell.handshake.received(first.start()[0], THERE)
        lost_flight = shell.taken()
        shell.clock.advance(0.06)
        self.assertEqual(shell.sent, lost_flight)
        shell.clock.pump([0.1] * 8)
        self.assertEqual(len(shell.sent), 4 * len(lost_flight))

    def test_only_the_signalled_address_where_we_begin(self) -> None:
        shell = Shell(True)
        [(hello, address)] = shell.taken()
        self.assertEqual((address, shell.handshake.received(hello, ELSEWHERE)), (THERE, False))

    def test_behind_a_nat_the_first_comer_is_the_peer(self) -> None:
        shell, peer = Shell(False), self.peer(True)
        shell.talk(peer, ELSEWHERE)
        self.assertEqual([(keys.sending, address) for keys, address in shell.keys], [(keys_of(peer).receiving, ELSEWHERE)])
        self.assertFalse(shell.handshake.received(self.peer(True).start()[0], THERE))

    def test_unless_the_peer_is_never_behind_one(self) -> None:
        shell = Shell(False)
        shell.handshake.symmetric = False
        self.assertFalse(shell.handshake.received(self.peer(True).start()[0], ELSEWHERE))
        self.assertEqual(shell.sent, [])

    def test_a_stranger_who_was_first_does_not_keep_the_peer_out(self) -> None:
        """He has begun; or he has come to his end, and could prove nothing."""
        mallory, shell = self.peer(True, Identity("mallory")), Shell(False)
        self.assertTrue(shell.handshake.received(mallory.start()[0], ELSEWHERE))
        self.assertFalse(shell.handshake.received(mallory.start()[0] if mallory.start() else b"", ("198.51.100.1", 9)))
        shell.taken()
        shell.talk(self.peer(True), THERE)
        self.assertEqual([address for _, address in shell.keys], [THERE])
        shell = Shell(False)
        shell.talk(self.peer(True, Identity("mallory")), ELSEWHERE)
        self.assertEqual((shell.keys, shell.why), ([], []))
        shell.talk(self.peer(True), ("198.51.100.1", 9))
        self.assertEqual(len(shell.keys), 1)

    def test_the_peer_itself_with_another_certificate_ends_it(self) -> None:
        for active in (True, False):
            shell = Shell(active)
            shell.talk(self.peer(not active, Identity("mallory")))
            self.assertEqual((shell.keys, shell.why, shell.clock.getDelayedCalls()), ([], [dtls.UNPROVED], []))

    def test_a_forged_alert_ends_nothing(self) -> None:
        shell = Shell(True)
        shell.handshake.received(ALERT, THERE)
        shell.talk(peer := self.peer(False))
        self.assertEqual([keys.sending for keys, _ in shell.keys], [keys_of(peer).receiving])

    def test_what_an_alert_said_is_told_in_the_end(self) -> None:
        shell = Shell(True)
        shell.handshake.received(ALERT, THERE)
        shell.clock.pump([0.5] * 100)
        self.assertEqual(shell.why, ["the peer refuses the handshake (alert 40)"])

    def test_forged_messages_cost_an_attempt_each(self) -> None:
        shell = Shell(True)
        for number in range(100):
            shell.handshake.received(
                b"\x16\xfe\xfd" + number.to_bytes(8, "big") + b"\0\x0e\x02\0\0\2" + bytes(7) + b"\2??", THERE
            )
        self.assertEqual((len(shell.why), len(shell.keys), shell.clock.getDelayedCalls()), (1, 0, []))
        self.assertLessEqual(len(shell.sent), 2 * dtls.ATTEMPTS)

    def test_who_does_not_answer(self) -> None:
        for active, answers, why in (
            (True, False, "the peer answers no handshake"),
            (False, False, "the peer answers no handshake"),
            (False, True, "no handshake in time"),
        ):
            shell = Shell(active)
            if answers:
                shell.handshake.received(self.peer(True).start()[0], THERE)
            shell.clock.pump([0.5] * 100)
            self.assertEqual((shell.why, shell.clock.getDelayedCalls()), ([why], []))

    def test_stopped_it_is_quiet(self) -> None:
        shell = Shell(True)
        shell.handshake.stop()
        shell.taken()
        shell.talk(self.peer(False))
        shell.clock.advance(100)
        self.assertEqual((shell.sent, shell.keys, shell.why, shell.clock.getDelayedCalls()), ([], [], [], []))

    def test_which_description_it_serves(self) -> None:
        shell, same = Shell(True), DtlsPeer(True, proof(BOB))
        self.assertTrue(shell.handshake.serves(same, THERE))
        for peer, address in ((same, ELSEWHERE), (DtlsPeer(False, proof(BOB)), THERE), (DtlsPeer(True, proof(ALICE)), THERE)):
            self.assertFalse(shell.handshake.serves(peer, address))
