"""Checks of the way to the PBX and back: DNS, TLS, OPTIONS, registration, and what is done to messages on it."""

from __future__ import annotations

from datetime import UTC, datetime

from smartalex.doctor.facts import Facts, Looked, Tls
from smartalex.doctor.found import Found, ago, bad, ok, some, unseen, warn
from smartalex.sip.headers import Peer

SLOW_MS = 300.0
DAY_S = 86_400.0
RENEW_S = 21 * DAY_S
QUIET_S = 600.0
SKEW_S, MOST_SKEW_S = 10.0, 60.0
"""A PASSporT is good for 60 s (RFC 8224 6.2.2)."""


def dns(facts: Facts) -> Found | None:
    way = facts.way
    if not way.domain:
        return bad("the trunk has no address, and nothing has registered: there is no way to the PBX",
                   ours=f"smartalex trunk set {facts.trunk.name} --pbx-domain HOST")  # fmt: skip
    asked = some([_looked(one) for one in way.looked if one.answers] or ["nothing had to be asked"], 6)
    if not way.targets:
        silent = [f"{one.kind} {one.name}" for one in way.looked if not one.heard]
        why = f"no name server answered about {some(silent)}" if silent else way.why
        return bad(f"{way.domain}: {why}", ours="the records of that name in the DNS, or --pbx-domain with an address")
    return ok(f"{way.domain} ({way.by}): {some([spelt(one) for one in way.targets], 4)}; {asked}")


def _looked(one: Looked) -> str:
    return f"{one.kind} {one.name} = {' '.join(one.answers)}"


def spelt(peer: Peer) -> str:
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"{host}:{peer.port} by {peer.transport.upper()}"


def platform(facts: Facts) -> Found:
    if not facts.running:
        return bad("it does not: nothing answers the PBX", ours="smartalex run")
    state = "" if facts.trunk.active else "; the trunk is suspended"
    if state:
        return bad(f"it runs{state}: its calls get 403", ours=f"smartalex trunk set {facts.trunk.name} --activate")
    return ok(f"{facts.node.host}, SIP {facts.node.sip_port}, TLS {facts.node.tls_port}")


def tls(facts: Facts) -> Found | None:
    """The worst of its targets."""
    found = [_handshake(facts, one) for one in facts.tls]
    order = {"bad": 0, "warn": 1, "ok": 2, "-": 3}
    return min(found, key=lambda one: order[one.level], default=None)


def _handshake(facts: Facts, one: Tls) -> Found:
    where = spelt(one.peer)
    if one.why or one.certificate is None:
        return bad(f"{where}: no TLS: {one.why}", "transport")
    shown = one.certificate
    said = f"{where}: {one.version} {one.cipher}, for {some(shown.names) or 'nobody'} until {_day(shown.until)}"
    if shown.until < facts.now:
        return bad(f"{said}: it ran out {ago(facts.now - shown.until)} ago", ours="renew the PBX's certificate")
    if not one.named:
        domain = facts.way.domain
        return bad(f"{said}: not for {domain}", ours=f"a certificate for {domain} on the PBX, or --pbx-domain with its name")
    if shown.doubt:
        return bad(f"{said}: {shown.doubt}", ours="a certificate of a public authority on the PBX, or sip.tls_roots with its own")
    if one.outdated:
        return warn(f"{said}; it would speak {some(one.outdated)} as well", ours=f"the PBX's TLS: no {some(one.outdated)}")
    if shown.until - facts.now < RENEW_S:
        return warn(f"{said}: in {ago(shown.until - facts.now)}", ours="renew the PBX's certificate")
    return ok(said)


def tls_ours(facts: Facts) -> Found | None:
    shown = facts.ours
    if shown is None:
        return None
    said = f"for {some(shown.names)} until {_day(shown.until)}"
    if shown.until < facts.now:
        return bad(f"{said}: it ran out", ours="sip.tls_certificate and sip.tls_key: a new one")
    if shown.until - facts.now < RENEW_S:
        return warn(f"{said}: in {ago(shown.until - facts.now)}", ours="sip.tls_certificate and sip.tls_key: a new one")
    if shown.doubt:
        return warn(f"{said}: {shown.doubt}", ours="sip.tls_certificate of an authority that the PBX believes, or import it")
    return ok(said)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def options(facts: Facts) -> Found | None:
    if not facts.options:
        return None
    silent = [one for one in facts.options if one.status is None]
    heard = [one for one in facts.options if one.status is not None]
    said = some([f"{spelt(one.peer)} {one.status} in {one.ms:.0f} ms" for one in heard])
    agent = next((one.talk.agent for one in heard if one.talk.agent), "")
    said += f" ({agent})" if agent else ""
    lost = some([f"{spelt(one.peer)}: {one.why}" for one in silent])
    if not heard and facts.call is not None and facts.call.talk.heard:
        return warn(f"{lost}; but it answers calls", ours="let the PBX answer OPTIONS: else the platform takes it for down")
    if not heard and any(_handshake(facts, one).level == "bad" for one in facts.tls):
        return bad(lost, ours="what stands beside tls comes first")
    if not heard:
        return bad(lost, "server" if not facts.trunk.register else "", ours="a firewall between, or the wrong --pbx-domain")
    if silent:
        return bad(f"{said}; but {lost}", ours="take the dead address out of the DNS, or start it again")
    unavailable = [one for one in heard if one.status == 503]
    if unavailable:
        return bad(said, ours="the PBX is there and does not serve")
    refused = [one for one in heard if one.status in (401, 403, 407)]
    if refused:
        return warn(f"{said}: it does not know us", "server", "an extension there (--register), or our address on the PBX's list")
    if max(one.ms for one in heard) > SLOW_MS:
        return warn(f"{said}: slow", ours="whatever makes the way that long")
    return ok(said)


def watched(facts: Facts) -> Found | None:
    known = facts.health
    if known is None:
        return None if not facts.running else unseen("it has not asked yet (sip.options_interval_s)")
    if known["state"] == "down":
        return bad(f"down: {known['detail']}", "server")
    if known["state"] != "up":
        return unseen("it has not heard an answer yet")
    return ok(f"up, {known['latency_ms']:g} ms" if known.get("latency_ms") is not None else "up")


def options_in(facts: Facts) -> Found | None:
    if not facts.running:
        return None
    if facts.asked_at is None:
        return unseen("not seen from its addresses since the start; with them the PBX would notice when we are gone")
    since = facts.now - facts.asked_at
    if since > QUIET_S:
        return warn(f"the last one came {ago(since)} ago", "options")
    return ok(f"the last one came {ago(since)} ago")


def registered(facts: Facts) -> Found | None:
    """The platform's registration as an extension of that PBX."""
    trunk, known = facts.trunk, facts.registration
    if not trunk.register:
        return None
    if not facts.running or known is None:
        return unseen("the platform has not said")
    if known["until"] is not None and known["until"] > facts.now:
        return ok(f"as {trunk.register}, {ago(known['until'] - facts.now)} left")
    again = f"; again in {ago(known['again_at'] - facts.now)}" if known.get("again_at") else ""
    password = f"smartalex trunk set {trunk.name} --register-password-stdin" if "password" in known["detail"] else ""
    return bad(f"as {trunk.register}: {known['state']}, {known['detail'] or 'no answer yet'}{again}",
               ours=password or f"the extension of {trunk.register} in the PBX")  # fmt: skip


def registers(facts: Facts) -> Found | None:
    """The PBX's registration with us."""
    trunk = facts.trunk
    if facts.contacts:
        found = [f"{one['source']} for {ago(one['expires_in_s'])}" for one in facts.contacts]
        return ok(f"from {some(found)}")
    if trunk.auth == "registration":
        return bad("no: its calls are let in by that", "login")
    return unseen("no; it need not, as its calls bring the password") if trunk.digest else None


def alg(facts: Facts) -> Found:
    """Signs in whatever was said, the certain ones first."""
    signs = list(dict.fromkeys(sign for talk in facts.talks for sign in talk.signs))
    certain = [sign.text for sign in signs if sign.certain]
    if certain:
        return bad(some(certain, 4), "alg")
    if signs:
        nat = any(sign.kind == "address" for sign in signs)
        return warn(f"{some([sign.text for sign in signs], 4)}; that may be a proxy's work as well", "nat" if nat else "alg")
    if not facts.talks:
        return unseen("nothing has been heard of it")
    return ok("Via, From, To, Contact and SDP are as they should be")


def nat(facts: Facts) -> Found | None:
    seen = next((talk.seen_as for talk in facts.talks if talk.seen_as), "")
    if not seen:
        return ok("the PBX sees us where we say we are") if facts.talks else None
    if seen == facts.node.host:
        return ok(f"the PBX sees us as {seen}, as the platform says")
    return warn(f"the PBX sees us as {seen}, the platform says {facts.node.host}", ours=f'node.advertised_address = "{seen}"')


def clock(facts: Facts) -> Found:
    skew_s = next((talk.skew_s for talk in facts.talks if talk.skew_s is not None), None)
    if skew_s is None:
        return unseen("it sends no Date")
    said = f"it is {ago(abs(skew_s))} {'ahead' if skew_s > 0 else 'behind'}"
    remedy = "NTP on the PBX (and on this node: timedatectl)"
    if abs(skew_s) > MOST_SKEW_S:
        return bad(f"{said}: records do not match, STIR identities and certificates may be refused", ours=remedy)
    return warn(said, ours=remedy) if abs(skew_s) > SKEW_S else ok("they agree" if abs(skew_s) <= 2 else said)
