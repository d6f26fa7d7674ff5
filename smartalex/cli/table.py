"""Text for people: aligned columns, local time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart; the last one is left ragged."""
    lines = [[safe(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def safe(text: str) -> str:
    """Nothing that a terminal would act upon."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def local_time(unix_s: float | None, *, seconds: bool = True) -> str:
    if unix_s is None:
        return "-"
    return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def length(seconds: float | None) -> str:
    """'0:07', '1:02:03', or '-'."""
    if seconds is None:
        return "-"
    minutes, s = divmod(int(seconds + 0.5), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
