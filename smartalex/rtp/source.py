"""One RTP source as its receiver sees it: sequence, losses, jitter (RFC 3550 6.4.1, A.1, A.3, A.8)."""

from __future__ import annotations

BAD, GOOD, RESTARTED = 0, 1, 2
"""What `Source.packet` makes of a sequence number."""

MAX_DROPOUT = 3000
MAX_MISORDER = 100
MAX_TRANSIT = 80_000
"""A larger step in transit time, ten seconds at 8 kHz, is not jitter."""


class Source:
    """A source that is known by its address: its first packet counts, only a jump needs two in a row (A.1)."""

    __slots__ = (
        "_bad",
        "_base",
        "_expected_before",
        "_received_before",
        "_transit",
        "highest",
        "jitter",
        "lost_before",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.lost_before = 0
        self.jitter = 0.0  # in units of the RTP clock
        self._begin(sequence)

    def _begin(self, sequence: int) -> None:
        self._base = self.highest = sequence  # extended by the cycles
        self._bad = -1
        self.received = 0
        self._expected_before = self._received_before = 0
        self._transit: int | None = None

    def packet(self, sequence: int) -> int:
        """BAD: drop it; RESTARTED: the sender has begun anew, as this packet does."""
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead < MAX_DROPOUT:
            self.highest += ahead
        elif ahead <= 0x10000 - MAX_MISORDER:
            if sequence != self._bad:
                self._bad = (sequence + 1) & 0xFFFF
                return BAD
            self.lost_before = self.lost
            self._begin(sequence)
            self.received = 1
            return RESTARTED
        self.received += 1
        return GOOD

    def arrived(self, timestamp: int, arrival: int) -> None:
        """For each audio packet: both in units of the RTP clock, from any beginning."""
        transit = arrival - timestamp
        if self._transit is not None:
            step = abs(transit - self._transit)
            if step < MAX_TRANSIT:  # else the timestamp has wrapped, or begun anew
                self.jitter += (step - self.jitter) / 16
        self._transit = transit

    @property
    def lost(self) -> int:
        """Cumulative; duplicates can make it negative (A.3)."""
        return self.lost_before + self.highest - self._base + 1 - self.received

    def interval_fraction(self) -> int:
        """The loss since the last call in 1/256."""
        expected, received = self.highest - self._base + 1, self.received
        wanted, got = expected - self._expected_before, received - self._received_before
        self._expected_before, self._received_before = expected, received
        return min(255, ((wanted - got) << 8) // wanted) if wanted > got else 0
