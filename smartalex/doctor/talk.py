"""What SIP messages tell of the other side, and of what happened to them on the way (pure).

The same reading serves a test call and the recorded messages of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import ip_address, ip_network

import attrs

from smartalex.errors import RemoteError
from smartalex.sdp.description import Media, SessionDescription
from smartalex.sdp.formats import KEYS, listed
from smartalex.sip import multipart
from smartalex.sip.headers import NameAddr, Via
from smartalex.sip.info import TYPES
from smartalex.sip.message import Message, Request, Response, parse
from smartalex.sip.trace import Traced

PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")))
"""Addresses that mean something else elsewhere (RFC 1918, 6598, 3927, 4193)."""


@attrs.frozen
class Sign:
    """Something was changed on the way.  `kind` is what: 'via', 'contact', 'sdp', 'address' or 'octets'.

    `certain` is False where a proxy or media relay of the PBX's own would look the same.
    """

    kind: str
    text: str
    certain: bool = True


@attrs.frozen
class Spoken:
    """What a description of theirs offers, or answers; `suites` are of a=crypto, `handshake`: there is a fingerprint."""

    codecs: tuple[str, ...]
    keys: bool
    profile: str
    suites: tuple[str, ...] = ()
    handshake: bool = False

    @property
    def secured(self) -> bool:
        return bool(self.suites) or self.handshake


@attrs.frozen
class Talk:
    """`heard` is how many messages were; `allow` and `supported` are None as long as none had such a header.

    `skew_s` is how far the peer's clock is ahead.  `seen_as` is our address as the peer sees it, where that is another than
    we say.  `spoken` are its descriptions in order, `infos` its keys by SIP INFO.
    """

    agent: str = ""
    allow: frozenset[str] | None = None
    supported: frozenset[str] | None = None
    session_expires: str = ""
    skew_s: float | None = None
    seen_as: str = ""
    signs: tuple[Sign, ...] = ()
    spoken: tuple[Spoken, ...] = ()
    infos: int = 0
    heard: int = 0


Pair = tuple[Traced, Request | Response]


def read(messages: Sequence[Traced]) -> Talk:
    """All of one call, or of one question and its answer, in the order of time."""
    pairs, signs = [], []
    for one in messages:
        try:
            message = parse(one.data)
            multipart.unwrap(message)
        except RemoteError as error:
            if one.incoming:
                signs.append(Sign("octets", f"a message came in pieces or spoilt: {error.reason}"))
        else:
            pairs.append((one, message))
    heard = [(one, message) for one, message in pairs if one.incoming]
    described = [found for _, message in heard if (found := description(message)) is not None]
    return Talk(
        agent=_last(heard, ("Server", "User-Agent")),
        allow=_tags(heard, "Allow", str.upper),
        supported=_tags(heard, "Supported", str.lower),
        session_expires=_last(heard, ("Session-Expires",)),
        skew_s=_skew_s(heard),
        seen_as=_seen_as(pairs),
        signs=tuple(dict.fromkeys((*signs, *_signs(pairs)))),
        spoken=tuple(_spoken(found) for found in described),
        infos=sum(isinstance(m, Request) and m.method == "INFO" and m.content_type in TYPES for _, m in heard),
        heard=len(heard),
    )


def description(message: Message) -> SessionDescription | None:
    """None for a body that is none."""
    if not message.body or message.content_type != "application/sdp":
        return None
    try:
        return SessionDescription.parse(message.body)
    except RemoteError:
        return None


def private(host: str) -> bool:
    """Whether this address means something else outside of its own network."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return any(address in net for net in PRIVATE if net.version == address.version)


def numeric(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------ what they can


def _last(heard: Iterable[Pair], names: Sequence[str]) -> str:
    found = [value for _, message in heard for name in names if (value := message.headers.get(name))]
    return found[-1] if found else ""


def _tags(heard: Iterable[Pair], name: str, fold: object) -> frozenset[str] | None:
    assert callable(fold)
    lists = [values for _, message in heard if (values := message.headers.get_all(name))]
    return frozenset(fold(value) for value in lists[-1]) if lists else None


def _skew_s(heard: Iterable[Pair]) -> float | None:
    """By the last Date (RFC 3261 20.17), which has whole seconds."""
    for one, message in reversed(list(heard)):
        try:
            date = parsedate_to_datetime(message.headers.get("Date") or "")
        except ValueError:
            continue
        return round(date.replace(tzinfo=date.tzinfo or UTC).timestamp() + 0.5 - one.at, 1)
    return None


def _audio(found: SessionDescription) -> Media | None:
    return next((media for media in found.media if media.kind == "audio" and media.port), None)


def _spoken(found: SessionDescription) -> Spoken:
    media = _audio(found)
    if media is None:
        return Spoken((), False, "")
    formats = listed(media)
    names = tuple(dict.fromkeys(one.name for one in formats if one.name.lower() not in (KEYS.lower(), "cn")))
    suites = tuple(fields[1] for value in media.attributes("crypto") if len(fields := value.split()) > 1)
    prints = media.attributes("fingerprint") or found.attributes("fingerprint")
    return Spoken(names, any(one.name.lower() == KEYS.lower() for one in formats), media.protocol, suites, bool(prints))


# ------------------------------------------------------------------ what was changed on the way


def _signs(pairs: Sequence[Pair]) -> Iterator[Sign]:
    sent: dict[str, Request] = {}
    contact = ""
    for one, message in pairs:
        if not one.incoming:
            contact = _contact(message) or contact
            if isinstance(message, Request):
                sent[message.via.branch] = message
        elif isinstance(message, Response):
            yield from _returned(sent.get(message.via.branch), message)
        elif contact and message.headers.get("To") and message.to.tag:
            yield from _aimed(message, contact)
        if one.incoming:
            yield from _addresses(one, message)


def _returned(request: Request | None, response: Response) -> Iterator[Sign]:
    """A response repeats what we sent (RFC 3261 8.2.6.2): to the letter, but for what is noted in Via."""
    if request is None:
        return
    if response.via.sent_by != request.via.sent_by:
        yield Sign("via", f"our Via {request.via.sent_by} came back as {response.via.sent_by}")
    for name in ("From", "To"):
        ours, theirs = _uri(request, name), _uri(response, name)
        if ours and theirs and ours != theirs:
            yield Sign("address", f"our {name} {ours} came back as {theirs}")


def _aimed(request: Request, contact: str) -> Iterator[Sign]:
    """What they ask within the call goes to the Contact that they were given."""
    aimed = _host_port(request.uri)
    if aimed and aimed != contact:
        yield Sign("contact", f"we said to be reached at {contact}; it asks for {aimed}")


def _addresses(one: Traced, message: Request | Response) -> Iterator[Sign]:
    """Where it says it is, against where it comes from, and against itself."""
    said = dict(_said(message))
    inside = {name: host for name, host in said.items() if private(host)}
    if inside and not private(one.peer.host) and numeric(one.peer.host):
        what = ", ".join(f"{name} {host}" for name, host in inside.items())
        outside = [name for name, host in said.items() if numeric(host) and name not in inside]
        if outside and set(outside) != {"o="}:
            yield Sign("address", f"from {one.peer.host} comes {what}, but {' and '.join(outside)} as it is outside")
        elif "Contact" in inside:
            yield Sign("address", f"from {one.peer.host} comes {what}: addresses of its own network", certain=False)
    origin, connection = said.get("o="), said.get("c=")
    if origin and connection and origin != connection and numeric(origin):
        yield Sign("sdp", f"its SDP was made at {origin} (o=) and names {connection} (c=)", certain=False)


def _said(message: Request | Response) -> Iterator[tuple[str, str]]:
    if isinstance(message, Request):
        yield "Via", _first_via(message)
    contact = _contact(message)
    if contact:
        yield "Contact", contact.rpartition(":")[0].strip("[]")
    found = description(message)
    media = _audio(found) if found is not None else None
    if found is not None and media is not None:
        connection = media.address or found.address or ""
        if connection not in ("", "0.0.0.0", "::"):
            yield "c=", connection
            yield "o=", _origin(found)


def _first_via(request: Request) -> str:
    """The host of who made the request: the lowest one."""
    try:
        return Via.parse(request.headers.get_all("Via")[-1]).host.strip("[]")
    except RemoteError:
        return ""


def _origin(found: SessionDescription) -> str:
    value = next(value for letter, value in found.lines if letter == "o").split()
    return value[5] if len(value) > 5 else ""


def _seen_as(pairs: Sequence[Pair]) -> str:
    """Of our host only: another port is nothing that anybody needs to know."""
    for one, message in pairs:
        if one.incoming and isinstance(message, Response):
            seen = (message.via.received or "").strip("[]")
            if seen and seen != message.via.host.strip("[]"):
                return seen
    return ""


def _uri(message: Message, name: str) -> str:
    try:
        uri = NameAddr.parse(message.headers.get(name) or "").uri
    except RemoteError:
        return ""
    return f"{uri.scheme}:{uri.user}@{uri.host}" if uri.user else f"{uri.scheme}:{uri.host}"


def _contact(message: Message) -> str:
    try:
        found = message.contact
    except RemoteError:
        return ""
    return _host_port(str(found.uri)) if found is not None else ""


def _host_port(text: str) -> str:
    try:
        uri = NameAddr.parse(f"<{text}>").uri
    except RemoteError:
        return ""
    return f"{uri.host}:{uri.port or (5061 if uri.param('transport') == 'tls' else 5060)}" if uri.host else ""
