"""SIPp is the PBX that is asked to take the caller (RFC 5589 6, RFC 3515), and what it makes of that."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.interop.answering import called, leave, pick_up, refuse, respond
from tests.interop.house import CALLER_LEFT, Housed, media, outcome, until
from tests.interop.peers import PBX, Sipp, needs, sipp
from tests.interop.platform import free_port
from tests.interop.scenario import (
    ACTIVE,
    OVER,
    answered,
    contains,
    hang_up,
    hung_up,
    invite,
    keep,
    notify,
    offer,
    pause,
    recv,
    reinvite,
    reply,
    reply_kept,
    scenario,
    send,
)

REFER = recv("REFER", contains(f"sip:200@{PBX}", "Refer-To"))


def story(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The steps of its transfer, and why one failed."""
    told = [event for event in record["events"] if event["kind"] == "transfer"]
    return [tuple(event[key] for key in ("step", "cause") if key in event) for event in told]


@needs("sipp")
class Transfers(Housed):
    """RFC 5589 6 and 3515: the PBX is asked to take the caller, and what it makes of that."""

    ports = "27000-27200"

    def all_at_once(self, **flows: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        """What happens in each call after its 200, and the call's record."""
        ids = {name: uuid4().hex for name in flows}
        callers = [
            Sipp(scenario(invite(), answered(), *steps), PBX, "udp",
                 self.house.address, "-s", "moving", "-cid_str", ids[name])
            for name, steps in flows.items()
        ]  # fmt: skip
        for caller in callers:
            self.addCleanup(caller.close)
        for caller in callers:
            caller.process.wait(timeout=60)
            caller.check()
        self.house.settle()
        return {name: self.house.record(call_id) for name, call_id in ids.items()}

    def test_transfers_that_fail(self) -> None:
        def told(*news: str, last: str = OVER) -> tuple[str, ...]:
            states = [*[ACTIVE] * (len(news) - 1), last]
            notified = (notify(cseq, one, state) for cseq, one, state in zip(range(3, 9), news, states, strict=False))
            return (REFER, reply(202, "Accepted"), *notified, pause(100), hang_up())

        def refused_by(status: int) -> tuple[str, ...]:
            return (REFER, reply(status, "No"), pause(100), hang_up())

        flows = {
            "busy": told("100 Trying", "486 Busy Here"),
            "no answer": told("100 Trying", "180 Ringing", "480 Temporarily Unavailable"),
            "not found": told("404 Not Found"),
            "unreachable": told("503 Service Unavailable"),
            "declined": refused_by(603),
            "not supported": refused_by(405),
            "authentication wanted": refused_by(407),
            "outcome unknown": told("180 Ringing", "100 Trying", last="terminated;reason=timeout"),
        }
        for cause, record in self.all_at_once(**flows).items():
            self.assertEqual((outcome(record), record["flagged"], record["transferred_to"]), (CALLER_LEFT, "transfer failed", ""))
            self.assertEqual(story(record)[-1], ("failed", cause))

    def test_transfers_that_succeed(self) -> None:
        hold = reinvite(3, offer(direction="sendonly", version=2), "a=recvonly")
        stranger = send("NOTIFY", 3, headers="Event: refer;id=99\nSubscription-State: active") + recv(481)
        early = keep("REFER", "Refer-To", "sip:200@") + notify(3, "100 Trying", ACTIVE)
        flows = {
            "the news overtakes the 202": (early, reply_kept(202), notify(4, "200 OK", OVER), hung_up()),
            "held meanwhile": (REFER, reply(202), hold, notify(4, "180 Ringing", ACTIVE), notify(5, "200 OK", OVER), hung_up()),
            "the subscription stays": (REFER, reply(200), notify(3, "200 OK", ACTIVE), hung_up()),
            "no subscription": (REFER, reply(202), hang_up()),
            "news of something else": (REFER, reply(202), stranger, notify(4, "200 OK", OVER), hung_up()),
        }  # fmt: skip
        for name, record in self.all_at_once(**flows).items():
            self.assertEqual((outcome(record), record["transferred_to"]), (("transferred", "transferred"), "200"), name)
            self.assertEqual(story(record)[-1], ("done",), name)

    def test_a_caller_whom_the_pbx_brings_back(self) -> None:
        hold = reinvite(3, offer(direction="sendonly", version=2), "a=recvonly")
        back = reinvite(5, offer(version=3), "a=sendrecv")
        flow = (REFER, reply(202, "Accepted"), hold, notify(4, "486 Busy Here", OVER), back, hang_up())
        record = self.all_at_once(back=flow)["back"]
        self.assertEqual((outcome(record), media(record), record["flagged"]), (CALLER_LEFT, ["hold", "media"], "transfer failed"))


@needs("sipp")
class Referred(Housed):
    """RFC 5589 as the transferee: the PBX sends the agent to somebody else, who is another SIPp."""

    ports = "27900-28000"
    port: int

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.port = free_port(PBX)
        cls.house.command("trunks", "set", "pbx", "--pbx-domain", f"{PBX}:{cls.port}", "--refer-target", "3*")

    def referred(self, to: str, answers: tuple[str, ...], *steps: str) -> dict[str, Any]:
        """The record of a call in which the PBX sent a REFER, was told 202 and 100, and then came `steps`."""
        target = Sipp(scenario(*answers), PBX, "udp", port=self.port) if answers else None
        if target is not None:
            self.addCleanup(target.close)
            until(target.listens)
        refer = send("REFER", 3, headers=f"Refer-To: <sip:{to}>\nReferred-By: <sip:reception@pbx.example.com>") + recv(202)
        trying = recv("NOTIFY", contains("100 Trying")) + reply(200)
        call_id = uuid4().hex
        sipp(self.house, scenario(invite(), answered(), refer, trying, *steps), "play", "-cid_str", call_id)
        if target is not None:
            target.process.wait(timeout=30)
            target.check()
        self.house.settle()
        return self.house.record(call_id)

    def told(self, record: dict[str, Any]) -> list[Any]:
        return [event.get("status", event["step"]) for event in record["events"] if event["kind"] == "referral"]

    def test_somebody_picks_up(self) -> None:
        """Our NOTIFY and our BYE come at once; the call goes on with the new one."""
        over = keep("NOTIFY", pattern="200 OK") + hung_up() + reply_kept(200)
        ringing = recv("NOTIFY", contains("SIP/2.0 180")) + reply(200)
        answers = (called("Referred-By", "reception"), respond(180), pause(100), pick_up(), pause(100), leave())
        record = self.referred("301@pbx.example.com", answers, ringing, over)
        self.assertEqual((outcome(record), self.told(record)), (CALLER_LEFT, ["asked", 180, "done"]))

    def test_in_the_place_of_somebody(self) -> None:
        """RFC 5589 7: a transfer with consultation; what else the Refer-To wants in the INVITE is not put there."""
        over = keep("NOTIFY") + hung_up() + reply_kept(200)
        to = "301@pbx.example.com?Replaces=c%40h%3Bto-tag%3Da%3Bfrom-tag%3Db&Subject=x"
        record = self.referred(to, (called("Replaces", "c@h;to-tag=a;from-tag=b"), pick_up(), pause(100), leave()), over)
        self.assertEqual((outcome(record), self.told(record)), (CALLER_LEFT, ["asked", "done"]))

    def test_busy_and_the_call_goes_on(self) -> None:
        busy = recv("NOTIFY", contains("SIP/2.0 486")) + reply(200)
        hold = reinvite(5, offer(direction="sendonly", version=2), "a=recvonly")
        record = self.referred("302@pbx.example.com", (called(), refuse(486)), busy, hold, hang_up())
        self.assertEqual((outcome(record), self.told(record), media(record)), (CALLER_LEFT, ["asked", 486], ["hold"]))
