"""Each check over what can be seen: a trunk where all is well, and one thing wrong at a time."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

import attrs

from smartalex.doctor import remedies
from smartalex.doctor.checks import CHECKS, Finding, findings, healthy
from smartalex.doctor.facts import Asked, Certificate, Facts, Keyed, Looked, Past, Referred, Step, Tls, Tried, Way
from smartalex.doctor.talk import Sign, Spoken, Talk
from smartalex.sip.headers import Peer
from smartalex.tenants.presets import PRESETS, Node
from smartalex.tenants.trunk import Trunk

NOW, DAY = 1_800_000_000.0, 86_400.0
PBX = Peer("udp", "192.0.2.10", 5060)
NODE = Node("198.51.100.1", 5060, 5061, "10000-20000", "smartalex", ("PCMU", "PCMA"), ("udp", "tcp", "tls"))
TRUNK = Trunk("t1", "w1", "office", "pbx.example.com", "sa_office", pbx="freepbx")
TALK = Talk("PBX 1", frozenset(("INVITE", "REFER", "UPDATE")), frozenset(("timer",)), "1800;refresher=uac", 0.3,
            spoken=(Spoken(("PCMU",), True, "RTP/AVP"),), heard=5)  # fmt: skip
CALL = Tried(
    "sip:600@pbx.example.com", 200, "OK", 40.0, "PCMU", ("PCMU", "PCMA"), sent=300, received=300,
    signalled=("192.0.2.10", 4000), source=("192.0.2.10", 4000),
    hold=Step("re-INVITE", 200, "sendonly"), resume=Step("re-INVITE", 200, "sendrecv", 50), refresh=Step("UPDATE", 200),
    rfc4733=Keyed(True, back="by RTP event"), info=Keyed(True, 200), inband=Keyed(True, back="as a tone"), talk=TALK,
)  # fmt: skip
ROW = {
    "id": "01A", "disposition": "completed", "cause": "caller hung up", "detail": "", "started_at": NOW - 60, "trunk": "office",
    "answered_at": NOW - 59, "duration_s": 30.0, "rtp": {"packets_received": 1500, "mos": 4.3}, "status": 200,
}  # fmt: skip
LATER = NOW + 300 * DAY
GOOD = Facts(
    TRUNK, NODE, NOW, True, Way("pbx.example.com", "its domain", (Looked("A", "pbx.example.com", ("192.0.2.10",)),), (PBX,)),
    ("PCMU", "PCMA"), "+27215550100", {"state": "up", "latency_ms": 3.0, "detail": ""}, None,
    ({"contact": "sip:x", "source": "udp 192.0.2.10 5060", "expires_in_s": 200},), NOW - 30,
    (Tls(attrs.evolve(PBX, transport="tls"), "TLSv1.3", "TLS_AES", Certificate(("pbx.example.com",), LATER)),),
    Certificate(("198.51.100.1",), LATER), (Asked(PBX, 200, 3.0, talk=TALK),), CALL,
    Past((ROW,), {"01A": TALK}, (), ("", "busy")),
)  # fmt: skip


def call(**fields: Any) -> Facts:
    return attrs.evolve(GOOD, call=attrs.evolve(CALL, **fields))


def talk(**fields: Any) -> Facts:
    return call(talk=attrs.evolve(TALK, **fields))


def trunk(**fields: Any) -> Facts:
    return attrs.evolve(GOOD, trunk=attrs.evolve(TRUNK, **fields))


def past(**fields: Any) -> Facts:
    return attrs.evolve(GOOD, past=attrs.evolve(GOOD.past, **fields))


def tls(**fields: Any) -> Facts:
    return attrs.evolve(GOOD, tls=(attrs.evolve(GOOD.tls[0], **fields),))


def row(**fields: Any) -> dict[str, Any]:
    return {**ROW, **fields}


REGISTERING = {"state": "refused", "until": None, "again_at": NOW + 60, "detail": "403 Forbidden (user or password)"}
REFUSED = row(disposition="refused", status=404, cause="did", detail="DID 5 unknown", started_at=NOW - 5, answered_at=None)

CASES: tuple[tuple[str, str, str, Facts], ...] = (
    ("dns", "bad", "no way to the PBX", attrs.evolve(GOOD, way=Way("", ""))),
    ("dns", "bad", "no name server answered about A x", attrs.evolve(GOOD, way=Way("x", "", (Looked("A", "x", (), False),)))),
    ("dns", "bad", "there is no address", attrs.evolve(GOOD, way=Way("x", "", why="there is no address"))),
    ("platform", "bad", "nothing answers", attrs.evolve(GOOD, running=False)),
    ("platform", "bad", "403", trunk(active=False)),
    ("tls", "bad", "no TLS: refused", tls(why="refused")),
    ("tls", "bad", "not for pbx.example.com", tls(named=False)),
    ("tls", "bad", "ran out", tls(certificate=Certificate(("pbx.example.com",), NOW - DAY))),
    ("tls", "bad", "self-signed", tls(certificate=Certificate(("pbx.example.com",), LATER, "self-signed"))),
    ("tls", "warn", "10 d", tls(certificate=Certificate(("pbx.example.com",), NOW + 10 * DAY))),
    ("tls", "warn", "TLSv1.1", tls(outdated=("TLSv1.1",))),
    ("tls-ours", "bad", "ran out", attrs.evolve(GOOD, ours=Certificate((), NOW - 1))),
    ("tls-ours", "warn", "self-signed", attrs.evolve(GOOD, ours=Certificate((), LATER, "self-signed"))),
    ("options", "bad", "no answer", attrs.evolve(GOOD, call=None, options=(Asked(PBX, why="no answer"),))),
    ("options", "bad", "fails", attrs.evolve(tls(named=False), call=None, options=(Asked(PBX, why="the connection fails"),))),
    ("options", "bad", "but 192.0.2.10", attrs.evolve(GOOD, options=(*GOOD.options, Asked(PBX, why="no answer")))),
    ("options", "warn", "but it answers calls", attrs.evolve(GOOD, options=(Asked(PBX, why="no answer"),))),
    ("options", "bad", "503", attrs.evolve(GOOD, options=(Asked(PBX, 503, 3.0),))),
    ("options", "warn", "does not know us", attrs.evolve(GOOD, options=(Asked(PBX, 403, 3.0),))),
    ("options", "warn", "slow", attrs.evolve(GOOD, options=(Asked(PBX, 200, 900.0),))),
    ("watched", "bad", "no answer", attrs.evolve(GOOD, health={"state": "down", "detail": "no answer", "latency_ms": None})),
    ("watched", "-", "not asked yet", attrs.evolve(GOOD, health=None)),
    ("options-in", "-", "not seen", attrs.evolve(GOOD, asked_at=None)),
    ("options-in", "warn", "2 h ago", attrs.evolve(GOOD, asked_at=NOW - 7200)),
    ("registered", "bad", "403 Forbidden", attrs.evolve(trunk(register="sip:300@pbx.example.com"), registration=REGISTERING)),
    ("registered", "ok", "5 min left",
     attrs.evolve(trunk(register="sip:300@p"), registration={**REGISTERING, "state": "registered", "until": NOW + 300})),
    ("registered", "-", "has not said", trunk(register="sip:300@p")),
    ("registers", "bad", "let in by that", attrs.evolve(trunk(auth="registration"), contacts=())),
    ("registers", "-", "need not", attrs.evolve(GOOD, contacts=())),
    ("call", "-", "--call", attrs.evolve(GOOD, call=None)),
    ("call", "bad", "404 Not Found", call(status=404, reason="Not Found")),
    ("call", "bad", "403 Forbidden", call(status=403, reason="Forbidden")),
    ("call", "bad", "401", call(status=401, reason="Unauthorized")),
    ("call", "bad", "nobody answers", call(status=0, reason="nobody answers at that address")),
    ("call", "bad", "it hung up", call(early_end="it hung up")),
    ("codec", "bad", "none in common", call(codec="")),
    ("codec", "warn", "PCMU would be our first", call(codec="PCMA")),
    ("srtp", "bad", "demands SRTP", trunk(srtp="required")),
    ("srtp", "warn", "answered in clear", trunk(srtp="optional")),
    ("srtp", "ok", "sdes", call(secured="sdes AES_CM_128_HMAC_SHA1_80")),
    ("srtp", "warn", "can be read",
     call(secured="sdes X", talk=attrs.evolve(TALK, spoken=(Spoken(("PCMU",), True, "RTP/SAVP", ("X",)),)))),
    ("audio", "bad", "nothing came", call(received=0, source=None)),
    ("audio", "bad", "from elsewhere", call(received=0, source=None, strangers=200)),
    ("audio", "warn", "lost", call(lost=30)),
    ("audio", "warn", "jitter 50", call(jitter_ms=50.0)),
    ("symmetric", "warn", "another port", call(source=("192.0.2.10", 4444))),
    ("symmetric", "warn", "NAT", call(source=("192.0.2.99", 4000))),
    ("hold", "bad", "to be held", call(hold=Step("re-INVITE", None))),
    ("hold", "bad", "488", call(resume=Step("re-INVITE", 488))),
    ("hold", "bad", "no audio came any more", call(resume=Step("re-INVITE", 200, "sendrecv", 0))),
    ("hold", "warn", "as if nothing", call(hold=Step("re-INVITE", 200, "sendrecv"))),
    ("refresh", "bad", "refused: 405", call(refresh=Step("UPDATE", 405))),
    ("refresh", "bad", "no answer", call(refresh=Step("UPDATE", None))),
    ("dtmf-rfc4733", "bad", "not answered", call(rfc4733=Keyed(False))),
    ("dtmf-info", "ok", "RTP events are the way", call(info=Keyed(True, 415))),
    ("dtmf-info", "warn", "415", call(rfc4733=Keyed(False), info=Keyed(True, 415))),
    ("dtmf-inband", "-", "an echo?", call(inband=Keyed(True))),
    ("refer", "bad", "and no REFER", talk(allow=frozenset(("INVITE", "BYE")))),
    ("refer", "-", "does not say", attrs.evolve(talk(allow=None), options=())),
    ("refer", "ok", "202, NOTIFY 100 200", call(refer=Referred("sip:301@p", 202, (100, 200)))),
    ("refer", "bad", "refused: 603", call(refer=Referred("sip:301@p", 603))),
    ("refer", "bad", "came to nothing", call(refer=Referred("sip:301@p", 202, (100, 404)))),
    ("refer", "bad", "not answered", call(refer=Referred("sip:301@p", None))),
    ("alg", "bad", "Via was", talk(signs=(Sign("sdp", "o= is", certain=False), Sign("via", "Via was")))),
    ("alg", "warn", "o= is", talk(signs=(Sign("sdp", "o= is", certain=False),))),
    ("nat", "warn", "sees us as 192.0.2.77", talk(seen_as="192.0.2.77")),
    ("nat", "ok", "as the platform says", talk(seen_as="198.51.100.1")),
    ("clock", "bad", "2 h behind", talk(skew_s=-7200.0)),
    ("clock", "warn", "30 s ahead", talk(skew_s=30.0)),
    ("calls", "-", "none yet", past(calls=())),
    ("calls", "bad", "media_timeout", past(calls=(row(disposition="failed", cause="media_timeout"), ROW))),
    ("calls", "warn", "1 of the last 2", past(calls=(ROW, row(disposition="failed", cause="media_timeout")))),
    ("refused", "bad", "DID 5 unknown", past(refused=(REFUSED,))),
    ("refused", "warn", "let in since", past(refused=(row(**{**REFUSED, "started_at": NOW - 500}),))),
    ("offers", "bad", "none of PCMU", past(talks={"01A": attrs.evolve(TALK, spoken=(Spoken(("G729",), True, "RTP/AVP"),))})),
    ("offers", "bad", "SRTP, and the trunk is set to none",
     past(talks={"01A": attrs.evolve(TALK, spoken=(Spoken(("PCMU",), True, "RTP/SAVP", ("X",)),))})),
    ("offers", "bad", "demands SRTP", trunk(srtp="required")),
    ("offers", "warn", "no telephone-event",
     past(talks={"01A": attrs.evolve(TALK, spoken=(Spoken(("PCMU",), False, "RTP/AVP"),))})),
    ("one-way", "bad", "nothing was heard", past(calls=(row(rtp={"packets_received": 0}), ROW))),
    ("keys", "bad", "only as tones", past(talks={"01A": attrs.evolve(TALK, spoken=(Spoken(("PCMU",), False, "RTP/AVP"),))})),
    ("keys", "ok", "SIP INFO (2)", past(talks={"01A": attrs.evolve(TALK, infos=2)})),
    ("transfers", "bad", "not supported (2)", past(transfers=("not supported", "not supported"))),
    ("transfers", "warn", "1 of 2", past(transfers=("not supported", ""))),
)  # fmt: skip


def judged(facts: Facts) -> dict[str, Finding]:
    return {one.check: one for one in findings(facts)}


class Judged(TestCase):
    def test_all_is_well(self) -> None:
        found = judged(GOOD)
        self.assertEqual({name: one.seen for name, one in found.items() if one.level != "ok"}, {})
        self.assertEqual({check.name for check in CHECKS} - set(found), {"registered"})
        self.assertTrue(healthy(list(found.values())))

    def test_one_thing_is_wrong(self) -> None:
        for name, level, said, facts in CASES:
            with self.subTest(name, said=said):
                one = judged(facts)[name]
                self.assertEqual(one.level, level, one)
                self.assertIn(said, one.seen)

    def test_every_check_can_find_something(self) -> None:
        wrong = {name for name, level, _, _ in CASES if level in ("warn", "bad")}
        self.assertEqual({check.name for check in CHECKS} - wrong, {"dtmf-inband"})

    def test_what_is_bad_says_what_to_change(self) -> None:
        silent = {(name, said) for name, level, said, facts in CASES if level == "bad" and not judged(facts)[name].change}
        self.assertEqual(silent, {("call", "it hung up")})

    def test_what_is_bad_makes_the_exit_status(self) -> None:
        for name, level, said, facts in CASES:
            if level == "bad":
                self.assertFalse(healthy(list(findings(facts))), (name, said))

    def test_without_a_call_that_was_answered_nothing_is_said_of_it(self) -> None:
        for facts in (attrs.evolve(GOOD, call=None), call(status=404)):
            self.assertEqual({"codec", "srtp", "audio", "hold", "refresh", "dtmf-info"} & set(judged(facts)), set())


class Remedies(TestCase):
    def test_every_topic_has_its_line_in_every_pbx(self) -> None:
        for key in PRESETS:
            for topic in remedies.TOPICS:
                with self.subTest(key, topic=topic):
                    said = remedies.line(topic, attrs.evolve(TRUNK, pbx=key), NODE, "+27215550100")
                    self.assertGreater(len(said), 10)
                    self.assertNotIn("{", said)

    def test_the_words_are_that_pbxs_own(self) -> None:
        said = {key: remedies.line("dtmf", attrs.evolve(TRUNK, pbx=key), NODE, "") for key in PRESETS}
        self.assertIn("pjsip Settings > Advanced: DTMF Mode = RFC 4733", said["freepbx"])
        self.assertIn("trunk office > Advanced: DTMF Mode = RFC4733", said["yeastar"])
        self.assertIn("RFC 2833 Mode = Extend", said["teams-sbc"])

    def test_no_password_is_shown(self) -> None:
        for topic in remedies.TOPICS:
            self.assertNotIn("rotate", remedies.line(topic, TRUNK, NODE, ""))
