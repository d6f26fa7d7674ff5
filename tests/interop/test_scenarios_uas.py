"""SIPp calls the platform: offers that fit and do not, odd requests, the flows of RFC 3665 and 5359, the races of RFC 5407.

Each test says what the peer sees, and what our record of the call says.
"""

from __future__ import annotations

from typing import Any

from tests.interop.house import Housed
from tests.interop.peers import needs
from tests.interop.scenario import (
    ASSIGNED,
    answered,
    contains,
    hang_up,
    hung_up,
    invite,
    maybe,
    offer,
    pause,
    recv,
    refused,
    reinvite,
    send,
)

VIDEO = "m=video 5000 RTP/AVP 100\na=rtpmap:100 H264/90000"
CALLER_LEFT = ("completed", "caller hung up")


def outcome(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["disposition"], record["cause"]


def media(record: dict[str, Any]) -> list[str]:
    """'media' or 'hold' for each offer that was agreed on after the first one."""
    return [event["kind"] for event in record["events"] if event["kind"] in ("media", "hold")]


@needs("sipp")
class Offers(Housed):
    ports = "26000-26200"

    def test_video_is_declined_and_the_order_of_streams_kept(self) -> None:
        """RFC 3264 6; pjproject's ticket 1148 and its stream of port 0 without an rtpmap."""
        both = recv(200, contains("m=audio [1-9].*m=video 0 "), rrs="true")
        gone = f"{offer(0, version=3)}\nm=video 0 RTP/AVP 100"
        record = self.call(invite(body=f"{offer(0)}\n{VIDEO}"), maybe(100), maybe(180), both, send("ACK", 1),
                           reinvite(3, gone, "m=audio [1-9].*m=video 0 "), hang_up(), ASSIGNED)  # fmt: skip
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMU", ["media"]))

    def test_srtp_or_rtp_then_one_of_them_then_both(self) -> None:
        """pjproject's ticket 1864: one of two streams is taken, whichever."""
        key = "MFtlKkxOZF16aGBwK0Veaks2JC5+cDBnLWlyeUhN"
        secure = f"m=audio [media_port] RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"
        plain = offer(0).replace("a=sendrecv", "").strip()
        two = plain.replace("m=audio", f"{secure}\nm=audio")
        one_of_two = "m=audio 0 .*m=audio [1-9]|m=audio [1-9].*m=audio 0 "
        record = self.call(invite(body=two), maybe(100), maybe(180), recv(200, contains(one_of_two), rrs="true"), send("ACK", 1),
                           reinvite(3, plain), reinvite(4, two, one_of_two), hang_up(), ASSIGNED)  # fmt: skip
        self.assertEqual((outcome(record), len(media(record))), (CALLER_LEFT, 2))

    def test_an_offer_that_fails_leaves_all_as_it_was(self) -> None:
        """pjproject's tickets 1864 (scenario 2) and 1866, and a re-INVITE whose only audio has port 0."""
        wrong = invite(3, offer(18, version=3)) + refused(488, 3)
        none = invite(4, offer(0, version=4).replace("[media_port]", "0")) + refused(488, 4)
        record = self.call(invite(body=offer(0)), answered(), wrong, none, reinvite(5, offer(8, version=5)), hang_up(), ASSIGNED)
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMA", ["media"]))

    def test_nothing_that_we_could_send(self) -> None:
        video = offer(0).split("m=audio")[0] + VIDEO
        for body in (offer(109), offer(18), video):
            record = self.call(invite(body=body), refused(488))
            self.assertEqual((record["disposition"], record["status"]), ("refused", 488))

    def test_our_offer_and_no_answer_to_it(self) -> None:
        """Neither INVITE nor ACK hold SDP: nobody knows where to send (RFC 3261 13.2.1)."""
        record = self.call(invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"), send("ACK", 1),
                           hung_up(), ASSIGNED)  # fmt: skip
        self.assertIn("the answer in the ACK did not fit", record["cause"])

    def test_our_offer_and_an_answer_that_does_not_fit_it(self) -> None:
        record = self.call(
            invite(body=""), maybe(100), maybe(180), recv(200, rrs="true"), send("ACK", 1, body=offer(18)), hung_up()
        )
        self.assertIn("the answer in the ACK did not fit", record["cause"])

    def test_our_offer_and_we_hang_up(self) -> None:
        record = self.call(invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"),
                           send("ACK", 1, body=offer(8)), hung_up(), ASSIGNED, to="leaving")  # fmt: skip
        self.assertEqual((outcome(record), record["codec"]), (("completed", "had enough"), "PCMA"))

    def test_a_reinvite_without_an_offer(self) -> None:
        """The 200 offers, the ACK answers; the third time without an answer, and all stays as it was."""

        def change(cseq: int, body: str) -> str:
            wanted = recv(200, contains("m=audio [1-9][0-9]* RTP/AVP 0 8"), rrs="true")
            return invite(cseq, "") + maybe(100) + wanted + send("ACK", cseq, body=body)

        record = self.call(invite(body=offer(0)), answered(), change(3, offer(8, direction="sendonly", version=2)),
                           change(4, offer(8, version=3)), change(5, ""), hang_up(), ASSIGNED)  # fmt: skip
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMA", ["hold", "media"]))


@needs("sipp")
class Oddities(Housed):
    ports = "26200-26400"

    def test_what_we_can(self) -> None:
        before = self.house.counted("sip_request", "OPTIONS")
        self.run_sipp(send("OPTIONS", 1), recv(200, contains("norefersub", "Supported")), ASSIGNED)
        self.assertEqual(self.house.counted("sip_request", "OPTIONS"), before + 1)

    def test_several_require(self) -> None:
        unsupported = recv(420, contains("Unsupported: toto\r"))
        self.run_sipp(
            invite(headers="Require: timer\nRequire: toto"), maybe(100), unsupported, send("ACK", 1, of="1INVITE"), ASSIGNED
        )
        self.assertEqual(self.house.counted("calls_refused", "did"), 0)

    def test_methods_that_are_not_for_us(self) -> None:
        for method, headers in (("MESSAGE", ""), ("SUBSCRIBE", "Event: presence"), ("PUBLISH", "Event: presence")):
            self.run_sipp(send(method, 1, headers=headers, of="none"), recv(405, contains("INVITE", "Allow")), ASSIGNED)
            self.assertEqual(self.house.counted("sip_request", method), 1)

    def test_the_invite_again_after_its_ack_is_no_call(self) -> None:
        """pjproject's uac-inv-retrans-after-ack."""
        before = self.house.counted("sip_retransmission", "udp")
        again = send("INVITE", 1, body=offer(), retransmitted=False)
        call_id = self.run_sipp(invite(), answered(), again, pause(100), reinvite(3, offer(version=2)), hang_up(), ASSIGNED)
        self.assertEqual(outcome(self.house.record(call_id)), CALLER_LEFT)
        self.assertEqual((self.house.records(call_id), self.house.counted("sip_retransmission", "udp")), (1, before + 1))

    def test_an_ack_with_the_branch_of_its_invite_and_one_that_contradicts_itself(self) -> None:
        """pjproject's uac-bad-ack: the call goes on, and ends as it should."""
        broken = send("ACK", 9).replace("9 ACK", "9 BYE")
        record = self.call(invite(), maybe(100), maybe(180), recv(200, rrs="true"), send("ACK", 1, branch="1INVITE"), pause(100),
                           hang_up(), broken)  # fmt: skip
        self.assertEqual(outcome(record), CALLER_LEFT)
        self.house.settle()

    def test_a_reinvite_with_the_branch_of_the_invite(self) -> None:
        """pjproject's uac-reinvite-bad-via-branch."""
        again = send("INVITE", 3, body=offer(version=2), branch="1INVITE", retransmitted=False)
        record = self.call(invite(), answered(), again, recv(400), send("ACK", 3, branch="1INVITE"), hang_up())
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_nobody_makes_us_call(self) -> None:
        """REFER within a call and outside of it, with a subscription and without (RFC 4488, 7614)."""
        refer = "Refer-To: <sip:200@pbx.example.com>"
        inside = send("REFER", 3, headers=refer) + recv(603) + send("REFER", 4, headers=f"{refer}\nRefer-Sub: false") + recv(603)
        self.assertEqual(outcome(self.call(invite(), answered(), inside, hang_up())), CALLER_LEFT)
        self.run_sipp(send("REFER", 1, headers=refer, of="none"), recv(403))
        self.assertEqual(self.house.counted("transfer_refer"), 0)
