"""Codecs, keys, comfort noise and packet lengths in offers and answers."""

from __future__ import annotations

from unittest import TestCase, skipUnless

import attrs
from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.media.codecs import registry
from smartalex.sdp import formats
from smartalex.sdp.description import Media, parse
from smartalex.sdp.formats import Format
from smartalex.sdp.negotiation import Agreed, Capabilities, Local, accept, answer, offer

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
OURS, THEIRS = Local("198.51.100.7", 10002, 7, 3), Local("192.0.2.1", 4000, 1, 1)
OPUS = bool(registry.usable(["opus"]))
ALL = ("PCMU", "PCMA", "G722", "opus")

WIDE = (
    "m=audio 4000 RTP/AVP 111 9 0 101 110 13",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 maxaveragebitrate=20000;useinbandfec=1",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:110 telephone-event/48000",
)


def described(*lines: str) -> bytes:
    return (HEAD + "".join(f"{line}\r\n" for line in lines)).encode()


def taken(lines: tuple[str, ...], *codecs: str) -> tuple[Agreed, list[str]]:
    """What we make of this offer, and the lines of our m= section."""
    agreed, body = answer(parse(described(*lines)), Capabilities(codecs), OURS)
    (media,) = parse(body).media
    return agreed, [f"{media.port} {' '.join(media.formats)}", *(value for _, value in media.lines)]


class Answers(TestCase):
    def test_our_order_decides_between_narrow_and_wide(self) -> None:
        for codecs, codec in (
            (("PCMU", "PCMA", "G722"), "PCMU"),
            (("G722", "PCMU"), "G722"),
            (("PCMA", "G722"), "G722"),
            (("pcma", "g722"), "G722"),
        ):
            self.assertEqual(taken(WIDE, *codecs)[0].codec, codec, codecs)

    def test_g722_has_a_clock_of_8000(self) -> None:
        agreed, lines = taken(WIDE, "G722")
        self.assertEqual((agreed.payload_type, agreed.dtmf_payload_type, agreed.dtmf_clock), (9, 101, 8000))
        self.assertEqual(lines, ["10002 9 101 13", "rtpmap:9 G722/8000", "rtpmap:101 telephone-event/8000", "fmtp:101 0-15",
                                 "rtpmap:13 CN/8000", "ptime:20", "sendrecv"])  # fmt: skip
        with self.assertRaises(RemoteError):
            taken(("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 G722/16000"), "G722")

    @skipUnless(OPUS, "there is no libopus")
    def test_opus_brings_its_parameters_and_its_clock(self) -> None:
        agreed, lines = taken(WIDE, "opus", "PCMU")
        self.assertEqual(
            (agreed.codec, agreed.payload_type, agreed.parameters), ("opus", 111, "maxaveragebitrate=20000;useinbandfec=1")
        )
        self.assertEqual((agreed.dtmf_payload_type, agreed.dtmf_clock, agreed.noise_payload_type), (110, 48000, None))
        parameters = registry.find("opus").parameters
        self.assertEqual(lines[:3], ["10002 111 110", "rtpmap:111 opus/48000/2", f"fmtp:111 {parameters}"])
        self.assertEqual(lines[3], "rtpmap:110 telephone-event/48000")

    @skipUnless(OPUS, "there is no libopus")
    def test_opus_as_others_write_it(self) -> None:
        for rtpmap, is_opus in (("OPUS/48000/2", True), ("opus/48000", True), ("opus/48000/1", False), ("opus/16000/2", False)):
            try:
                codec = taken(("m=audio 4000 RTP/AVP 96", f"a=rtpmap:96 {rtpmap}"), "opus")[0].codec
            except RemoteError:
                codec = ""
            self.assertEqual(codec == "opus", is_opus, rtpmap)

    def test_keys_at_8000_go_with_any_codec_and_others_only_with_their_own(self) -> None:
        for codec, clock, theirs in (("PCMU", 8000, True), ("PCMU", 48000, False), ("opus", 8000, True), ("opus", 16000, False)):
            if codec == "PCMU" or OPUS:
                lines = ("m=audio 4000 RTP/AVP 0 96 100", "a=rtpmap:96 opus/48000/2", f"a=rtpmap:100 telephone-event/{clock}")
                agreed, _ = taken(lines, codec)
                self.assertEqual((agreed.dtmf_payload_type, agreed.dtmf_clock), (100, clock) if theirs else (None, 8000))

    def test_comfort_noise_is_taken_where_it_is_offered(self) -> None:
        self.assertEqual(taken(("m=audio 4000 RTP/AVP 0 13",), "PCMU")[0].noise_payload_type, 13)
        self.assertEqual(taken(("m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 CN/8000"), "PCMU")[0].noise_payload_type, 98)
        agreed, lines = taken(("m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 CN/16000"), "PCMU")
        self.assertEqual((agreed.noise_payload_type, lines[0]), (None, "10002 0"))

    def test_a_codec_whose_library_is_missing_is_passed_over(self) -> None:
        self.assertEqual(taken(("m=audio 4000 RTP/AVP 18 8",), "G729", "PCMA")[0].codec, "PCMA")


class Offers(TestCase):
    def listed(self, capabilities: Capabilities) -> tuple[Format, ...]:
        (media,) = parse(offer(capabilities, OURS)).media
        return formats.listed(media)

    def test_the_usual_codecs_keys_and_comfort_noise(self) -> None:
        found = self.listed(Capabilities())
        self.assertEqual([one.number for one in found], [0, 8, 9, 101, 13])
        self.assertEqual([one.key for one in found],
                         ["PCMU/8000", "PCMA/8000", "G722/8000", "TELEPHONE-EVENT/8000", "CN/8000"])  # fmt: skip

    @skipUnless(OPUS, "there is no libopus")
    def test_keys_at_every_clock_and_at_the_one_that_all_know(self) -> None:
        found = {one.key: one.number for one in self.listed(Capabilities(ALL))}
        self.assertEqual((found["TELEPHONE-EVENT/8000"], len(set(found.values()))), (101, 7))
        self.assertTrue(96 <= found["OPUS/48000"] <= 127 and 96 <= found["TELEPHONE-EVENT/48000"] <= 127)
        alone = [one.key for one in self.listed(Capabilities(("opus",)))]
        self.assertEqual(alone, ["OPUS/48000", "TELEPHONE-EVENT/48000", "TELEPHONE-EVENT/8000"])

    @skipUnless(OPUS, "there is no libopus")
    def test_a_later_offer_keeps_the_payload_types_of_the_session(self) -> None:
        agreed, _ = answer(parse(described(*WIDE)), Capabilities(("opus", "PCMU")), OURS)
        self.assertEqual(agreed.numbers, {"OPUS/48000": 111, "TELEPHONE-EVENT/48000": 110})
        found = {one.key: one.number for one in self.listed(Capabilities(ALL, numbers=agreed.numbers))}
        self.assertEqual((found["OPUS/48000"], found["TELEPHONE-EVENT/48000"], found["TELEPHONE-EVENT/8000"]), (111, 110, 101))
        clash = {one.key: one.number for one in self.listed(Capabilities(ALL, numbers={"PCMA/8000": 96, "OPUS/48000": 101}))}
        self.assertEqual((clash["PCMA/8000"], clash["OPUS/48000"], len(set(clash.values()))), (96, 101, 7))

    def test_the_answerer_may_choose_any_of_ours(self) -> None:
        for codec in registry.usable():
            ours = Capabilities(ALL)
            agreed, body = answer(parse(offer(ours, OURS)), Capabilities((codec.name,)), THEIRS)
            back = accept(parse(body), ours)
            self.assertEqual((back.codec, back.payload_type, back.dtmf_payload_type, back.dtmf_clock),
                             (codec.name, agreed.payload_type, agreed.dtmf_payload_type, codec.clock))  # fmt: skip
            self.assertEqual(back.parameters, codec.parameters)


class PacketLengths(TestCase):
    def test_a_table(self) -> None:
        any_length, opus = (10, 20, 30, 40, 50, 60), (10, 20, 40, 60)
        for ptime, maxptime, plain, of_opus in (
            ("", "", 20, 20), ("10", "", 10, 10), ("30", "", 30, 20), ("60", "", 60, 60), ("50", "", 50, 40),
            ("25", "", 20, 20), ("35", "", 30, 20), ("120", "", 20, 20), ("5", "", 20, 20), ("0", "", 20, 20), ("x", "", 20, 20),
            ("", "10", 10, 10), ("", "60", 20, 20), ("40", "30", 30, 20), ("20", "5", 10, 10), ("40", "0", 40, 40),
            ("60", "x", 60, 60),
        ):  # fmt: skip
            lines = (("a", f"ptime:{ptime}"), ("a", f"maxptime:{maxptime}"))
            media = Media("audio", 1, "RTP/AVP", ("0",), lines)
            self.assertEqual(
                (formats.packet_ms(media, any_length), formats.packet_ms(media, opus)), (plain, of_opus), (ptime, maxptime)
            )

    def test_what_we_ask_for(self) -> None:
        for ms in (10, 20, 40):
            self.assertIn(f"a=ptime:{ms}".encode(), offer(Capabilities(ptime_ms=ms), OURS))
            self.assertIn(f"a=ptime:{ms}".encode(), answer(parse(described(*WIDE)), Capabilities(ptime_ms=ms), OURS)[1])


NUMBERS = st.integers(0, 130)
NAMES = st.sampled_from(["PCMU", "pcma", "G722", "opus", "telephone-event", "Telephone-Event", "CN", "G729", "L16"])
RTPMAP = st.builds(
    lambda number, name, clock, channels: f"a=rtpmap:{number} {name}/{clock}{channels}",
    NUMBERS, NAMES, st.sampled_from([8000, 16000, 48000, 0]), st.sampled_from(["", "/1", "/2", "/x"]),
)  # fmt: skip
FMTP = st.builds(lambda number, text: f"a=fmtp:{number} {text}", NUMBERS, st.text("abc=;01 ", max_size=12))


class Anything(TestCase):
    @given(st.lists(NUMBERS, min_size=1, max_size=8), st.lists(st.one_of(RTPMAP, FMTP), max_size=10), st.permutations(ALL))
    def test_the_answer_names_only_what_was_offered_and_both_understand_it_alike(
        self, numbers: list[int], lines: list[str], codecs: tuple[str, ...]
    ) -> None:
        theirs = parse(described(f"m=audio 4000 RTP/AVP {' '.join(map(str, numbers))}", *lines))
        try:
            agreed, body = answer(theirs, Capabilities(tuple(codecs)), OURS)
        except RemoteError as error:
            self.assertEqual(error.status, 488)
            return
        (media,) = parse(body).media
        in_offer = {(one.number, one.key) for one in formats.listed(theirs.media[0])}
        in_answer = formats.listed(media)
        self.assertLessEqual({(one.number, one.key) for one in in_answer}, in_offer)
        self.assertEqual((in_answer[0].number, in_answer[0].name), (agreed.payload_type, agreed.codec))
        back = accept(parse(body), Capabilities(ALL))
        same = attrs.evolve(back, remote_address=agreed.remote_address, remote_port=4000, parameters=agreed.parameters)
        self.assertEqual(same, agreed)
