"""How a call sounded over its time, as people see it in a terminal (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, ROWS = 60, 4
WORST, BEST = 1.0, 4.5
"""The scale of MOS."""

BARS = " ▁▂▃▄▅▆▇█"
FULL = len(BARS) - 1
DIRECTIONS = (("mos", "heard", "as we heard the caller"), ("remote_mos", "sent", "as the caller heard us, by RTCP"))

Values = Sequence[float | None]


def quality(call: Mapping[str, Any]) -> list[str]:
    """MOS in both directions, of the event 'quality' and the columns of the record; nothing for a call that has none."""
    lines: list[str] = []
    for event in call["events"]:
        if event["kind"] == "quality":
            for name, title, whose in DIRECTIONS:
                if event.get(name):
                    summary = f"MOS {_figure(call, name, 'mean')} mean, {_figure(call, name, 'min')} least, {whose}"
                    lines += ["", f"{title:<11}{summary}", *bars(event[name], event["every_s"])]
    return lines


def bars(values: Values, every_s: float) -> list[str]:
    """A column for each sample, or for the worst of several; blank where nothing was known."""
    each = -(-len(values) // WIDTH)
    heights = [_height(values[at : at + each]) for at in range(0, len(values), each)]
    lines = []
    for row in reversed(range(ROWS)):
        label = {ROWS - 1: f"{BEST}", 0: f"{WORST}"}.get(row, "")
        lines.append(f"{label:>9} │{''.join(BARS[min(FULL, max(0, height - row * FULL))] for height in heights)}".rstrip())
    return [*lines, f"{'':>10}└{'─' * len(heights)} {len(values) * every_s:g} s, {each * every_s:g} s a column"]


def _height(values: Values) -> int:
    """In eighths of a row; the worst MOS has one, so that it is seen."""
    known = [value for value in values if value is not None]
    if not known:
        return 0
    part = (min(known) - WORST) / (BEST - WORST)
    return max(1, min(ROWS * FULL, round(part * ROWS * FULL)))


def _figure(call: Mapping[str, Any], name: str, which: str) -> str:
    value = call.get(f"{name}_{which}")
    return "-" if value is None else f"{value:.2f}"
