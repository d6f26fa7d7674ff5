"""DTMF in SIP INFO: no RFC, but what PBXs send (application/dtmf-relay, application/dtmf)."""

from __future__ import annotations

import re

DIGITS = frozenset("0123456789*#ABCD")
NAMES = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}

TYPES = ("application/dtmf-relay", "application/dtmf")

_SIGNAL = re.compile(rb"^[ \t]*signal[ \t]*=[ \t]*([0-9A-D*#]{1,2})[ \t]*$", re.IGNORECASE | re.MULTILINE)
_DURATION = re.compile(rb"^[ \t]*duration[ \t]*=[ \t]*([0-9]{1,5})[ \t]*$", re.IGNORECASE | re.MULTILINE)

USUAL_MS = 160


def read_dtmf(content_type: str, body: bytes) -> tuple[str, int] | None:
    """(digit, milliseconds), or None for what is no key."""
    if content_type not in TYPES or len(body) > 256:
        return None
    body = body.replace(b"\r\n", b"\n")
    if content_type == "application/dtmf":
        return _key(body.strip().decode("ascii", "replace"), USUAL_MS)
    signal, duration = _SIGNAL.search(body), _DURATION.search(body)
    return _key(signal[1].decode(), int(duration[1]) if duration else USUAL_MS) if signal else None


def _key(text: str, duration_ms: int) -> tuple[str, int] | None:
    digit = NAMES.get(text, text.upper())
    return (digit, min(duration_ms, 10_000)) if digit in DIGITS else None
