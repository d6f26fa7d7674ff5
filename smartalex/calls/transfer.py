"""What became of a REFER: a pure reading of answers, NOTIFYs and deadlines (RFC 3515, RFC 5589 6)."""

from __future__ import annotations

from enum import Enum

import attrs

from smartalex.calls.lifecycle import Input

CAUSES = {
    **dict.fromkeys((486, 600), "busy"),
    **dict.fromkeys((408, 480, 487), "no answer"),
    **dict.fromkeys((404, 410, 484, 604), "not found"),
    **dict.fromkeys((403, 603), "declined"),
    **dict.fromkeys((401, 407), "authentication wanted"),
    **dict.fromkeys((405, 420, 501), "not supported"),
}
"""Status of the REFER or of the new call -> the word in the record and for the agent; others are 'unreachable'."""


class Deadline(Enum):
    """Which clock runs: until the first sign of progress, or until somebody picks up."""

    FIRST_SIGN = "first sign"
    RINGING = "ringing"


@attrs.frozen
class Step:
    """What one input means for the call: a lifecycle input or None, a cause, a deadline to start.

    `no_pbx`: had it been the answer to the REFER itself, the PBX would be out of reach.
    """

    input: Input | None = None
    cause: str = ""
    deadline: Deadline | None = None
    no_pbx: bool = False


NOTHING = Step()


def cause_of(status: int) -> str:
    return CAUSES.get(status, "unreachable")


def accepted() -> Step:
    """2xx to the REFER: the PBX has taken it on; the first-sign deadline goes on running."""
    return Step(Input.REFER_ACCEPTED)


def progress(status: int, *, final: bool) -> Step:
    """A NOTIFY's sipfrag status, or the REFER's own final answer when it was not 2xx.

    100 says only that the PBX is trying; 101-199 that somebody is being rung;
    2xx is success even when the subscription stays open.
    """
    if 200 <= status < 300:
        return Step(Input.REFER_DONE)
    if status >= 300:
        return Step(Input.REFER_FAILED, cause_of(status), no_pbx=status in (408, 503))
    if final:  # subscription ended on a provisional: no outcome will follow
        return Step(Input.REFER_FAILED, "outcome unknown")
    return Step(deadline=Deadline.RINGING) if status > 100 else NOTHING


def deadline_passed(which: Deadline) -> Step:
    if which is Deadline.FIRST_SIGN:
        return Step(Input.REFER_FAILED, "no response", no_pbx=True)
    return Step(Input.REFER_FAILED, "no answer")
