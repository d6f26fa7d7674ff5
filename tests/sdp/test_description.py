from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sdp.description import MAX_ATTRIBUTES, MAX_BYTES, MAX_MEDIA, Media, SessionDescription, parse

OFFER = (
    b"v=0\r\no=alice 2890844526 2890844526 IN IP4 host.example\r\ns= \r\nc=IN IP4 192.0.2.1/127\r\nt=0 0\r\nk=clear:x\r\n"
    b"a=group:X\r\n"
    b"m=audio 49170/2 RTP/AVP 0 8\r\nc=IN IP4 192.0.2.9\r\na=rtpmap:0 PCMU/8000\r\na=sendonly\r\nm=video 0 RTP/AVP 31\r\n"
)

text = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
word = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
line = st.tuples(st.sampled_from("abciktuz"), text)
media = st.builds(
    Media,
    kind=word,
    port=st.integers(0, 65535),
    protocol=word,
    formats=st.lists(word, min_size=1, max_size=4).map(tuple),
    lines=st.lists(line, max_size=5).map(tuple),
    port_count=st.integers(1, 9),
)
descriptions = st.builds(
    lambda rest, media: SessionDescription((("v", "0"), ("o", "- 1 1 IN IP4 192.0.2.1"), *rest), tuple(media)),
    st.lists(line, max_size=6),
    st.lists(media, max_size=4),
)


class Description(TestCase):
    def test_the_parts_of_a_description(self) -> None:
        found = parse(OFFER)
        self.assertEqual(found.address, "192.0.2.1")
        self.assertEqual(found.attributes("group"), ("X",))
        audio, video = found.media
        self.assertEqual((audio.kind, audio.port, audio.port_count, audio.protocol), ("audio", 49170, 2, "RTP/AVP"))
        self.assertEqual(audio.formats, ("0", "8"))
        self.assertEqual(audio.address, "192.0.2.9")
        self.assertEqual(audio.attributes("rtpmap"), ("0 PCMU/8000",))
        self.assertEqual(audio.attributes("sendonly"), ("",))
        self.assertIsNone(video.address)

    def test_unknown_lines_and_order_are_kept(self) -> None:
        self.assertEqual(parse(OFFER).to_bytes(), OFFER)

    def test_bare_line_feeds_and_foreign_bytes_are_read(self) -> None:
        found = parse(b"v=0\no=- 1 1 IN IP4 192.0.2.1\ns=caf\xe9\n\n")
        self.assertIn(b"s=caf\xe9\r\n", found.to_bytes())

    def test_limits(self) -> None:
        head = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
        parse(head + b"m=audio 1 RTP/AVP 0\r\n" * MAX_MEDIA)
        parse(head + b"a=x\r\n" * MAX_ATTRIBUTES)
        for body in (
            head + b"m=audio 1 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
            head + b"a=x\r\n" * (MAX_ATTRIBUTES + 1),
            head + b"s=" + b"x" * MAX_BYTES,
        ):
            with self.assertRaises(RemoteError) as caught:
                parse(body)
            self.assertEqual(caught.exception.status, 400)

    def test_what_is_no_description(self) -> None:
        head = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
        for body in (
            b"",
            b"v=1\r\no=x\r\n",
            b"o=x\r\nv=0\r\n",
            b"v=0\r\n",
            head + b"nonsense\r\n",
            head + b"a=x\0\r\n",
            head + b"a=x\ry\r\n",
        ):
            self.assertRaises(RemoteError, parse, body)
        for bad in (
            b"m=audio x RTP/AVP 0",
            b"m=audio 70000 RTP/AVP 0",
            b"m=audio 1 RTP/AVP",
            b"m=",
            "m=audio ٣ RTP/AVP 0".encode(),
        ):
            self.assertRaises(RemoteError, parse, head + bad + b"\r\n")

    @given(descriptions)
    @settings(max_examples=100, deadline=None)
    def test_written_and_read_again(self, description: SessionDescription) -> None:
        self.assertEqual(parse(description.to_bytes()), description)

    @given(st.binary(max_size=200), st.integers(0, len(OFFER)), st.integers(0, 20))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes_raise_remote_error_only(self, junk: bytes, at: int, cut: int) -> None:
        for body in (junk, OFFER[:at] + junk[:30] + OFFER[at + cut :]):
            try:
                parse(body)
            except RemoteError as error:
                self.assertEqual(error.status, 400)
