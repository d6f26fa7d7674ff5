"""SIP messages: parsed lazily, carried byte for byte where we don't read (RFC 3261 7, 20, 25).

Text is UTF-8 with surrogate escapes, so bytes that are no UTF-8 survive a round trip.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from smartalex.errors import RemoteError
from smartalex.sip.headers import CSeq, NameAddr, Peer, Via, split_list
from smartalex.sip.uri import Uri

MAX_MESSAGE = 65_536
MAX_HEADERS = 256
MAX_LINE = 16_384
MAX_VALUES = 200
"""Of one list header, on however many lines."""

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via",
    "x": "session-expires", "y": "identity",
}  # fmt: skip

LISTS = frozenset(
    ("via", "route", "record-route", "contact", "allow", "supported", "require", "proxy-require", "unsupported", "accept",
     "p-asserted-identity", "diversion", "history-info", "allow-events", "path", "privacy")
)  # fmt: skip
"""Headers whose values may share a line, separated by commas."""

REQUIRED = ("via", "from", "to", "call-id", "cseq")

KEYS = {
    name: name.lower()
    for name in (
        "Via From To Call-ID CSeq Contact Max-Forwards Content-Type Content-Length Record-Route Route Allow Supported User-Agent "
        "P-Asserted-Identity Authorization Require Accept Server Event Refer-To Referred-By Subscription-State Reason "
        "Session-Expires Min-SE Diversion History-Info Replaces Privacy Identity"
    ).split()
}
"""Names as nearly everybody writes them, to save a look at each letter."""

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
    202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief", 469: "Bad Info Package",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip


class Headers:
    """Headers in order; names compare without case and in compact or long form, and are kept as written."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[tuple[str, str]] = ()) -> None:
        self._rows: list[tuple[str, str, str]] = [(_key(name), name, value) for name, value in rows]

    @classmethod
    def of_rows(cls, rows: list[tuple[str, str, str]]) -> Headers:
        """From (key, name, value) rows that the parser made."""
        headers = cls.__new__(cls)
        headers._rows = rows
        return headers

    def get(self, name: str) -> str | None:
        """The first value as written, or None."""
        wanted = KEYS.get(name) or _key(name)
        for key, _, value in self._rows:
            if key == wanted:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """Every value; lines of list headers are split at their commas."""
        wanted = KEYS.get(name) or _key(name)
        values = [value for key, _, value in self._rows if key == wanted]
        if values and wanted in LISTS:
            if len(values) == 1 and "," not in values[0]:
                return values if values[0] else []
            return [part for value in values for part in split_list(value)]
        return values

    def add(self, name: str, value: str) -> None:
        self._rows.append((_key(name), name, value))

    def set(self, name: str, value: str) -> None:
        """Replace all of that name by one, in the first one's place."""
        key = _key(name)
        place = next((i for i, row in enumerate(self._rows) if row[0] == key), len(self._rows))
        rest = [row for row in self._rows[place:] if row[0] != key]
        self._rows[place:] = [(key, name, value), *rest]

    def insert_first(self, name: str, value: str) -> None:
        self._rows.insert(0, (_key(name), name, value))

    def replace_first_value(self, name: str, value: str) -> None:
        """Put `value` in place of the first value of a list header; what follows on that line stays."""
        key = _key(name)
        for index, row in enumerate(self._rows):
            if row[0] == key:
                self._rows[index] = (key, row[1], ", ".join([value, *split_list(row[2])[1:]]))
                return

    def remove(self, name: str) -> None:
        key = _key(name)
        self._rows = [row for row in self._rows if row[0] != key]

    def items(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._rows)

    def rows(self) -> list[tuple[str, str, str]]:
        """(key, name as written, value), in order; not to be changed."""
        return self._rows

    def copy(self) -> Headers:
        return Headers.of_rows(list(self._rows))

    def lines(self) -> str:
        """All but Content-Length, ready for the wire."""
        return "".join([f"{name}: {value}\r\n" for key, name, value in self._rows if key != "content-length"])

    def __repr__(self) -> str:
        return f"<Headers {[name for _, name, _ in self._rows]}>"


def _key(name: str) -> str:
    key = KEYS.get(name)
    if key is None:
        key = name.lower()
        key = COMPACT.get(key, key)
    return key


T = TypeVar("T")


class lazy(Generic[T]):
    """functools.cached_property without its lock (gone in Python 3.12), which costs more than most of what is computed here."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__

    def __get__(self, message: Message, owner: type[Message]) -> T:
        value = message.__dict__[self._name] = self._compute(message)
        return value


class Message:
    """What requests and responses share; typed properties parse when first asked and raise RemoteError(400)."""

    headers: Headers
    body: bytes
    source: Peer | None

    def start_line(self) -> str:
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """The message for the wire, with the right Content-Length."""
        head = f"{self.start_line()}\r\n{self.headers.lines()}Content-Length: {len(self.body)}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + self.body

    __bytes__ = to_bytes

    def _need(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise RemoteError(400, f"Missing {name}")
        return value

    @lazy
    def vias(self) -> tuple[Via, ...]:
        return tuple(Via.parse(text) for text in self.headers.get_all("Via"))

    @lazy
    def via(self) -> Via:
        value = self._need("Via")
        return Via.parse(next(iter(split_list(value)), "") if "," in value else value)

    @lazy
    def from_(self) -> NameAddr:
        return NameAddr.parse(self._need("From"))

    @lazy
    def to(self) -> NameAddr:
        return NameAddr.parse(self._need("To"))

    @lazy
    def call_id(self) -> str:
        return self._need("Call-ID").strip()

    @lazy
    def cseq(self) -> CSeq:
        return CSeq.parse(self._need("CSeq"))

    @lazy
    def contact(self) -> NameAddr | None:
        values = self.headers.get_all("Contact")
        return NameAddr.parse(values[0]) if values and values[0] != "*" else None

    @property
    def content_type(self) -> str:
        """Media type in lower case without parameters, '' when absent."""
        return media_type(self.headers.get("Content-Type") or "")


def media_type(text: str) -> str:
    """Of a Content-Type, in lower case without parameters."""
    return text.partition(";")[0].strip().lower()


class Request(Message):
    """`uri` as written in the request line; `source` is set by the transport."""

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body
        self.source = None

    def start_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"

    @lazy
    def request_uri(self) -> Uri:
        return Uri.parse(self.uri)

    @lazy
    def max_forwards(self) -> int | None:
        value = self.headers.get("Max-Forwards")
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= 255):
            raise RemoteError(400, "Bad Max-Forwards")
        return int(value)

    def set_via(self, via: Via) -> None:
        """Replace the top Via (received and rport of RFC 3581)."""
        self.headers.replace_first_value("Via", str(via))
        self.__dict__["via"] = via

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.headers.get('Call-ID')}>"


class Response(Message):
    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.source = None

    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers.get('CSeq')}>"


# ----------------------------------------------------------------------- parsing


class UnparsableRequest(RemoteError):
    """A RemoteError with `request`: what could be read of it, enough to answer, or None."""

    def __init__(self, status: int, reason: str, request: Request | None) -> None:
        super().__init__(status, reason)
        self.request = request


def parse(data: bytes, *, stream: bool = False) -> Request | Response:
    """One message; raises UnparsableRequest.

    In a datagram, bytes beyond Content-Length are ignored and a missing
    Content-Length means the rest; on a stream the framer has cut exactly.
    """
    if len(data) > MAX_MESSAGE:
        raise UnparsableRequest(513, "Message Too Large", None)
    head, blank, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    first, _, rest = head.decode("utf-8", "surrogateescape").partition("\r\n")
    first = first.rstrip(" \t")
    message = _start(first)
    rows = message.headers.rows()
    try:
        read_headers(rest if blank else rest.removesuffix("\r\n"), rows)
        if not blank or "\n" in first or "\r" in first:
            raise RemoteError(400, "No End Of Line Or Headers")
        if rest.count(",") + len(rows) > MAX_VALUES:
            _limit_values(rows)
        keys = [row[0] for row in rows]
        if isinstance(message, Request):
            _check_request_line(first, message)
        message.body = _body(rows, keys, body, stream)
        _check(message, keys)
    except RemoteError as error:
        raise UnparsableRequest(error.status, error.reason, message if isinstance(message, Request) else None) from None
    return message


def _start(line: str) -> Request | Response:
    if line.startswith("SIP/2.0 "):
        status, _, reason = line[8:].partition(" ")
        if len(status) == 3 and status.isascii() and status.isdigit() and 100 <= int(status) <= 699:
            return Response(int(status), reason, Headers())
        raise UnparsableRequest(400, "Bad Status Line", None)
    method, _, rest = line.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not version.upper().startswith("SIP/") or not method or not method.isascii() or not _is_token(method):
        raise UnparsableRequest(400, "Bad Request Line", None)
    return Request(method, uri, Headers())


def _is_token(text: str) -> bool:
    return text.isalnum() or all(c.isalnum() or c in "-.!%*_+`'~" for c in text)


def _check_request_line(first: str, request: Request) -> None:
    if not first.endswith(" SIP/2.0") and not first.upper().endswith(" SIP/2.0"):
        raise RemoteError(505, REASONS[505])
    if not request.uri or _NO_URI(request.uri):
        raise RemoteError(400, "Bad Request-URI")


_NO_URI = re.compile(r"[ \t<>]").search


def read_headers(text: str, rows: list[tuple[str, str, str]]) -> None:
    """Append what `text` holds to `rows`; up to the first bad line when there is one, so that it can be answered."""
    lines = text.split("\r\n")
    if not len(lines) - 1 == text.count("\n") == text.count("\r"):
        raise RemoteError(400, "Bare CR Or LF")  # it ends no line here but does for others: it must not be copied onward
    if "\r\n " in text or "\r\n\t" in text:
        lines = _unfold(lines)
    if len(lines) > MAX_HEADERS:
        raise RemoteError(400, "Too Many Headers")
    long = len(text) > MAX_LINE
    known = KEYS.get
    for line in lines:
        name, colon, value = line.partition(":")
        key = known(name)
        if key is None:
            name = name.rstrip(" \t")
            key = _key(name)
        if not colon or not name:
            raise RemoteError(400, "Bad Header")
        if long and len(line) > MAX_LINE:
            raise RemoteError(400, "Header Too Long")
        rows.append((key, name, value.strip(" \t")))


def _limit_values(rows: list[tuple[str, str, str]]) -> None:
    """Too many Vias are taken away: what has to carry them all back is not answered."""
    counts = Counter(key for key, _, value in rows if key in LISTS for _ in split_list(value))
    for key, count in counts.items():
        if count > MAX_VALUES:
            if key == "via":
                rows[:] = [row for row in rows if row[0] != key]
            raise RemoteError(400, f"Too Many {key.title()} Values")


def _unfold(lines: list[str]) -> list[str]:
    """Continuation lines joined by one blank (RFC 3261 7.3.1)."""
    out: list[list[str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and out:
            out[-1].append(line.strip(" \t"))
        else:
            out.append([line])
    return [" ".join(parts) for parts in out]


def _body(rows: list[tuple[str, str, str]], keys: list[str], body: bytes, stream: bool) -> bytes:
    count = keys.count("content-length")
    if not count:
        return b"" if stream else body
    length = rows[keys.index("content-length")][2]
    if not (length.isascii() and length.isdigit() and len(length) <= 9) or count > 1:
        raise RemoteError(400, "Bad Content-Length")
    if int(length) > len(body):
        raise RemoteError(400, "Body Shorter Than Content-Length")
    return body[: int(length)]


def _check(message: Request | Response, keys: list[str]) -> None:
    for key in REQUIRED:
        found = keys.count(key)
        if found != 1 and (not found or key != "via"):
            raise RemoteError(400, f"{'Two' if found else 'Missing'} {key.title()}")
    _, method = message.via, message.cseq.method
    if isinstance(message, Request) or message.status < 300:  # in a refusal they mean nothing
        _ = message.from_, message.to
    if isinstance(message, Request) and method != message.method:
        raise RemoteError(400, "CSeq Does Not Match Method")


# ---------------------------------------------------------------------- answering


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """A response with what RFC 3261 8.2.6 copies from the request; Record-Route too where a dialog may come of it."""
    rows = [("Via", value) for value in request.headers.get_all("Via")]
    if status < 300:
        rows += [("Record-Route", value) for value in request.headers.get_all("Record-Route")]
    to = request.headers.get("To") or ""
    if to_tag and request.to.tag is None:
        to = f"{to};tag={to_tag}"
    rows += [("From", request.headers.get("From") or ""), ("To", to), ("Call-ID", request.headers.get("Call-ID") or "")]
    rows.append(("CSeq", request.headers.get("CSeq") or ""))
    rows += headers
    if content_type:
        rows.append(("Content-Type", content_type))
    return Response(status, reason or REASONS.get(status, "Unknown"), Headers(rows), body)
