"""We call SIPp: how calls are answered and refused in all the ways that the peers of others have found.

The names of pjproject's scenarios stand where one is meant.
"""

from __future__ import annotations

from tests.interop.answering import TRYING, ask, called, change, leave, left, pick_up, refuse, respond
from tests.interop.caller import Calling
from tests.interop.peers import PBX, needs
from tests.interop.scenario import keep, offer, pause, recv, reply, reply_kept
from tests.sip.loopback import until


@needs("sipp")
class Answers(Calling):
    async def test_either_side_hangs_up(self) -> None:
        """RFC 3665 3.1; uas-norefersub."""
        ringing = called("Supported", "norefersub") + TRYING + respond(180) + pick_up()
        for transport in ("udp", "tcp"):
            self.forget()
            pbx = await self.sipp(ringing, left(), transport=transport)
            session = self.call(pbx, transport)
            await self.told("answered")
            session.hangup()
            await self.done(pbx)
            self.assertEqual(self.heard("ended"), [("local",)])
            self.forget()
            pbx = await self.sipp(ringing, leave(), transport=transport)
            self.call(pbx, transport)
            await self.done(pbx)
            self.assertEqual(self.heard("ended"), [("bye",)])

    async def test_refused(self) -> None:
        """RFC 3665 3.9, 3.11 and others."""
        for status in (404, 480, 486, 500, 503, 603):
            self.forget()
            pbx = await self.sipp(called(), TRYING, respond(180), refuse(status))
            self.call(pbx)
            await self.done(pbx)
            self.assertEqual((self.heard("failed"), self.heard("ended")), ([(status,)], [("failed",)]))

    async def test_no_tag_in_the_200(self) -> None:
        """uas-answer-200-without-to-tag: a peer of RFC 2543; both its requests and ours find the call."""
        pbx = await self.sipp(called(), pick_up(tag=""), ask("BYE", 1, tag=""), recv(200))
        self.call(pbx)
        await self.done(pbx)
        self.forget()
        pbx = await self.sipp(called(), pick_up(tag=""), left())
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)

    async def test_no_tag_in_a_183(self) -> None:
        """uas-answer-183-without-to-tag: it makes no dialog."""
        pbx = await self.sipp(called(), respond(183, body=offer(), tag=""), respond(180), pick_up(), leave())
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual(self.heard("progress"), [(183,), (180,)])

    async def test_no_contact_in_the_200(self) -> None:
        """ACK and BYE go to the Request-URI of the INVITE."""
        pbx = await self.sipp(called(), pick_up(headers="X-Contact: none").replace("Contact: <sip:pbx", "Y: <sip:pbx"), left())
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)
        self.assertEqual({self.ours.sent(method)[0].uri for method in ("INVITE", "ACK", "BYE")}, {session.request.uri})

    async def test_the_200_again(self) -> None:
        """Our ACK was lost; a 180 that comes late changes nothing."""
        pbx = await self.sipp(called(), pick_up(), respond(180), pick_up(), leave(), repeats=False)
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual((len(self.ours.sent("ACK")), self.heard("answered")), (2, [(200, self.heard("answered")[0][1])]))

    async def test_a_bye_that_nobody_knows(self) -> None:
        pbx = await self.sipp(called(), pick_up(), recv("BYE"), reply(481, "No Such Call"))
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)

    async def test_several_ring_and_one_answers(self) -> None:
        """RFC 3261 13.2.2.4: three early dialogs, and the 200 is of a fourth."""
        ringing = [respond(180, tag=tag) for tag in ("one", "two", "three")]
        pbx = await self.sipp(called(), *ringing, pick_up(tag="four"), left("To", "tag=four"))
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)
        self.assertEqual(len(self.heard("progress")), 3)

    async def test_two_answer(self) -> None:
        """uas-forked-200: the second is acknowledged and ended, the first goes on."""
        pbx = await self.sipp(called(), pick_up(tag="one"), pick_up(tag="two"), left("To", "tag=two"), left("To", "tag=one"))
        session = self.call(pbx)
        await self.told("answered")
        await until(lambda: self.ours.sent("BYE"))
        session.hangup()
        await self.done(pbx)
        self.assertEqual((len(self.heard("answered")), len(self.ours.sent("ACK"))), (1, 2))

    async def test_bye_before_the_answer(self) -> None:
        """uas-early-bye: whoever is called must not (RFC 3261 15); it is answered, and the INVITE decides."""
        pbx = await self.sipp(called(), respond(180), ask("BYE", 1), recv(200), refuse(487))
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual(self.heard("failed"), [(487,)])


@needs("sipp")
class Routes(Calling):
    async def test_a_strict_router(self) -> None:
        """strict-route: it takes the Request-URI's place, and the target goes last (RFC 3261 12.2.1.1, 16.12.1.1)."""
        proxy = "Record-Route: <sip:proxy@[local_ip]:[local_port]>"
        pbx = await self.sipp(called(), pick_up(headers=proxy, ack="ACK sip:proxy@.*Route: <sip:pbx@"), left("Route", "sip:pbx@"))
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)
        self.assertEqual({self.ours.sent(method)[0].request_uri.user for method in ("ACK", "BYE")}, {"proxy"})

    async def test_loose_routers_last_first(self) -> None:
        routes = "Record-Route: <sip:far@192.0.2.1;lr>, <sip:near@[local_ip]:[local_port];lr>"
        for steps in ([respond(180, headers=routes), pick_up(headers=routes)], [pick_up(headers=routes)]):
            self.forget()
            pbx = await self.sipp(called(), *steps, change(1, offer(version=2), "v=0"), leave(2))
            self.call(pbx)
            await self.done(pbx)
            [ack] = self.ours.sent("ACK")
            self.assertEqual([route.partition("@")[0] for route in ack.headers.get_all("Route")], ["<sip:near", "<sip:far"])


@needs("sipp")
class Redirects(Calling):
    async def test_to_where_we_may_go_and_not_elsewhere(self) -> None:
        """RFC 3665 3.6; RFC 5359 2.7."""
        for allowed in (True, False):
            self.forget()
            new = await self.sipp(called(), pick_up(), leave())
            old = await self.sipp(called(), refuse(302, headers=f"Contact: <sip:carol@{PBX}:{new.port}>"))
            self.call(old, redirects=lambda uri, allowed=allowed: allowed)
            await self.done(old, *([new] if allowed else []))
            self.assertEqual(self.heard("failed"), [] if allowed else [(302,)])

    async def test_the_second_choice(self) -> None:
        good = await self.sipp(called(), pick_up(), leave())
        busy = await self.sipp(called(), refuse(486))
        contacts = f"Contact: <sip:two@{PBX}:{good.port}>;q=0.5, <sip:one@{PBX}:{busy.port}>;q=0.9"
        old = await self.sipp(called(), refuse(300, headers=contacts))
        self.call(old, redirects=lambda uri: True)
        await self.done(old, busy, good)
        self.assertEqual([invite.request_uri.user for invite in self.ours.sent("INVITE")], ["bob", "one", "two"])

    async def test_in_a_circle(self) -> None:
        here = "Contact: <sip:bob@[local_ip]:[local_port]>"
        pbx = await self.sipp(called(), refuse(302, headers=here))
        self.call(pbx, redirects=lambda uri: True)
        await self.done(pbx)
        self.assertEqual(self.heard("failed"), [(302,)])


@needs("sipp")
class GivingUp(Calling):
    async def test_cancel(self) -> None:
        """RFC 3665 3.8; it waits for a sign of life (RFC 3261 9.1)."""
        for transport in ("udp", "tcp"):
            self.forget()
            pbx = await self.sipp(
                called(), pause(200), respond(180), recv("CANCEL"), reply(200), refuse(487), transport=transport
            )
            session = self.call(pbx, transport)
            session.hangup()
            self.assertEqual(self.ours.sent("CANCEL"), [])
            await self.done(pbx)
            self.assertEqual(self.heard("ended"), [("local",)])
            invite, cancel = self.ours.sent("INVITE")[0], self.ours.sent("CANCEL")[0]
            self.assertEqual((invite.via, invite.uri, invite.cseq.number), (cancel.via, cancel.uri, cancel.cseq.number))

    async def test_cancel_crosses_the_200(self) -> None:
        """RFC 5407 3.1.2: acknowledged, and ended with BYE."""
        pbx = await self.sipp(called(), respond(180), keep("CANCEL", slot=6), pick_up(), keep("BYE", slot=10),
                              reply_kept(200, slot=6), reply_kept(200, slot=10), pause(50))  # fmt: skip
        session = self.call(pbx)
        await self.told("progress")
        session.hangup()
        await self.done(pbx)
        self.assertEqual((self.heard("answered"), self.heard("ended")), ([], [("local",)]))

    async def test_the_cancel_is_not_understood(self) -> None:
        pbx = await self.sipp(called(), respond(180), recv("CANCEL"), reply(481, "No Such Transaction"), refuse(480))
        session = self.call(pbx)
        await self.told("progress")
        session.hangup()
        await self.done(pbx)

    async def test_hanging_up_before_we_acknowledge(self) -> None:
        """The 200 is acknowledged all the same."""
        self.ours.recorder.acks_itself = False
        pbx = await self.sipp(called(), pick_up(), left())
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)


@needs("sipp")
class Slow(Calling):
    """What takes SIP's half minute, forty times as fast; afterwards neither dialog, transaction nor timer is left."""

    times = 40.0

    async def test_nobody_answers(self) -> None:
        """RFC 3665 3.10."""
        pbx = await self.sipp(*[called()] * 7, repeats=False)
        self.call(pbx)
        await self.done(pbx)
        self.assertEqual((len(self.ours.sent("INVITE")), self.heard("failed")), (7, [(None,)]))

    async def test_a_cancel_without_a_final_response(self) -> None:
        """uas-cancel-no-final."""
        pbx = await self.sipp(called(), respond(180), recv("CANCEL"), reply(200))
        session = self.call(pbx)
        await self.told("progress")
        session.hangup()
        await self.done(pbx)
        self.assertEqual(self.heard("ended"), [("local",)])

    async def test_a_bye_that_nobody_answers(self) -> None:
        pbx = await self.sipp(called(), pick_up(), recv("BYE"))
        session = self.call(pbx)
        await self.told("answered")
        session.hangup()
        await self.done(pbx)
        self.assertEqual(self.heard("ended"), [("local",)])

    async def test_a_whole_call_and_a_refused_one(self) -> None:
        for steps in ((TRYING, respond(180), pick_up(), leave()), (TRYING, refuse(486))):
            self.forget()
            pbx = await self.sipp(called(), *steps)
            self.call(pbx)
            await self.done(pbx)
            self.assertEqual(len(self.heard("ended")), 1)
