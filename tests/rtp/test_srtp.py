from __future__ import annotations

import os
import random
from unittest import TestCase

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.errors import LocalError
from smartalex.rtp import srtp
from smartalex.rtp.packet import pack
from smartalex.rtp.srtp import PROFILES, Srtp, SrtpKeys
from tests.rtp.reference_srtp import KEYS, TAGS, Reference, cm_iv, counter_mode, derived, gcm_iv

SIZES = {suite: size + (12 if suite.startswith("AEAD") else 14) for suite, size in KEYS.items()}
SUITES = st.sampled_from(sorted(PROFILES))
REPORT = bytes.fromhex(
    "81c8000c 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef"
)
SSRC = 0xCAFE_BABE
CM80 = "AES_CM_128_HMAC_SHA1_80"


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def packet(index: int, ssrc: int = SSRC, payload: bytes = b"\xd5" * 160) -> bytes:
    return pack(index, index * 160, ssrc, 8) + payload


def pair(suite: str, mki: bytes = b"") -> tuple[Srtp, Reference, Reference]:
    """A context, the reference of what it should send and the one that sends to it."""
    ours, theirs = os.urandom(SIZES[suite]), os.urandom(SIZES[suite])
    context = Srtp()
    context.use(SrtpKeys(suite, ours, theirs, mki))
    return context, Reference(suite, ours), Reference(suite, theirs)


def taken(context: Srtp, data: bytes) -> bytes | None:
    buffer = bytearray(2048)
    buffer[: len(data)] = data
    return context.unprotect(memoryview(buffer), len(data))


class Vectors(TestCase):
    """The reference against the RFCs."""

    def test_rfc_3711_b_2_key_stream(self) -> None:
        key, salt = octets("2B7E151628AED2A6ABF7158809CF4F3C"), octets("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")
        stream = counter_mode(key, cm_iv(salt, 0, 0), bytes(16 * 0xFF02))
        for block, expected in (
            (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xFEFF, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xFF00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xFF01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ):
            self.assertEqual(stream[16 * block : 16 * block + 16], octets(expected), block)

    def test_rfc_3711_b_3_key_derivation(self) -> None:
        key, salt = octets("E1F97A0D3E018BE0D64FA32C06DE4139"), octets("0EC675AD498AFEEBB6960B3AABE6")
        self.assertEqual(derived(key, salt, 0, 16), octets("C61E7A93744F39EE10734AFE3FF7A087"))
        self.assertEqual(derived(key, salt, 2, 14), octets("30CBBC08863D8C85D49DB34A9AE1"))
        authentication = (
            "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098"
            "6371C10C9A369AC2F94A8C5FBCDDDC25 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"
        )
        self.assertEqual(derived(key, salt, 1, 94), octets(authentication))

    def test_rfc_7714_16_rtp(self) -> None:
        """Its keys are session keys."""
        header, salt = octets("8040f17b 8041f8d3 5501a0b2"), b"Quid pro quo"
        iv = gcm_iv(salt, 0x5501A0B2, 0xF17B)
        self.assertEqual(iv, octets("51753c65 80c2726f 20718414"))
        for size, sealed in (
            (16, "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833"
                 "899d7f27 beb16a91 52cf765e e4390cce"),
            (32, "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b"
                 "7aa3db36 dfffd6b0 f9bb7878 d7a76c13"),
        ):  # fmt: skip
            cipher = AESGCM(bytes(range(size)))
            self.assertEqual(cipher.encrypt(iv, b"Gallia est omnis divisa in partes tres", header), octets(sealed))

    def test_rfc_7714_17_rtcp(self) -> None:
        plain = octets("81c8000d") + REPORT[4:]
        iv = gcm_iv(b"Quid pro quo", 0x4D617273, 0x5D4)
        self.assertEqual(iv, octets("51752405 5203726f 207170bb"))
        for size, sealed in (
            (16, "63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b"
                 "c84aa458 96cf4d2f c5abf872 45d9eade"),
            (32, "d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad"
                 "1d1eb30c 4446839f 57ff6f6c b26ac3be"),
        ):  # fmt: skip
            cipher = AESGCM(bytes(range(size)))
            self.assertEqual(cipher.encrypt(iv, plain[8:], plain[:8] + octets("800005d4")), octets(sealed))


class Packets(TestCase):
    """What we send and take, octet by octet."""

    def test_rfc_7714_by_way_of_a_master_key(self) -> None:
        """The packets of its sections 16 and 17 there and back."""
        gallia = octets("8040f17b 8041f8d3 5501a0b2") + b"Gallia est omnis divisa in partes tres"
        for suite in ("AEAD_AES_128_GCM", "AEAD_AES_256_GCM"):
            context, ours, theirs = pair(suite)
            self.assertEqual(context.protect(gallia), ours.rtp(gallia, 0))
            self.assertEqual(taken(context, theirs.rtp(gallia, 0)), gallia)
            self.assertEqual(context.protect_control(REPORT), ours.rtcp(REPORT, 1))
            self.assertEqual(context.unprotect_control(theirs.rtcp(REPORT, 0x5D4)), REPORT)

    @given(SUITES, st.integers(0, 0x7FFF), st.binary(max_size=300), st.integers(0, 15), st.binary(max_size=40))
    @settings(deadline=None)
    def test_rtp_with_whatever_header(self, suite: str, sequence: int, payload: bytes, csrcs: int, extension: bytes) -> None:
        context, ours, theirs = pair(suite)
        extension += bytes(-len(extension) % 4)
        head = pack(sequence, 7, SSRC, 0)
        plain = bytes([0x90 | csrcs]) + head[1:] + os.urandom(4 * csrcs)
        plain += b"\xbe\xde" + (len(extension) // 4).to_bytes(2, "big") + extension + payload
        self.assertEqual(context.protect(plain), ours.rtp(plain, 0))
        self.assertEqual(taken(context, theirs.rtp(plain, 0)), plain)

    @given(SUITES, st.lists(st.integers(0, 0x7FFFFFFF), min_size=1, max_size=8, unique=True))
    @settings(deadline=None)
    def test_rtcp(self, suite: str, indices: list[int]) -> None:
        context, ours, theirs = pair(suite)
        for n, index in enumerate(sorted(indices), 1):
            self.assertEqual(context.protect_control(REPORT), ours.rtcp(REPORT, n))
            self.assertEqual(context.unprotect_control(theirs.rtcp(REPORT, index)), REPORT)
            self.assertIsNone(context.unprotect_control(theirs.rtcp(REPORT, index)))
        self.assertEqual((context.replayed, context.forged, context.malformed), (len(indices), 0, 0))

    def test_a_master_key_identifier_is_taken_off_there_or_not(self) -> None:
        for suite in PROFILES:
            for mki in (b"\1", b"\0\0\0\1", bytes(127) + b"\7"):
                context, ours, theirs = pair(suite, mki)
                self.assertEqual(taken(context, theirs.rtp(packet(1), 0, mki)), packet(1))
                self.assertEqual(taken(context, theirs.rtp(packet(2), 0)), packet(2))
                self.assertEqual(context.unprotect_control(theirs.rtcp(REPORT, 1, mki)), REPORT)
                self.assertEqual(context.unprotect_control(theirs.rtcp(REPORT, 2)), REPORT)
                self.assertEqual(context.protect(packet(1)), ours.rtp(packet(1), 0))
                self.assertIsNone(taken(context, mki))

    def test_a_rollover_counter_of_our_own(self) -> None:
        context, ours, _ = pair(CM80)
        for index in range(0x7FF0, 0x30010, 7):
            self.assertEqual(context.protect(packet(index)), ours.rtp(packet(index), index >> 16), hex(index))
        self.assertIsNone(context.protect(packet(index)))  # never two packets of one number
        self.assertEqual(context.unsent, 1)


class Counting(TestCase):
    """The rollover counter (RFC 3711 3.3.1), and replays (3.3.2)."""

    @given(SUITES, st.integers(0, 2**32), st.floats(0, 0.6))
    @settings(deadline=None, max_examples=25)
    def test_over_the_wrap_with_loss_and_reorder(self, suite: str, seed: int, loss: float) -> None:
        draw = random.Random(seed)
        context, _, theirs = pair(suite)
        sent = [index for index in range(0xFF80, 0x10100) if draw.random() >= loss]
        sent.sort(key=lambda index: index + draw.uniform(0, 60))  # none later than by the window
        for index in sent:
            self.assertEqual(taken(context, theirs.rtp(packet(index), index >> 16)), packet(index), hex(index))
        self.assertEqual((context.forged, context.replayed), (0, 0))

    def test_over_many_wraps_with_long_gaps(self) -> None:
        context, _, theirs = pair(CM80)
        for index in range(0x7000, 0x80000, 0x7FF0):
            self.assertEqual(taken(context, theirs.rtp(packet(index), index >> 16)), packet(index), hex(index))

    def test_a_replay_is_refused_and_what_is_late_is_not(self) -> None:
        for suite in PROFILES:
            context, _, theirs = pair(suite)
            arrived = [200, 201, 205, 203, 202, 204, 300]
            for index in arrived:
                self.assertEqual(taken(context, theirs.rtp(packet(index), 0)), packet(index))
            for index in arrived:
                self.assertIsNone(taken(context, theirs.rtp(packet(index), 0)))
            self.assertIsNotNone(taken(context, theirs.rtp(packet(206), 0)))  # 94 late
            self.assertIsNone(taken(context, theirs.rtp(packet(300 - 128), 0)))
            self.assertEqual((context.replayed, context.forged), (len(arrived) + 1, 0))

    def test_forged_packets_move_nothing(self) -> None:
        """A forged sequence number is no progress: the window and the counter stay where they are."""
        context, _, theirs = pair(CM80)
        for index in range(100, 110):
            forged = bytearray(theirs.rtp(packet(index + 0x7000), 0))
            forged[20] ^= 1
            self.assertIsNone(taken(context, bytes(forged)))
            self.assertEqual(taken(context, theirs.rtp(packet(index), 0)), packet(index))
        self.assertEqual((context.forged, context.replayed), (10, 0))

    def test_another_ssrc_begins_anew_and_the_old_one_goes_on(self) -> None:
        context, _, theirs = pair(CM80)
        indices = range(0x7000, 0x18000, 0x1000)
        for index in indices:
            self.assertIsNotNone(taken(context, theirs.rtp(packet(index), index >> 16)))
        for index in range(10):
            self.assertIsNotNone(taken(context, theirs.rtp(packet(index, 5), 0)))
        self.assertIsNotNone(taken(context, theirs.rtp(packet(0x18000), 1)))
        self.assertIsNone(taken(context, theirs.rtp(packet(9, 5), 0)))
        self.assertEqual((context.forged, context.replayed), (0, 1))


class Changes(TestCase):
    """Keys in mid-call."""

    def setUp(self) -> None:
        self.context, self.ours, self.theirs = pair(CM80)
        assert self.context.keys is not None
        self.keys = self.context.keys

    def hears(self, reference: Reference, index: int, roc: int | None = None) -> bool:
        return taken(self.context, reference.rtp(packet(index), index >> 16 if roc is None else roc)) == packet(index)

    def changed(self, *, sending: bool = False, suite: str = CM80) -> SrtpKeys:
        return SrtpKeys(suite, os.urandom(SIZES[suite]) if sending else self.keys.sending, os.urandom(SIZES[suite]))

    def test_the_same_keys_keep_counters_and_replays(self) -> None:
        for index in range(0x7000, 0x18000, 0x1000):
            self.hears(self.theirs, index)
            self.context.protect(packet(index))
        self.assertFalse(self.context.use(self.keys))
        self.assertFalse(self.hears(self.theirs, 0x17000))
        self.assertTrue(self.hears(self.theirs, 0x17001))
        self.assertEqual(self.context.protect(packet(0x17001)), self.ours.rtp(packet(0x17001), 1))
        self.assertEqual((self.context.replayed, self.context.forged), (1, 0))

    def test_a_new_key_of_ours(self) -> None:
        keys = self.changed(sending=True)
        self.context.protect(packet(1))
        self.assertTrue(self.context.use(keys))
        self.assertEqual(self.context.protect(packet(1, 9)), Reference(CM80, keys.sending).rtp(packet(1, 9), 0))

    def test_a_new_key_of_theirs_while_packets_with_the_old_one_are_on_their_way(self) -> None:
        keys = self.changed()
        new = Reference(CM80, keys.receiving)
        self.assertTrue(self.hears(self.theirs, 100))
        self.assertFalse(self.context.use(keys, (SSRC, 100)))
        self.assertTrue(self.hears(self.theirs, 101))
        self.assertEqual(self.context.unprotect_control(new.rtcp(REPORT, 1)), REPORT)
        self.assertTrue(self.hears(new, 102))
        self.assertFalse(self.hears(self.theirs, 103))
        self.assertTrue(self.hears(new, 104))
        self.assertEqual((self.context.forged, self.context.replayed), (1, 0))

    def test_the_old_key_has_its_time(self) -> None:
        keys = self.changed()
        self.context.use(keys, (SSRC, 0))
        heard = [self.hears(self.theirs, index) for index in range(srtp.OLD_KEY_PACKETS + 5)]
        self.assertEqual(heard.count(False), 5)
        self.assertTrue(self.hears(Reference(CM80, keys.receiving), 1000))

    def test_both_readings_of_the_rollover_counter_after_a_new_key(self) -> None:
        """RFC 4568 7.1.4: again from 0; RFC 3711 3.3.1: it goes on."""
        highest = 0x3_0010
        for roc in (0, 3):
            for late in (False, True):
                self.setUp()
                for index in (*range(0x7000, highest, 0x7000), highest):
                    self.assertTrue(self.hears(self.theirs, index))
                keys = self.changed(sending=True, suite="AEAD_AES_256_GCM")
                self.context.use(keys, (SSRC, highest))
                for index in range(highest + 1, highest + 1 + srtp.OLD_KEY_PACKETS * late):
                    self.hears(self.theirs, index)
                new = Reference(keys.suite, keys.receiving)
                for index in range(highest + 400, highest + 0x20400, 0x3000):
                    self.assertTrue(self.hears(new, index, roc + (index - highest >> 16)), (roc, late, hex(index)))
                self.assertFalse(self.hears(self.theirs, highest + 300))

    def test_another_suite(self) -> None:
        keys = SrtpKeys("AEAD_AES_128_GCM", os.urandom(28), os.urandom(28))
        self.assertTrue(self.context.use(keys))
        self.assertEqual(self.context.protect(packet(1)), Reference(keys.suite, keys.sending).rtp(packet(1), 0))
        self.assertTrue(self.hears(Reference(keys.suite, keys.receiving), 1))


class Refusing(TestCase):
    def test_nothing_passes_without_keys(self) -> None:
        context = Srtp()
        self.assertEqual([context.protect(packet(1)), context.protect_control(REPORT)], [None, None])
        self.assertEqual([taken(context, packet(1)), context.unprotect_control(REPORT)], [None, None])
        self.assertEqual((context.unsent, context.unkeyed, context.forged, context.malformed), (2, 2, 0, 0))

    def test_what_is_wrong_is_counted(self) -> None:
        for suite in PROFILES:
            context, _, theirs = pair(suite)
            good = theirs.rtp(packet(1), 0)
            for data in (b"", b"\x80", good[:11], good[:12], b"\x80" * 1501, bytes(40)):
                self.assertIsNone(taken(context, data))
            self.assertEqual(context.malformed + context.forged, 6, suite)
            for data in (good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]), b"\x80\x01" + good[2:], packet(1)):
                self.assertIsNone(taken(context, data))
            self.assertEqual(context.malformed + context.forged, 11, suite)
            self.assertEqual(taken(context, good), packet(1))
            self.assertEqual(context.protect(b"x" * 1400), None)

    @given(SUITES, st.binary(max_size=1600), st.binary(max_size=4))
    @settings(deadline=None)
    def test_whatever_comes_nothing_is_raised(self, suite: str, data: bytes, mki: bytes) -> None:
        context, _, _ = pair(suite, mki)
        self.assertIsNone(taken(context, data))
        self.assertIsNone(context.unprotect_control(data))
        self.assertEqual(context.forged + context.malformed + context.replayed, 2)

    def test_an_unknown_suite(self) -> None:
        self.assertRaises(LocalError, Srtp().use, SrtpKeys("F8_128_HMAC_SHA1_80", bytes(30), bytes(30)))

    def test_no_key_in_a_repr(self) -> None:
        self.assertEqual(repr(SrtpKeys(CM80, b"secret", b"secret")), f"SrtpKeys(suite='{CM80}', mki=b'')")

    def test_the_tags_are_as_long_as_the_suites_say(self) -> None:
        for suite, (_, rtp, rtcp) in PROFILES.items():
            self.assertEqual((rtp, rtcp), (TAGS.get(suite, 0), 10 if suite in TAGS else 0))
