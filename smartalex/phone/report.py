"""What came of a call, as a value and in words (pure)."""

from __future__ import annotations

from typing import Any

import attrs

MEANING = {
    401: "the other side wants a username and password",
    403: "these credentials, or this address, are not accepted",
    404: "there is no such number on this trunk",
    407: "the other side wants a username and password",
    408: "nobody answered in time",
    480: "nobody is there to answer",
    486: "the line is busy",
    488: "no codec in common",
    503: "all lines are in use, or the service is stopping; try again shortly",
}


@attrs.define
class Result:
    """Times are milliseconds or seconds as named; `status` is the final SIP status, 0 when none came.

    `answer_ms` counts from the first INVITE, `first_audio_ms` and `duration_s`
    from the answer; `speech_heard_s` is how long anything loud was heard.
    `ended_by` is 'agent', 'caller', 'timeout', 'transport' or ''.
    """

    status: int = 0
    reason: str = ""
    answer_ms: int | None = None
    first_audio_ms: int | None = None
    codec: str = ""
    refer_to: str | None = None
    transferred_to: str | None = None
    transfers: list[dict[str, str]] = attrs.field(factory=list)
    ended_by: str = ""
    duration_s: float = 0.0
    speech_heard_s: float = 0.0
    mos: float | None = None
    rtp: dict[str, Any] = attrs.field(factory=dict)
    call_id: str = ""

    @property
    def ok(self) -> bool:
        """Answered, and not cut off."""
        return self.status == 200 and self.ended_by != "transport"


def sentence(result: Result) -> str:
    """How it went, for people."""
    if result.status == 200 and result.ended_by == "transport":
        return f"cut off after {result.duration_s:.1f} s: {result.reason or 'the connection is gone'}"
    if result.status == 200:
        end = f"transferred to {result.transferred_to}" if result.transferred_to else ENDINGS.get(result.ended_by, "ended")
        quality = f", MOS {result.mos}" if result.mos is not None else ", nothing was received"
        return f"{end} after {result.duration_s:.1f} s; {result.codec}{quality}"
    if result.status:
        why = MEANING.get(result.status, "refused")
        return f"not connected: {result.status} {result.reason}: {why}"
    return f"not connected: {result.reason or 'nobody answers at that address'}"


ENDINGS = {"agent": "ended by the agent", "caller": "ended by the caller", "timeout": "ended by --max-seconds"}


def as_json(result: Result, said: list[str], transcript: list[dict[str, str]] | None, record: str) -> dict[str, Any]:
    """`said` is what the caller said; `transcript` and `record` (an id) are the platform's, None and '' where it is foreign."""
    lines = transcript or []
    agent = [line["text"] for line in lines if line["role"] == "agent"]
    known = {"said": {"caller": said, "agent": agent}, "transcript": transcript, "record": record or None}
    return {"ok": result.ok, **attrs.asdict(result), **known}
