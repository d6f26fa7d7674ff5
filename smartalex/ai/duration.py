"""The longest a conversation may take."""

from __future__ import annotations

from typing import Protocol

from smartalex.ai.stage import Stage
from smartalex.ai.timers import Timers

WARNING_S = 60.0
"""How long before the end the caller is warned, in calls of three times that and more."""

LATER_S = 10.0


class IEndable(Protocol):
    @property
    def handed_over(self) -> bool: ...
    def finish(self, prompt: str, reason: str) -> None: ...


class Duration:
    """Warns, then ends the conversation with a closing message; never while the caller is somebody else's."""

    __slots__ = ("_conversation", "_stage", "_timers")

    def __init__(self, conversation: IEndable, stage: Stage, timers: Timers) -> None:
        self._conversation = conversation
        self._stage = stage
        self._timers = timers

    def start(self, limit_s: float, *, warns: bool = True) -> None:
        if warns and limit_s >= 3 * WARNING_S:
            self._timers.later(limit_s - WARNING_S, self._warn)
        self._timers.later(limit_s, self._end)

    def _warn(self) -> None:
        if not self._conversation.handed_over:
            self._stage.say("max-duration-soon")

    def _end(self) -> None:
        if self._conversation.handed_over:
            self._timers.later(LATER_S, self._end)
        else:
            self._conversation.finish("max-duration", "maximum duration")
