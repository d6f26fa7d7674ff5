from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sdp.description import SessionDescription, parse
from smartalex.sdp.negotiation import Agreed, Capabilities, Local, accept, answer, offer

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
OURS = Capabilities(("PCMU", "PCMA"))
LOCAL = Local("198.51.100.7", 10002, 7, 3)
PIECES = (
    """
m=audio 4000 RTP/AVP 0 8 101|m=audio 4000 RTP/AVP 300 -1 x|m=audio 9 RTP/SAVP 0|m=audio 0 RTP/AVP 0|m=video 1 RTP/AVP 31
c=IN IP4 0.0.0.0|c=IN IP6 ::1|c=x|a=rtpmap:101 telephone-event/8000|a=rtpmap:0 PCMU/8000|a=rtpmap:x|a=rtpmap:999999 A/1
a=ptime:99|a=inactive|a=sendonly|b=AS:64|m=audio 4000 RTP/AVP 9 13 96 97|a=rtpmap:96 opus/48000/2
a=rtpmap:97 telephone-event/48000|a=fmtp:96 maxplaybackrate=16000|a=fmtp:x|a=maxptime:30
""".strip()
    .replace("\n", "|")
    .split("|")
)


def offered(*lines: str, head: str = HEAD) -> SessionDescription:
    return parse((head + "".join(line + "\r\n" for line in lines)).encode())


class Answering(TestCase):
    def test_a_plain_offer(self) -> None:
        agreed, body = answer(
            offered("m=audio 4000 RTP/AVP 8 0 96", "a=rtpmap:96 telephone-event/8000", "a=ptime:30"), OURS, LOCAL
        )
        self.assertEqual(agreed, Agreed("PCMU", 0, 96, "192.0.2.1", 4000, 30, "sendrecv", held=False))
        self.assertEqual(
            body.decode().splitlines(),
            ["v=0", "o=- 7 3 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0", "m=audio 10002 RTP/AVP 0 96",
             "a=rtpmap:0 PCMU/8000", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-15", "a=ptime:20", "a=sendrecv"],
        )  # fmt: skip

    def test_our_order_decides(self) -> None:
        agreed, _ = answer(offered("m=audio 4000 RTP/AVP 0 8"), Capabilities(("PCMA", "PCMU")), LOCAL)
        self.assertEqual((agreed.codec, agreed.payload_type, agreed.dtmf_payload_type), ("PCMA", 8, None))

    def test_codecs_go_by_name_not_by_number(self) -> None:
        agreed, body = answer(offered("m=audio 4000 RTP/AVP 110", "a=rtpmap:110 pcma/8000/1"), OURS, LOCAL)
        self.assertEqual((agreed.codec, agreed.payload_type), ("PCMA", 110))
        self.assertIn(b"a=rtpmap:110 PCMA/8000", body)
        with self.assertRaises(RemoteError):  # 0 is theirs to redefine, and so is no PCMU here
            answer(offered("m=audio 4000 RTP/AVP 0", "a=rtpmap:0 L16/8000"), OURS, LOCAL)

    def test_other_clocks_do_not_count(self) -> None:
        lines = ("m=audio 4000 RTP/AVP 0 100", "a=rtpmap:100 telephone-event/48000")
        self.assertIsNone(answer(offered(*lines), OURS, LOCAL)[0].dtmf_payload_type)
        self.assertRaises(RemoteError, answer, offered("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/16000"), OURS, LOCAL)
        self.assertRaises(RemoteError, answer, offered("m=audio 4000 RTP/AVP 96", "a=rtpmap:96 PCMU/8000/2"), OURS, LOCAL)

    def test_what_cannot_be_agreed_is_488(self) -> None:
        for lines in (
            ("m=audio 4000 RTP/AVP 18",),
            ("m=audio 4000 RTP/AVP 96",),
            ("m=audio 0 RTP/AVP 0",),
            ("m=video 4000 RTP/AVP 0",),
            ("m=audio 4000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"),
            ("m=audio 4000 RTP/AVP 0", "c=IN IP4 host.example"),
            ("m=audio 4000 RTP/AVP 0", "c=IN IP6 2001:db8::1"),
            ("m=audio 4000 RTP/AVP 0", "c=IN IP4 224.2.1.1/127"),
            (),
        ):
            with self.assertRaises(RemoteError) as caught:
                answer(offered(*lines), OURS, LOCAL)
            self.assertEqual(caught.exception.status, 488, lines)
        with self.assertRaises(RemoteError):
            answer(offered("m=audio 4000 RTP/AVP 0", head="v=0\r\no=- 1 1 IN IP4 x\r\n"), OURS, LOCAL)

    def test_other_media_are_refused_in_their_place(self) -> None:
        agreed, body = answer(
            offered("m=video 4002 RTP/AVP 31", "m=audio 4004 RTP/SAVP 0", "m=audio 4000 RTP/AVP 0", "m=image 4006 udptl t38"),
            OURS,
            LOCAL,
        )
        self.assertEqual(agreed.remote_port, 4000)
        self.assertEqual(
            [(m.kind, m.port) for m in parse(body).media], [("video", 0), ("audio", 0), ("audio", 10002), ("image", 0)]
        )

    def test_the_medias_own_address_wins(self) -> None:
        self.assertEqual(
            answer(offered("m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.77"), OURS, LOCAL)[0].remote_address, "192.0.2.77"
        )

    def test_directions_and_both_styles_of_hold(self) -> None:
        cases = [
            ((), "sendrecv", False),
            (("a=sendrecv",), "sendrecv", False),
            (("a=sendonly",), "recvonly", True),
            (("a=inactive",), "inactive", True),
            (("a=recvonly",), "sendonly", False),
            (("c=IN IP4 0.0.0.0",), "recvonly", True),
            (("c=IN IP4 0.0.0.0", "a=sendonly"), "recvonly", True),
            (("c=IN IP4 0.0.0.0", "a=recvonly"), "inactive", True),
            (("c=IN IP4 0.0.0.0", "a=inactive"), "inactive", True),
        ]
        for lines, direction, held in cases:
            agreed, body = answer(offered("m=audio 4000 RTP/AVP 0", *lines), OURS, LOCAL)
            self.assertEqual((agreed.direction, agreed.held), (direction, held), lines)
            self.assertEqual(parse(body).media[0].attributes(direction), ("",))

    def test_a_session_level_direction_holds_for_its_media(self) -> None:
        self.assertTrue(answer(offered("m=audio 4000 RTP/AVP 0", head=HEAD + "a=sendonly\r\n"), OURS, LOCAL)[0].held)
        self.assertFalse(
            answer(offered("m=audio 4000 RTP/AVP 0", "a=sendrecv", head=HEAD + "a=sendonly\r\n"), OURS, LOCAL)[0].held
        )

    def test_odd_packet_times_become_20_ms(self) -> None:
        for text, ms in {
            "10": 10,
            "60": 60,
            " 40": 40,
            "61": 20,
            "9": 20,
            "0": 20,
            "-20": 20,
            "x": 20,
            "9999999999": 20,
            "20.5": 20,
            "": 20,
        }.items():
            self.assertEqual(answer(offered("m=audio 4000 RTP/AVP 0", f"a=ptime:{text}"), OURS, LOCAL)[0].ptime_ms, ms, text)


class Offering(TestCase):
    def test_our_offer_answered_by_ourselves(self) -> None:
        theirs, body = answer(parse(offer(OURS, LOCAL)), Capabilities(("PCMA",)), Local("192.0.2.5", 6000, 1, 1))
        self.assertEqual((theirs.remote_address, theirs.remote_port), ("198.51.100.7", 10002))
        expected = Agreed("PCMA", 8, 101, "192.0.2.5", 6000, noise_payload_type=13, mux=True, metrics=True)
        self.assertEqual(accept(parse(body), OURS), expected)

    def test_an_offer_without_dtmf(self) -> None:
        self.assertNotIn(b"telephone-event", offer(Capabilities(("PCMU",), dtmf=False), LOCAL))

    def test_the_answerers_first_codec_holds(self) -> None:
        self.assertEqual(accept(offered("m=audio 4000 RTP/AVP 8 0"), OURS).codec, "PCMA")

    def test_answers_that_do_not_fit(self) -> None:
        for lines in (("m=audio 0 RTP/AVP 0",), ("m=audio 4000 RTP/AVP 18",), ()):
            with self.assertRaises(RemoteError) as caught:
                accept(offered(*lines), OURS)
            self.assertEqual(caught.exception.status, 488)

    @given(st.lists(st.sampled_from(PIECES), max_size=12))
    @settings(max_examples=150, deadline=None)
    def test_any_offer_is_answered_section_by_section_or_488(self, lines: list[str]) -> None:
        description = offered(*lines)
        try:
            agreed, body = answer(description, OURS, LOCAL)
        except RemoteError as error:
            self.assertEqual(error.status, 488)
            return
        answered = parse(body)
        self.assertEqual([m.kind for m in answered.media], [m.kind for m in description.media])
        self.assertEqual([m.port for m in answered.media if m.port], [LOCAL.port])
        self.assertEqual(answered.media[[bool(m.port) for m in answered.media].index(True)].formats[0], str(agreed.payload_type))


class SharedPort(TestCase):
    """RTCP on RTP's port (RFC 5761 5.1.1): answered when offered, offered by us, agreed on by both."""

    WIDE, ALONE = Capabilities(("PCMU",)), Capabilities(("PCMU",), mux=False)

    def test_answers(self) -> None:
        for capabilities, lines, agreed in (
            (self.WIDE, ("a=rtcp-mux",), True),
            (self.WIDE, (), False),
            (self.ALONE, ("a=rtcp-mux",), False),
        ):
            found, body = answer(offered("m=audio 4000 RTP/AVP 0", *lines), capabilities, LOCAL)
            self.assertEqual((found.mux, b"a=rtcp-mux" in body), (agreed, agreed))

    def test_offers(self) -> None:
        self.assertIn(b"a=rtcp-mux", offer(self.WIDE, LOCAL))
        self.assertNotIn(b"a=rtcp-mux", offer(self.ALONE, LOCAL))
        self.assertTrue(accept(offered("m=audio 4000 RTP/AVP 0", "a=rtcp-mux"), self.WIDE).mux)
        self.assertFalse(accept(offered("m=audio 4000 RTP/AVP 0"), self.WIDE).mux)


class Reports(TestCase):
    """Where the peer wants RTCP (RFC 3605), and whether with VoIP metrics (RFC 3611 5)."""

    def test_where_rtcp_goes(self) -> None:
        for line, control in (
            ("a=ptime:20", None),
            ("a=rtcp:5001", ("192.0.2.1", 5001)),
            ("a=rtcp:53020 IN IP4 126.16.64.4", ("126.16.64.4", 53020)),
            ("a=rtcp:53020 IN IP6 2001:db8::9", None),  # there is no socket to send there
            ("a=rtcp:0", None),
            ("a=rtcp:70000", None),
            ("a=rtcp:5001 IN IP4 224.2.17.12", None),
            ("a=rtcp:5001 IN IP4 pbx.example.com", None),
            ("a=rtcp:", None),
        ):
            agreed, _ = answer(offered("m=audio 4000 RTP/AVP 0", line), OURS, LOCAL)
            self.assertEqual(agreed.control, control, line)

    def test_metrics_are_offered_and_answered_when_offered(self) -> None:
        self.assertIn(b"a=rtcp-xr:voip-metrics\r\n", offer(OURS, LOCAL))
        for line, wanted in (
            ("a=rtcp-xr:voip-metrics", True),
            ("a=rtcp-xr:rcvr-rtt=all:10 voip-metrics", True),
            ("a=rtcp-xr:stat-summary=loss", False),
            ("a=rtcp-xr:", False),
            ("a=ptime:20", False),
        ):
            agreed, body = answer(offered("m=audio 4000 RTP/AVP 0", line), OURS, LOCAL)
            self.assertEqual((agreed.metrics, b"a=rtcp-xr:voip-metrics" in body), (wanted, wanted), line)
        at_session_level = HEAD + "a=rtcp-xr:voip-metrics\r\n"
        self.assertTrue(answer(offered("m=audio 4000 RTP/AVP 0", head=at_session_level), OURS, LOCAL)[0].metrics)
