"""What a pair of peers tells each other by RTCP: both directions of one leg."""

from __future__ import annotations

import attrs

from smartalex.rtp.rtcp import Block, Compound, Report, SenderInfo, compound
from smartalex.rtp.source import Source
from smartalex.rtp.xr import Metrics

NTP_EPOCH_S = 2_208_988_800
"""Seconds from 1900 to 1970."""


class RtcpSession:
    """`now` is seconds of one even clock throughout, `epoch` what makes it seconds since 1900; None: nothing was reported yet.

    `ssrc` is ours, `clock` that of RTP in Hz.  `heard` counts what has come from the peer, `told` how often it said how it
    hears us, `left` is whether it has said BYE.
    """

    __slots__ = (
        "_heard_at", "_lsr", "_received", "_remote", "_sent", "_sent_before", "clock", "cname", "epoch", "heard",
        "left", "remote_jitter_ms", "remote_loss_pct", "remote_lost", "remote_metrics", "rtt_ms", "ssrc", "told",
    )  # fmt: skip

    def __init__(self, ssrc: int, cname: str, clock: int = 8000) -> None:
        self.ssrc = ssrc
        self.cname = cname
        self.clock = clock
        self.epoch = 0.0
        self._lsr = self._remote = 0
        self._heard_at = 0.0
        self._sent = self._sent_before = self._received = 0  # packets by the last report, and by the one before
        self.heard = self.told = 0
        self.left = False
        self.remote_lost: int | None = None
        self.remote_loss_pct: float | None = None
        self.remote_jitter_ms: float | None = None
        self.remote_metrics: Metrics | None = None
        self.rtt_ms: float | None = None

    # ------------------------------------------------------------------ to the peer

    def report(
        self, now: float, source: Source | None, sent: SenderInfo, metrics: Metrics | None = None, *, bye: bool = False
    ) -> bytes:
        """An SR when something was sent since the report before the last, else an RR (6.4); `sent.ntp` is filled in here."""
        sender = attrs.evolve(sent, ntp=self._ntp(now)) if sent.packets != self._sent_before else None
        self._sent_before, self._sent = self._sent, sent.packets
        return compound(Report(self.ssrc, sender, self._blocks(now, source)), self.cname, metrics, bye=bye)

    def _blocks(self, now: float, source: Source | None) -> tuple[Block, ...]:
        """Of a source that nothing came from since the last report nothing is said (6.4)."""
        if source is None or (source.received == self._received and source.ssrc == self._remote):
            return ()
        self._received, self._remote = source.received, source.ssrc
        since = int((now - self._heard_at) * 65536) if self._lsr else 0
        fraction, lost = source.interval_fraction(), source.lost
        return (Block(source.ssrc, fraction, lost, source.highest, int(source.jitter), self._lsr, since),)

    # ------------------------------------------------------------------ from the peer

    def received(self, found: Compound, now: float) -> None:
        """What one datagram of the peer says."""
        self.heard += 1
        self.left = bool(found.byes)
        for report in found.reports:
            if report.sender is not None:
                self._lsr, self._heard_at = report.sender.ntp >> 16 & 0xFFFFFFFF, now
            for block in report.blocks:
                if block.ssrc == self.ssrc:
                    self._heard_about_us(block, now)
        for metrics in found.metrics:
            if metrics.ssrc == self.ssrc:
                self.remote_metrics = metrics

    def _heard_about_us(self, block: Block, now: float) -> None:
        self.told += 1
        self.remote_lost = block.lost
        self.remote_loss_pct = block.fraction * 100 / 256
        self.remote_jitter_ms = block.jitter * 1000 / self.clock
        if block.lsr:
            took = (self._ntp(now) >> 16) - block.lsr - block.dlsr & 0xFFFFFFFF
            if took < 0x80000000:  # else the peer's dlsr is longer than the time that passed
                self.rtt_ms = took * 1000 / 65536

    def _ntp(self, now: float) -> int:
        return int((now + self.epoch) * (1 << 32))
