"""One RTP source as its receiver sees it: sequence, losses, jitter (RFC 3550 6.4.1, 8.2, A.1, A.3, A.8)."""

from __future__ import annotations

from collections.abc import Hashable

from smartalex.rtp.xr import Bursts

BAD, GOOD, RESTARTED = 0, 1, 2
"""What `Source.packet` makes of a sequence number."""

MAX_DROPOUT = 3000
MAX_MISORDER = 100
MAX_TRANSIT_S = 10
"""A larger step in transit time is not jitter."""

SETTLED = 32
"""So many packets after its place one that has not come will not be heard any more."""

MOST_HOLES = 64
CONFLICT_S = 50.0
"""Ten reporting intervals (RFC 3550 8.2)."""

MOST_CONFLICTS = 16


class Source:
    """A source that is known by its address: its first packet counts, only a jump needs two in a row (A.1).

    `bursts` knows, up to the last `settle`, what was missed; `jitter` and timestamps are in units of `clock` Hz.
    """

    __slots__ = (
        "_bad",
        "_base",
        "_expected_before",
        "_holes",
        "_received_before",
        "_settled",
        "_transit",
        "bursts",
        "clock",
        "highest",
        "jitter",
        "lost_before",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, sequence: int, clock: int = 8000) -> None:
        self.ssrc = ssrc
        self.clock = clock
        self.lost_before = 0
        self.jitter = 0.0
        self.bursts = Bursts()
        self._begin(sequence)

    def _begin(self, sequence: int) -> None:
        self._base = self.highest = sequence  # extended by the cycles
        self._settled = sequence  # what comes before has been told to `bursts`
        self._holes: list[tuple[int, int]] = []  # what has not come, as (first, one beyond the last)
        self._bad = -1
        self.received = 0
        self._expected_before = self._received_before = 0
        self._transit: float | None = None

    def packet(self, sequence: int) -> int:
        """BAD: drop it; RESTARTED: the sender has begun anew, as this packet does."""
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead == 1:
            self.highest += 1
        elif ahead < MAX_DROPOUT:
            if ahead:
                self._hole(self.highest + 1, self.highest + ahead)
            self.highest += ahead
        elif ahead <= 0x10000 - MAX_MISORDER:
            if sequence != self._bad:
                self._bad = (sequence + 1) & 0xFFFF
                return BAD
            self._restart(sequence)
            return RESTARTED
        else:
            self._fill(self.highest + ahead - 0x10000)
        self.received += 1
        return GOOD

    def arrived(self, timestamp: int, arrival: float) -> None:
        """For each audio packet: its timestamp, and seconds of any even clock."""
        clock = self.clock
        transit = arrival * clock - timestamp
        if self._transit is not None:
            step = abs(transit - self._transit)
            if step < MAX_TRANSIT_S * clock:  # else the timestamp has wrapped, or begun anew
                self.jitter += (step - self.jitter) / 16
        self._transit = transit

    def change(self, clock: int) -> None:
        """The same source speaks another codec."""
        if clock != self.clock:
            self.jitter *= clock / self.clock
            self.clock, self._transit = clock, None

    @property
    def jitter_ms(self) -> float:
        return self.jitter * 1000 / self.clock

    @property
    def expected(self) -> int:
        """Packets that have been sent since the first one that came, or since the source began anew."""
        return self.highest - self._base + 1

    @property
    def lost(self) -> int:
        """Cumulative; duplicates can make it negative (A.3)."""
        return self.lost_before + self.expected - self.received

    def interval_fraction(self) -> int:
        """The loss since the last call in 1/256."""
        expected, received = self.expected, self.received
        wanted, got = expected - self._expected_before, received - self._received_before
        self._expected_before, self._received_before = expected, received
        return min(255, ((wanted - got) << 8) // wanted) if wanted > got else 0

    # ------------------------------------------------------------------ what is missed

    def settle(self, behind: int = SETTLED) -> None:
        """Tell `bursts` of everything that is so many packets old."""
        until = max(self._settled, self.highest + 1 - behind)
        later = []
        for first, end in self._holes:
            if first >= until:
                later.append((first, end))
                continue
            self.bursts.received(first - self._settled)
            self._settled = min(end, until)
            self.bursts.missed(self._settled - first)
            if end > until:
                later.append((until, end))
        self._holes = later
        self.bursts.received(until - self._settled)
        self._settled = until

    def _hole(self, first: int, end: int) -> None:
        self._holes.append((first, end))
        if len(self._holes) > MOST_HOLES:
            self.settle()

    def _fill(self, place: int) -> None:
        """One that is out of order, or comes twice."""
        for n, (first, end) in enumerate(self._holes):
            if first <= place < end:
                self._holes[n : n + 1] = [(a, b) for a, b in ((first, place), (place + 1, end)) if a < b]
                return

    def _restart(self, sequence: int) -> None:
        self.settle(0)
        self.lost_before = self.lost
        self._begin(sequence)
        self.received = 1


class Conflicts:
    """Addresses from which our own SSRC has come (RFC 3550 8.2)."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[Hashable, float] = {}

    def looped(self, address: Hashable, now: float) -> bool:
        """True: what we send comes back from there, and is to be dropped.  False: two chose the same; take another."""
        self._seen = {known: at for known, at in self._seen.items() if now - at < CONFLICT_S}
        known = address in self._seen
        if known or len(self._seen) < MOST_CONFLICTS:
            self._seen[address] = now
            return known
        return True
