"""PRACK, UPDATE, session timers, offers that cross, and Replaces, between SIPp and the platform and between our caller and SIPp.

The names of pjproject's scenarios stand where one is meant.
"""

from __future__ import annotations

from collections.abc import Callable

from smartalex.sip.session import Session
from smartalex.sip.session_timer import SessionTimer
from tests.interop.answering import ask, called, leave, left, pick_up, refuse, respond
from tests.interop.caller import Calling
from tests.interop.house import CALLER_LEFT, Housed, media, outcome
from tests.interop.peers import needs
from tests.interop.scenario import (
    answered,
    contains,
    hang_up,
    hung_up,
    invite,
    keep,
    maybe,
    offer,
    pause,
    recv,
    refused,
    reply_kept,
    send,
)
from tests.sip.network import ANSWER, OFFER

RELIABLE = "Require: 100rel"
RINGING = recv(
    180,
    '<action><ereg regexp=".*" search_in="hdr" header="RSeq:" assign_to="6" check_it="true"/>'
    '<ereg regexp="100rel" search_in="hdr" header="Require:" assign_to="1" check_it="true"/></action>',
    rrs="true",
)
"""The 180 to an INVITE that wants it reliable; `acknowledge` uses its number."""


def acknowledge(cseq: int, body: str = "") -> str:
    return send("PRACK", cseq, body=body, headers="RAck:[$6] 1 INVITE")


def picked_up() -> str:
    return recv(200, rrs="true") + send("ACK", 1)


def other_leg(step: str) -> str:
    """The same in a call that SIPp takes for part of this one."""
    return (
        step.replace("Call-ID: [call_id]", "Call-ID: other///[call_id]")
        .replace(";tag=[pid]t[call_number]\n", ";tag=other\n")
        .replace("branch=z9hG4bK", "branch=z9hG4bKother")
    )


@needs("sipp")
class ToUs(Housed):
    ports = "27200-27400"

    # ------------------------------------------------------------------ PRACK

    def test_ringing_is_acknowledged(self) -> None:
        for transport in ("udp", "tcp"):
            record = self.call(invite(headers=RELIABLE), maybe(100), RINGING, acknowledge(2), recv(200), picked_up(), hang_up(),
                               to="slow", transport=transport)  # fmt: skip
            self.assertEqual((outcome(record), record["transport"]), (CALLER_LEFT, transport))

    def test_ringing_is_repeated_until_it_is_acknowledged(self) -> None:
        again = recv(180, contains("RSeq")) + RINGING
        record = self.call(invite(headers=RELIABLE), maybe(100), again, send("PRACK", 2, headers="RAck: 1 1 INVITE"), recv(481),
                           acknowledge(3), recv(200), picked_up(), hang_up(), to="slow", repeats=False)  # fmt: skip
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_only_those_who_require_it_get_it(self) -> None:
        plain = recv(180, '<action><ereg regexp="RSeq" search_in="msg" check_it_inverse="true" assign_to="1"/></action>')
        record = self.call(
            invite(headers="Supported: 100rel, precondition"), maybe(100), plain, picked_up(), hang_up(), to="slow"
        )
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_a_prack_brings_no_offer(self) -> None:
        """uac-prack-sdp-offer, -decline: the offer of the INVITE has no answer yet."""
        for body in (offer(version=2), offer(109, version=2)):
            record = self.call(invite(headers=RELIABLE), maybe(100), RINGING, acknowledge(2, body), recv(491), picked_up(),
                               hang_up(), to="slow")  # fmt: skip
            self.assertEqual(outcome(record), CALLER_LEFT)

    def test_cancelled_before_the_prack(self) -> None:
        cancel = send("CANCEL", 1, of="1INVITE") + recv(200) + recv(487) + send("ACK", 1, of="1INVITE")
        record = self.call(invite(headers=RELIABLE), maybe(100), recv(180), cancel, to="slow")
        self.assertEqual(outcome(record), ("cancelled", "cancelled"))

    # ------------------------------------------------------------------ UPDATE

    def test_update_before_the_answer(self) -> None:
        """uac-upd-sdp-offer, -decline: with an offer it has to wait (RFC 3311 5.2), without one it is fine."""
        wait = send("UPDATE", 2, body=offer(version=2)) + recv(500, contains("[0-9]", "Retry-After"))
        fine = send("UPDATE", 3) + recv(200)
        steps = (invite(), maybe(100), recv(180, rrs="true"), wait, fine, picked_up(), hang_up())
        record = self.call(*steps, to="slow")
        self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, []))

    def test_update_within_the_call(self) -> None:
        """Held, refused, refreshed, and back."""

        def update(cseq: int, body: str, pattern: str) -> str:
            return send("UPDATE", cseq, body=body) + recv(200, contains(pattern))

        wrong = send("UPDATE", 4, body=offer(109, version=3)) + recv(488)
        for transport in ("udp", "tcp"):
            record = self.call(
                invite(), answered(), update(3, offer(direction="sendonly", version=2), "a=recvonly"), wrong,
                update(5, "", "Content-Length: 0"), update(6, offer(8, version=4), "a=sendrecv"), hang_up(), transport=transport,
            )  # fmt: skip
            self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMA", ["hold", "media"]))

    # ------------------------------------------------------------------ session timers

    def test_an_interval_that_is_too_short(self) -> None:
        """RFC 4028 9: 422 for those who know what it means, the least we accept for others."""
        short, long = "Supported: timer\nSession-Expires: 60", "Supported: timer\nSession-Expires: 90;refresher=uac\nMin-SE: 90"
        agreed = recv(200, contains("Session-Expires: 90;refresher=uac"), rrs="true") + send("ACK", 2)
        record = self.call(invite(headers=short), maybe(100), recv(422, contains("90", "Min-SE")), send("ACK", 1, of="1INVITE"),
                           invite(2, headers=long), maybe(100), maybe(180), agreed, hang_up())  # fmt: skip
        self.assertEqual(outcome(record), CALLER_LEFT)
        record = self.call(invite(headers="Session-Expires: 60"), maybe(100), picked_up(), hang_up())
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_who_refreshes(self) -> None:
        table = {"600;refresher=uas": "600;refresher=uas", "600;refresher=uac": "600;refresher=uac", "600": "600;refresher=uas"}
        again = send("UPDATE", 3, headers="Supported: timer\nSession-Expires: 90;refresher=uac")
        for asked, given in table.items():
            wanted = recv(200, contains(given, "Session-Expires"), rrs="true")
            steps = (invite(headers=f"Supported: timer\nSession-Expires: {asked}"), maybe(100), maybe(180), wanted,
                     send("ACK", 1), again, recv(200, contains("90;refresher=uac", "Session-Expires")), hang_up())  # fmt: skip
            self.assertEqual(outcome(self.call(*steps)), CALLER_LEFT, asked)

    # ------------------------------------------------------------------ Replaces

    def test_another_leg_takes_the_callers_place(self) -> None:
        """RFC 5359 2.5 and 2.15 as the one who is called: the new leg is answered, the old one ended, the call is the same."""
        tag = '<action><ereg regexp="tag=(.*)" search_in="hdr" header="To:" assign_to="6,7"/></action>'
        first = invite() + maybe(100) + maybe(180) + recv(200, tag, rrs="true") + send("ACK", 1)
        replaces = "Require: replaces\nReplaces: [call_id];to-tag=[$7];from-tag=[pid]t[call_number]"
        record = self.call(first, other_leg(invite(headers=replaces)), recv(200, rrs="true"), hung_up(),
                           other_leg(send("ACK", 1)), pause(100), other_leg(send("BYE", 3)), recv(200),
                           '<Reference variables="6"/>')  # fmt: skip
        self.assertEqual((outcome(record), [event["kind"] for event in record["events"]].count("replaced")), (CALLER_LEFT, 1))

    def test_what_cannot_be_replaced(self) -> None:
        for value, status in (("nothing;to-tag=a;from-tag=b", 481), ("nothing;to-tag=a", 400)):
            call_id = self.run_sipp(invite(headers=f"Require: replaces\nReplaces: {value}"), refused(status))
            self.assertEqual(self.house.records(call_id), 0)


@needs("sipp")
class FromUs(Calling):
    """SIP's timers run forty times as fast."""

    times = 40.0

    def setUp(self) -> None:
        self.ours = self.caller(SessionTimer(90, 90))
        self.answering = []

    async def run_call(self, *steps: str, then: Callable[[Session], None] = lambda session: None, body: bytes = OFFER) -> Session:
        """`then` is done when it is answered."""
        pbx = await self.sipp(called(), *steps)
        session = self.call(pbx, body=body)
        if "ACK" in "".join(steps):
            await self.told("answered")
            then(session)
        await self.done(pbx)
        return session

    # ------------------------------------------------------------------ PRACK

    async def test_each_early_dialog_counts_by_itself(self) -> None:
        """uas-forked-100rel: two ring; what is out of order gets no PRACK."""

        def ringing(tag: str, number: int) -> str:
            return respond(180, tag=tag, headers=f"{RELIABLE}\nRSeq: {number}")

        def acknowledged(number: int) -> str:
            return keep("PRACK", "RAck", f"{number} 1 INVITE", slot=6) + reply_kept(200, slot=6)

        pbx = await self.sipp(
            called(), ringing("one", 1000), acknowledged(1000), ringing("two", 2000), acknowledged(2000), ringing("two", 2001),
            acknowledged(2001), ringing("two", 2004), ringing("one", 1001), acknowledged(1001), refuse(603),
        )  # fmt: skip
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual([request.to.tag for request in self.ours.sent("PRACK")], ["one", "two", "two", "one"])
        self.assertEqual((len(self.heard("progress")), self.heard("failed")), (4, [(603,)]))

    async def test_the_prack_goes_where_its_response_came_from(self) -> None:
        """uas-prack_fork."""
        wrong = respond(180, tag="wrong", headers="Contact: <sip:wrong@192.0.2.1>")
        right = respond(180, tag="right", headers=f"{RELIABLE}\nRSeq: 1")
        acknowledged = keep("PRACK", "To", "tag=right", slot=6) + reply_kept(200, slot=6)
        await self.run_call(wrong, right, acknowledged, pick_up(tag="right"), leave().replace("tag=theirs", "tag=right"))
        self.assertEqual(self.heard("ended"), [("bye",)])

    async def test_an_offer_in_a_reliable_response(self) -> None:
        """The answer is in the PRACK, and there is none in the ACK (RFC 3262 5)."""
        early = respond(183, body=offer(), headers=f"{RELIABLE}\nRSeq: 7") + keep("PRACK", slot=6) + reply_kept(200, slot=6)
        self.ours.recorder.acks_itself = False
        await self.run_call(early, pick_up(""), leave(), then=lambda session: session.ack(), body=b"")
        self.assertEqual([request.body for request in (*self.ours.sent("PRACK"), *self.ours.sent("ACK"))], [ANSWER, b""])

    # ------------------------------------------------------------------ UPDATE

    async def test_update_before_the_answer(self) -> None:
        """An offer may come once ours has its answer, which an unreliable response is not."""
        too_early = ask("UPDATE", 1, body=offer(version=2)) + recv(491)
        answered = respond(183, body=offer(), headers=f"{RELIABLE}\nRSeq: 7") + keep("PRACK", slot=6) + reply_kept(200, slot=6)
        fine = ask("UPDATE", 2, body=offer(version=3)) + recv(200, contains("v=0"))
        await self.run_call(respond(180), too_early, answered, fine, pick_up(), leave(3))
        self.assertEqual(len(self.heard("reinvite")), 1)

    async def test_our_update(self) -> None:
        """uas-answer-200-update-without-sdp, and one that is refused."""
        allow = "Allow: INVITE, ACK, BYE, UPDATE"
        refusal = keep("UPDATE", slot=6) + reply_kept(488, slot=6)
        good = keep("UPDATE", slot=6) + reply_kept(200, body=offer(version=2), slot=6)
        empty = keep("UPDATE", slot=6) + reply_kept(200, slot=6)
        for step, told in ((refusal, "offer refused"), (good, "answer"), (empty, "answer")):
            self.forget()
            await self.run_call(pick_up(headers=allow), step, leave(), then=lambda session: session.update(OFFER))
            self.assertEqual(len(self.heard(told)), 1)

    # ------------------------------------------------------------------ re-INVITE

    async def test_our_reinvite(self) -> None:
        """uas-answer-200-reinvite-without-sdp, and refusals that leave all as it was."""
        for step, told in (
            (reply_kept(200, body=offer(version=2), slot=6), "answer"), (reply_kept(200, slot=6), "answer"),
            (reply_kept(488, slot=6), "offer refused"), (reply_kept(500, slot=6), "offer refused"),
        ):  # fmt: skip
            self.forget()
            steps = (pick_up(), keep("INVITE", slot=6), step, recv("ACK"), leave())
            await self.run_call(*steps, then=lambda session: session.reinvite(OFFER))
            self.assertEqual(len(self.heard(told)), 1)

    async def test_a_second_offer_after_one_that_failed(self) -> None:
        """uas-reinv-after-failed-nego: and the second is what the session timer sends."""
        refusal = keep("INVITE", slot=6) + reply_kept(500, slot=6) + recv("ACK")
        good = keep("INVITE", slot=6) + reply_kept(200, body=offer(version=2), slot=6) + recv("ACK")
        steps = (pick_up(headers="Session-Expires: 90;refresher=uac"), refusal, good, leave())
        await self.run_call(*steps, then=lambda session: session.reinvite(OFFER))
        self.assertEqual(self.heard("offer refused"), [(500,)])

    async def test_the_call_is_gone_on_their_side(self) -> None:
        """uas-keep-call-on-tsx-fail, without that option: 481 ends the call (RFC 3261 12.2.1.2)."""
        steps = (pick_up(), keep("INVITE", slot=6), reply_kept(481, slot=6), recv("ACK"))
        await self.run_call(*steps, then=lambda session: session.reinvite(OFFER))
        self.assertEqual(self.heard("ended"), [("gone",)])

    async def test_offers_cross(self) -> None:
        """uas-reinv-glare; RFC 5407 3.2.2: theirs is refused, ours is sent again when it is."""
        theirs = ask("INVITE", 1, body=offer(version=2)) + recv(491) + ask("ACK", 1, branch="1INVITE")
        good = reply_kept(200, body=offer(version=2), slot=6) + recv("ACK")
        again = reply_kept(491, slot=6) + recv("ACK") + keep("INVITE", slot=6) + good
        for outcome_ in (good, again):
            self.forget()
            await self.run_call(
                pick_up(), keep("INVITE", slot=6), theirs, outcome_, leave(), then=lambda session: session.reinvite(OFFER)
            )
            self.assertEqual((len(self.heard("answer")), self.heard("reinvite")), (1, []))

    async def test_update_crosses_reinvite(self) -> None:
        """RFC 5407 3.2.3."""
        allow = "Allow: INVITE, ACK, BYE, UPDATE"
        theirs = ask("INVITE", 1, body=offer(version=2)) + recv(491) + ask("ACK", 1, branch="1INVITE")
        good = reply_kept(200, body=offer(version=2), slot=6)
        steps = (pick_up(headers=allow), keep("UPDATE", slot=6), theirs, good, leave())
        await self.run_call(*steps, then=lambda session: session.update(OFFER))
        self.assertEqual((len(self.heard("answer")), self.heard("reinvite")), (1, []))

    # ------------------------------------------------------------------ session timers

    async def test_a_longer_interval_is_wanted_and_a_shorter_one_given(self) -> None:
        """uas-422-then-200-bad-se."""
        steps = (refuse(422, headers="Min-SE: 5400"), called("Session-Expires", "5400"),
                 pick_up(headers="Session-Expires: 3600;refresher=uas\nRequire: timer"), leave())  # fmt: skip
        await self.run_call(*steps)
        self.assertEqual([request.headers.get("Min-SE") for request in self.ours.sent("INVITE")], [None, "5400"])

    async def test_the_same_422_again(self) -> None:
        too_small = refuse(422, headers="Min-SE: 600")
        pbx = await self.sipp(called(), too_small, called(), too_small)
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual(self.heard("failed"), [(422,)])

    async def test_we_refresh_by_reinvite(self) -> None:
        """uas-timer-reinvite; nobody is told of it."""
        terms = "Require: timer\nSession-Expires: 90;refresher=uac"
        refreshed = keep("INVITE", slot=6) + reply_kept(200, body=offer(), headers=terms, slot=6) + recv("ACK")
        await self.run_call(pick_up(headers=terms), refreshed, refreshed, leave())
        self.assertEqual((self.heard("answer"), [r.body for r in self.ours.sent("INVITE")]), ([], [OFFER] * 3))

    async def test_we_refresh_by_update_and_then_otherwise(self) -> None:
        """uas-timer-update: without a body it is not liked, so a re-INVITE does it."""
        terms = "Allow: INVITE, UPDATE\nRequire: timer\nSession-Expires: 90;refresher=uac"
        refusal = keep("UPDATE", slot=6) + reply_kept(400, "Want SDP Body", headers=terms.replace("UPDATE", "ACK"), slot=6)
        refreshed = keep("INVITE", slot=6) + reply_kept(200, body=offer(), headers=terms, slot=6) + recv("ACK")
        good = keep("UPDATE", slot=6) + reply_kept(200, headers=terms, slot=6)
        await self.run_call(pick_up(headers=terms), refusal, refreshed, good, leave())
        self.assertEqual([request.body for request in self.ours.sent("UPDATE")], [b"", b""])

    async def test_they_do_not_refresh(self) -> None:
        await self.run_call(pick_up(headers="Require: timer\nSession-Expires: 90;refresher=uas"), left())
        self.assertEqual(self.heard("ended"), [("expired",)])
