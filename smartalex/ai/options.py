"""How one agent's conversations are to go."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from smartalex.ai.breaker import Breakers
from smartalex.ai.supervisor import Deadlines
from smartalex.ai.turn import Pace
from smartalex.interfaces import IVoiceAgentFactory
from smartalex.media.frame import Clip
from smartalex.media.vad import Vad

SHARED_BREAKERS = Breakers()
"""The breakers of all calls of this process, unless the options say otherwise."""


def voice_detector(rate: int) -> Callable[[bytes], bool]:
    return Vad(rate).speech


@attrs.frozen
class ConversationOptions:
    """`factories` is the agent's backend chain; `greeting` None lets the backend say the first words."""

    factories: tuple[IVoiceAgentFactory, ...]
    greeting: Clip | None = None
    max_duration_s: float = 300.0
    language: str = "en-US"
    pace: Pace = Pace()  # noqa: RUF009 (frozen)
    deadlines: Deadlines = Deadlines()  # noqa: RUF009 (frozen)
    breakers: Breakers = SHARED_BREAKERS
    detector: Callable[[int], Callable[[bytes], bool]] = voice_detector
