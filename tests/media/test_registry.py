"""What plugins provide for ICodec, and what is said of what they do not."""

from __future__ import annotations

from unittest import TestCase
from unittest.mock import patch

from zope.interface.verify import verifyClass, verifyObject

from smartalex.errors import ConfigurationError
from smartalex.interfaces import ICodec
from smartalex.media.codecs import registry
from smartalex.plugins import LazyProvider


class Registry(TestCase):
    def test_what_is_built_in_comes_first_and_in_order(self) -> None:
        self.assertEqual(registry.known()[:3], ("PCMU", "PCMA", "G722"))
        self.assertIn("opus", registry.known())
        self.assertEqual(tuple(codec.name for codec in registry.usable())[:3], registry.USUAL)
        self.assertEqual([codec.name for codec in registry.usable(["g722", "EVS", "PCMU"])], ["G722", "PCMU"])

    def test_every_codec_is_one_and_says_so_before_it_is_made(self) -> None:
        for codec in registry.usable():
            self.assertTrue(verifyClass(ICodec, codec))
            self.assertTrue(verifyObject(ICodec, codec()))
            self.assertIs(registry.find(codec.name), codec)
            self.assertIn(20, codec.packet_ms)
            self.assertEqual(sorted(codec.packet_ms), list(codec.packet_ms))

    def test_every_codec_keeps_the_length_of_each_packet(self) -> None:
        for make in registry.usable():
            codec = make()
            for ms in codec.packet_ms:
                pcm = bytes(codec.rate * ms // 500)
                self.assertEqual(len(codec.decode(codec.encode(pcm))), len(pcm), (codec.name, ms))
            self.assertEqual(codec.decode(b""), b"")

    def test_stateless_means_that_payloads_may_be_joined(self) -> None:
        pcm = bytes(range(256)) * 5
        for make in registry.usable():
            codec = make()
            if not codec.stateful:
                self.assertEqual(codec.encode(pcm), codec.encode(pcm[:320]) + codec.encode(pcm[320:]))

    def test_names_go_in_any_case_and_once(self) -> None:
        self.assertEqual(registry.proper(["pcma", "g722", "PCMA"]), ("PCMA", "G722"))

    def test_an_unknown_name_is_told_the_known_ones(self) -> None:
        with self.assertRaises(ConfigurationError) as caught:
            registry.proper(["PCMU", "G729"])
        self.assertIn("no codec 'G729'; known are PCMU, PCMA, G722, opus", str(caught.exception))

    def test_a_codec_whose_library_is_missing(self) -> None:
        missing = LazyProvider("ICodec", "EVS", "", "no_such_module:EVS")
        with (
            patch.object(registry, "_providers", lambda: {"EVS-WITH-NO-LIBRARY": missing}),
            self.assertRaises(ConfigurationError) as caught,
        ):
            registry.find("evs-with-no-library")
        self.assertIn("codec EVS cannot be used: No module named 'no_such_module'", str(caught.exception))
