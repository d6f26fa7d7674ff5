"""When the built-in phone speaks: each item once the other side has finished (pure)."""

from __future__ import annotations

import attrs

from smartalex.media.frame import FRAME_MS
from smartalex.media.level import dbfs

LOUD_DBFS = -45.0


@attrs.frozen
class Item:
    """Something the caller does in its turn: `kind` 'say' or 'wav' (`pcm` is s16le mono), or 'dtmf' (`text`)."""

    kind: str
    text: str
    pcm: bytes = attrs.field(repr=False, default=b"")
    rate: int = 8000


@attrs.frozen
class Patience:
    """Milliseconds: speech that counts as the other side speaking, the quiet after it, and the longest waits.

    `first_ms` is for an agent that says nothing, `end_ms` for a call that nobody
    ends, `held_ms` for a transfer that comes to nothing.
    """

    speech_ms: int = 300
    quiet_ms: int = 700
    first_ms: int = 10_000
    end_ms: int = 20_000
    held_ms: int = 90_000


@attrs.define
class Script:
    """`frame(pcm, speaking)` every 20 ms says 'wait', 'next' (start the next item) or 'give up' (nothing left, long silence).

    `pcm` is what was heard, `speaking` whether an item is still being played.
    `spoke_ms` is the length of what the other side has just finished saying, else 0.
    """

    items: int
    patience: Patience = Patience()
    heard_ms: int = 0
    spoke_ms: int = 0
    held: bool = False
    _speech_ms: int = 0
    _quiet_ms: int = 0
    _idle_ms: int = 0
    _turn_ms: int = 0

    def hold(self) -> None:
        """The other side is transferring us: nothing is said until `release`, or until it speaks again."""
        self.held = True
        self._begin_turn()

    def release(self) -> None:
        self.held = False
        self._begin_turn()

    def frame(self, pcm: bytes, speaking: bool) -> str:
        self._listen(dbfs(pcm) > LOUD_DBFS, speaking)
        if speaking:
            return "wait"
        if self.held:
            self.held = self._speech_ms < self.patience.speech_ms
            return "give up" if self._idle_ms >= self.patience.held_ms else "wait"
        if not self.items:
            return "give up" if self._idle_ms >= self.patience.end_ms else "wait"
        finished = self._speech_ms >= self.patience.speech_ms and self._quiet_ms >= self.patience.quiet_ms
        if not finished and self._idle_ms < self.patience.first_ms:
            return "wait"
        self.items -= 1
        self._begin_turn()
        return "next"

    def _listen(self, loud: bool, speaking: bool) -> None:
        self.spoke_ms = 0
        if loud:
            self._speech_ms += FRAME_MS
            self._turn_ms += FRAME_MS
            self.heard_ms += FRAME_MS
        self._quiet_ms = 0 if loud or speaking else self._quiet_ms + FRAME_MS
        self._idle_ms = 0 if loud or speaking else self._idle_ms + FRAME_MS
        if self._turn_ms and self._quiet_ms >= self.patience.quiet_ms:
            self.spoke_ms, self._turn_ms = self._turn_ms, 0

    def _begin_turn(self) -> None:
        self._speech_ms = self._quiet_ms = self._idle_ms = 0
