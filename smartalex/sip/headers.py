"""Header values with structure: addresses, Via, CSeq, authentication parameters (RFC 3261 20, 25)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.uri import Params, Uri, parse_host_port

COOKIE = "z9hG4bK"
"""How a branch begins that was made by RFC 3261's rules (8.1.1.7)."""

MAX_SEQUENCE = 2**31 - 1
MAX_AUTH_PARAMS = 32

_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL).match


@attrs.frozen
class Peer:
    """Where a message came from or goes to: transport 'udp', 'tcp' or 'tls', a numeric address, a port."""

    transport: str
    host: str
    port: int


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split where `separator` stands outside quotes and angle brackets; empty parts are left out."""
    if separator not in text:
        text = text.strip()
        return [text] if text else []
    return [part for part in map(str.strip, _split(text, separator)) if part]


def _split(text: str, separator: str) -> list[str]:
    """One pass over the text."""
    if '"' not in text and (separator == ";" or "<" not in text):
        return text.split(separator)
    parts, start, quoted, angle, escaped = [], 0, False, False, False
    for index, char in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char == "<":
            angle = True
        elif char == ">":
            angle = False
        elif char == separator and not angle:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    return parts


def parse_params(text: str) -> Params:
    """What follows the first semicolon: "a=b;c" -> (("a", "b"), ("c", None)); quoted values stay quoted.

    One semicolon too many at the end is let pass; raises RemoteError(400) for a parameter without a name.
    """
    parts = _split(text, ";")
    if not parts[-1].strip():
        parts.pop()
    params: list[tuple[str, str | None]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip()
        if not name:
            raise RemoteError(400, "Bad Parameter")
        params.append((name.lower(), value.strip() if equals else None))
    return tuple(params)


def write_params(params: Params) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def unquote(text: str) -> str:
    """A quoted-string's content, or the text itself."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
        if "\\" in text:
            text = _unescape(text)
    return text


def _unescape(text: str) -> str:
    out, escaped = [], False
    for char in text:
        if char == "\\" and not escaped:
            escaped = True
        else:
            out.append(char)
            escaped = False
    return "".join(out)


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _param(params: Params, name: str) -> str | None:
    for key, value in params:
        if key == name:
            return value or ""
    return None


@attrs.frozen
class NameAddr:
    """An address of From, To, Contact, Refer-To, P-Asserted-Identity...; `display` is unquoted, '' when absent."""

    display: str
    uri: Uri
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """name-addr or addr-spec with parameters; raises RemoteError(400)."""
        text = text.strip()
        display = ""
        if text.startswith('"'):
            end = _end_of_quoted(text)
            display, text = unquote(text[: end + 1]), text[end + 1 :].lstrip()
            if not text.startswith("<"):
                raise RemoteError(400, "Bad Address")
        if "<" not in text:
            # addr-spec without brackets: its parameters are the header's (RFC 3261 20)
            spec, semicolon, tail = text.partition(";")
            if ">" in spec:
                raise RemoteError(400, "Bad Address")
            return cls(display, Uri.parse(spec.strip()), parse_params(tail) if semicolon else ())
        name, _, rest = text.partition("<")
        spec, closed, tail = rest.partition(">")
        tail = tail.lstrip()
        if not closed or (tail and tail[0] != ";"):
            raise RemoteError(400, "Bad Address")
        return cls(display or name.strip(), Uri.parse(spec.strip()), parse_params(tail[1:]) if tail else ())

    @property
    def tag(self) -> str | None:
        return _param(self.params, "tag")

    def param(self, name: str) -> str | None:
        return _param(self.params, name)

    def with_tag(self, tag: str) -> NameAddr:
        return NameAddr(self.display, self.uri, (*[p for p in self.params if p[0] != "tag"], ("tag", tag)))

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{write_params(self.params)}"


def _end_of_quoted(text: str) -> int:
    found = _QUOTED(text)
    if found is None:
        raise RemoteError(400, "Unbalanced Quotes")
    return found.end() - 1


@attrs.frozen
class Via:
    """One Via: `transport` as written ('UDP'), sent-by, parameters (RFC 3261 20.42, RFC 3581)."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """Raises RemoteError(400)."""
        head, semicolon, tail = text.partition(";")
        transport, _, sent_by = head[8:].partition(" ")
        if head[:8] != "SIP/2.0/" or not transport.isalnum() or " " in sent_by or "\t" in sent_by:
            transport, sent_by = _spaced(head.replace("\t", " "))
        host, port = parse_host_port(sent_by)
        if ";;" in text:
            tail = ";".join(split_list(tail, ";"))  # a refusal has to find its way back all the same
        return cls(transport, host, port, parse_params(tail) if semicolon else ())

    @property
    def branch(self) -> str:
        return _param(self.params, "branch") or ""

    @property
    def received(self) -> str | None:
        return _param(self.params, "received")

    def param(self, name: str) -> str | None:
        """A parameter's value, '' for a flag, None when absent."""
        return _param(self.params, name)

    @property
    def rport(self) -> str | None:
        """The port, '' when the parameter has no value yet, None when absent."""
        return _param(self.params, "rport")

    @property
    def sent_by(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def with_param(self, name: str, value: str | None) -> Via:
        """Set a parameter, in its place when it is there."""
        if any(key == name for key, _ in self.params):
            params = tuple([(k, value if k == name else v) for k, v in self.params])
        else:
            params = (*self.params, (name, value))
        return Via(self.transport, self.host, self.port, params)

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{write_params(self.params)}"


def _spaced(head: str) -> tuple[str, str]:
    """Transport and sent-by of "SIP / 2.0 / UDP host : port": white space is legal there (RFC 4475 3.1.1.1)."""
    name, _, rest = head.partition("/")
    version, _, rest = rest.partition("/")
    transport, _, sent_by = rest.strip().partition(" ")
    if name.strip().upper() != "SIP" or not version.strip()[:1].isdigit() or not transport:
        raise RemoteError(400, "Bad Via")
    return transport, ":".join(map(str.strip, sent_by.split(":")))


@attrs.frozen
class CSeq:
    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Raises RemoteError(400); the number is below 2**31 (RFC 3261 8.1.1.5)."""
        parts = text.split(None, 1)
        if len(parts) != 2:
            raise RemoteError(400, "Bad CSeq")
        number, method = parts
        if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) <= MAX_SEQUENCE):
            raise RemoteError(400, "Bad CSeq")
        return cls(int(number), method.rstrip())

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@attrs.frozen
class AuthParams:
    """Authorization, WWW-Authenticate and their proxy twins: scheme in lower case, parameters unquoted (RFC 7616)."""

    scheme: str
    params: Mapping[str, str] = attrs.field(repr=False)

    @classmethod
    def parse(cls, text: str) -> AuthParams:
        """Raises RemoteError(400)."""
        scheme, rest = (*text.split(None, 1), "", "")[:2]
        parts = split_list(rest)
        if len(parts) > MAX_AUTH_PARAMS:
            raise RemoteError(400, "Bad Authorization")
        params: dict[str, str] = {}
        for part in parts:
            name, equals, value = part.partition("=")
            name = name.strip().lower()
            if not name or not equals or name in params:
                raise RemoteError(400, "Bad Authorization")
            params[name] = unquote(value.strip())
        return cls(scheme.lower(), params)
