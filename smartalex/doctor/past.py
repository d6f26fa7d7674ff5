"""Checks of the calls that were: what the records and the recorded messages of the trunk's own calls tell."""

from __future__ import annotations

from collections import Counter

from smartalex.doctor.facts import Facts
from smartalex.doctor.found import Found, ago, bad, ok, some, unseen, warn
from smartalex.doctor.talk import Talk

LONG_ENOUGH_S = 3.0
WENT_WRONG = ("failed", "interrupted")

PEOPLE = ("busy", "no answer")
"""Ends of a transfer that are nobody's mistake."""


def calls(facts: Facts) -> Found:
    done = [call for call in facts.past.calls if call["disposition"] and call["disposition"] != "refused"]
    if not done:
        return unseen("none yet")
    last = f"the last one {ago(facts.now - (done[0]['started_at'] or facts.now))} ago"
    wrong = Counter(call["cause"] or call["detail"] for call in done if call["disposition"] in WENT_WRONG)
    if not wrong:
        return ok(f"{len(done)} went well, {last}")
    total, why = sum(wrong.values()), some([f"{cause} ({count})" for cause, count in wrong.most_common(3)])
    said = f"{total} of the last {len(done)} failed: {why}"
    newest = done[0]["disposition"] in WENT_WRONG
    ours = f"smartalex calls show {next(call['id'] for call in done if call['disposition'] in WENT_WRONG)}"
    return bad(said, ours=ours) if newest else warn(f"{said}; {last} went well", ours=ours)


def refused(facts: Facts) -> Found | None:
    """The newest reason counts, unless a call was let in since."""
    turned_away = facts.past.refused
    if not turned_away:
        return ok("none") if facts.past.calls else None
    newest = turned_away[0]
    since = ago(facts.now - (newest["started_at"] or facts.now))
    said = f"{len(turned_away)}, the last one {since} ago with {newest['status']}: {newest['detail'] or newest['cause']}"
    later = any((call["started_at"] or 0) > (newest["started_at"] or 0) for call in facts.past.calls if call["answered_at"])
    ours = f"smartalex calls show {newest['id']}"
    topic = TOPICS.get(newest["cause"], "")
    if later:
        return warn(f"{said}; a call was let in since", ours=ours)
    return bad(said, topic, "" if topic else ours)


TOPICS = {"credentials": "login", "did": "number", "transport": "transport", "trunk full": "limit"}
"""By the word for a refusal (`calls.admission`): what in the PBX it is about."""


def offers(facts: Facts) -> Found | None:
    """The newest INVITE of theirs with an offer."""
    offer = next((talk.spoken[0] for talk in facts.past.talks.values() if talk.spoken), None)
    if offer is None:
        return None
    trunk = facts.trunk
    said = f"{some(offer.codecs, 6)} over {offer.profile}" + ("" if offer.keys else ", no telephone-event")
    ours = {codec.lower() for codec in facts.codecs}
    if not ours & {codec.lower() for codec in offer.codecs}:
        return bad(f"{said}: none of {some(facts.codecs, 6)}", "codec",
                   f"smartalex trunk set {trunk.name} --codecs {','.join(offer.codecs[:3])}")  # fmt: skip
    if trunk.srtp == "required" and not offer.secured:
        return bad(f"{said}: no keys, and the trunk demands SRTP", "srtp")
    if trunk.srtp == "off" and "SAVP" in offer.profile:
        return bad(f"{said}: SRTP, and the trunk is set to none", "srtp", f"smartalex trunk set {trunk.name} --srtp optional")
    if not offer.keys and trunk.dtmf != "inband":
        return warn(said, "dtmf", f"smartalex trunk set {trunk.name} --dtmf inband")
    return ok(said)


def one_way(facts: Facts) -> Found | None:
    heard = [call for call in facts.past.calls if (call["duration_s"] or 0) >= LONG_ENOUGH_S and call["rtp"]]
    if not heard:
        return None
    deaf = [call for call in heard if not call["rtp"].get("packets_received")]
    if deaf:
        said = f"in {len(deaf)} of {len(heard)} calls nothing was heard of the caller, as in {deaf[0]['id']}"
        ours = f"a firewall: UDP to ports {facts.node.rtp_ports} of this node"
        return bad(said, "audio", ours) if deaf[0] is heard[0] else warn(said, "audio", ours)
    rated = [call["rtp"]["mos"] for call in heard if call["rtp"].get("mos")]
    lowest = f", MOS {min(rated):.1f} at the lowest" if rated else ""
    return ok(f"in all of {len(heard)} calls{lowest}")


def keys(facts: Facts) -> Found | None:
    talks = [talk for talk in facts.past.talks.values() if talk.spoken]
    if not talks:
        return None
    events, infos = sum(_events(talk) for talk in talks), sum(talk.infos for talk in talks)
    ways = [*(["RTP events"] if events else []), *([f"SIP INFO ({infos})"] if infos else [])]
    if facts.trunk.dtmf == "inband":
        ways.append("tones, which are looked for")
    if not ways:
        return bad("neither RTP events nor SIP INFO: only as tones, which are not looked for", "dtmf",
                   f"smartalex trunk set {facts.trunk.name} --dtmf inband")  # fmt: skip
    return ok(" and ".join(ways))


def _events(talk: Talk) -> bool:
    return any(one.keys for one in talk.spoken)


def transfers(facts: Facts) -> Found | None:
    done = facts.past.transfers
    if not done:
        return None
    failed = [why for why in done if why and why not in PEOPLE]
    if not failed:
        return ok(f"all of {len(done)}")
    said = f"{len(failed)} of {len(done)} failed: {some([f'{why} ({n})' for why, n in Counter(failed).most_common(3)])}"
    return bad(said, "refer") if len(failed) == len(done) else warn(said, "refer")
