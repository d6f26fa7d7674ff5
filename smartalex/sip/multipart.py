"""Bodies in parts, such as SDP with ISUP or a location beside it (RFC 2046 5.1, RFC 5621)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import parse_params, unquote
from smartalex.sip.message import Headers, Message, media_type, read_headers
from smartalex.sip.uri import Params

MOST_PARTS = 16
DEEPEST = 2
LONGEST_BOUNDARY = 70

SDP = "application/sdp"
PLAIN = "text/plain"
IDENTITIES = ("", "7bit", "8bit", "binary")
"""Values of Content-Transfer-Encoding that change nothing."""

_LINE_END = re.compile(rb"\r?\n")
_BLANK_LINE = re.compile(rb"\r?\n(?:\r?\n|\Z)")


@attrs.frozen
class Part:
    """`content_type` is in lower case without parameters; `body` is as it came, whatever its transfer encoding."""

    content_type: str
    headers: Headers
    body: bytes

    @property
    def identity(self) -> bool:
        """The body needs no decoding."""
        return (self.headers.get("Content-Transfer-Encoding") or "").lower() in IDENTITIES

    @property
    def required(self) -> bool:
        """Who cannot read this part must not act on the others (RFC 3204 6); said, not merely left to the default."""
        _, semicolon, tail = (self.headers.get("Content-Disposition") or "").partition(";")
        return bool(semicolon) and (_param(parse_params(tail), "handling") or "").lower() == "required"


def parts(content_type: str, body: bytes) -> list[Part]:
    """What a multipart body holds, in order, with the parts of a multipart part in its place.

    `content_type` is the header's whole value.  Lines may end in LF alone.  Raises RemoteError(400) for what has no
    boundary, no part or no end, and for more than MOST_PARTS, or DEEPEST one inside the other.
    """
    found = list(_leaves(content_type, body, DEEPEST))
    if len(found) > MOST_PARTS:
        raise RemoteError(400, "Too Many Body Parts")
    return found


def unwrap(message: Message) -> None:
    """Put the session description out of a multipart body in that body's place; without one the message stays as it is.

    Of alternatives the last is the best (RFC 2046 5.1.4), else the first is meant.  Raises RemoteError(400).
    """
    kind = message.content_type
    if not kind.startswith("multipart/"):
        return
    found = parts(message.headers.get("Content-Type") or "", message.body)
    described = [part for part in found if part.content_type == SDP and part.identity]
    if described and not any(part.required and part.content_type != SDP for part in found):
        message.body = described[-1 if kind == "multipart/alternative" else 0].body
        message.headers.set("Content-Type", SDP)


def _leaves(content_type: str, body: bytes, depth: int) -> Iterator[Part]:
    if not depth:
        raise RemoteError(400, "Body Parts Too Deep")
    for chunk in _split(_boundary(content_type), body):
        part = _read(chunk)
        if part.content_type.startswith("multipart/"):
            yield from _leaves(part.headers.get("Content-Type") or "", part.body, depth - 1)
        else:
            yield part


def _boundary(content_type: str) -> bytes:
    boundary = unquote(_param(parse_params(content_type.partition(";")[2]), "boundary") or "")
    if not 1 <= len(boundary) <= LONGEST_BOUNDARY or boundary[-1] == " ":
        raise RemoteError(400, "No Boundary")
    return boundary.encode("utf-8", "surrogateescape")


def _split(boundary: bytes, body: bytes) -> list[bytes]:
    """What stands between the delimiter lines, each with the end of the line before it."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    chunks: list[bytes] = []
    start = None
    for found in delimiter.finditer(body):
        if start is not None:
            chunks.append(body[start : found.start()])
        start = found.end()
        if found[1] is not None and chunks:
            return chunks
        if found[1] is not None or len(chunks) > MOST_PARTS:
            break
    raise RemoteError(400, "Too Many Body Parts" if len(chunks) > MOST_PARTS else "No Whole Body Part")


def _read(chunk: bytes) -> Part:
    chunk = _LINE_END.sub(b"", chunk, count=1)
    if _LINE_END.match(chunk):
        head, body = b"", _LINE_END.sub(b"", chunk, count=1)
    else:
        head, body = (*_BLANK_LINE.split(chunk, maxsplit=1), b"")[:2]
    rows: list[tuple[str, str, str]] = []
    if head:
        read_headers(_LINE_END.sub(b"\r\n", head).decode("utf-8", "surrogateescape"), rows)
    headers = Headers.of_rows(rows)
    return Part(media_type(headers.get("Content-Type") or PLAIN), headers, body)


def _param(params: Params, name: str) -> str | None:
    return next((value for key, value in params if key == name), None)
