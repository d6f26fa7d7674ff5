"""What the caller hears and what was said: playing, canned prompts, the transcript and the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from smartalex.ai.playout import NOTHING, Cut, Line, Playout
from smartalex.ai.prompts import PromptBook
from smartalex.ai.timers import Timers
from smartalex.interfaces import IAudioOut, ICallControl
from smartalex.media.frame import FRAME_MS, Clip

PLAYOUT_S = 15.0
DRY_S = 1.0
MOST_HISTORY = 200
MOST_MISUNDERSTOOD = 3
"""Turns in a row without a word understood that put the call on the list for review."""


@attrs.frozen
class Prompter:
    """Prompts in the call's language."""

    book: PromptBook
    language: str

    def clip(self, name: str) -> Clip:
        return self.book.clip(name, self.language)


class Stage:
    """`history` is what a backend is told that takes over: caller, agent and events, without our own prompts."""

    __slots__ = ("_control", "_misunderstood", "_prompter", "_timers", "history", "playout")

    def __init__(self, audio: IAudioOut, prompter: Prompter, control: ICallControl, timers: Timers) -> None:
        self.playout = Playout(audio)
        self.history: deque[tuple[str, str]] = deque(maxlen=MOST_HISTORY)
        self._prompter = prompter
        self._control = control
        self._timers = timers
        self._misunderstood = 0

    def say(self, prompt: str, *, interruptible: bool = True) -> None:
        """Queue a canned prompt."""
        self.playout.clip(self._prompter.clip(prompt), interruptible=interruptible)

    def cut(self) -> Cut | None:
        """Take away what is being played; what it took from the session."""
        cut, heard = self.playout.cut()
        self._record(heard)
        return cut

    def tick(self) -> tuple[str, ...]:
        """See how far playing has come; the session's marks that were reached."""
        progress = self.playout.tick()
        if progress is NOTHING:
            return ()
        self._record(progress.said)
        return progress.marks

    def said(self, role: str, text: str) -> None:
        """One line more, of the caller or of the session."""
        self.history.append((role, text))
        self._control.said(role, text)

    def understood(self, text: str) -> None:
        """What the caller said in one turn; '' when it was not understood."""
        if text:
            self._misunderstood = 0
            self.said("caller", text)
            return
        self._misunderstood += 1
        if self._misunderstood == MOST_MISUNDERSTOOD:
            self._control.event("misunderstood", {})

    def after(self, action: Callable[[], None]) -> None:
        """Call `action` when everything was heard: at most 15 s from now, and 1 s after the last sample."""
        self._wait(action, 0.0, 0.0)

    # ------------------------------------------------------------------

    def _wait(self, action: Callable[[], None], waited_s: float, dry_s: float) -> None:
        if not self.playout.busy or dry_s >= DRY_S or waited_s >= PLAYOUT_S:
            action()
            return
        frame_s = FRAME_MS / 1000
        dry_s = 0.0 if self.playout.speaking else dry_s + frame_s
        self._timers.later(frame_s, self._wait, action, waited_s + frame_s, dry_s)

    def _record(self, lines: tuple[Line, ...]) -> None:
        for line in lines:
            if line.own:
                self._control.said("agent", line.text)
            else:
                self.said("agent", line.text)
