"""RTCP (RFC 3550 section 6): sender and receiver reports, CNAME, BYE; and what one pair of peers tells the other by them."""

from __future__ import annotations

import math
from struct import Struct, error

import attrs

from smartalex.rtp.source import Source

SR, RR, SDES, BYE = 200, 201, 202, 203
CNAME = 1
INTERVAL_S = 5.0
"""The least mean interval (6.2); with two members its bandwidth share would allow more."""

_HEADER = Struct("!BBH")
_WORD = Struct("!I")
_SENDER = Struct("!IIIII")
_BLOCK = Struct("!IB3sIIII")
_COMPENSATION = math.e - 1.5
_MOST_LOST, _LEAST_LOST = 0x7FFFFF, -0x800000


@attrs.frozen
class SenderInfo:
    """`ntp` is seconds in 32.32 fixed point, of any clock that runs evenly (6.4.1)."""

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
    reports: tuple[Report, ...]
    byes: tuple[int, ...] = ()


# ---------------------------------------------------------------------- wire


def compound(report: Report, cname: str, *, bye: bool = False) -> bytes:
    """One datagram: the report, our CNAME, and at the end of the session a BYE."""
    name = cname.encode()[:255]
    item = bytes((CNAME, len(name))) + name
    item += bytes(4 - len(item) % 4)  # one null at least ends the chunk
    out = _report(report) + _packet(SDES, 1, _WORD.pack(report.ssrc) + item)
    return out + _packet(BYE, 1, _WORD.pack(report.ssrc)) if bye else out


def parse(data: bytes) -> Compound | None:
    """None for what is no valid compound packet (A.2): each part version 2, a report first, lengths that add up."""
    reports: list[Report] = []
    byes: list[int] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            return None
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + 4 * words + 4
        if first >> 6 != 2 or end > len(data) or (at == 0 and (kind not in (SR, RR) or first & 0x20)):
            return None
        body, count = data[at + 4 : end], first & 31
        try:
            if kind in (SR, RR):
                reports.append(_read_report(body, count, kind == SR))
            elif kind == BYE:
                byes += Struct(f"!{count}I").unpack_from(body)
        except error:
            return None
        at = end
    return Compound(tuple(reports), tuple(byes)) if reports else None


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


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


# -------------------------------------------------------------------- timing


def interval_s(random: float, *, initial: bool = False) -> float:
    """Until the next report: 5 s, half of it before the first, spread by 0.5 to 1.5 and corrected (6.3.1, A.7).

    `random` is uniform in [0, 1).
    """
    return INTERVAL_S * (0.5 if initial else 1.0) * (random + 0.5) / _COMPENSATION


# ------------------------------------------------------------------- session


class RtcpSession:
    """Both directions of one leg.  `now` is seconds of one even clock throughout; None where nothing was reported yet."""

    __slots__ = (
        "_clock",
        "_heard_at",
        "_lsr",
        "_reported",
        "cname",
        "remote_jitter_ms",
        "remote_loss_pct",
        "remote_lost",
        "rtt_ms",
        "ssrc",
    )

    def __init__(self, ssrc: int, cname: str, clock: int = 8000) -> None:
        self.ssrc = ssrc
        self.cname = cname
        self._clock = clock
        self._lsr = 0
        self._heard_at = 0.0
        self._reported = 0
        self.remote_lost: int | None = None
        self.remote_loss_pct: float | None = None
        self.remote_jitter_ms: float | None = None
        self.rtt_ms: float | None = None

    def report(self, now: float, source: Source | None, sent: SenderInfo, *, bye: bool = False) -> bytes:
        """An SR when something was sent since the last report, else an RR (6.4); `sent.ntp` is filled in here."""
        sender = attrs.evolve(sent, ntp=_ntp(now)) if sent.packets != self._reported else None
        self._reported = sent.packets
        return compound(Report(self.ssrc, sender, self._blocks(now, source)), self.cname, bye=bye)

    def _blocks(self, now: float, source: Source | None) -> tuple[Block, ...]:
        if source is None:
            return ()
        since = int((now - self._heard_at) * 65536) if self._lsr else 0
        fraction, lost = source.interval_fraction(), source.lost
        return (Block(source.ssrc, fraction, lost, source.highest, int(source.jitter), self._lsr, since),)

    def received(self, data: bytes, now: float) -> Compound | None:
        """One datagram of the peer; None when it is no RTCP."""
        found = parse(data)
        for report in found.reports if found else ():
            if report.sender is not None:
                self._lsr, self._heard_at = report.sender.ntp >> 16 & 0xFFFFFFFF, now
            for block in report.blocks:
                if block.ssrc == self.ssrc:
                    self._heard_about_us(block, now)
        return found

    def _heard_about_us(self, block: Block, now: float) -> None:
        self.remote_lost = block.lost
        self.remote_loss_pct = block.fraction * 100 / 256
        self.remote_jitter_ms = block.jitter * 1000 / self._clock
        if block.lsr:
            took = (_ntp(now) >> 16) - block.lsr - block.dlsr & 0xFFFFFFFF
            if took < 0x80000000:  # else the peer's dlsr is longer than the time that passed
                self.rtt_ms = took * 1000 / 65536


def _ntp(now: float) -> int:
    return int(now * (1 << 32))
