"""Cutting a byte stream into SIP messages (RFC 3261 18.3) and keepalives (RFC 5626 3.5.1)."""

from __future__ import annotations

from collections.abc import Iterator

from smartalex.errors import RemoteError
from smartalex.sip.message import MAX_MESSAGE

PING = b"\r\n\r\n"
"""What `feed` returns for a double CRLF between messages; the answer is a PONG."""
PONG = b"\r\n"


class StreamFramer:
    """Feed it bytes as they come; each message is looked at once, however it was cut."""

    __slots__ = ("_buffer", "_pong_due", "_scanned", "_wanted")

    open = True
    over = False

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._pong_due = False
        self._scanned = 0
        self._wanted = 0

    @property
    def empty(self) -> bool:
        """No message has begun; a line end is none yet."""
        return PING.startswith(self._buffer)

    def rest(self) -> bytes:
        """What has not been cut: after an error, the message that could not be followed."""
        return bytes(self._buffer)

    def wrap(self, message: bytes) -> bytes:
        return message

    def replies(self) -> bytes:
        return b""

    def ping(self) -> bytes:
        """What to send as a ping; the single CRLF that comes next is its answer."""
        self._pong_due = True
        return PING

    def pong(self) -> bytes:
        return PONG

    def goodbye(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Complete messages, PINGs and awaited PONGs, then RemoteError when the stream can no longer be followed."""
        self._buffer += data
        while (piece := self._next()) is not None:
            yield piece
        if len(self._buffer) > MAX_MESSAGE:
            raise RemoteError(513, "Message Too Large")

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not self._wanted:
            if self._pong_due and buffer.startswith(PONG):
                self._pong_due = False
                del buffer[:2]
                return PONG
            if buffer.startswith(PING):
                del buffer[:4]
                return PING
            if buffer.startswith(b"\r\n") and bytes(buffer[2:4]) not in (b"", b"\r"):
                del buffer[:2]  # a stray CRLF before a message (RFC 3261 7.5)
            if buffer.startswith(b"\r\n"):
                return None
            end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
            if end < 0:
                self._scanned = len(buffer)
                return None
            self._wanted = end + 4 + content_length(bytes(buffer[:end]))
            if self._wanted > MAX_MESSAGE:
                raise RemoteError(513, "Message Too Large")
        if len(buffer) < self._wanted:
            return None
        message = bytes(buffer[: self._wanted])
        del buffer[: self._wanted]
        self._wanted = self._scanned = 0
        return message


def content_length(head: bytes) -> int:
    """The Content-Length of these header bytes, 0 when absent; raises RemoteError(400) where it cannot be trusted."""
    lengths = set()
    if b"\r\n " in head or b"\r\n\t" in head:
        head = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l"):
            value = value.strip()
            if not value.isdigit() or len(value) > 9:
                raise RemoteError(400, "Bad Content-Length")
            lengths.add(int(value))
    if len(lengths) > 1:
        raise RemoteError(400, "Two Content-Lengths")
    return lengths.pop() if lengths else 0
