"""Checks of a test call from here to the PBX."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from smartalex.doctor.facts import Facts, Keyed, Step, Tried
from smartalex.doctor.found import Found, bad, ok, some, unseen, warn

NO_CALL = "no test call was placed: give --call with an extension that echoes"
JITTER_MS, LOSS = 30.0, 0.01
SLOW_MS = 10_000.0

REFUSALS = {488: "codec", 415: "codec", 606: "codec"}
"""What in the PBX answers a call with this."""


def of_the_call(judge: Callable[[Facts, Tried], Found | None]) -> Callable[[Facts], Found | None]:
    """A check that needs the call to have been answered; without one, it is unseen."""

    @wraps(judge)
    def judged(facts: Facts) -> Found | None:
        if facts.call is None or facts.call.status != 200:
            return None
        return judge(facts, facts.call)

    return judged


def answered(facts: Facts) -> Found:
    call = facts.call
    if call is None:
        return unseen(NO_CALL)
    if call.status == 200 and call.not_secured:
        return bad(f"{call.to}: answered, and then: {call.not_secured}", "srtp")
    if call.status == 200 and call.early_end:
        return bad(f"{call.to}: answered after {call.ms:.0f} ms, but it ended too early: {call.early_end}")
    if call.status == 200:
        said = f"{call.to}: answered after {call.ms:.0f} ms"
        return warn(said, ours="an extension that answers at once") if call.ms > SLOW_MS else ok(said)
    why = f"{call.status} {call.reason}" if call.status else call.reason or "no answer"
    topic = REFUSALS.get(call.status, "")
    ours = "" if topic else "the extension of --call, and what the PBX says of this call"
    if call.status in (401, 407):
        ours = f"smartalex trunk set {facts.trunk.name} --register sip:EXTENSION@PBX (the PBX wants a password of us)"
    if call.status == 403:
        ours = f"calls from {facts.node.host} must be let in by the PBX, and allowed to that extension"
    if call.status in (488, 606, 415) and facts.trunk.srtp == "required":
        topic = "srtp"
    return bad(f"{call.to}: {why}", topic, ours)


@of_the_call
def codec(facts: Facts, call: Tried) -> Found:
    if not call.codec:
        theirs = some([name for one in call.talk.spoken for name in one.codecs], 6) or "none"
        return bad(f"none in common: we offer {some(call.offered, 6)}, it answered {theirs}", "codec")
    first = call.offered[0]
    if call.codec.lower() != first.lower():
        return warn(f"{call.codec}, though {first} would be our first", "codec",
                    f"smartalex trunk set {facts.trunk.name} --codecs {call.codec}")  # fmt: skip
    return ok(f"{call.codec} of {some(call.offered, 6)}")


@of_the_call
def srtp(facts: Facts, call: Tried) -> Found:
    policy = facts.trunk.srtp
    if call.secured:
        clear = any(one.suites for one in call.talk.spoken) and all(peer.transport != "tls" for peer in facts.way.targets)
        if clear:
            tls = f"TLS for this trunk, in the PBX too: smartalex trunk set {facts.trunk.name} --transport tls"
            return warn(f"{call.secured}: they can be read on the way", ours=tls)
        return ok(call.secured)
    if policy == "required":
        return bad(call.not_secured or "audio in clear, and the trunk demands SRTP", "srtp")
    if policy == "optional":
        return warn("offered, and answered in clear", "srtp", f"smartalex trunk set {facts.trunk.name} --srtp off")
    return ok("in clear, as the trunk is set (srtp off)")


@of_the_call
def audio(facts: Facts, call: Tried) -> Found:
    said = f"{call.received} packets came, {call.sent} went"
    if not call.received and call.strangers:
        return bad(
            f"{call.strangers} packets came from elsewhere than its SDP says ({_spelt(call.signalled)}) and were not taken", "nat"
        )
    if not call.received:
        return bad(f"nothing came; {call.sent} packets went to {_spelt(call.signalled)}", "audio",
                   f"a firewall: UDP to ports {facts.node.rtp_ports} of this node")  # fmt: skip
    if call.lost > call.received * LOSS:
        return warn(f"{said}; {call.lost} were lost on the way", ours="the network between: loss")
    if call.jitter_ms > JITTER_MS:
        return warn(f"{said}; jitter {call.jitter_ms:.0f} ms", ours="the network between: jitter")
    return ok(f"{said}, jitter {call.jitter_ms:.1f} ms")


@of_the_call
def symmetric(facts: Facts, call: Tried) -> Found | None:
    if call.source is None:
        return None
    if call.source == call.signalled:
        return ok(f"from {_spelt(call.source)}, as its SDP says")
    said = f"SDP says {_spelt(call.signalled)}, it comes from {_spelt(call.source)}"
    if call.source[0] == call.signalled[0]:
        return warn(f"{said}: another port; it works because we answer to where it comes from (rtp.symmetric)", "audio")
    return warn(f"{said}: a NAT; it works as long as the PBX sends first", "nat")


def _spelt(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


@of_the_call
def hold(facts: Facts, call: Tried) -> Found | None:
    for step, what in ((call.hold, "to be held"), (call.resume, "to be taken back")):
        if step is None:
            return None
        if step.status is None:
            return bad(f"no answer to the re-INVITE {what}", "hold")
        if step.status >= 300:
            return bad(f"the re-INVITE {what} was refused: {step.status}", "hold")
    assert call.hold is not None and call.resume is not None
    if call.hold.direction not in ("sendonly", "inactive"):
        return warn("held, but its SDP goes on as if nothing had been asked", "hold")
    if call.received and not call.resume.packets:
        return bad("after it was taken back no audio came any more", "hold")
    return ok("held and taken back; audio came again" if call.received else "held and taken back")


@of_the_call
def refresh(facts: Facts, call: Tried) -> Found | None:
    step: Step | None = call.refresh
    if step is None:
        return None
    talk = call.talk
    timer = "timer" in (talk.supported or ()) or bool(talk.session_expires)
    whose = f"Session-Expires {talk.session_expires}" if talk.session_expires else "it has timers" if timer else "it has none"
    if step.status is None:
        return bad(f"no answer to {step.method}", "timers")
    if step.status >= 300:
        return bad(f"{step.method} was refused: {step.status}; calls would end after {facts.node.session_expires_s} s", "timers")
    return ok(f"{step.method} was answered {step.status}; {whose if timer else 'it has no timers itself, we refresh'}")


@of_the_call
def rfc4733(facts: Facts, call: Tried) -> Found | None:
    key = call.rfc4733
    if key is None:
        return None
    if not key.sent:
        return bad("telephone-event was offered and not answered", "dtmf",
                   f"or look for tones: smartalex trunk set {facts.trunk.name} --dtmf inband")  # fmt: skip
    return ok(f"agreed on; {_back(key)}")


@of_the_call
def info(facts: Facts, call: Tried) -> Found | None:
    """Another way where the first one is to be had: its refusal is nothing to be mended."""
    key = call.info
    if key is None:
        return None
    if key.status is not None and key.status < 300:
        return ok(f"taken ({key.status}); {_back(key)}")
    said = f"refused ({key.status})" if key.status is not None else "not answered"
    if call.rfc4733 is not None and call.rfc4733.sent:
        return ok(f"{said}; RTP events are the way here")
    return warn(said, "dtmf")


@of_the_call
def inband(facts: Facts, call: Tried) -> Found | None:
    key = call.inband
    if key is None:
        return None
    if key.back:
        return ok(_back(key))
    if not call.received:
        return unseen("nothing is heard of the other side")
    return unseen("sent; nothing came back: is that extension an echo?")


def _back(key: Keyed) -> str:
    return f"the echo brought it back {key.back}" if key.back else "the echo, if it is one, did not bring it back"


def refer(facts: Facts) -> Found:
    """By what it was asked to do, else by what it says it allows, in the call or at any time."""
    call = facts.call
    if call is not None and call.refer is not None:
        asked = call.refer
        steps = " ".join(map(str, asked.notified))
        if asked.status is None:
            return bad(f"REFER to {asked.to} was not answered", "refer")
        if asked.status >= 300:
            return bad(f"REFER to {asked.to} was refused: {asked.status}", "refer")
        if not asked.notified or asked.notified[-1] >= 300:
            return bad(f"REFER to {asked.to} was taken ({asked.status}) and came to nothing: NOTIFY {steps or '(none)'}", "refer")
        return ok(f"transferred to {asked.to}: {asked.status}, NOTIFY {steps}")
    answered = call is not None and call.status == 200
    talks = facts.talks[:1] if answered else facts.talks
    allow = next((talk.allow for talk in talks if talk.allow is not None), None)
    if allow is None:
        return unseen("it does not say what it allows; try it with --refer EXTENSION")
    if "REFER" not in allow:
        return bad(f"it allows {some(sorted(allow), 12)}, and no REFER", "refer")
    return ok("REFER is in its Allow; --refer EXTENSION tries it")
