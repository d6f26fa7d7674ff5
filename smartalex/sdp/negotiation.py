"""Offer and answer for one audio stream (RFC 3264): what we say, and what both sides then know."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Literal

import attrs

from smartalex.errors import RemoteError
from smartalex.sdp import crypto
from smartalex.sdp.description import Line, Media, SessionDescription

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

STATIC = {"PCMU": 0, "PCMA": 8, "G722": 9}
"""Payload types that need no rtpmap (RFC 3551); every codec here has an RTP clock of 8000 Hz."""

OUR_DTMF = 101
"""The payload type we offer for telephone-event (RFC 4733)."""

FIRST_DYNAMIC = 102

PLAIN = crypto.Security()
PLAINLY = crypto.Offered()
"""Nothing but plain RTP."""

_RTPMAP = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9_.+-]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?\s*")
_MIRRORED: dict[str, Direction] = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_DEAF: dict[Direction, Direction] = {
    "sendrecv": "recvonly",
    "recvonly": "recvonly",
    "sendonly": "inactive",
    "inactive": "inactive",
}


@attrs.frozen
class Capabilities:
    """Codecs by encoding name, best first; `dtmf` is telephone-event; `ptime_ms` is what we ask to receive."""

    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    dtmf: bool = True
    ptime_ms: int = 20


@attrs.frozen
class Local:
    """Where we receive, and the o= numbers; `version` grows with each description of the session."""

    address: str
    port: int
    session_id: int
    version: int


@attrs.frozen
class Agreed:
    """What both sides may rely on.  `direction` is ours; `held` when the peer does not want to hear us."""

    codec: str
    payload_type: int
    dtmf_payload_type: int | None
    remote_address: str
    remote_port: int
    ptime_ms: int = 20
    direction: Direction = "sendrecv"
    held: bool = False
    profile: str = "RTP/AVP"
    secured: crypto.Secured = None


def answer(
    offer: SessionDescription,
    capabilities: Capabilities,
    local: Local,
    security: crypto.Security = PLAIN,
    before: crypto.Secured = None,
) -> tuple[Agreed, bytes]:
    """Our answer to `offer`; our order of codecs decides.  `before` is what has secured the stream so far.

    Raises RemoteError(488): no audio that `security` allows, no common codec, or an
    address we cannot send to.
    """
    chosen, secured = _audio(offer, security, before)
    media = offer.media[chosen]
    types = payload_types(media)
    codec = next((name for name in capabilities.codecs if name in types), None)
    if codec is None:
        raise RemoteError(488, "no common codec")
    agreed = _agreed(offer, media, codec, capabilities, secured)
    _same_family(agreed.remote_address, local.address)
    ours = _section([(codec, agreed.payload_type)], agreed, capabilities, local)
    sections = tuple(ours if index == chosen else _refused(m) for index, m in enumerate(offer.media))
    return agreed, SessionDescription(_session(local), sections).to_bytes()


def offer(capabilities: Capabilities, local: Local, ours: crypto.Offered = PLAINLY) -> bytes:
    """One sendrecv audio stream with all our codecs, and with what `ours` offers to secure it."""
    codecs = [(name, STATIC.get(name, FIRST_DYNAMIC + i)) for i, name in enumerate(capabilities.codecs)]
    wish = Agreed(codecs[0][0], codecs[0][1], OUR_DTMF if capabilities.dtmf else None, "", 0, profile=ours.profile)
    section = _section(codecs, wish, capabilities, local)
    section = attrs.evolve(section, lines=(*section.lines, *ours.lines()))
    return SessionDescription(_session(local), (section,)).to_bytes()


def accept(
    answer: SessionDescription,
    capabilities: Capabilities,
    ours: crypto.Offered = PLAINLY,
    security: crypto.Security = PLAIN,
) -> Agreed:
    """What the answer to our `offer` means; the peer's first codec that we offered holds.

    Raises RemoteError(488) when it refused our audio or named nothing we offered.
    """
    media = next((m for m in answer.media if m.kind == "audio" and m.port), None)
    if media is None:
        raise RemoteError(488, "no audio stream")
    secured = crypto.accepted(answer, media, ours, security)
    codec = next((name for name in payload_types(media) if name in capabilities.codecs), None)
    if codec is None:
        raise RemoteError(488, "answered with no codec we offered")
    return _agreed(answer, media, codec, capabilities, secured)


def payload_types(media: Media) -> dict[str, int]:
    """Encoding name (upper case) -> payload type, in the order of the m= line, 8000 Hz mono only."""
    names = {number: name for name, number in STATIC.items()}
    mapped: dict[int, str | None] = {}
    for match in filter(None, map(_RTPMAP.fullmatch, media.attributes("rtpmap"))):
        mono = match[3] == "8000" and match[4] in (None, "1")
        mapped.setdefault(int(match[1]), match[2].upper() if mono else None)
    found: dict[str, int] = {}
    for number in _numbers(media.formats):
        name = mapped.get(number, names.get(number))
        if name is not None:
            found.setdefault(name, number)
    return found


def _numbers(formats: tuple[str, ...]) -> list[int]:
    return [int(text) for text in formats if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 127]


def _audio(offer: SessionDescription, security: crypto.Security, before: crypto.Secured) -> tuple[int, crypto.Secured]:
    """Index of the audio section to take and what secures it: the first that is secured, else the first that will do."""
    refusal = RemoteError(488, "no audio stream")
    found = []
    for index, media in enumerate(offer.media):
        if media.kind == "audio" and media.port:
            try:
                found.append((index, crypto.answered(offer, media, security, before)))
            except RemoteError as error:
                refusal = error
    if not found:
        raise refusal
    return next((one for one in found if one[1] is not None), found[0])


def _agreed(theirs: SessionDescription, media: Media, codec: str, capabilities: Capabilities, secured: crypto.Secured) -> Agreed:
    types = payload_types(media)
    address = _address(media.address or theirs.address)
    direction = _MIRRORED[_direction(theirs, media)]
    if _ip(address).is_unspecified:
        direction = _DEAF[direction]  # hold in the style of RFC 2543: c=IN IP4 0.0.0.0
    dtmf = types.get("TELEPHONE-EVENT") if capabilities.dtmf else None
    held = direction in ("recvonly", "inactive")
    return Agreed(codec, types[codec], dtmf, address, media.port, _ptime_ms(media), direction, held, media.protocol, secured)


_ip = lru_cache(maxsize=4096)(ipaddress.ip_address)


def _address(text: str | None) -> str:
    try:
        address = _ip(text or "")
    except ValueError:
        raise RemoteError(488, "no usable connection address") from None
    if address.is_multicast or str(address) == "255.255.255.255":
        raise RemoteError(488, "no unicast connection address")
    return str(address)


def _same_family(theirs: str, ours: str) -> None:
    if _ip(theirs).version != _ip(ours).version:
        raise RemoteError(488, "address family")


def _direction(theirs: SessionDescription, media: Media) -> str:
    for part in (media, theirs):
        for letter, value in part.lines:
            if letter == "a" and value in _MIRRORED:
                return value
    return "sendrecv"


def _ptime_ms(media: Media) -> int:
    """What the peer asks for when it lies in 10-60 ms, else 20."""
    for value in media.attributes("ptime"):
        value = value.strip()
        if len(value) == 2 and value.isascii() and value.isdigit() and 10 <= int(value) <= 60:
            return int(value)
    return 20


def _session(local: Local) -> tuple[Line, ...]:
    family = f"IN IP{_ip(local.address).version} {local.address}"
    return (("v", "0"), ("o", f"- {local.session_id} {local.version} {family}"), ("s", "-"), ("c", family), ("t", "0 0"))


def _section(codecs: list[tuple[str, int]], agreed: Agreed, capabilities: Capabilities, local: Local) -> Media:
    lines = [("a", f"rtpmap:{number} {name}/8000") for name, number in codecs]
    formats = [str(number) for _, number in codecs]
    if agreed.dtmf_payload_type is not None:
        formats.append(str(agreed.dtmf_payload_type))
        lines.append(("a", f"rtpmap:{agreed.dtmf_payload_type} telephone-event/8000"))
        lines.append(("a", f"fmtp:{agreed.dtmf_payload_type} 0-15"))
    lines += [("a", f"ptime:{capabilities.ptime_ms}"), ("a", agreed.direction)]
    lines += agreed.secured.lines() if agreed.secured else ()
    return Media("audio", local.port, agreed.profile, tuple(formats), tuple(lines))


def _refused(media: Media) -> Media:
    """The same stream with port 0 (RFC 3264 section 6)."""
    return Media(media.kind, 0, media.protocol, media.formats)
