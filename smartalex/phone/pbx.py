"""The PBX's part of a transfer: how a REFER is answered, and what its NOTIFYs then say (pure; RFC 3515)."""

from __future__ import annotations

import attrs


@attrs.frozen
class Notify:
    """One NOTIFY, `after_s` the REFER; `shown` is for whoever watches, with {to} for the extension."""

    after_s: float
    status: int
    reason: str
    shown: str
    final: bool = False


@attrs.frozen
class Plan:
    """`answer` to the REFER itself: 202, 603, or 0 for none at all; 202 is followed by 100 at once, then `notifies`.

    `outcome` is the word for it in a report.
    """

    outcome: str
    answer: int = 202
    notifies: tuple[Notify, ...] = ()


RINGING = Notify(0.1, 180, "Ringing", "{to} rings")

PLANS = {
    "accept": Plan("connected", notifies=(RINGING, Notify(0.6, 200, "OK", "connected to {to}", final=True))),
    "busy": Plan("busy", notifies=(Notify(0.2, 486, "Busy Here", "{to} is busy", final=True),)),
    "decline": Plan("declined", answer=603),
    "no-answer": Plan(
        "no answer", notifies=(RINGING, Notify(6.0, 480, "Temporarily Unavailable", "{to} does not pick up", final=True))
    ),
    "silent": Plan("silent", answer=0),
}
"""What --refer-answer may say."""
