"""The VoIP metrics of RTCP XR (RFC 3611 4.7): its block, and how the bursts and gaps in it are counted."""

from __future__ import annotations

from struct import Struct

import attrs

GMIN = 16
"""So many packets heard in a row end a burst (RFC 3611 4.7.2 recommends it)."""

VOIP_METRICS = 7
UNKNOWN = 127
ENHANCED, ADAPTIVE = 0x80, 0x30
"""Our receiver configuration: concealment by more than repetition, an adaptive jitter buffer."""

_BLOCK = Struct("!BBHI4B4H8BBBHHH")
_HEAD = Struct("!BBH")


@attrs.frozen
class Metrics:
    """How the source `ssrc` is heard.  Rates and densities in 1/256, times in ms; 0 ms and None for what is not known.

    `lost` never came, `discarded` came too late; bursts and gaps are of both together, their durations means.
    `signal` and `noise` are dBm0, `echo` the residual echo return loss in dB; `mos_lq` is of listening, `mos_cq` of conversation.
    """

    ssrc: int
    lost: int = 0
    discarded: int = 0
    burst_density: int = 0
    gap_density: int = 0
    burst_ms: int = 0
    gap_ms: int = 0
    round_trip_ms: int = 0
    end_system_ms: int = 0
    signal: int | None = None
    noise: int | None = None
    echo: int | None = None
    gmin: int = GMIN
    r: int | None = None
    mos_lq: float | None = None
    mos_cq: float | None = None
    configuration: int = 0
    nominal_ms: int = 0
    maximum_ms: int = 0
    absolute_ms: int = 0

    def block(self) -> bytes:
        """Out of range is the nearest value that can be said."""
        return _BLOCK.pack(
            VOIP_METRICS, 0, 8, self.ssrc,
            *map(_octet, (self.lost, self.discarded, self.burst_density, self.gap_density)),
            *map(_half, (self.burst_ms, self.gap_ms, self.round_trip_ms, self.end_system_ms)),
            _level(self.signal), _level(self.noise), UNKNOWN if self.echo is None else min(_octet(self.echo), 126), self.gmin,
            UNKNOWN if self.r is None else max(0, min(100, self.r)), UNKNOWN, _score(self.mos_lq), _score(self.mos_cq),
            self.configuration, 0, *map(_half, (self.nominal_ms, self.maximum_ms, self.absolute_ms)),
        )  # fmt: skip

    @property
    def discarded_pct(self) -> float:
        return self.discarded * 100 / 256

    @property
    def burst_ratio(self) -> float:
        """Of G.107, as well as it can be told from densities: within a burst, losses are taken for independent."""
        in_bursts = self.burst_ms * self.burst_density
        alone = self.gap_ms * self.gap_density
        if not in_bursts or self.burst_density >= 255:
            return 1.0
        runs = in_bursts * (1 - self.burst_density / 256) + alone
        share = (in_bursts + alone) / (256 * (self.burst_ms + self.gap_ms))
        return max(1.0, min(8.0, (in_bursts + alone) / runs * (1 - share)))


def read_blocks(data: bytes) -> list[Metrics]:
    """The VoIP metrics among the blocks of one XR packet; what is malformed ends the reading."""
    found, at = [], 0
    while at + 4 <= len(data):
        kind, _, words = _HEAD.unpack_from(data, at)
        end = at + 4 + 4 * words
        if end > len(data):
            break
        if kind == VOIP_METRICS and words == 8:
            found.append(_read(data, at))
        at = end
    return found


def _read(data: bytes, at: int) -> Metrics:
    _, _, _, ssrc, lost, discarded, dense, sparse, *rest = _BLOCK.unpack_from(data, at)
    burst, gap, round_trip, end_system, signal, noise, echo, gmin, r, _, lq, cq, configuration, _, *buffer = rest
    nominal, maximum, absolute = buffer
    return Metrics(
        ssrc, lost, discarded, dense, sparse, burst, gap, round_trip, end_system, _signed(signal), _signed(noise),
        None if echo >= UNKNOWN else echo, gmin, r if r <= 100 else None, _scored(lq), _scored(cq),
        configuration, nominal, maximum, absolute,
    )  # fmt: skip


def _octet(value: int) -> int:
    return max(0, min(0xFF, value))


def _half(value: int) -> int:
    return max(0, min(0xFFFF, value))


def _level(value: int | None) -> int:
    return UNKNOWN if value is None else max(-128, min(126, value)) & 0xFF


def _signed(octet: int) -> int | None:
    return None if octet == UNKNOWN else octet - 256 if octet > UNKNOWN else octet


def _score(mos: float | None) -> int:
    return UNKNOWN if mos is None else max(10, min(50, round(mos * 10)))


def _scored(octet: int) -> float | None:
    return octet / 10 if 10 <= octet <= 50 else None


class Bursts:
    """Told in the order of the packets what was heard and what was not; the states of RFC 3611 A.2, as 4.7.2 defines them.

    A burst begins and ends with a loss and holds fewer than GMIN packets in a row that were heard; a loss that stands
    alone belongs to the gap around it.  (A.2's sample code takes the first loss of a session for a burst.)
    `runs` counts losses that follow one another as one.
    """

    __slots__ = ("_burst_lost", "_burst_packets", "_bursts", "_heard", "_span", "_within", "heard", "lost", "runs")

    def __init__(self) -> None:
        self.heard = self.lost = self.runs = 0
        self._heard = GMIN  # since the last loss
        self._within = self._span = 0  # losses, and packets in all, of the burst that may be under way
        self._bursts = self._burst_lost = self._burst_packets = 0

    def received(self, count: int) -> None:
        self.heard += count
        self._heard += count

    def missed(self, count: int) -> None:
        """So many in a row were lost, or came too late."""
        if count <= 0:
            return
        self.lost += count
        self.runs += self._heard > 0
        if self._heard >= GMIN:
            self._end()
        else:
            self._span += self._heard
        self._within += count
        self._span += count
        self._heard = 0

    def _end(self) -> None:
        if self._within > 1:
            self._bursts += 1
            self._burst_lost += self._within
            self._burst_packets += self._span
        self._within = self._span = 0

    def densities(self, packet_ms: int) -> tuple[int, int, int, int]:
        """Burst and gap density in 1/256, mean length of a burst and of a gap in ms."""
        open_burst = self._within > 1
        bursts = self._bursts + open_burst
        in_bursts = self._burst_packets + (self._span if open_burst else 0)
        burst_lost = self._burst_lost + (self._within if open_burst else 0)
        in_gaps = self.heard + self.lost - in_bursts
        burst_density = 256 * burst_lost // in_bursts if in_bursts else 0
        gap_density = 256 * (self.lost - burst_lost) // in_gaps if in_gaps else 0
        gaps = bursts + 1
        burst_ms = in_bursts * packet_ms // bursts if bursts else 0
        return min(255, burst_density), min(255, gap_density), burst_ms, in_gaps * packet_ms // gaps


def burst_ratio(lost: int, runs: int, packets: int) -> float:
    """Of G.107: the mean length of losses in a row over what it would be were they random; 1 where nothing can be said."""
    if runs <= 0 or packets <= 0:
        return 1.0
    return max(1.0, lost / runs * (1 - min(1.0, lost / packets)))
