"""What an m= line lists: codecs, keys and comfort noise by payload type, and the length of packets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from smartalex.media.codecs import registry
from smartalex.sdp.description import Line, Media

STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 13: ("CN", 8000)}
"""Payload types that need no rtpmap (RFC 3551 6, RFC 3389 4)."""

KEYS, NOISE = "telephone-event", "CN"
KEYS_NUMBER, FIRST_DYNAMIC, LAST_DYNAMIC = 101, 96, 127
"""101 is where everybody expects telephone-event (RFC 4733) at 8000 Hz."""

UNNUMBERED = -1
USUAL_MS = 20

_RTPMAP = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9_.+-]+)/([0-9]{1,6})(?:/([0-9]{1,2}))?\s*")
_FMTP = re.compile(r"([0-9]{1,3}) +(\S.*?)\s*")


@attrs.frozen
class Format:
    """One payload type; `name` as the codec or the peer writes it, `channels` as rtpmap has them, `parameters` those of fmtp."""

    number: int
    name: str
    clock: int = 8000
    channels: int = 1
    parameters: str = ""

    def lines(self) -> tuple[Line, ...]:
        """rtpmap is written for static payload types too (RFC 8866 6.6)."""
        channels = f"/{self.channels}" if self.channels > 1 else ""
        rtpmap = ("a", f"rtpmap:{self.number} {self.name}/{self.clock}{channels}")
        return (rtpmap, ("a", f"fmtp:{self.number} {self.parameters}")) if self.parameters else (rtpmap,)

    @property
    def key(self) -> str:
        """Under which its payload type is remembered for the session."""
        return f"{self.name.upper()}/{self.clock}"


@attrs.frozen
class Chosen:
    """One codec, and the keys and comfort noise that go with it where both sides have them."""

    codec: Format
    keys: Format | None = None
    noise: Format | None = None

    @property
    def all(self) -> tuple[Format, ...]:
        return tuple(one for one in (self.codec, self.keys, self.noise) if one is not None)


def listed(media: Media) -> tuple[Format, ...]:
    """In the order of the m= line; what nothing is known of is left out."""
    mapped: dict[int, tuple[str, int, int]] = {}
    for match in filter(None, map(_RTPMAP.fullmatch, media.attributes("rtpmap"))):
        mapped.setdefault(int(match[1]), (match[2], int(match[3]), int(match[4] or 0)))
    parameters: dict[int, str] = {}
    for match in filter(None, map(_FMTP.fullmatch, media.attributes("fmtp"))):
        parameters.setdefault(int(match[1]), match[2])
    found = []
    for number in _numbers(media.formats):
        name, clock, channels = mapped.get(number) or (*STATIC.get(number, ("", 0)), 1)
        if name:
            found.append(Format(number, name, clock, channels, parameters.get(number, "")))
    return tuple(found)


def _numbers(formats: tuple[str, ...]) -> list[int]:
    return [int(text) for text in formats if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 127]


def chosen(theirs: Iterable[Format], codecs: Iterable[str], *, keys: bool, ours_first: bool) -> Chosen | None:
    """The first codec of ours, or of theirs, that the other side has as well; None where there is none.

    Keys are taken at the codec's own clock, which is that of their timestamps too; else at 8000 Hz: many know no other.
    """
    offered, known = tuple(theirs), registry.usable(codecs)
    pairs = ((one, c) for c in known for one in offered) if ours_first else ((one, c) for one in offered for c in known)
    format = next((attrs.evolve(one, name=c.name, channels=c.channels) for one, c in pairs if _is(one, c)), None)
    if format is None:
        return None
    events = [one for one in offered if one.name.lower() == KEYS] if keys else []
    event = next((one for clock in (format.clock, 8000) for one in events if one.clock == clock), None)
    noise = next((one for one in offered if one.name.upper() == NOISE and one.clock == format.clock), None)
    return Chosen(format, event, noise)


def _is(format: Format, codec: Any) -> bool:
    """Whether this is that codec; who leaves the number of channels out means its own."""
    return (format.name.upper(), format.clock) == (codec.name.upper(), codec.clock) and format.channels in (0, codec.channels)


def answered(taken: Chosen) -> tuple[Format, ...]:
    """What our answer lists: the offer's payload types with our parameters (RFC 3264 6.1)."""
    ours = registry.find(taken.codec.name).parameters
    keys = attrs.evolve(taken.keys, name=KEYS, channels=1, parameters="0-15") if taken.keys else None
    noise = attrs.evolve(taken.noise, name=NOISE, channels=1, parameters="") if taken.noise else None
    return Chosen(attrs.evolve(taken.codec, parameters=ours), keys, noise).all


def offered(codecs: Iterable[str], used: Mapping[str, int], *, keys: bool) -> tuple[Format, ...]:
    """What our offer lists: all codecs, keys at each of their clocks and at 8000 Hz, comfort noise last.

    `used` are payload types that stand for something in this session already: they may not change (RFC 3264 8.3.2).
    """
    classes = registry.usable(codecs)
    wishes = [
        Format(UNNUMBERED if c.payload_type is None else c.payload_type, c.name, c.clock, c.channels, c.parameters)
        for c in classes
    ]
    for clock in dict.fromkeys((*(c.clock for c in classes), 8000)) if keys else ():
        wishes.append(Format(KEYS_NUMBER if clock == 8000 else UNNUMBERED, KEYS, clock, parameters="0-15"))
    if any(c.clock == 8000 for c in classes):
        wishes.append(Format(13, NOISE))
    return tuple(_numbered(wishes, used))


def _numbered(wishes: list[Format], used: Mapping[str, int]) -> Iterable[Format]:
    taken = {*used.values(), *(one.number for one in wishes)}
    free = (number for number in range(FIRST_DYNAMIC, LAST_DYNAMIC + 1) if number not in taken)
    for one in wishes:
        number = used.get(one.key, one.number)
        if number == UNNUMBERED or (one.key not in used and number in used.values()):
            number = next(free)
        yield attrs.evolve(one, number=number)


def packet_ms(media: Media, possible: tuple[int, ...]) -> int:
    """What to send: the longest of `possible` that is not beyond a=ptime (20 where there is none) and a=maxptime."""
    asked = _milliseconds(media, "ptime")
    wanted = asked if asked is not None and 10 <= asked <= 60 else USUAL_MS
    limit = _milliseconds(media, "maxptime")
    if limit:
        wanted = min(wanted, limit)
    return max((ms for ms in possible if ms <= wanted), default=possible[0])


def _milliseconds(media: Media, name: str) -> int | None:
    for value in media.attributes(name):
        value = value.strip()
        if value.isascii() and value.isdigit() and len(value) <= 6:
            return int(value)
    return None
