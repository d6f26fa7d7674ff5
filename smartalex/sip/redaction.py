"""What of a SIP message must not be kept: answers to challenges, keys, passwords, signatures.

It works on bytes, so that messages no parser takes are kept safely too: names in any case and compact form, folded
values, line ends of any kind.  Where it is not sure it hides too much.  Its time is linear in the message's length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

Span = tuple[int, int]
Edit = tuple[int, int, bytes]

HIDDEN = b"********"
"""Stands for a secret whose length would tell something; other secrets keep theirs."""

_LINE = rb"(?:\A|(?<=[\r\n]))[ \t]*+"

_VALUE = rb"\s*+:((?:[^\r\n]++|(?:\r\n|\r|\n)[ \t])*+)"
_NEW = rb"(?<![!-~]%s)"
"""What stands before is no part of the name.  Patterns begin with letters, so that most bytes are passed over quickly."""

_AUTH = re.compile(
    rb"auth(?:" + _NEW % b"auth" + rb"|(?<=www-auth)|(?<=proxy-auth))(?:(orization)|enticate|entication-info)" + _VALUE
)
_IDENTITY = re.compile(rb"identity" + _NEW % b"identity" + _VALUE)
_Y = re.compile(_LINE + rb"y" + _VALUE)
_CREDENTIAL = re.compile(rb'([a-z0-9_-]++)\s*+=\s*+("[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[^\s,]*+)|[^\s,]++', re.DOTALL)
_PUBLIC = frozenset(b"username realm algorithm uri qop nc opaque stale domain charset userhash".split())
_SCHEMES = (b"digest", b"basic", b"bearer")
_PASSPORT = re.compile(rb"(?:\A|,)\s*+(?:[\w-]*+\.[\w-]*+\.)?([^;,]*+)")

_PASSWORD = re.compile(rb"sips?:[^\s<>\":@]*+(?::[^\s<>\"@]*+@|@[^\s<>\"@]*+@)")
_SIP_URI = re.compile(rb"sips?:([^\s<>\"]*+)")
_WEB_URI = re.compile(rb"://([^\s<>\"/]*+)")
_URI_HEADER = re.compile(rb"authorization=([^\s<>\"&;]++)")

_INLINE = re.compile(rb"inline:([^|;\s]++)")
_CRYPTO = re.compile(_LINE + rb"a=crypto:[ \t]*+[^\s]++[ \t]++(?:[a-z0-9_]++[ \t]++)?+([^\r\n]++)")
_PARAMETER = re.compile(rb"(?<![^ \t])(?!inline:[^\s]|un[a-z]+_srtc?p\b|kdr=|wsh=)[^\s]++")
_KEY_MGMT = re.compile(rb"key-mgmt:[ \t]*+(?:[a-z0-9]++[ \t]++)?([^\r\n]++)")
_ICE = re.compile(rb"ice-pwd:([^\r\n]++)")
_KEY_LINE = re.compile(_LINE + rb"k=(?:[a-z0-9]++:)?([^\r\n]++)")

_LENGTH = re.compile(_LINE + rb"(?:content-length|l)\s*+:\s*+(\d{1,9})(?=\s)")
_DTMF = re.compile(_LINE + rb"(?:content-type|c)\s*+:\s*+application/dtmf\b")
_SIGNAL = re.compile(rb"signal[ \t]*+=[ \t]*+([^\r\n]++)")
_HEAD_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_VISIBLE = re.compile(rb"\S")


def redact_all(messages: Sequence[bytes]) -> list[bytes]:
    """`redact` for the messages of a call, which most often hold no secrets but the answers to challenges."""
    if _mentions_secrets(b"\n".join(messages)):
        return [redact(data) for data in messages]
    return [redact(data) if b"auth" in data.lower() else data for data in messages]


def _mentions_secrets(data: bytes) -> bool:
    """Whether any search of `_edits` but the one for challenges may find something in these lines; errs towards True."""
    low = b"\n" + data.translate(_FOLDED)
    return bool(
        b"\nidentity" in low or b"\ny" in low
        or b"inline:" in low or b"crypto:" in low or b"key-mgmt:" in low or b"ice-pwd:" in low or b"k=" in low
        or b"://" in low or _PASSWORD.search(low)
    )  # fmt: skip


_FOLDED = bytes(range(256)).lower().replace(b"\r", b"\n")


def redact(data: bytes, *, sensitive_digits: bool = False) -> bytes:
    """The message without its secrets, with a Content-Length that fits; with `sensitive_digits` keys pressed are secrets too.

    Never raises, whatever the bytes.
    """
    low = data.lower()
    edits = _disjoint(low, sorted(_edits(low, sensitive_digits)))
    return _apply(data, sorted([*edits, *_lengths(low, edits)])) if edits else data


def _edits(low: bytes, sensitive_digits: bool) -> Iterator[Edit]:
    """Each search is begun by a cheap one: most messages hold no secret at all."""
    if b"auth" in low:
        for found in _AUTH.finditer(low):
            yield from _authentication(low, found)
    for name, header in ((b"identity", _IDENTITY), (b"y", _Y)):
        if b"\n" + name in low or b"\r" + name in low or low.startswith(name):
            for found in header.finditer(low):
                yield from _masked(low, _signatures(found))
    if _PASSWORD.search(low):
        yield from _passwords(low, _SIP_URI)
    if b"://" in low:
        yield from _passwords(low, _WEB_URI)
    if b"authorization=" in low:
        yield from ((*found.span(1), HIDDEN) for found in _URI_HEADER.finditer(low))
    for mark, secret in ((b"inline:", _INLINE), (b"key-mgmt:", _KEY_MGMT), (b"ice-pwd:", _ICE)):
        if mark in low:
            yield from _masked(low, (found.span(1) for found in secret.finditer(low)))
    if b"crypto:" in low:
        for found in _CRYPTO.finditer(low):  # whatever has no business there
            yield from _masked(low, (one.span() for one in _PARAMETER.finditer(low, *found.span(1))))
    if b"k=" in low:
        yield from ((*found.span(1), HIDDEN) for found in _KEY_LINE.finditer(low))
    if sensitive_digits and _DTMF.search(low):
        yield from _digits(low)


def _authentication(low: bytes, found: re.Match[bytes]) -> Iterator[Edit]:
    """Of digest the public parameters stay; of any other Authorization nothing."""
    authorization, value = found.groups()
    start, end = found.span(2)
    if authorization and value.split(None, 1)[:1] != [b"digest"]:
        yield end - len(value.lstrip()), end, HIDDEN
    else:
        yield from _masked(low, _credentials(low, start, end))


def _signatures(found: re.Match[bytes]) -> Iterator[Span]:
    for one in _PASSPORT.finditer(found[1]):
        yield found.start(1) + one.start(1), found.start(1) + one.end(1)


def _credentials(low: bytes, start: int, end: int) -> Iterator[Span]:
    """Whatever is not known to be public."""
    for found in _CREDENTIAL.finditer(low, start, end):
        name = found[1]
        if name is None and found[0] not in _SCHEMES:
            yield found.span()
        elif name is not None and name not in _PUBLIC:
            a, b = found.span(2)
            quoted = low[a : a + 1] == b'"'
            yield a + quoted, b - (quoted and b - a > 1 and low[b - 1 : b] == b'"')


def _passwords(low: bytes, uri: re.Pattern[bytes]) -> Iterator[Edit]:
    """The password ends at the last @: that is how lenient parsers read it."""
    for found in uri.finditer(low):
        start, end = found.span(1)
        colon, at = low.find(b":", start, end), low.rfind(b"@", start, end)
        if 0 <= colon < at:
            yield colon + 1, at, HIDDEN


def _masked(low: bytes, spans: Iterable[Span]) -> Iterator[Edit]:
    """The same length and the same white space, for folded values."""
    for start, end in spans:
        yield start, end, _VISIBLE.sub(b"*", low[start:end])


def _digits(low: bytes) -> Iterator[Edit]:
    """Of application/dtmf-relay the signal, of application/dtmf the whole body."""
    head = _HEAD_END.search(low)
    start = head.end() if head else len(low)
    for a, b in [found.span(1) for found in _SIGNAL.finditer(low, start)] or [(start, len(low))]:
        yield a, b, _VISIBLE.sub(b"x", low[a:b])


def _disjoint(low: bytes, edits: Iterable[Edit]) -> list[Edit]:
    """Where edits overlap, the first one counts, and what others hide beyond its end is masked."""
    out: list[Edit] = []
    at = 0
    for start, end, new in edits:
        if start >= at:
            out.append((start, end, new))
        elif end > at:
            out.append((at, end, _VISIBLE.sub(b"*", low[at:end])))
        at = max(at, end)
    return out


def _lengths(low: bytes, edits: Iterable[Edit]) -> Iterator[Edit]:
    """Content-Length where the body's length changes; what was wrong before stays as wrong."""
    changes = [(start, end, len(new) - (end - start)) for start, end, new in edits if len(new) != end - start]
    head = _HEAD_END.search(low) if changes else None
    if head is None:
        return
    body = head.end()
    for found in islice(_LENGTH.finditer(low, 0, body), 4):
        length = int(found[1])
        grown = sum(by for start, end, by in changes if body <= start and end <= body + length)
        if grown:
            yield *found.span(1), b"%d" % max(0, length + grown)


def _apply(data: bytes, edits: Iterable[Edit]) -> bytes:
    out, at = [], 0
    for start, end, new in edits:
        out += [data[at:start], new]
        at = end
    return b"".join([*out, data[at:]])
