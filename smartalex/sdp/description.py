"""Session descriptions as values (RFC 8866): parsed leniently, kept whole, written strictly."""

from __future__ import annotations

import re

import attrs

from smartalex.errors import RemoteError

MAX_BYTES = 64 * 1024
MAX_MEDIA = 32
MAX_ATTRIBUTES = 256

Line = tuple[str, str]
"""(type letter, value), such as ("a", "sendrecv")."""

_LINE = re.compile(r"([a-z])=([^\r\x00]*)")
_PORT = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")


def _attributes(lines: tuple[Line, ...], name: str) -> tuple[str, ...]:
    """Values of every a=name in order; a flag (a=sendrecv) has the value ""."""
    found = (value.partition(":") for letter, value in lines if letter == "a")
    return tuple(value for key, _, value in found if key == name)


def _connection(lines: tuple[Line, ...]) -> str | None:
    """The address of the c= line without TTL or count, or None where there is no usable line."""
    for letter, value in lines:
        fields = value.split()
        if letter == "c" and len(fields) == 3 and fields[0] == "IN":
            return fields[2].partition("/")[0]
    return None


@attrs.frozen
class Media:
    """One m= section; `lines` is everything below its m= line, in order, known or not."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[Line, ...] = attrs.field(default=(), repr=False)  # there may be keys among them
    port_count: int = 1

    @property
    def address(self) -> str | None:
        """The media-level connection address, or None (then the session's holds)."""
        return _connection(self.lines)

    def attributes(self, name: str) -> tuple[str, ...]:
        """Values of every a=name of this section; "" for a flag."""
        return _attributes(self.lines, name)

    @classmethod
    def parse(cls, value: str) -> Media:
        """The value of an m= line, still without lines."""
        fields = value.split()
        port = _PORT.fullmatch(fields[1]) if len(fields) >= 4 else None
        if port is None or int(port[1]) > 65535:
            raise RemoteError(400, "malformed m= line")
        return cls(fields[0], int(port[1]), fields[2], tuple(fields[3:]), port_count=int(port[2] or 1))

    def _written(self) -> list[Line]:
        port = str(self.port) if self.port_count == 1 else f"{self.port}/{self.port_count}"
        return [("m", " ".join((self.kind, port, self.protocol, *self.formats))), *self.lines]


@attrs.frozen
class SessionDescription:
    """`lines` is the session part in order, from v= on; `media` the sections in order."""

    lines: tuple[Line, ...] = attrs.field(repr=False)
    media: tuple[Media, ...] = ()

    @property
    def address(self) -> str | None:
        """The session-level connection address."""
        return _connection(self.lines)

    def attributes(self, name: str) -> tuple[str, ...]:
        """Values of every session-level a=name; "" for a flag."""
        return _attributes(self.lines, name)

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Raises RemoteError(400) for what is no description, or is beyond the limits of this module.

        Line ends may be CRLF or LF; s= and t= may be missing, as some peers have it.
        Bytes that are not UTF-8 survive a round trip.
        """
        sections = _sections(_split(body))
        session = tuple(sections[0])
        if not session or session[0] != ("v", "0"):
            raise RemoteError(400, "SDP does not begin with v=0")
        if not any(letter == "o" for letter, _ in session):
            raise RemoteError(400, "SDP without o= line")
        return cls(session, tuple(_media(section) for section in sections[1:]))

    def to_bytes(self) -> bytes:
        lines = [*self.lines]
        for media in self.media:
            lines += media._written()
        return "".join(f"{letter}={value}\r\n" for letter, value in lines).encode("utf-8", "surrogateescape")


def _split(body: bytes) -> list[Line]:
    if len(body) > MAX_BYTES:
        raise RemoteError(400, "SDP too long")
    found = []
    for text in body.decode("utf-8", "surrogateescape").split("\n"):
        text = text.removesuffix("\r")
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is None:
            raise RemoteError(400, "malformed SDP line")
        found.append((match[1], match[2]))
    if sum(letter == "a" for letter, _ in found) > MAX_ATTRIBUTES:
        raise RemoteError(400, "too many SDP attributes")
    return found


def _sections(lines: list[Line]) -> list[list[Line]]:
    """The session part, then one list per m= line."""
    sections: list[list[Line]] = [[]]
    for line in lines:
        if line[0] == "m":
            sections.append([])
        sections[-1].append(line)
    if len(sections) > MAX_MEDIA + 1:
        raise RemoteError(400, "too many m= lines")
    return sections


def _media(section: list[Line]) -> Media:
    return attrs.evolve(Media.parse(section[0][1]), lines=tuple(section[1:]))


parse = SessionDescription.parse
