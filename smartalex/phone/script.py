"""When the built-in phone speaks: each item once the other side has finished (pure)."""

from __future__ import annotations

import attrs

from smartalex.media.frame import FRAME_MS
from smartalex.media.level import dbfs

LOUD_DBFS = -45.0


@attrs.frozen
class Patience:
    """Milliseconds: speech that counts as the other side speaking, the quiet after it, and the longest wait for either."""

    speech_ms: int = 300
    quiet_ms: int = 700
    first_ms: int = 10_000
    end_ms: int = 20_000


@attrs.define
class Script:
    """`frame(pcm)` every 20 ms says 'wait', 'next' (start the next item) or 'give up' (nothing left, long silence)."""

    items: int
    patience: Patience = Patience()
    heard_ms: int = 0
    speech_ms: int = 0
    quiet_ms: int = 0
    idle_ms: int = 0

    def frame(self, pcm: bytes, speaking: bool) -> str:
        loud = dbfs(pcm) > LOUD_DBFS
        if loud:
            self.speech_ms += FRAME_MS
            self.heard_ms += FRAME_MS
        self.quiet_ms = 0 if loud or speaking else self.quiet_ms + FRAME_MS
        self.idle_ms = 0 if loud or speaking else self.idle_ms + FRAME_MS
        if speaking:
            return "wait"
        finished = self.speech_ms >= self.patience.speech_ms and self.quiet_ms >= self.patience.quiet_ms
        if self.items and (finished or self.idle_ms >= self.patience.first_ms):
            self.items -= 1
            self.speech_ms = self.quiet_ms = self.idle_ms = 0
            return "next"
        return "give up" if not self.items and self.idle_ms >= self.patience.end_ms else "wait"
