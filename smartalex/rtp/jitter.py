"""The jitter buffer: keeps packets until their turn, and says by how much to lengthen or shorten what is heard.

How deep it must be is told by the packets' *lead*: how long before its turn each arrived.  A lead that is never used up over some
time is too much, a packet behind its turn shows how much is missing; the interarrival jitter (RFC 3550 6.4.1) says what to be
ready for.
"""

from __future__ import annotations

from collections import deque

LOWEST_MS, HIGHEST_MS = 20, 200
FRAME_MS = 20

START_TICKS = 1
"""The first packet waits so many ticks."""

FIRST_WINDOW, WINDOW = 10, 25
"""Ticks after which the depth is thought over."""

CALM_WINDOWS, CONTENT_WINDOWS = 10, 120
SLACK_MS = 2

LOOK_AHEAD_MS, LOSSY_WINDOWS = 22, 60
"""So much lead after a loss, for so long: what comes after a gap is then known where it begins, and can be led up to."""

CHECK_TICKS, ODD_CHECKS = 2 * WINDOW, 3
"""How often timestamps are compared with time and numbers, and how often in a row they must be found wrong."""

STALL_MS = 120
"""A longer gap is an interruption, and says nothing about the next one."""

SPREAD = 1.5
"""What the mean lead should be in units of the jitter: half the spread of delays that are spread evenly."""

FAR_S = 5
MOST_PACKETS = 512
"""So many are kept, whatever their timestamps say: five seconds in packets of 10 ms."""

HOLES = 32


class JitterBuffer:
    """`push` what arrives; each 20 ms `tick`, and `take` until the frame is full.  All amounts are in units of the RTP clock.

    `pending` is how much what is heard should become longer (or shorter, below 0), `urgent` whether that cannot wait for a pause.
    `late` packets came after their turn and are lost, `waits` is how often playing waited for one that came, `missing` how many
    gaps were passed, `pauses` how often the sender had sent nothing.
    """

    __slots__ = (
        "_behind", "_checked", "_content", "_count", "_counted", "_fresh", "_holes", "_jitter", "_length", "_lossy", "_low",
        "_lows", "_newest", "_next", "_odd", "_packets", "_resumes", "_sequence", "_settle_at", "_stamp", "_sum", "_ticks",
        "_unit", "_waiting", "ahead", "depth_ms", "dropped", "dry", "duplicates", "late", "missing", "pauses", "pending",
        "playing", "urgent", "waits",
    )  # fmt: skip

    def __init__(self, clock: int = 8000) -> None:
        self._unit = clock // 1000
        self.late = self.waits = self.duplicates = self.missing = self.dropped = self.pauses = 0
        self._length = 0
        self._packets: dict[int, bytes] = {}
        self._holes: deque[tuple[int, int]] = deque(maxlen=HOLES)
        self._lows: deque[int] = deque(maxlen=CALM_WINDOWS)
        self.depth_ms = float(LOWEST_MS)
        self.reset()

    def __len__(self) -> int:
        return len(self._packets)

    def reset(self) -> None:
        """A new source, or a jump of its clock: begin again."""
        self._packets.clear()
        self._holes.clear()
        self._lows.clear()
        self._next = self._newest = -1
        self._fresh = self._waiting = True
        self.playing = self.urgent = False
        self.ahead = self.dry = self.pending = 0  # decoded and not yet heard; concealed with nothing there
        self._ticks, self._settle_at = 0, FIRST_WINDOW
        self._jitter = 0.0
        self._lossy = self._content = 0  # for so many windows more
        self._counted, self._resumes = False, -1  # what follows a pause of the sender
        self._stamp = self._sequence = -1
        self._checked, self._odd = (0, 0), 0
        self._begin_window()

    def _begin_window(self) -> None:
        self._low, self._sum, self._count, self._behind = 1 << 30, 0, 0, 0

    # ------------------------------------------------------------------ in

    def push(self, timestamp: int, payload: bytes, jitter: float = 0.0, sequence: int = -1) -> None:
        """`timestamp` and `sequence` are the header's, -1 for not known; `jitter` is the source's so far."""
        if self._counted:
            timestamp = self._stamp + (((sequence - self._sequence + 0x8000) & 0xFFFF) - 0x8000) * self._length & 0xFFFFFFFF
        before, self._stamp, self._sequence = self._sequence, timestamp, sequence
        if self._next < 0:
            self._next = self._newest = timestamp + (1 << 32)
        step = ((timestamp - self._next + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        place = self._next + step
        lead = step + self.ahead - self.dry
        self._jitter = jitter
        if step < 0:
            if self._fresh and not self.playing and place > self._newest - FAR_S * 1000 * self._unit:
                self._next = place  # came in wrong order before anything was heard
                self._packets[place] = payload
                return
            self._behind_its_turn(place, lead, payload, timestamp)
            return
        if place in self._packets:
            self.duplicates += 1
            return
        if step > FAR_S * 1000 * self._unit:
            self._anew(timestamp, payload)
            return
        if len(self._packets) >= MOST_PACKETS:
            self.dropped += 1
            return
        self._packets[place] = payload
        if place > self._newest:
            if place - self._newest > self._length and sequence == (before + 1) & 0xFFFF:
                self._resumes = place
            self._newest = place
        if self.playing:
            if lead < 0:
                self._awaited(-lead)
            else:
                self._low = min(self._low, lead)
                self._sum += lead
                self._count += 1
                if lead > 2 * HIGHEST_MS * self._unit:
                    self._drop(lead - HIGHEST_MS * self._unit)

    def silent(self, sequence: int) -> None:
        """This number is no audio, and none is missing there."""
        if not self._counted and sequence == (self._sequence + 1) & 0xFFFF:
            self._sequence = sequence

    def _anew(self, timestamp: int, payload: bytes) -> None:
        self.dropped += len(self._packets)
        self.reset()
        self.push(timestamp, payload)

    def _behind_its_turn(self, place: int, lead: int, payload: bytes, timestamp: int) -> None:
        if -lead > FAR_S * 1000 * self._unit:
            self._anew(timestamp, payload)
        elif any(start <= place < end for start, end in self._holes):
            self.late += 1
            self._lossy = 0
            self._behind = max(self._behind, -lead)
            self._extend(-lead)
        else:
            self.duplicates += 1

    def _awaited(self, units: int) -> None:
        """Nothing was there and something else was heard so long: that time is gained already."""
        if self._waiting:
            self._waiting = False
            self._lows.clear()
            self.waits += 1
            if units <= STALL_MS * self._unit:
                self._behind = max(self._behind, units)

    def _extend(self, units: int) -> None:
        self.urgent = True
        room = HIGHEST_MS * self._unit - int(self.depth_ms) * self._unit
        self.pending = max(self.pending, min(units, max(0, room)))
        self._lows.clear()

    def _drop(self, units: int) -> None:
        """More than anybody wants to wait for."""
        goal = self._next + units
        for place in [place for place in self._packets if place < goal]:
            del self._packets[place]
            self.dropped += 1
        self._hole(min(self._packets, default=goal))

    # ------------------------------------------------------------------ out

    def tick(self) -> bool:
        """Once before each 20 ms; whether there is anything to be heard."""
        if self._next < 0:
            return False
        self._ticks += 1
        if not self.playing:
            if self._ticks <= START_TICKS:
                return False
            self.playing, self._fresh, self._ticks = True, False, 0
            self._next = min(self._packets)
        elif self._ticks >= self._settle_at:
            self._settle()
            if not self._counted and self._ticks % CHECK_TICKS == FIRST_WINDOW:
                self._check()
                return self.playing
        return True

    def take(self) -> bytes | None:
        """The packet whose turn it is; `heard` says how long it was."""
        return self._packets.pop(self._next, None)

    def heard(self, units: int) -> None:
        self._next += units
        self._length = units
        if self.dry:
            self.dry = 0
            self._waiting = True

    def gap(self) -> int:
        """How much is missing before the next packet that is there, less what was concealed while waiting; -1: none is there."""
        if not self._packets:
            return -1
        first = min(self._packets)
        missing = first - self._next
        if missing < 0:  # the one before it was longer than its timestamps said
            del self._packets[first]
            self.dropped += 1
            return 0
        if missing <= self.dry:
            self._hole(first)
            self.dry = 0
            self._waiting = True
            return 0
        return missing - self.dry

    @property
    def following(self) -> bytes:
        """The packet after the gap."""
        return self._packets[min(self._packets)]

    @property
    def paused(self) -> bool:
        """Whether the sender sent nothing before the packet after the gap: its number is the next."""
        return bool(self._packets) and min(self._packets) == self._resumes

    def passed(self, units: int) -> None:
        """So much of a gap was concealed."""
        self._hole(self._next + self.dry + units)
        self.dry = 0
        self._waiting = True

    def _hole(self, end: int) -> None:
        if end <= self._next:
            return
        if self.paused:
            self.pauses += end == self._resumes
        else:
            self.missing += 1
            self._lossy = LOSSY_WINDOWS
            self._holes.append((self._next, end))
        self._next = end

    # ------------------------------------------------------------------ timestamps that are none

    def _check(self) -> None:
        """Some peers count 20 ms in packets of 30, or G.722 at 16 kHz: then it is by number that packets have their places."""
        stamp, sequence = self._checked
        self._checked = self._stamp, self._sequence
        said, sent = (self._stamp - stamp) & 0xFFFFFFFF, ((self._sequence - sequence) & 0xFFFF) * self._length
        passed = CHECK_TICKS * FRAME_MS * self._unit
        odd = abs(sent - passed) < 0.15 * passed and abs(said - sent) > 0.2 * sent
        self._odd = self._odd + 1 if odd and self._sequence >= 0 else 0
        if self._odd == ODD_CHECKS:
            stamp, sequence = self._checked
            self.reset()
            self._stamp, self._sequence, self._counted = stamp, sequence, True

    # ------------------------------------------------------------------ how deep

    def _settle(self) -> None:
        unit = self._unit
        self._settle_at = self._ticks + WINDOW
        low, count, behind = self._low, self._count, self._behind
        mean = self._sum / count if count else 0.0
        self._begin_window()
        if not count:
            return
        self.depth_ms = min(HIGHEST_MS, mean / unit + FRAME_MS / 2)
        want = min(SPREAD * self._jitter, HIGHEST_MS / 2 * unit) - FRAME_MS / 2 * unit
        slack = SLACK_MS * unit
        self.urgent = bool(behind) or mean < want - 4 * unit
        if self._lossy:
            self._lossy -= 1
            slack = LOOK_AHEAD_MS * unit
            want = max(want, slack)
        if self.urgent or mean < want - 4 * unit:
            self._lows.clear()
            self.pending = max(self.pending, int(want - mean), 0)
            return
        self._lows.append(low)
        if low > max(40 * unit, 2 * SPREAD * self._jitter):
            self.pending = -int(low - max(slack, want))
        elif self._content:
            self._content -= 1
        elif len(self._lows) == CALM_WINDOWS:
            excess = min(min(self._lows) - slack, int(mean - want))
            self.pending = -excess if excess > 0 else min(self.pending, 0)
        else:
            self.pending = min(self.pending, 0)

    def scaled(self, units: int) -> None:
        """What is heard has become so much longer (shorter, below 0)."""
        self.pending -= units
        if abs(self.pending) < 3 * self._unit:
            self.pending = 0
        self._lows.clear()
        self._low = max(0, self._low + units) if self._count else self._low
        self._sum += units * self._count

    def content(self) -> None:
        """With the depth as it is, for a while."""
        self.pending = 0
        self._content = CONTENT_WINDOWS
