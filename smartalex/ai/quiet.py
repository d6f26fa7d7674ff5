"""Three kinds of silence that only the frames show: no reaction, an item without end, audio that is no sound."""

from __future__ import annotations

from smartalex.media.frame import FRAME_MS
from smartalex.media.level import peak_dbfs

REACT_MS = 1500
"""What a backend has to speak after it was told that the caller is silent."""

STARVE_MS = 4000
PAUSE_MS = 1000
"""Silence inside an agent's speech that is played; more of it is left out."""

MUTE_MS = 4000
"""Silence in an agent's audio that makes it a failure."""

MUTE_DBFS = -60.0


class Quiet:
    """Counts milliseconds; every question is asked once a frame."""

    __slots__ = ("_asked_ms", "_starved_ms", "mute_ms")

    def __init__(self) -> None:
        self._asked_ms = -1
        self._starved_ms = 0
        self.mute_ms = 0  # of agent audio without sound, up to now

    def reset(self) -> None:
        self._starved_ms = self.mute_ms = 0

    def asked(self) -> None:
        """The backend was told of the caller's silence."""
        self._asked_ms = 0

    def answered(self) -> None:
        self._asked_ms = -1

    def unasked(self, speaking: bool) -> bool:
        """True once, when the backend did not react to the silence."""
        if self._asked_ms < 0:
            return False
        self._asked_ms += FRAME_MS
        if self._asked_ms < REACT_MS or speaking:
            return False
        self._asked_ms = -1
        return True

    def starving(self, starved: bool) -> bool:
        """True once, when an item was begun and nothing comes any more."""
        self._starved_ms = self._starved_ms + FRAME_MS if starved else 0
        return self._starved_ms == STARVE_MS

    def agent(self, pcm: bytes, rate: int) -> bool:
        """Whether this audio of the agent can be heard."""
        audible = peak_dbfs(pcm) >= MUTE_DBFS
        self.mute_ms = 0 if audible else self.mute_ms + len(pcm) * 500 // rate
        return audible
