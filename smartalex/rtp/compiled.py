"""Whether the media path runs compiled (etc/compile.py), and whether that is the source that is there."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

PYTHON, COMPILED, STALE = "python", "compiled", "stale"

_PACKAGE = Path(__file__).resolve().parent.parent
_MADE = Path(__file__).with_name("compiled.json")
_HOT = ("smartalex.rtp.plane", "smartalex.rtp._wire")


def state(package: Path = _PACKAGE, made: Path = _MADE) -> str:
    """STALE: some of it is compiled, from another source than is there."""
    specs = [find_spec(name) for name in _HOT]
    if not any(spec is not None and spec.origin is not None and spec.origin.endswith(".so") for spec in specs):
        return PYTHON
    try:
        sources: dict[str, str] = json.loads(made.read_text())
        same = all(hashlib.sha256((package / name).read_bytes()).hexdigest() == digest for name, digest in sources.items())
    except (OSError, ValueError):
        return STALE
    return COMPILED if same and None not in specs else STALE
