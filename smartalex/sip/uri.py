"""SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966) as values."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import unquote

import attrs

from smartalex.errors import RemoteError

Params = tuple[tuple[str, str | None], ...]

MAX_URI = 4096
MAX_REMEMBERED = 256
"""Longer ones are parsed each time: a stranger may fill the memory of them, and parameters are many times their text."""

_HOST_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?").fullmatch
_THREE_COLONS = re.compile(r":::([0-9]+\.[0-9.]+\])$").sub
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*").fullmatch
_BAD_USER = re.compile('[<>"]').search
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
_VISUAL = str.maketrans("", "", "-.()")

COMPARED = ("transport", "user", "ttl", "method", "maddr")
"""Parameters that make a difference when only one of two URIs has them (RFC 3261 19.1.4)."""


@attrs.frozen
class Uri:
    """`user` keeps its escapes; `host` of an IPv6 reference keeps its brackets; `opaque` is the rest of a scheme we don't read.

    Flag parameters (`;lr`) have the value None.
    """

    scheme: str
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: tuple[tuple[str, str], ...] = ()
    opaque: str = ""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Raises RemoteError(400) for what is no URI."""
        return _remembered(text) if len(text) <= MAX_REMEMBERED else _parse(text)

    @property
    def user_text(self) -> str:
        """The user part (a tel: URI's number) without escapes, '' when there is none."""
        return unquote(self.user or "", errors="replace")

    def param(self, name: str) -> str | None:
        """The parameter's value, '' for a flag, None when absent."""
        for key, value in self.params:
            if key == name:
                return value or ""
        return None

    def with_params(self, *params: tuple[str, str | None]) -> Uri:
        """The same URI with these parameters in place of any of the same name."""
        names = {name for name, _ in params}
        return attrs.evolve(self, params=tuple(p for p in self.params if p[0] not in names) + params)

    def __str__(self) -> str:
        if self.opaque:
            return f"{self.scheme}:{self.opaque}"
        tail = "".join(f";{name}" if value is None else f";{name}={value}" for name, value in self.params)
        if self.scheme == "tel":
            return f"tel:{self.user}{tail}"
        user = "" if self.user is None else f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        port = "" if self.port is None else f":{self.port}"
        headers = "?" + "&".join(f"{name}={value}" for name, value in self.headers) if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{tail}{headers}"


def parse_host_port(text: str) -> tuple[str, int | None]:
    """ "host", "host:port" or "[v6]:port"; raises RemoteError(400).

    RFC 3261's grammar could write a third colon before an embedded IPv4 address; it is left out (RFC 5118 4.10).
    """
    found = _HOST_PORT(text)
    if found is None:
        raise RemoteError(400, "Bad Host")
    host, port = found.groups()
    if host[0] == "[":
        host = _THREE_COLONS(r"::\1", host)
        if not _is_ipv6(host[1:-1]):
            raise RemoteError(400, "Bad Host")
    if port is None:
        return host, None
    if int(port) > 65535:
        raise RemoteError(400, "Bad Port")
    return host, int(port)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _parse(text: str) -> Uri:
    if len(text) > MAX_URI or not text.isprintable() or " " in text:
        raise RemoteError(400, "Bad URI")
    scheme, colon, rest = text.partition(":")
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, rest)
    scheme = scheme.lower()
    if not colon or not _SCHEME(scheme):
        raise RemoteError(400, "Bad URI")
    if scheme == "tel":
        number, params = _split_params(rest)
        if not number:
            raise RemoteError(400, "Bad URI")
        return Uri("tel", user=number, params=params)
    if scheme not in ("sip", "sips"):
        return Uri(scheme, opaque=rest)
    return _parse_sip(scheme, rest)


_remembered = lru_cache(maxsize=2048)(_parse)


def _parse_sip(scheme: str, rest: str) -> Uri:
    user = password = None
    if "@" in rest:
        # The last @ before the host: everything a user part may hold unescaped stands before it.
        userinfo, _, rest = rest.rpartition("@")
        user, colon, secret = userinfo.partition(":")
        password = secret if colon else None
        if not user or _BAD_USER(userinfo):
            raise RemoteError(400, "Bad URI")
    rest, _, query = rest.partition("?")
    hostport, params = _split_params(rest)
    host, port = parse_host_port(hostport)
    headers = tuple((n, v) for n, _, v in (part.partition("=") for part in query.split("&"))) if query else ()
    return Uri(scheme, user, password, host, port, params, headers)


def _split_params(text: str) -> tuple[str, Params]:
    head, semicolon, tail = text.partition(";")
    if not semicolon:
        return head, ()
    params: list[tuple[str, str | None]] = []
    for part in tail.split(";"):
        name, equals, value = part.partition("=")
        if not name:
            raise RemoteError(400, "Bad URI Parameter")
        params.append((name.lower(), value if equals else None))
    return head, tuple(params)


# -------------------------------------------------------------------- comparing


def equivalent(a: Uri, b: Uri) -> bool:
    """Whether both mean the same (RFC 3261 19.1.4; RFC 3966 4 for tel:).  Not transitive: what only one says may not count."""
    if a.scheme != b.scheme:
        return False
    if a.scheme == "tel":
        return _tel(a) == _tel(b)
    if a.scheme not in ("sip", "sips"):
        return a.opaque == b.opaque
    return _fixed(a) == _fixed(b) and _agree(dict(_folded(a.params)), dict(_folded(b.params)))


def _fixed(uri: Uri) -> tuple[object, ...]:
    """What has to be the same in SIP URIs; headers count whatever their order."""
    user = None if uri.user is None else _plain(uri.user)
    password = None if uri.password is None else _plain(uri.password)
    return user, password, _host(uri.host), uri.port, sorted((n, v or "") for n, v in _folded(uri.headers))


def _agree(a: dict[str, str | None], b: dict[str, str | None]) -> bool:
    return all(a[name] == b[name] for name in a.keys() & b.keys()) and not any(name in COMPARED for name in a.keys() ^ b.keys())


def _folded(pairs: Params) -> tuple[tuple[str, str | None], ...]:
    """Without case, and without escapes that need not be there."""
    return tuple((_plain(name).lower(), None if value is None else _plain(value).lower()) for name, value in pairs)


def _plain(text: str) -> str:
    """Escaped only where that makes a difference."""
    return _ESCAPE.sub(_unescape, text) if "%" in text else text


def _unescape(found: re.Match[str]) -> str:
    char = chr(int(found[1], 16))
    return char if char in _UNRESERVED else found[0].upper()


def _host(text: str) -> str | IPv6Address:
    return IPv6Address(text[1:-1]) if text.startswith("[") else text.lower()


def _tel(uri: Uri) -> tuple[str, list[tuple[str, str]]]:
    """The number, and every parameter, without visual separators where these are numbers."""
    params = [(name, (value or "").lower()) for name, value in _folded(uri.params)]
    return _digits(uri.user or ""), sorted((n, _digits(v) if n == "ext" or v.startswith("+") else v) for n, v in params)


def _digits(number: str) -> str:
    return _plain(number).translate(_VISUAL).lower()
