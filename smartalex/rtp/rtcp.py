"""RTCP on the wire (RFC 3550 section 6): reports, CNAME, BYE, and the VoIP metrics of XR (RFC 3611); and when a report is due."""

from __future__ import annotations

import math
from struct import Struct, error

import attrs

from smartalex.rtp.xr import Metrics, read_blocks

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = range(200, 208)
KINDS = range(192, 224)
"""The second octet of RTCP where it shares a port with RTP (RFC 5761 4)."""

CNAME = 1
INTERVAL_S = 5.0
"""The least mean interval (6.2): five hundredths of what two members send would allow for a report each second and more."""

_HEADER = Struct("!BBH")
_WORD = Struct("!I")
_SENDER = Struct("!IIIII")
_BLOCK = Struct("!IB3sIIII")
_COMPENSATION = math.e - 1.5
_MOST_LOST, _LEAST_LOST = 0x7FFFFF, -0x800000


@attrs.frozen
class SenderInfo:
    """`ntp` is seconds since 1900 in 32.32 fixed point, `timestamp` that of RTP at the same moment (6.4.1)."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


@attrs.frozen
class Block:
    """How one source is received: `fraction` in 1/256, `jitter` in RTP clock units, `lsr` and `dlsr` in 1/65536 s."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    lsr: int = 0
    dlsr: int = 0


@attrs.frozen
class Report:
    """An SR, or an RR where `sender` is None."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[Block, ...] = ()


@attrs.frozen
class Compound:
    """What we understand of one datagram.  `senders` are the sources that its packets are of, `names` their CNAMEs."""

    reports: tuple[Report, ...] = ()
    byes: tuple[int, ...] = ()
    names: tuple[tuple[int, bytes], ...] = ()
    metrics: tuple[Metrics, ...] = ()
    senders: frozenset[int] = frozenset()


# ---------------------------------------------------------------------- writing


def compound(report: Report, cname: str, metrics: Metrics | None = None, *, bye: bool = False) -> bytes:
    """One datagram: the report, our CNAME, how we hear the peer, and at the end of the session a BYE."""
    out = _report(report) + _packet(SDES, 1, _WORD.pack(report.ssrc) + _item(cname.encode()))
    if metrics is not None:
        out += _packet(XR, 0, _WORD.pack(report.ssrc) + metrics.block())
    return out + _packet(BYE, 1, _WORD.pack(report.ssrc)) if bye else out


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _item(name: bytes) -> bytes:
    item = bytes((CNAME, len(name[:255]))) + name[:255]
    return item + bytes(4 - len(item) % 4)  # one null at least ends the chunk


def _report(report: Report) -> bytes:
    body = _WORD.pack(report.ssrc)
    if report.sender is not None:
        sender = report.sender
        body += _words(sender.ntp >> 32, sender.ntp, sender.timestamp, sender.packets, sender.octets)
    for block in report.blocks[:31]:
        lost = max(_LEAST_LOST, min(_MOST_LOST, block.lost)).to_bytes(3, "big", signed=True)
        body += _WORD.pack(block.ssrc) + bytes((block.fraction,)) + lost
        body += _words(block.highest, block.jitter, block.lsr, block.dlsr)
    return _packet(RR if report.sender is None else SR, len(report.blocks[:31]), body)


def _words(*values: int) -> bytes:
    return b"".join(_WORD.pack(value & 0xFFFFFFFF) for value in values)


# ---------------------------------------------------------------------- reading


def parse(data: bytes) -> Compound | None:
    """None for what is no RTCP (A.2): each part of version 2, padding in the last one only, lengths that add up.

    What begins with anything but a report is taken too (RFC 5506); packets of kinds that we do not know are passed over.
    """
    read = _Reading()
    at = 0
    try:
        while at < len(data):
            at = _one(read, data, at)
    except (error, ValueError):
        return None
    return read.compound() if data else None


class _Reading:
    __slots__ = ("byes", "metrics", "names", "reports", "senders")

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.byes: list[int] = []
        self.names: list[tuple[int, bytes]] = []
        self.metrics: list[Metrics] = []
        self.senders: set[int] = set()

    def compound(self) -> Compound:
        return Compound(tuple(self.reports), tuple(self.byes), tuple(self.names), tuple(self.metrics), frozenset(self.senders))


def _one(read: _Reading, data: bytes, at: int) -> int:
    """The packet that begins at `at`; returns where the next one does.  ValueError or struct.error: not valid."""
    first, kind, words = _HEADER.unpack_from(data, at)
    start, end = at + 4, at + 4 + 4 * words
    if first >> 6 != 2 or kind not in KINDS or end > len(data):
        raise ValueError
    stop = end
    if first & 0x20:
        stop -= _padding(data, start, end)
    body, count = data[start:stop], first & 31
    if kind in (SR, RR):
        report = _read_report(body, count, kind == SR)
        read.reports.append(report)
        read.senders.add(report.ssrc)
    elif kind == BYE:
        read.byes += Struct(f"!{count}I").unpack_from(body)
    elif kind == SDES:
        read.names += _read_names(body, count)
    elif kind in (APP, RTPFB, PSFB, XR):
        read.senders.add(_WORD.unpack_from(body)[0])
        if kind == XR:
            read.metrics += read_blocks(body[4:])
    return end


def _padding(data: bytes, start: int, end: int) -> int:
    octets = data[end - 1]
    if end != len(data) or not 0 < octets <= end - start or octets % 4:
        raise ValueError
    return octets


def _read_report(body: bytes, count: int, sends: bool) -> Report:
    (ssrc,) = _WORD.unpack_from(body)
    at, sender = 4, None
    if sends:
        high, low, *rest = _SENDER.unpack_from(body, at)
        at, sender = at + _SENDER.size, SenderInfo(high << 32 | low, *rest)
    blocks = []
    for place in range(at, at + count * _BLOCK.size, _BLOCK.size):
        source, fraction, lost, *rest = _BLOCK.unpack_from(body, place)
        blocks.append(Block(source, fraction, int.from_bytes(lost, "big", signed=True), *rest))
    return Report(ssrc, sender, tuple(blocks))


def _read_names(body: bytes, count: int) -> list[tuple[int, bytes]]:
    """CNAMEs only; each chunk ends with a null and begins on a word (6.5)."""
    found, at = [], 0
    for _ in range(count):
        (ssrc,) = _WORD.unpack_from(body, at)
        at += 4
        while body[at : at + 1] not in (b"\0", b""):
            length = body[at + 1] if at + 1 < len(body) else 256
            if at + 2 + length > len(body):
                raise ValueError
            if body[at] == CNAME:
                found.append((ssrc, body[at + 2 : at + 2 + length]))
            at += 2 + length
        at += 4 - at % 4
    return found


# -------------------------------------------------------------------- timing


def interval_s(random: float, *, initial: bool = False) -> float:
    """Until the next report: 5 s, half of it before the first, spread by 0.5 to 1.5 and corrected (6.3.1, A.7).

    `random` is uniform in [0, 1).
    """
    return INTERVAL_S * (0.5 if initial else 1.0) * (random + 0.5) / _COMPENSATION


class Schedule:
    """When reports go out (6.3).  A time that has come is drawn again before it counts (6.3.6), which makes the mean 5 s.

    Of a group of two nothing more comes into it: its members do not change by much, and a BYE need not wait (6.3.7).
    """

    __slots__ = ("_initial", "_last")

    def __init__(self, now: float) -> None:
        self._last = now
        self._initial = True

    def first_s(self, random: float) -> float:
        return interval_s(random, initial=True)

    def wait_s(self, now: float, random: float) -> float:
        """0: send now, and then wait `sent`; else wait so much longer."""
        due = self._last + interval_s(random, initial=self._initial)
        return max(0.0, due - now)

    def sent(self, now: float, random: float) -> float:
        """To be called when a report has gone; the seconds until the next time that counts."""
        self._last, self._initial = now, False
        return interval_s(random)
