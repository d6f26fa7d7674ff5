"""The jitter buffer: puts frames in order and gives one each 20 ms, deep enough for the jitter that is measured."""

from __future__ import annotations

LOWEST_FRAMES = 2
HIGHEST_FRAMES = 10
"""40 to 200 ms, in frames of 20 ms."""

FRAME_S = 0.02
CALM_FRAMES = 250
"""So many frames on end with room to spare before the buffer grows shallower."""


class JitterBuffer:
    """`push` what arrives, `pop` each 20 ms: the payload, or None when it is missing.

    Sequence numbers are extended to 32 bits by nearness to the next one wanted.
    Late and doubled packets are counted and dropped.  `depth` is the frames
    held before playing starts; it grows when packets come late and shrinks
    after a calm time, by dropping one frame.
    """

    __slots__ = ("_calm", "_frames", "_least", "_next", "_playing", "depth", "duplicates", "late", "missing")

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}
        self._next = -1
        self._playing = False
        self._calm = 0
        self._least = HIGHEST_FRAMES
        self.depth = LOWEST_FRAMES
        self.late = self.duplicates = self.missing = 0

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, sequence: int, payload: bytes) -> None:
        """`sequence` is the 16 bits of the header."""
        if self._next < 0:
            self._next = sequence + 65536
        extended = self._extend(sequence)
        if not self._playing and not self._frames:
            self._next = min(self._next, extended) if extended > self._next - 100 else extended
        ahead = extended - self._next
        if ahead < 0:
            self.late += 1
            self._grow()
            if ahead < -200:
                self.reset()
        elif ahead > 200:
            self.reset()
            self.push(sequence, payload)
        elif extended in self._frames:
            self.duplicates += 1
        else:
            self._frames[extended] = payload
            self._bound()

    def pop(self) -> bytes | None:
        frames = self._frames
        if not self._playing:
            if len(frames) < self.depth:
                return None
            self._playing = True
            self._next = min(frames)
        payload = frames.pop(self._next, None)
        if payload is None:
            self.missing += 1
            if not frames:  # ran dry: wait until it is deep enough again
                self._playing = False
                return None
        self._next += 1
        self._settle()
        return payload

    @property
    def playing(self) -> bool:
        return self._playing

    def reset(self) -> None:
        """A new source, or a jump in sequence: begin again."""
        self._frames.clear()
        self._next = -1
        self._playing = False

    def _extend(self, sequence: int) -> int:
        difference = (sequence - self._next) & 0xFFFF
        return self._next + (difference if difference < 0x8000 else difference - 0x10000)

    def _grow(self) -> None:
        self.depth = min(self.depth + 1, HIGHEST_FRAMES)
        self._calm = 0
        if self._playing:
            self._next -= 1  # play this frame's place again: one concealed frame of more depth

    def _settle(self) -> None:
        held = len(self._frames)
        self._least = min(self._least, held)
        self._calm += 1
        if self._calm >= CALM_FRAMES:
            if self._least > LOWEST_FRAMES:
                self._frames.pop(self._next, None)
                self._next += 1
            if self._least >= LOWEST_FRAMES:
                self.depth = max(LOWEST_FRAMES, self.depth - 1)
            self._calm, self._least = 0, HIGHEST_FRAMES

    def _bound(self) -> None:
        """Audio older than the deepest buffer is stale: drop it rather than play it late."""
        while len(self._frames) > HIGHEST_FRAMES + 5:
            oldest = min(self._frames)
            del self._frames[oldest]
            self._next = oldest + 1
