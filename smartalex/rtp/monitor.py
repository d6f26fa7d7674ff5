"""How well a leg hears its peer and is heard by it: from its counters and the peer's reports to loss, delay and MOS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from smartalex.media.frame import FRAME_MS
from smartalex.rtp.jitter import HIGHEST_MS
from smartalex.rtp.quality import mos, r_factor
from smartalex.rtp.source import Source
from smartalex.rtp.xr import ADAPTIVE, ENHANCED, Metrics, burst_ratio

if TYPE_CHECKING:
    from smartalex.rtp.leg import Leg

NETWORK_MS = 30.0
"""Taken for the way through the network as long as no RTCP has told."""

PACKETS_MS = (10, 60)
FORGET = 5
"""Samples after which a report tells nothing of now any more."""

LEAST_BUFFER_MS = 40.0
"""What a peer is taken to hold back of our audio at least, if it does not say."""


@attrs.frozen
class Sample:
    """The last few seconds, both ways; None where nothing came that would tell.

    Losses are of packets that were not heard in time, whatever became of them, in percent; MOS is of conversation.
    """

    mos: float | None = None
    loss_pct: float | None = None
    jitter_ms: float | None = None
    delay_ms: float | None = None
    remote_mos: float | None = None
    remote_loss_pct: float | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None


@attrs.frozen
class Heard:
    """Of packets: how many there should have been, how many of them did not come in time, in how many runs; how many were
    too late for their turn; and how much was made up in place of any of them."""

    packets: int = 0
    missed: int = 0
    runs: int = 0
    late: int = 0
    concealed_ms: float = 0.0

    def __sub__(self, before: Heard) -> Heard:
        return Heard(*(a - b for a, b in zip(attrs.astuple(self), attrs.astuple(before), strict=True)))

    def loss_pct(self, packet_ms: int) -> float:
        """What was made up counts where packets came late; where nothing was lost or late it was a pause."""
        concealed = self.concealed_ms / packet_ms if self.late or self.missed else 0.0
        return min(100.0, 100 * max(self.missed, concealed) / self.packets) if self.packets > 0 else 0.0

    @property
    def burst_ratio(self) -> float:
        return burst_ratio(self.missed, self.runs, self.packets)


def heard(leg: Leg, source: Source) -> Heard:
    """Of this source, so far; the last packets are not counted yet, they may still come."""
    source.settle()
    bursts, hearing = source.bursts, leg.hearing
    return Heard(bursts.heard + bursts.lost, bursts.lost, bursts.runs, hearing.jitter.late, hearing.concealed_ms)


def packet_ms(leg: Leg) -> int:
    """How long the peer's packets are, to 10 ms: as far as they were apart."""
    receiver = leg.receiver
    count = receiver.packets + receiver.lost - 1
    if count < 10:
        return FRAME_MS
    return max(PACKETS_MS[0], min(PACKETS_MS[1], round((receiver.last_at - receiver.first_at) * 100 / count) * 10))


def network_ms(leg: Leg) -> float:
    """One way."""
    return NETWORK_MS if leg.rtcp.rtt_ms is None else leg.rtcp.rtt_ms / 2


def delay_ms(leg: Leg) -> float:
    """From the peer's mouth to our ear: a packet is spoken, carried, and waits in the jitter buffer."""
    return packet_ms(leg) + network_ms(leg) + leg.hearing.jitter.depth_ms


def ratings(leg: Leg, source: Source) -> tuple[float, float]:
    """R of listening and of conversation, since the source began."""
    so_far = heard(leg, source)
    loss, ratio = so_far.loss_pct(packet_ms(leg)), so_far.burst_ratio
    return r_factor(loss, None, leg.codec, ratio), r_factor(loss, delay_ms(leg), leg.codec, ratio)


def metrics(leg: Leg, source: Source) -> Metrics:
    """What we tell the peer of how we hear it (RFC 3611 4.7)."""
    listening, conversation = ratings(leg, source)
    expected, jitter = max(1, source.lost_before + source.expected), leg.hearing.jitter
    buffer_ms = round(jitter.depth_ms)
    return Metrics(
        source.ssrc, 256 * source.lost // expected, 256 * jitter.dropped // expected, *source.bursts.densities(packet_ms(leg)),
        round_trip_ms=round(leg.rtcp.rtt_ms or 0), end_system_ms=buffer_ms + FRAME_MS, r=round(conversation),
        mos_lq=mos(listening), mos_cq=mos(conversation), configuration=ENHANCED | ADAPTIVE,
        nominal_ms=buffer_ms, maximum_ms=max(buffer_ms, round(2 * source.jitter_ms)), absolute_ms=HIGHEST_MS,
    )  # fmt: skip


def remote_mos(leg: Leg) -> float | None:
    """How the peer hears us, by its last report: of loss as it was then, of bursts and its buffer if it sends XR."""
    rtcp = leg.rtcp
    if rtcp.remote_loss_pct is None:
        return None
    told = rtcp.remote_metrics
    discarded, ratio = (told.discarded_pct, told.burst_ratio) if told else (0.0, 1.0)
    behind = (told.end_system_ms or told.nominal_ms) if told else 0
    behind_ms = behind or max(LEAST_BUFFER_MS, 2 * (rtcp.remote_jitter_ms or 0.0))
    loss = rtcp.remote_loss_pct + discarded
    return mos(r_factor(loss, FRAME_MS + network_ms(leg) + behind_ms, leg.codec, ratio))


class Monitor:
    """`sample` every few seconds: what was since the last time."""

    __slots__ = ("_before", "_leg", "_silent", "_source", "_told")

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._source: Source | None = None
        self._before = Heard()
        self._told, self._silent = 0, 0

    def sample(self) -> Sample:
        leg, rtcp, source = self._leg, self._leg.rtcp, self._leg.receiver.source
        rated, loss, jitter, delay = _NOTHING if source is None else self._ours(source)
        self._silent = self._silent + 1 if rtcp.told == self._told else 0
        self._told = rtcp.told
        if not rtcp.told or self._silent > FORGET:
            return Sample(rated, loss, jitter, delay)
        return Sample(rated, loss, jitter, delay, remote_mos(leg), rtcp.remote_loss_pct, rtcp.remote_jitter_ms, rtcp.rtt_ms)

    def _ours(self, source: Source) -> Ours:
        leg, so_far = self._leg, heard(self._leg, source)
        if source is not self._source:  # what was made up, and what came late, is counted over the leg's life
            self._before = Heard(late=self._before.late, concealed_ms=self._before.concealed_ms)
            self._source = source
        since, self._before = so_far - self._before, so_far
        if since.packets <= 0:
            return _NOTHING
        loss, delay = since.loss_pct(packet_ms(leg)), delay_ms(leg)
        rated = mos(r_factor(loss, delay, leg.codec, since.burst_ratio))
        return rated, loss, source.jitter_ms, delay


Ours = tuple[float | None, float | None, float | None, float | None]
_NOTHING: Ours = (None, None, None, None)
