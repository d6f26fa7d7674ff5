from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from itertools import count
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sdp import crypto
from smartalex.sdp.crypto import SUITES, Crypto, Dtls, Fingerprint, Sdes, Security
from smartalex.sdp.description import Media, SessionDescription, parse
from smartalex.sdp.negotiation import Agreed, Capabilities, Local, accept, answer, offer

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
CODECS = Capabilities(("PCMU", "PCMA"))
LOCAL = Local("198.51.100.7", 10002, 7, 3)
KEY = "WnD7c1ksDGs+dIefCEo8omPg4uO8DYIinNGL5yxQ"
OTHER = "t0r0/apkukU7JjjfR0mY8GEimBq4OiPEm9eKSFOx"
CM80, CM32 = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"
LONG = b64encode(bytes(range(44))).decode()
SHORT = b64encode(bytes(range(28))).decode()
OURS = Fingerprint("sha-256", bytes(32))
DIGEST = ":".join(["AB"] * 32)
PRINT = f"fingerprint:sha-256 {DIGEST}"
LINES = (
    "m=audio 4000 RTP/SAVP 0", "m=audio 4000 UDP/TLS/RTP/SAVP 0", "m=audio 4000 RTP/AVP 0", "a=setup:active", "a=setup:x",
    f"a={PRINT}", "a=fingerprint:sha-256 X", f"a=crypto:1 {CM80} inline:{KEY}", f"a=crypto:1 {CM80} inline:{KEY}|2^99",
    "a=crypto:",
)  # fmt: skip


def keys() -> Callable[[int], bytes]:
    """Other octets each time."""
    numbers = count(1)
    return lambda size: bytes([next(numbers)]) * size


def may(policy: crypto.Policy, fingerprint: Fingerprint | None = OURS, role: crypto.Role = "active") -> Security:
    return Security(policy, keys(), fingerprint, role)


def described(*lines: str, head: str = HEAD) -> SessionDescription:
    return parse((head + "".join(line + "\r\n" for line in lines)).encode())


def answered(security: Security, *lines: str, before: crypto.Secured = None) -> tuple[Agreed, Media]:
    """What is agreed, and the section of our answer that is not refused."""
    agreed, body = answer(described(*lines), CODECS, LOCAL, security, before)
    [section] = [media for media in parse(body).media if media.port]
    return agreed, section


class Attributes(TestCase):
    def test_every_suite_with_and_without_parameters(self) -> None:
        for suite, size in SUITES.items():
            key = bytes(range(size))
            text = b64encode(key).decode()
            for after in ("", "|2^20", "|1048576", "|2^48", "|281474976710656", " KDR=0", "|2^31 WSH=128", " -X=1 -Y"):
                self.assertEqual(Crypto.parse(f"1 {suite} inline:{text}{after}"), Crypto(1, suite, key), (suite, after))
            self.assertEqual(Crypto.parse(f"2 {suite} inline:{text}|2^20|1:4"), Crypto(2, suite, key, b"\0\0\0\1"))
            self.assertEqual(Crypto.parse(f"2 {suite} inline:{text}|66:2"), Crypto(2, suite, key, b"\0\x42"))
            self.assertEqual(Crypto.parse(f"0 {suite.lower()}\tINLINE:{text.rstrip('=')} "), Crypto(0, suite, key))

    def test_what_is_malformed_or_not_done_here_is_not_chosen(self) -> None:
        usual = f"1 {CM80} inline:{KEY}"
        values = ["", "1", f"1 {CM80}", f"1 {CM80} inline", f"1 {CM80} inline:", f"1 {CM80} uri:{KEY}"]
        values += [f"{tag} {CM80} inline:{KEY}" for tag in ("x", "-1", "1234567890", "")]
        values += [
            f"1 {suite} inline:{KEY}" for suite in ("F8_128_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM", "")
        ]
        values += [f"1 {CM80} inline:{key}" for key in (KEY + KEY, KEY[:-4], KEY[:-1], KEY[:-1] + "!", KEY[:-1] + "\u00e9")]
        values += [f"{usual} {name}" for name in ("UNENCRYPTED_SRTP", "unencrypted_srtcp", "UNAUTHENTICATED_SRTP", "KDR=1")]
        values += [f"{usual} {name}" for name in ("FEC_ORDER=SRTP_FEC", f"FEC_KEY=inline:{KEY}", "WSH=64 NEW=1", "-")]
        values += [f"{usual}|{life}" for life in ("2^49", "0", "281474976710657", "2^20|2^20", "1:4|2^20", "x", "")]
        values += [f"{usual}|{mki}" for mki in ("1:0", "256:1", "1:129", "2^20|1:4|2:4", f"2^20|1:4;inline:{OTHER}|2^20|2:4")]
        for value in values:
            self.assertIsNone(Crypto.parse(value), value)

    @given(st.integers(0, 999_999_999), st.sampled_from(sorted(SUITES)), st.data())
    def test_written_and_read(self, tag: int, suite: str, data: st.DataObject) -> None:
        one = Crypto(tag, suite, data.draw(st.binary(min_size=SUITES[suite], max_size=SUITES[suite])))
        letter, value = one.line()
        self.assertEqual((letter, Crypto.parse(value.removeprefix("crypto:"))), ("a", one))

    @given(st.text(max_size=80))
    def test_any_text_is_read_or_not(self, text: str) -> None:
        self.assertIsInstance(Crypto.parse(text), Crypto | None)
        self.assertIsInstance(Fingerprint.parse(text), Fingerprint | None)

    def test_fingerprints(self) -> None:
        self.assertEqual(Fingerprint.parse(f" SHA-256 {DIGEST.lower()} "), Fingerprint("sha-256", b"\xab" * 32))
        self.assertEqual(Fingerprint("sha-256", b"\xab" * 32).line(), ("a", PRINT))
        self.assertIsNotNone(Fingerprint.parse("sha-1 " + ":".join(["00"] * 20)))
        for value in ("", "sha-256", "sha-256 AB", f"sha-512 {DIGEST}", "md5 " + ":".join(["00"] * 16), f"sha-256 {DIGEST}:"):
            self.assertIsNone(Fingerprint.parse(value), value)

    def test_the_strongest_hash_counts_and_a_section_has_its_own(self) -> None:
        weak, other = "a=fingerprint:sha-1 " + ":".join(["00"] * 20), "a=fingerprint:sha-256 " + ":".join(["CD"] * 32)
        read = described("m=audio 4000 RTP/SAVP 0", weak, f"a={PRINT}", other)
        self.assertEqual([one.digest[0] for one in crypto.fingerprints(read, read.media[0])], [0xAB, 0xCD])
        read = described("m=audio 4000 RTP/SAVP 0", weak, head=HEAD + f"a={PRINT}\r\n")
        self.assertEqual([one.hash for one in crypto.fingerprints(read, read.media[0])], ["sha-1"])

    def test_no_key_in_any_repr(self) -> None:
        read = described("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{KEY}")
        agreed, section = answered(may("required"), "m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{KEY}")
        octets = repr(crypto.cryptos(read.media[0])[0].key)[2:-1]
        proposed = crypto.offered(may("required"), None)
        for one in (read, read.media[0], agreed, agreed.secured, section, proposed):
            for secret in (KEY, KEY[:12], octets, "inline", "\\x01\\x01"):
                self.assertNotIn(secret, repr(one))


class Answering(TestCase):
    def test_the_first_that_will_do_with_its_tag_and_a_key_of_ours(self) -> None:
        agreed, section = answered(
            may("optional"), "m=audio 4000 RTP/SAVP 0", "a=crypto:3 F8_128_HMAC_SHA1_80 inline:" + OTHER,
            f"a=crypto:4 {CM80} inline:bad", f"a=crypto:7 {CM32} inline:{KEY}|2^20|1:4", f"a=crypto:8 {CM80} inline:{OTHER}",
        )  # fmt: skip
        assert isinstance(agreed.secured, Sdes)
        self.assertEqual((agreed.profile, section.protocol), ("RTP/SAVP", "RTP/SAVP"))
        self.assertEqual(section.attributes("crypto"), (f"7 {CM32} inline:{b64encode(bytes([1]) * 30).decode()}",))
        self.assertEqual((agreed.secured.theirs.mki, agreed.secured.ours.key), (b"\0\0\0\1", b"\1" * 30))

    def test_profiles_by_policy(self) -> None:
        """The answer's profile and whether it is secured, or the status."""
        keyed, shaken = f"a=crypto:1 {CM80} inline:{KEY}", f"a={PRINT}"
        cases: list[tuple[str, tuple[str, ...], object, object, object]] = [
            ("RTP/AVP", (), None, None, 488),
            ("RTP/AVP", (keyed,), None, Sdes, Sdes),
            ("RTP/AVPF", (keyed,), None, Sdes, Sdes),
            ("RTP/AVP", (f"a=crypto:1 X inline:{KEY}",), None, None, 488),
            ("RTP/AVP", (shaken, "a=setup:actpass"), None, Dtls, Dtls),
            ("RTP/SAVP", (keyed,), 488, Sdes, Sdes),
            ("RTP/SAVPF", (keyed,), 488, Sdes, Sdes),
            ("RTP/SAVP", (), 488, 488, 488),
            ("RTP/SAVP", (f"a=crypto:1 {CM80} inline:", f"a=crypto:x {CM80} inline:{KEY}"), 488, 488, 488),
            ("RTP/SAVP", (shaken, "a=setup:actpass"), 488, Dtls, Dtls),
            ("UDP/TLS/RTP/SAVP", (shaken, "a=setup:actpass"), 488, Dtls, Dtls),
            ("UDP/TLS/RTP/SAVPF", (shaken, keyed), 488, Dtls, Dtls),
            ("UDP/TLS/RTP/SAVP", (keyed,), 488, 488, 488),
            ("UDP/TLS/RTP/SAVP", (shaken, "a=setup:holdconn"), 488, 488, 488),
            ("UDP/TLS/RTP/SAVP", ("a=fingerprint:md5 00",), 488, 488, 488),
            ("TCP/RTP/AVP", (keyed,), 488, 488, 488),
            ("udptl", (), 488, 488, 488),
        ]
        policies: tuple[crypto.Policy, ...] = ("off", "optional", "required")
        for profile, lines, *expected in cases:
            for policy, wanted in zip(policies, expected, strict=True):
                try:
                    agreed, section = answered(may(policy), f"m=audio 4000 {profile} 0", *lines)
                except RemoteError as error:
                    self.assertEqual(error.status, wanted, (profile, lines, policy))
                    continue
                self.assertEqual(section.protocol, profile)
                self.assertEqual(None if agreed.secured is None else type(agreed.secured), wanted, (profile, lines, policy))
                secure = bool(section.attributes("crypto") or section.attributes("fingerprint"))
                self.assertEqual(secure, wanted is not None)

    def test_why_it_is_refused(self) -> None:
        keyed = f"a=crypto:1 {CM80} inline:{KEY}"
        for policy, lines, reason in (
            ("off", ("m=audio 4000 RTP/SAVP 0", keyed), "audio only over RTP/SAVP, and SRTP is off"),
            ("required", ("m=audio 4000 RTP/AVP 0",), "SRTP is required"),
            ("optional", ("m=audio 4000 RTP/SAVP 0",), "nothing that secures RTP/SAVP can be agreed on"),
        ):
            with self.assertRaises(RemoteError) as caught:
                answered(may(policy), *lines)  # type: ignore[arg-type]
            self.assertEqual((caught.exception.status, caught.exception.reason), (488, reason))

    def test_of_two_sections_the_secured_one(self) -> None:
        lines = ("m=audio 4000 RTP/AVP 0", "m=audio 4002 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{KEY}")
        ports: list[tuple[crypto.Policy, int]] = [("off", 4000), ("optional", 4002), ("required", 4002)]
        for policy, port in ports:
            self.assertEqual(answered(may(policy), *lines)[0].remote_port, port, policy)

    def test_of_a_repeated_tag_the_first(self) -> None:
        lines = ("m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{KEY}", f"a=crypto:1 {CM32} inline:{OTHER}")
        _, section = answered(may("optional"), *lines)
        self.assertEqual([value.split()[1] for value in section.attributes("crypto")], [CM80])

    def test_keys_again(self) -> None:
        """The same key is answered with ours as it is, another one with a new one."""
        security = may("optional")
        first, _ = answered(security, "m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{KEY}")
        same, _ = answered(
            security, "m=audio 4000 RTP/SAVP 0", f"a=crypto:2 {CM80} inline:{KEY}", "a=sendonly", before=first.secured
        )
        other, _ = answered(security, "m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM80} inline:{OTHER}", before=first.secured)
        weaker, _ = answered(security, "m=audio 4000 RTP/SAVP 0", f"a=crypto:1 {CM32} inline:{KEY}", before=first.secured)
        ours = [one.secured.ours.key[0] for one in (first, same, other, weaker) if isinstance(one.secured, Sdes)]
        self.assertEqual((ours, same.held), ([1, 1, 2, 3], True))

    def test_roles_in_the_handshake(self) -> None:
        """The peer's word counts; left open it is ours to say, and stays as it is while the certificate is the same."""
        line = "m=audio 4000 UDP/TLS/RTP/SAVP 0"
        for setup, policy_role, role in (
            ("a=setup:actpass", "active", "active"),
            ("a=setup:actpass", "passive", "passive"),
            ("a=setup:active", "active", "passive"),
            ("a=setup:passive", "passive", "active"),
            ("a=x", "active", "passive"),
        ):
            security = may("required", role=policy_role)  # type: ignore[arg-type]
            agreed, section = answered(security, line, f"a={PRINT}", setup)
            self.assertEqual(section.attributes("setup"), (role,))
            self.assertEqual(section.attributes("fingerprint"), (OURS.line()[1].removeprefix("fingerprint:"),))
            again, _ = answered(may("required"), line, f"a={PRINT}", "a=setup:actpass", before=agreed.secured)
            self.assertEqual(again.secured, agreed.secured)

    def test_without_a_certificate_of_ours_keys_will_do(self) -> None:
        keyed = f"a=crypto:1 {CM80} inline:{KEY}"
        agreed, _ = answered(may("optional", None), "m=audio 4000 RTP/SAVPF 0", f"a={PRINT}", keyed)
        self.assertIsInstance(agreed.secured, Sdes)
        self.assertRaises(RemoteError, answered, may("optional", None), "m=audio 4000 UDP/TLS/RTP/SAVP 0", f"a={PRINT}")

    @given(st.lists(st.sampled_from(LINES), max_size=8))
    def test_whatever_is_offered_only_488_is_raised(self, lines: list[str]) -> None:
        for policy in ("off", "optional", "required"):
            try:
                agreed, body = answer(described("m=video 1 RTP/AVP 31", *lines), CODECS, LOCAL, may(policy))  # type: ignore[arg-type]
            except RemoteError as error:
                self.assertEqual(error.status, 488)
            else:
                self.assertTrue(agreed.secured is None or policy != "off")
                self.assertTrue(agreed.secured is not None or policy != "required")
                self.assertEqual(agreed.secured is None, not (b"a=crypto" in body or b"a=fingerprint" in body))


class Offering(TestCase):
    def exchange(self, policy: crypto.Policy, *lines: str) -> Agreed:
        security = may(policy)
        ours = crypto.offered(security, None)
        return accept(described(*lines), CODECS, ours, security)

    def test_our_offers_by_policy(self) -> None:
        policies: list[tuple[crypto.Policy, str, int]] = [
            ("off", "RTP/AVP", 0),
            ("optional", "RTP/AVP", 4),
            ("required", "RTP/SAVP", 4),
        ]
        for policy, profile, count_ in policies:
            [section] = parse(offer(CODECS, LOCAL, crypto.offered(may(policy), None))).media
            values = section.attributes("crypto")
            self.assertEqual((section.protocol, len(values)), (profile, count_), policy)
            keys_ = [one.key for one in crypto.cryptos(section)]
            self.assertEqual(len(set(keys_)), count_)
            self.assertEqual([value.split()[1] for value in values], list(SUITES)[:count_])

    def test_answers(self) -> None:
        """By policy: what an answer to our first offer comes to."""
        cases: list[tuple[str, tuple[str, ...], object, object, object]] = [
            ("RTP/AVP", (), None, None, 488),
            ("RTP/AVP", (f"a=crypto:3 {CM80} inline:{KEY}",), None, Sdes, Sdes),
            ("RTP/SAVP", (f"a=crypto:3 {CM80} inline:{KEY}",), 488, Sdes, Sdes),
            ("RTP/SAVP", (f"a=crypto:1 {CM80} inline:{KEY}",), 488, 488, 488),
            ("RTP/AVP", (f"a=crypto:9 {CM80} inline:{KEY}",), None, 488, 488),
            ("RTP/AVP", (f"a=crypto:3 {CM80} inline:{KEY} UNENCRYPTED_SRTP",), None, 488, 488),
            ("RTP/AVP", (f"a=crypto:3 {CM80} inline:{KEY}", f"a=crypto:4 {CM32} inline:{KEY}"), None, 488, 488),
            ("RTP/SAVP", (f"a=crypto:2 AEAD_AES_128_GCM inline:{SHORT}",), 488, Sdes, Sdes),
            ("RTP/SAVP", (f"a=crypto:1 AEAD_AES_256_GCM inline:{LONG}",), 488, Sdes, Sdes),
            ("RTP/SAVP", (), 488, 488, 488),
            ("UDP/TLS/RTP/SAVP", (f"a={PRINT}", "a=setup:active"), 488, 488, 488),
        ]
        policies: tuple[crypto.Policy, ...] = ("off", "optional", "required")
        for profile, lines, *expected in cases:
            for policy, wanted in zip(policies, expected, strict=True):
                try:
                    agreed = self.exchange(policy, f"m=audio 4000 {profile} 0", *lines)
                except RemoteError as error:
                    self.assertEqual(error.status, wanted, (profile, lines, policy))
                    continue
                self.assertEqual(None if agreed.secured is None else type(agreed.secured), wanted, (profile, lines, policy))
                if isinstance(agreed.secured, Sdes):
                    self.assertEqual(len(agreed.secured.ours.key), SUITES[agreed.secured.theirs.suite])
                    self.assertNotEqual(agreed.secured.ours.key, agreed.secured.theirs.key)

    def test_of_a_stream_that_is_up_the_offer_is_what_it_has(self) -> None:
        security = may("optional")
        keyed, _ = answered(security, "m=audio 4000 RTP/SAVP 0", f"a=crypto:5 {CM32} inline:{KEY}")
        again = crypto.offered(security, (keyed.profile, keyed.secured))
        assert isinstance(keyed.secured, Sdes)
        self.assertEqual((again.profile, again.cryptos), ("RTP/SAVP", (keyed.secured.ours,)))
        shaken, _ = answered(security, "m=audio 4000 UDP/TLS/RTP/SAVPF 0", f"a={PRINT}", "a=setup:active")
        again = crypto.offered(security, (shaken.profile, shaken.secured))
        [section] = parse(offer(CODECS, LOCAL, again)).media
        self.assertEqual((section.protocol, section.attributes("setup")), ("UDP/TLS/RTP/SAVPF", ("actpass",)))
        plain, _ = answered(security, "m=audio 4000 RTP/AVP 0")
        self.assertEqual(crypto.offered(security, (plain.profile, plain.secured)), crypto.Offered())

    def test_answers_to_an_offer_of_a_handshake(self) -> None:
        ours = crypto.Offered("UDP/TLS/RTP/SAVP", fingerprint=OURS)
        line = "m=audio 4000 UDP/TLS/RTP/SAVP 0"
        for lines, role in (
            ((f"a={PRINT}", "a=setup:active"), "passive"),
            ((f"a={PRINT}", "a=setup:passive"), "active"),
            ((f"a={PRINT}",), "active"),
        ):
            agreed = accept(described(line, *lines), CODECS, ours, may("optional"))
            self.assertEqual(agreed.secured, Dtls(role, OURS, (Fingerprint("sha-256", b"\xab" * 32),)))  # type: ignore[arg-type]
        for lines in ((f"a={PRINT}", "a=setup:actpass"), ("a=setup:active",), (f"a=crypto:1 {CM80} inline:{KEY}",)):
            self.assertRaises(RemoteError, accept, described(line, *lines), CODECS, ours, may("optional"))
