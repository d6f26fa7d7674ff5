"""Offer and answer for one audio stream (RFC 3264): what we say, and what both sides then know."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import attrs

from smartalex.errors import RemoteError
from smartalex.media.codecs import registry
from smartalex.sdp import crypto, formats
from smartalex.sdp.description import Line, Media, SessionDescription

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

PLAIN = crypto.Security()
PLAINLY = crypto.Offered()
"""Nothing but plain RTP."""

METRICS = "voip-metrics"
_RTCP = re.compile(r"([0-9]{1,5})(?: +IN +IP[46] +(\S+))?\s*")

_MIRRORED: dict[str, Direction] = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
_DEAF: dict[Direction, Direction] = {
    "sendrecv": "recvonly",
    "recvonly": "recvonly",
    "sendonly": "inactive",
    "inactive": "inactive",
}


@attrs.frozen
class Capabilities:
    """Codecs by encoding name, best first; `dtmf` is telephone-event; `ptime_ms` is what we ask to receive.

    `numbers` are payload types that the session uses already (`Agreed.numbers`); `mux` is RTCP on RTP's port (RFC 5761).
    """

    codecs: tuple[str, ...] = registry.USUAL
    dtmf: bool = True
    ptime_ms: int = 20
    numbers: Mapping[str, int] = attrs.field(factory=dict)
    mux: bool = True


@attrs.frozen
class Local:
    """Where we receive, and the o= numbers; `version` grows with each description of the session."""

    address: str
    port: int
    session_id: int
    version: int


@attrs.frozen
class Agreed:
    """What both sides may rely on.  `direction` is ours; `held` when the peer does not want to hear us.

    `parameters` are the peer's a=fmtp; keys by RTP have a clock of their own where the codec's was not to be had.
    `control` is where the peer wants RTCP, if it says (RFC 3605); `metrics`: it would like to have VoIP metrics (RFC 3611 5).
    """

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
    parameters: str = ""
    dtmf_clock: int = 8000
    noise_payload_type: int | None = None
    mux: bool = False
    control: tuple[str, int] | None = None
    metrics: bool = False

    @property
    def numbers(self) -> dict[str, int]:
        """Payload types that may stand for nothing else as long as the session lasts (RFC 3264 8.3.2)."""
        codec = {f"{self.codec.upper()}/{registry.find(self.codec).clock}": self.payload_type}
        keys = self.dtmf_payload_type
        return codec if keys is None else {**codec, f"{formats.KEYS.upper()}/{self.dtmf_clock}": keys}


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
    taken = formats.chosen(formats.listed(media), capabilities.codecs, keys=capabilities.dtmf, ours_first=True)
    if taken is None:
        raise RemoteError(488, "no common codec")
    agreed = _agreed(offer, media, taken, secured, mux=capabilities.mux)
    _same_family(agreed.remote_address, local.address)
    ours = _section(formats.answered(taken), agreed, capabilities, local)
    sections = tuple(ours if index == chosen else _refused(m) for index, m in enumerate(offer.media))
    return agreed, SessionDescription(_session(local), sections).to_bytes()


def offer(capabilities: Capabilities, local: Local, ours: crypto.Offered = PLAINLY) -> bytes:
    """One sendrecv audio stream with all our codecs, and with what `ours` offers to secure it."""
    listed = formats.offered(capabilities.codecs, capabilities.numbers, keys=capabilities.dtmf)
    wished = Agreed("", 0, None, "", 0, profile=ours.profile, mux=capabilities.mux, metrics=True)
    section = _section(listed, wished, capabilities, local)
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
    taken = formats.chosen(formats.listed(media), capabilities.codecs, keys=capabilities.dtmf, ours_first=False)
    if taken is None:
        raise RemoteError(488, "answered with no codec we offered")
    return _agreed(answer, media, taken, secured, mux=capabilities.mux)


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


def _agreed(theirs: SessionDescription, media: Media, taken: formats.Chosen, secured: crypto.Secured, *, mux: bool) -> Agreed:
    codec, keys, noise = taken.codec, taken.keys, taken.noise
    address = _address(media.address or theirs.address)
    direction = _MIRRORED[_direction(theirs, media)]
    if _ip(address).is_unspecified:
        direction = _DEAF[direction]  # hold in the style of RFC 2543: c=IN IP4 0.0.0.0
    return Agreed(
        codec.name, codec.number, keys.number if keys else None, address, media.port,
        formats.packet_ms(media, registry.find(codec.name).packet_ms), direction, direction in ("recvonly", "inactive"),
        media.protocol, secured, codec.parameters, keys.clock if keys else 8000, noise.number if noise else None,
        mux and bool(media.attributes("rtcp-mux")), _control(media, address), _wants_metrics(theirs, media),
    )  # fmt: skip


def _control(media: Media, address: str) -> tuple[str, int] | None:
    """a=rtcp; None for what is malformed, or nobody can be sent to."""
    found = next(map(_RTCP.fullmatch, media.attributes("rtcp")), None)
    if found is None or not 0 < int(found[1]) < 65536:
        return None
    try:
        host = _address(found[2] or address)
        _same_family(host, address)
    except RemoteError:
        return None
    return host, int(found[1])


def _wants_metrics(theirs: SessionDescription, media: Media) -> bool:
    return any(METRICS in value.split() for part in (media, theirs) for value in part.attributes("rtcp-xr"))


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


def _session(local: Local) -> tuple[Line, ...]:
    family = f"IN IP{_ip(local.address).version} {local.address}"
    return (("v", "0"), ("o", f"- {local.session_id} {local.version} {family}"), ("s", "-"), ("c", family), ("t", "0 0"))


def _section(listed: tuple[formats.Format, ...], agreed: Agreed, capabilities: Capabilities, local: Local) -> Media:
    lines = [line for one in listed for line in one.lines()]
    lines += [("a", f"ptime:{capabilities.ptime_ms}"), ("a", agreed.direction)]
    lines += [("a", "rtcp-mux")] if agreed.mux else []
    lines += [("a", f"rtcp-xr:{METRICS}")] if agreed.metrics else []
    lines += agreed.secured.lines() if agreed.secured else ()
    return Media("audio", local.port, agreed.profile, tuple(str(one.number) for one in listed), tuple(lines))


def _refused(media: Media) -> Media:
    """The same stream with port 0 (RFC 3264 section 6)."""
    return Media(media.kind, 0, media.protocol, media.formats)
