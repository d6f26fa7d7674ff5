"""The table of checks: each asks one question of what was seen, and judges it (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs

from smartalex.doctor import past, tried, way
from smartalex.doctor.facts import Facts
from smartalex.doctor.found import Found
from smartalex.doctor.remedies import line

Judge = Callable[[Facts], Found | None]


@attrs.frozen
class Check:
    """`judge` gives None where the question does not arise."""

    name: str
    question: str
    judge: Judge


@attrs.frozen
class Finding:
    """`change` is the line to change, in that PBX or on our side, "" where nothing is to be changed."""

    check: str
    question: str
    level: Literal["ok", "warn", "bad", "-"]
    seen: str
    change: str = ""


CHECKS = (
    Check("dns", "Does the PBX's name lead to addresses?", way.dns),
    Check("platform", "Does the platform run?", way.platform),
    Check("tls", "Does the PBX show a certificate that we believe, for its name?", way.tls),
    Check("tls-ours", "Is our certificate one that the PBX can believe?", way.tls_ours),
    Check("options", "Does the PBX answer our OPTIONS?", way.options),
    Check("watched", "Does the platform find the PBX up?", way.watched),
    Check("options-in", "Does the PBX ask for our OPTIONS?", way.options_in),
    Check("registered", "Are we registered there as its extension?", way.registered),
    Check("registers", "Has the PBX registered with us?", way.registers),
    Check("call", "Does it take a call of ours?", tried.answered),
    Check("codec", "Is there a codec in common, and is it our first?", tried.codec),
    Check("srtp", "Is audio secured as the trunk wants it?", tried.srtp),
    Check("audio", "Does audio come back?", tried.audio),
    Check("symmetric", "Does audio come from where its SDP says?", tried.symmetric),
    Check("hold", "Can a call be held and taken back (re-INVITE)?", tried.hold),
    Check("refresh", "Can a session be refreshed (RFC 4028)?", tried.refresh),
    Check("dtmf-rfc4733", "Do keys get through as RTP events (RFC 4733)?", tried.rfc4733),
    Check("dtmf-info", "Do keys get through by SIP INFO?", tried.info),
    Check("dtmf-inband", "Do keys get through as tones?", tried.inband),
    Check("refer", "Will it transfer calls for us (REFER)?", tried.refer),
    Check("alg", "Is anything rewritten on the way (SIP ALG)?", way.alg),
    Check("nat", "Is there a NAT between?", way.nat),
    Check("clock", "Does its clock agree with ours?", way.clock),
    Check("calls", "Have its calls got through?", past.calls),
    Check("refused", "Was any call of its turned away?", past.refused),
    Check("offers", "Do its calls offer what the trunk is set to?", past.offers),
    Check("one-way", "Was the caller heard in its calls?", past.one_way),
    Check("keys", "How do its callers' keys come?", past.keys),
    Check("transfers", "Have transfers worked?", past.transfers),
)


def findings(facts: Facts) -> Iterator[Finding]:
    """In the order of the table, without questions that do not arise."""
    for check in CHECKS:
        found = check.judge(facts)
        if found is not None:
            yield Finding(check.name, check.question, found.level, found.seen, _change(facts, found))


def _change(facts: Facts, found: Found) -> str:
    if found.level in ("ok", "-") or not found.topic:
        return found.ours
    theirs = line(found.topic, facts.trunk, facts.node, facts.number)
    return f"{theirs}; or on our side: {found.ours}" if found.ours else theirs


def healthy(found: list[Finding]) -> bool:
    """Whether nothing is bad."""
    return all(one.level != "bad" for one in found)


def as_json(trunk: str, one: Finding) -> Mapping[str, Any]:
    return {"trunk": trunk, **attrs.asdict(one)}
