"""Cutting a stream: the same messages however it arrives, and no following what cannot be trusted."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.framing import PING, PONG, StreamFramer
from smartalex.sip.message import MAX_MESSAGE


def message(body: bytes = b"", header: bytes = b"Content-Length") -> bytes:
    return b"OPTIONS sip:h SIP/2.0\r\n%b: %d\r\nX: y\r\n\r\n%b" % (header, len(body), body)


BAD = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: x\r\n\r\n"


def frame(chunks: list[bytes]) -> tuple[list[bytes], int]:
    """What a framer finds in these chunks, and the status it gives up with (0: it does not)."""
    framer, found = StreamFramer(), []
    try:
        for chunk in chunks:
            for piece in framer.feed(chunk):
                found.append(piece)
    except RemoteError as error:
        return found, error.status
    return found, 0


class Cutting(TestCase):
    def test_messages_follow_each_other(self) -> None:
        first, second = message(b"a\r\n\r\nb"), message(header=b"l")
        self.assertEqual(frame([first + second]), ([first, second], 0))

    def test_without_content_length_there_is_no_body(self) -> None:
        head = b"OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r\n"
        self.assertEqual(frame([head + head]), ([head, head], 0))

    def test_a_double_line_end_between_messages_is_a_ping(self) -> None:
        self.assertEqual(frame([PING + message() + PING + PING]), ([PING, message(), PING, PING], 0))

    def test_a_single_line_end_before_a_message_is_ignored(self) -> None:
        self.assertEqual(frame([b"\r\n" + message()]), ([message()], 0))

    def test_a_folded_content_length(self) -> None:
        folded = b"OPTIONS sip:h SIP/2.0\r\nContent-Length:\r\n\t 3\r\n\r\nabc"
        self.assertEqual(frame([folded]), ([folded], 0))

    def test_what_comes_before_a_fault_is_still_found(self) -> None:
        framer = StreamFramer()
        found = []
        with self.assertRaises(RemoteError):
            for piece in framer.feed(message() + BAD + message()):
                found.append(piece)
        self.assertEqual(found, [message()])
        self.assertTrue(framer.rest().startswith(BAD))

    def test_lengths_that_cannot_be_trusted(self) -> None:
        for value in (b"-1", b"+1", b"0x1", b"1 1", b"", b"9" * 10, b"1\r\nl: 2"):
            self.assertEqual(frame([BAD.replace(b"x", value, 1)])[1], 400, value)

    def test_too_much(self) -> None:
        self.assertEqual(frame([BAD.replace(b"x", b"%d" % MAX_MESSAGE)])[1], 513)
        self.assertEqual(frame([b"x" * (MAX_MESSAGE + 1)])[1], 513)
        self.assertEqual(frame([b"x" * 40_000, b"x" * 40_000])[1], 513)

    def test_empty_between_messages(self) -> None:
        framer = StreamFramer()
        self.assertEqual((list(framer.feed(message()[:20])), framer.empty), ([], False))
        self.assertEqual((list(framer.feed(message()[20:])), framer.empty), ([message()], True))

    def test_a_line_end_is_not_yet_a_message(self) -> None:
        framer = StreamFramer()
        for byte in PING[:3]:
            self.assertEqual((list(framer.feed(bytes((byte,)))), framer.empty), ([], True))
        self.assertEqual((list(framer.feed(b"\nO")), framer.empty), ([PING], False))

    def test_a_pong_only_after_a_ping_of_ours(self) -> None:
        framer = StreamFramer()
        self.assertEqual((framer.ping(), framer.pong()), (PING, PONG))
        self.assertEqual(list(framer.feed(PONG)), [PONG])
        self.assertEqual(list(framer.feed(PONG)), [])
        self.assertEqual(list(framer.feed(PONG + message())), [PING, message()])

    def test_their_ping_crossing_ours(self) -> None:
        framer = StreamFramer()
        framer.ping()
        self.assertEqual([*framer.feed(PING), *framer.feed(PONG), *framer.feed(message())], [PONG, PING, message()])

    @given(
        st.lists(st.sampled_from((message(), message(b"\r\n\r\nSIP"), message(b"x" * 50, b"L"), PING, BAD)), max_size=6),
        st.lists(st.integers(1, 60), max_size=30),
    )
    def test_however_the_stream_is_cut(self, pieces: list[bytes], cuts: list[int]) -> None:
        stream = b"".join(pieces)
        chunks, at = [], 0
        for length in cuts:
            chunks.append(stream[at : at + length])
            at += length
        whole = frame([stream])
        self.assertEqual(frame([*chunks, stream[at:]]), whole)
        self.assertEqual(frame([stream[i : i + 1] for i in range(len(stream))]), whole)
        good = pieces[: pieces.index(BAD)] if BAD in pieces else pieces
        self.assertEqual(whole, (good, 400 if BAD in pieces else 0))

    @given(st.binary(max_size=100) | st.text("\r\n:lL 1-").map(str.encode), st.integers(1, 7))
    def test_any_bytes_are_framed_the_same_in_pieces(self, stream: bytes, size: int) -> None:
        self.assertEqual(frame([stream[i : i + size] for i in range(0, len(stream), size)]), frame([stream]))
