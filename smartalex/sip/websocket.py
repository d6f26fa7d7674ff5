"""SIP in WebSockets, the server's side of them (RFC 7118, RFC 6455): a SIP message in each WebSocket message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, RemoteProtocolError

from smartalex.errors import RemoteError
from smartalex.sip.framing import PING, PONG
from smartalex.sip.message import MAX_MESSAGE

SUBPROTOCOL = "sip"
MAX_FRAGMENTS = 256


class WebSocketFramer:
    """Feed it bytes as they come, handshake and all; what it returns as bytes is to be sent.

    A browser has to come from one of `origins`, unless there are none; who names no origin is no browser.
    """

    __slots__ = ("_answer", "_begun", "_fragments", "_message", "_origins", "_outgoing", "_socket", "over")

    def __init__(self, origins: tuple[str, ...] = ()) -> None:
        self.over = False
        self._origins = [origin.lower() for origin in origins]
        self._socket = WSConnection(ConnectionType.SERVER)
        self._message = bytearray()
        self._begun = False
        self._fragments = 0
        self._outgoing = b""
        self._answer = b""

    @property
    def open(self) -> bool:
        return self._socket.state is ConnectionState.OPEN

    @property
    def empty(self) -> bool:
        return not self._begun

    def rest(self) -> bytes:
        """Nothing: what is not a whole WebSocket message is no SIP message either."""
        return b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Complete messages, PINGs and PONGs, then RemoteError when the WebSocket can no longer be followed."""
        if self.over or not data:
            return
        try:
            self._socket.receive_data(data)
            for event in self._socket.events():
                yield from self._pieces(event)
                if self.over:
                    return
        except RemoteProtocolError as error:
            self._reject(error.event_hint)
        except (ProtocolError, ValueError):  # wsproto decodes some headers without looking
            self._reject(None)

    def replies(self) -> bytes:
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def wrap(self, message: bytes) -> bytes:
        """As text where it is text, since that is what scripts expect."""
        try:
            return self._frame(TextMessage(message.decode()))
        except UnicodeDecodeError:
            return self._frame(BytesMessage(message))

    def ping(self) -> bytes:
        return self._frame(Ping())

    def pong(self) -> bytes:
        """The answer to the PING that `feed` returned last."""
        return self._answer

    def goodbye(self) -> bytes:
        return self._frame(CloseConnection(CloseReason.GOING_AWAY))

    def _frame(self, event: Event) -> bytes:
        return self.replies() + self._socket.send(event) if self.open else b""

    # ------------------------------------------------------------------ what comes in

    def _pieces(self, event: Event) -> Iterator[bytes]:
        if isinstance(event, Message):
            yield from self._part(event)
        elif isinstance(event, Ping):
            self._answer = self._frame(event.response())
            yield PING
        elif isinstance(event, Pong):
            yield PONG
        elif isinstance(event, Request):
            self._shake_hands(event)
        elif isinstance(event, CloseConnection):
            self._closed(event)

    def _part(self, part: Message[Any]) -> Iterator[bytes]:
        self._begun = True
        self._message += part.data.encode() if isinstance(part.data, str) else part.data
        self._fragments += part.frame_finished
        if len(self._message) > MAX_MESSAGE or self._fragments > MAX_FRAGMENTS:
            self._outgoing += self._frame(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
            raise RemoteError(513, "Message Too Large")
        if part.message_finished:
            message = bytes(self._message)
            self._message.clear()
            self._begun, self._fragments = False, 0
            yield self._keepalive(message) or message

    def _keepalive(self, message: bytes) -> bytes:
        """RFC 5626's line ends, which scripts send since they cannot send WebSocket pings."""
        if message.strip(b"\r\n"):
            return b""
        self._answer = self._frame(TextMessage(PONG.decode()))
        return PING if PING in message else PONG

    def _closed(self, event: CloseConnection) -> None:
        """They say goodbye, or broke the rules: then wsproto has made this event, with the reason to give."""
        broken = self.open
        self._outgoing += self._socket.send(event.response())
        self.over = True
        if broken:
            raise RemoteError(400, "Bad WebSocket")

    # ------------------------------------------------------------------ the handshake

    def _shake_hands(self, request: Request) -> None:
        origins = [value.decode("latin-1").lower() for name, value in request.extra_headers if name.lower() == b"origin"]
        if self._origins and any(origin not in self._origins for origin in origins):
            self._reject(RejectConnection(status_code=403))
        elif SUBPROTOCOL not in request.subprotocols:
            self._reject(RejectConnection(status_code=400))
        else:
            self._outgoing += self._socket.send(AcceptConnection(subprotocol=SUBPROTOCOL))

    def _reject(self, answer: Event | None) -> None:
        self.over = True
        try:
            self._outgoing += self._socket.send(answer or RejectConnection(status_code=400))
        except ProtocolError:
            pass  # not even an answer is possible
