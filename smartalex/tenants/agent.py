"""An agent: what it says first, who speaks for it, what it may do, and its limits."""

from __future__ import annotations

import attrs

TOOLS = ("transfer", "take_message", "end_call")
"""What an agent may be allowed to do."""

LONGEST_S = 14_400


@attrs.frozen
class Agent:
    """`backends` is the chain of voice-agent providers tried in order ("name:key=value"); the last resort is message taking.

    `max_duration_s` of 0 and a `call_forwarding_number` of "" are those of the workspace.  `silence_timeout_s` is how long
    a caller may say nothing in all, re-prompts included.
    """

    id: str
    workspace_id: str
    name: str
    first_message: str
    instructions: str = ""
    voice: str = "en-us"
    language: str = "en-US"
    backends: tuple[str, ...] = ("receptionist",)
    max_duration_s: int = 0
    call_forwarding_number: str = ""
    tools: tuple[str, ...] = TOOLS
    silence_timeout_s: int = 30
