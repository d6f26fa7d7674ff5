"""What a check comes to."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class Found:
    """`level` "-": it could not be seen, and `seen` says why.

    `topic` is what has to be changed in the PBX (`remedies.TOPICS`), `ours` what on our side.
    """

    level: Literal["ok", "warn", "bad", "-"]
    seen: str
    topic: str = ""
    ours: str = ""


def ok(seen: str) -> Found:
    return Found("ok", seen)


def warn(seen: str, topic: str = "", ours: str = "") -> Found:
    return Found("warn", seen, topic, ours)


def bad(seen: str, topic: str = "", ours: str = "") -> Found:
    return Found("bad", seen, topic, ours)


def unseen(why: str, ours: str = "") -> Found:
    return Found("-", why, ours=ours)


def ago(seconds: float) -> str:
    """How long, in the unit that one would say."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size * 2:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def some(things: object, most: int = 3) -> str:
    """The first few of them, in words."""
    assert isinstance(things, (list, tuple, set, frozenset))
    shown = [str(one) for one in things]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
