from __future__ import annotations

from unittest import TestCase

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.credential import TnAuthList, check_authority, check_chain, check_signature, read_certificates
from tests.sip.authority import CALLER, NOW, SPC, Issued, block, der, one, root, usage

ROOT = root()
INTERMEDIATE = ROOT.ca()
SIGNER = INTERMEDIATE.signer()


class Refusals(TestCase):
    def refused(self, status: int, words: str, verb: object, *args: object, **how: object) -> None:
        with self.assertRaises(RemoteError) as caught:
            verb(*args, **how)  # type: ignore[operator]
        self.assertEqual(caught.exception.status, status, caught.exception.reason)
        self.assertIn(words, caught.exception.reason)


class Lists(TestCase):
    def test_a_service_provider_code(self) -> None:
        found = TnAuthList.parse(SPC)
        self.assertEqual(found, TnAuthList(codes=("709J",)))
        self.assertTrue(found.covers(CALLER))

    def test_every_kind_of_entry(self) -> None:
        parsed = TnAuthList.parse(der(0x30, der(0xA0, der(0x16, b"12")), block("12155551000", 300), one("911")))
        self.assertEqual(parsed, TnAuthList(("12",), (("12155551000", 300), ("911", 1))))

    def test_what_numbers_cover(self) -> None:
        numbers = TnAuthList(ranges=(("12155551000", 300), ("*97", 5), ("0800", 2), ("77", -1)))
        for number, covered in {
            "12155551000": True, "12155551212": True, "12155551299": True, "12155551300": False, "12155550999": False,
            "2155551212": False, "112155551212": False, "*97": True, "*98": False, "0801": True, "801": False, "77": False,
            "": False,
        }.items():  # fmt: skip
            with self.subTest(number):
                self.assertIs(numbers.covers(number), covered)

    def test_nothing_covers_a_uri(self) -> None:
        self.assertFalse(TnAuthList.parse(SPC).covers("sip:alice@example.com"))

    def test_long_lengths(self) -> None:
        entries = one(CALLER) * 300
        der_list = b"\x30\x82" + len(entries).to_bytes(2) + entries
        self.assertEqual(len(TnAuthList.parse(der_list).ranges), 300)

    def test_what_cannot_be_read(self) -> None:
        for bad in (
            b"", b"\x30", SPC[:-1], SPC + b"\x00", der(0x31), der(0x30, der(0xA3, b"")), der(0x30, der(0xA0, der(0x0C, b"x"))),
            der(0x30, der(0xA0)), der(0x30, der(0xA1, der(0x30, der(0x16, b"1")))), der(0x30, der(0xA2, der(0x16, b"\xff"))),
            b"\x30\x80\x00\x00", b"\x30\x84\x00\x00\x00\x00",
        ):  # fmt: skip
            with self.subTest(bad.hex()), self.assertRaises(ValueError):
                TnAuthList.parse(bad)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, data: bytes) -> None:
        for der_list in (data, der(0x30, data), der(0x30, der(0xA1, data))):
            try:
                self.assertIsInstance(TnAuthList.parse(der_list).covers(CALLER), bool)
            except ValueError:
                pass


class Reading(Refusals):
    def test_a_chain_in_pem_the_signer_first(self) -> None:
        found = read_certificates(b"# certificates\n" + SIGNER.pem)
        self.assertEqual(found, (SIGNER.certificate, INTERMEDIATE.certificate, ROOT.certificate))

    def test_one_in_der(self) -> None:
        self.assertEqual(read_certificates(SIGNER.certificate.public_bytes(Encoding.DER)), (SIGNER.certificate,))

    def test_too_many(self) -> None:
        self.refused(437, "read", read_certificates, SIGNER.certificate.public_bytes(Encoding.PEM) * 7)

    def test_something_else(self) -> None:
        for data in (b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", SIGNER.pem[:300]):
            self.refused(437, "read", read_certificates, data)

    @given(st.integers(0, 2000), st.integers(1, 255))
    def test_any_byte_may_be_wrong(self, place: int, change: int) -> None:
        data = bytearray(SIGNER.certificate.public_bytes(Encoding.DER))
        data[place % len(data)] ^= change
        try:
            found = read_certificates(bytes(data))
            check_authority(check_chain((*found, INTERMEDIATE.certificate), [ROOT.certificate], NOW), CALLER)
            check_signature(found[0], bytes(64), b"")
        except RemoteError as error:
            self.assertIn(error.status, (437, 438))
        else:
            self.fail("a changed certificate was trusted")


class Chains(Refusals):
    def refuse(self, words: str, signer: Issued, now: float = NOW) -> None:
        self.refused(437, words, check_chain, read_certificates(signer.pem), [ROOT.certificate], now)

    def test_up_to_the_anchor(self) -> None:
        path = check_chain((SIGNER.certificate, INTERMEDIATE.certificate), [root("other").certificate, ROOT.certificate], NOW)
        self.assertEqual(path, (SIGNER.certificate, INTERMEDIATE.certificate, ROOT.certificate))

    def test_an_intermediate_may_be_the_anchor(self) -> None:
        path = check_chain((SIGNER.certificate,), [INTERMEDIATE.certificate], NOW)
        self.assertEqual(path, (SIGNER.certificate, INTERMEDIATE.certificate))

    def test_another_authority(self) -> None:
        self.refuse("not trusted", root("root").ca().signer())

    def test_no_intermediate(self) -> None:
        self.refused(437, "not trusted", check_chain, (SIGNER.certificate,), [ROOT.certificate], NOW)

    def test_no_anchors(self) -> None:
        self.refused(437, "no trust anchors", check_chain, (SIGNER.certificate,), [], NOW)

    def test_expired(self) -> None:
        self.refuse("not valid at", INTERMEDIATE.signer(days=(-2, -0.1)))
        self.refuse("not valid at", SIGNER, NOW + 31 * 86_400)

    def test_not_valid_yet(self) -> None:
        self.refuse("not valid at", INTERMEDIATE.signer(days=(0.1, 1)))

    def test_an_expired_intermediate(self) -> None:
        self.refuse("not valid at", ROOT.ca(days=(-2, -0.1)).signer())

    def test_an_issuer_that_is_no_authority(self) -> None:
        self.refuse("basicConstraints", ROOT.signer().signer())

    def test_an_authority_that_may_not_issue(self) -> None:
        self.refuse("keyCertSign", ROOT.ca(use=usage("digital_signature")).signer())

    def test_a_path_longer_than_allowed(self) -> None:
        self.refuse("path length", ROOT.ca("a", path_length=0).ca("b").signer())

    def test_a_chain_deeper_than_we_go(self) -> None:
        deep = ROOT.ca("a").ca("b").ca("c").ca("d")
        self.assertEqual(len(check_chain(read_certificates(deep.signer().pem), [ROOT.certificate], NOW)), 6)
        signer = deep.ca("e").signer()
        self.refused(437, "not trusted", check_chain, (signer.certificate, *signer.above), [ROOT.certificate], NOW)

    def test_a_key_that_is_not_for_signatures(self) -> None:
        self.refuse("not for signatures", INTERMEDIATE.signer(use=usage("key_agreement")))

    def test_a_critical_extension_that_nobody_knows(self) -> None:
        odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        self.refuse("critical", INTERMEDIATE.issue("signer", extra=(odd,), critical=True))


class Authority(Refusals):
    def test_a_code_a_number_and_a_range(self) -> None:
        for entries in (SPC, der(0x30, one(CALLER)), der(0x30, block("12155551000", 300))):
            signer = ROOT.signer(entries)
            self.assertIsNone(check_authority((signer.certificate, ROOT.certificate), CALLER))

    def test_another_number(self) -> None:
        path = (ROOT.signer(der(0x30, one("12155551213"))).certificate,)
        self.refused(437, "does not cover", check_authority, path, CALLER)
        self.refused(437, "does not cover", check_authority, path, CALLER, strict=False)

    def test_no_list(self) -> None:
        path = (ROOT.signer(None).certificate,)
        self.refused(437, "no TNAuthList", check_authority, path, CALLER)
        self.assertIsNone(check_authority(path, CALLER, strict=False))

    def test_constraints_that_we_cannot_judge(self) -> None:
        for number in ("27", "33"):
            odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.5.5.7.1.{number}"), der(0x30))
            path = (ROOT.issue("signer", extra=(odd,)).certificate,)
            self.refused(437, "constrains claims", check_authority, path, CALLER, strict=False)

    def test_a_broken_list(self) -> None:
        self.refused(437, "cannot be read", check_authority, (ROOT.signer(b"\x30\x05").certificate,), CALLER, strict=False)

    def test_nobody_gives_away_more_than_is_theirs(self) -> None:
        held = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.26"), der(0x30, block("12155551000", 100)))
        delegate = ROOT.ca(extra=(held,)).signer(der(0x30, one(CALLER)))
        self.refused(437, "does not cover", check_authority, read_certificates(delegate.pem), CALLER)
        self.assertIsNone(check_authority(read_certificates(ROOT.ca(extra=(held,)).signer(SPC).pem), "12155551099"))


class Signatures(Refusals):
    def test_only_p_256(self) -> None:
        for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
            self.refused(437, "P-256", check_signature, ROOT.issue("signer", key=key).certificate, bytes(64), b"")

    def test_nothing_but_the_signers_own(self) -> None:
        for signature in (bytes(64), b"\xff" * 64, bytes(63) + b"\x01"):
            self.refused(438, "does not fit", check_signature, SIGNER.certificate, signature, b"text")
