"""The jitter buffer: puts packets in order and gives one each 20 ms, deep enough for the jitter that is met."""

from __future__ import annotations

from collections import deque

LOWEST_FRAMES = 2
HIGHEST_FRAMES = 10
"""A packet waits 20 to 40 ms at `LOWEST_FRAMES` (the tick's phase decides), 200 ms at most."""

STALL_FRAMES = 5
"""A gap of up to 100 ms is jitter, to be ready for; a longer one is an interruption, and says nothing about the next."""

WINDOW = 25
CALM_WINDOWS = 10
"""Half a second; and the five seconds on end with frames to spare before the buffer grows shallower."""

FAR = 200


class JitterBuffer:
    """`push` what arrives, `pop` each 20 ms: the payload, or None when it is missing.

    `depth` is the frames held before playing starts.  It grows when packets
    come too late and shrinks by one frame after a calm time; what an
    interruption has piled up beyond it is dropped at once.  `late` packets
    came after their place was passed, `missing` places were passed empty.
    """

    __slots__ = (
        "_dry", "_frames", "_fresh", "_low", "_lows", "_missed", "_next", "_playing", "_stall", "_steps",
        "depth", "duplicates", "late", "missing",
    )  # fmt: skip

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}
        self._missed: set[int] = set()
        self._low = HIGHEST_FRAMES
        self._lows: deque[int] = deque(maxlen=CALM_WINDOWS)
        self._steps = self._stall = self._dry = 0
        self._next = -1
        self._fresh, self._playing = True, False
        self.depth = LOWEST_FRAMES
        self.late = self.duplicates = self.missing = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def playing(self) -> bool:
        return self._playing

    def push(self, sequence: int, payload: bytes) -> None:
        """`sequence` is the 16 bits of the header."""
        frames = self._frames
        if self._next < 0:
            self._next = sequence + 0x10000
        ahead = ((sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
        extended = self._next + ahead
        if ahead < 0 and not self._fresh:
            self._behind(extended, payload)
        elif extended in frames:
            self.duplicates += 1
        elif ahead > FAR:
            self.reset()
            self.push(sequence, payload)
        else:
            if self._dry and ahead == 0 and not self._fresh:
                self._waited()
            frames[extended] = payload
            if len(frames) > HIGHEST_FRAMES:
                self._drop(1)

    def pop(self) -> bytes | None:
        frames = self._frames
        if not self._playing:
            if len(frames) < self.depth:
                self._dry += 1
                return None
            self._fresh, self._playing, self._dry = False, True, 0
            self._next = min(frames)
        if self._stall:
            self._stall -= 1
            return None
        payload = frames.pop(self._next, None)
        if payload is None:
            if not frames:  # ran dry: wait until it is deep enough again
                self._playing, self._dry = False, 1
                return None
            self.missing += 1
            self._missed.add(self._next)
        self._next += 1
        if len(frames) < self._low:  # noqa: PLR1730 - twice as fast as min()
            self._low = len(frames)
        self._steps += 1
        if self._steps == WINDOW:
            self._settle()
        return payload

    def reset(self) -> None:
        """A new source, or a jump in sequence: begin again, as deep as before."""
        self._frames.clear()
        self._missed.clear()
        self._next = -1
        self._stall = self._dry = 0
        self._fresh, self._playing = True, False

    def _behind(self, extended: int, payload: bytes) -> None:
        """Its place was passed: if empty, the buffer was not deep enough."""
        if extended not in self._missed:
            self.duplicates += 1
            return
        self._missed.discard(extended)
        self.late += 1
        if self.depth >= HIGHEST_FRAMES:
            return
        self._deepen(1)
        if extended == self._next - 1:  # what stood for it has made the room: it can still be played
            self._next = extended
            self._frames[extended] = payload
        else:
            self._stall += 1

    def _waited(self) -> None:
        """It ran dry for a packet that was merely late."""
        if self._dry <= STALL_FRAMES:
            self.late += 1
            self._deepen(self._dry)
        self._dry = 0

    def _deepen(self, frames: int) -> None:
        self.depth = min(self.depth + frames, HIGHEST_FRAMES)
        self._lows.clear()
        self._low = HIGHEST_FRAMES
        self._steps = 0

    def _settle(self) -> None:
        """Twice a second."""
        low, lows = self._low, self._lows
        lows.append(low)
        self._steps, self._low = 0, HIGHEST_FRAMES
        self._missed = {place for place in self._missed if place > self._next - FAR}
        if low > self.depth + 2:
            self._drop(low - self.depth)
        elif len(lows) == CALM_WINDOWS and min(lows) >= LOWEST_FRAMES:
            self._drop(1)
            self.depth = max(LOWEST_FRAMES, self.depth - 1)
            lows.clear()

    def _drop(self, count: int) -> None:
        """Skip the oldest frames: they would only be heard late."""
        frames = self._frames
        for place in sorted(frames)[:count]:
            del frames[place]
            self._next = place + 1
