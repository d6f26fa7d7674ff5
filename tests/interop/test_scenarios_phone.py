"""The built-in phone calls SIPp: SDP that fits and does not, in each message that may hold some, and being transferred.

The names of pjproject's scenarios stand where one is meant.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from smartalex.phone.call import Phone, PhoneOptions, Target
from smartalex.phone.pbx import PLANS
from smartalex.phone.report import Result
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from tests.interop.answering import TRYING, ask, called, change, leave, left, pick_up, refuse, respond
from tests.interop.caller import Calling
from tests.interop.peers import PBX, needs
from tests.interop.scenario import contains, offer, recv, reply

VIDEO = offer(0).split("m=audio")[0] + "m=video [media_port] RTP/AVP 34"
UNREADABLE = offer(0).replace("v=0", "1=1")


@needs("sipp")
class Telephone(Calling):
    async def telephone(self, *steps: str, plan: str = "accept") -> Result:
        """What came of the call."""
        pbx = await self.sipp(called(), *steps)
        self.shown: list[tuple[str, str]] = []
        options = PhoneOptions(plans=(PLANS[plan],), ports=(45000, 45200))
        phone = Phone(reactor, options, lambda who, text: self.shown.append((who, text)))
        self.addCleanup(phone.close)
        target = Target(Uri.parse(f"sip:bob@{PBX}:{pbx.port}"), Peer("udp", PBX, pbx.port))
        result = await Deferred.fromCoroutine(phone.call(target, [], 20.0))
        await self.over(pbx)
        return result

    # ------------------------------------------------------------------ answers

    async def test_early_media_that_cannot_be_heard(self) -> None:
        """uas-answer-183-wrong-codec, -wrong-media, -wrong-attr: nothing of it is used, and the 200 decides."""
        for body in (offer(109), VIDEO, UNREADABLE):
            result = await self.telephone(TRYING, respond(180), respond(183, body=body), pick_up(), leave())
            self.assertEqual((result.status, result.codec, result.ended_by), (200, "PCMA", "agent"))
            result = await self.telephone(TRYING, respond(180), respond(183, body=body), refuse(487))
            self.assertEqual((result.status, result.ended_by), (487, ""))

    async def test_an_answer_that_does_not_fit(self) -> None:
        """uas-answer-200-inv-without-sdp and its like: acknowledged, and ended at once."""
        for body in (offer(109), VIDEO, UNREADABLE, ""):
            result = await self.telephone(TRYING, pick_up(body), left())
            self.assertEqual((result.status, result.codec), (0, ""), body)
            self.assertTrue(result.reason, body)

    async def test_an_answer_with_a_choice(self) -> None:
        """uas-answer-200-multiple-fmts: the first one is taken, whatever the payload types are."""
        mapped = offer(0).replace("RTP/AVP 0", "RTP/AVP 3 97 8").replace("a=rtpmap:0", "a=rtpmap:97")
        self.assertEqual((await self.telephone(pick_up(mapped), leave())).codec, "PCMU")

    # ------------------------------------------------------------------ re-INVITEs

    async def test_changes_by_the_other_side(self) -> None:
        """uas-reinv-and-ack-without-sdp, -with-less-media, -no-media: held, asked for an offer, refused, and back."""
        unacked = ask("INVITE", 2) + recv(100, optional="true") + recv(200, contains("m=audio [1-9]"))
        same_branch = ask("INVITE", 3) + recv(100, optional="true") + recv(200, contains("m=audio [1-9]"))
        nothing = ask("INVITE", 4, body=offer(0).replace("[media_port]", "0")) + recv(100, optional="true") + recv(488)
        result = await self.telephone(
            pick_up(), change(1, offer(0, direction="sendonly", version=2), "a=recvonly"), unacked, ask("ACK", 2),
            same_branch, ask("ACK", 3, branch="3INVITE"), nothing, ask("ACK", 4, branch="4INVITE"),
            change(5, offer(8, version=3), "a=sendrecv"), leave(),
        )  # fmt: skip
        self.assertEqual((result.status, result.ended_by), (200, "agent"))

    # ------------------------------------------------------------------ being transferred

    async def test_transferred(self) -> None:
        """RFC 5589 6.1, as the transferee: 202, then the news; RFC 4488 without them."""
        news = "".join(recv("NOTIFY", contains(status)) + reply(200) for status in ("100 Trying", "180 Ringing", "200 OK"))
        refer = ask("REFER", 1, headers="Refer-To: <sip:carol@192.0.2.4>") + recv(202) + news
        result = await self.telephone(pick_up(), refer, leave())
        self.assertEqual((result.refer_to, result.transferred_to), ("sip:carol@192.0.2.4", "carol"))

    async def test_the_target_is_busy_and_the_call_comes_back(self) -> None:
        news = "".join(recv("NOTIFY", contains(status)) + reply(200) for status in ("100 Trying", "486 Busy Here"))
        refer = ask("REFER", 1, headers="Refer-To: <sip:carol@192.0.2.4>") + recv(202) + news
        result = await self.telephone(pick_up(), refer, change(2, offer(version=2)), leave(3), plan="busy")
        self.assertEqual((result.transferred_to, result.transfers), (None, [{"to": "carol", "outcome": "busy"}]))

    async def test_a_transfer_is_declined(self) -> None:
        twice = ask("REFER", 2, headers="Refer-To: <sip:a@192.0.2.4>, <sip:b@192.0.2.4>") + recv(400)
        refer = ask("REFER", 1, headers="Refer-To: <sip:carol@192.0.2.4>") + recv(603) + twice
        result = await self.telephone(pick_up(), refer, leave(3), plan="decline")
        self.assertEqual(result.transferred_to, None)
