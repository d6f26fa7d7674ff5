"""What the caller says while no backend listens yet, kept for the one that comes."""

from __future__ import annotations

from collections import deque

from smartalex.media.frame import FRAME_MS

KEPT_MS = 15_000
PRE_ROLL_MS = 300


class Backlog:
    """The newest 15 s of frames; from `begin` on, of one turn and the 300 ms before it."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=KEPT_MS // FRAME_MS)

    def add(self, pcm: bytes) -> None:
        self._frames.append(pcm)

    def begin(self) -> None:
        """The caller has begun to speak."""
        while len(self._frames) > PRE_ROLL_MS // FRAME_MS:
            self._frames.popleft()

    def take(self) -> tuple[bytes, ...]:
        frames = tuple(self._frames)
        self._frames.clear()
        return frames
