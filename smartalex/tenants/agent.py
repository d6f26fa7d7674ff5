"""An agent: what it says first, who speaks for it, and its limits."""

from __future__ import annotations

import attrs


@attrs.frozen
class Agent:
    """`backends` is the chain of voice-agent providers tried in order ("name:key=value"); the last resort is message taking."""

    id: str
    workspace_id: str
    name: str
    first_message: str
    instructions: str = ""
    voice: str = "en-us"
    language: str = "en-US"
    backends: tuple[str, ...] = ("receptionist",)
    max_duration_s: int = 300
    call_forwarding_number: str = ""
