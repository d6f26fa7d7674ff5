"""SIPp calls the platform: offers that fit and do not, odd requests, the flows of RFC 3665 and 5359.

Each test says what the peer sees, and what our record of the call says.
"""

from __future__ import annotations

from typing import Any

from tests.interop.house import CALLER_LEFT, Housed, media, outcome
from tests.interop.peers import needs
from tests.interop.scenario import (
    CONTACT,
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


@needs("sipp")
class Offers(Housed):
    ports = "26000-26200"

    def test_video_is_declined_and_the_order_of_streams_kept(self) -> None:
        """RFC 3264 6; pjproject's ticket 1148 and its stream of port 0 without an rtpmap."""
        both = recv(200, contains("m=audio [1-9].*m=video 0 "), rrs="true")
        gone = f"{offer(0, version=3)}\nm=video 0 RTP/AVP 100"
        record = self.call(invite(body=f"{offer(0)}\n{VIDEO}"), maybe(100), maybe(180), both, send("ACK", 1),
                           reinvite(3, gone, "m=audio [1-9].*m=video 0 "), hang_up())  # fmt: skip
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMU", ["media"]))

    def test_srtp_or_rtp_then_one_of_them_then_both(self) -> None:
        """pjproject's ticket 1864: one of two streams is taken, whichever."""
        key = "MFtlKkxOZF16aGBwK0Veaks2JC5+cDBnLWlyeUhN"
        secure = f"m=audio [media_port] RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}"
        plain = offer(0).replace("a=sendrecv", "").strip()
        two = plain.replace("m=audio", f"{secure}\nm=audio")
        one_of_two = "m=audio 0 .*m=audio [1-9]|m=audio [1-9].*m=audio 0 "
        record = self.call(invite(body=two), maybe(100), maybe(180), recv(200, contains(one_of_two), rrs="true"), send("ACK", 1),
                           reinvite(3, plain), reinvite(4, two, one_of_two), hang_up())  # fmt: skip
        self.assertEqual((outcome(record), len(media(record))), (CALLER_LEFT, 2))

    def test_an_offer_that_fails_leaves_all_as_it_was(self) -> None:
        """pjproject's tickets 1864 (scenario 2) and 1866, and a re-INVITE whose only audio has port 0."""
        wrong = invite(3, offer(18, version=3)) + refused(488, 3)
        none = invite(4, offer(0, version=4).replace("[media_port]", "0")) + refused(488, 4)
        record = self.call(invite(body=offer(0)), answered(), wrong, none, reinvite(5, offer(8, version=5)), hang_up())
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMA", ["media"]))

    def test_nothing_that_we_could_send(self) -> None:
        video = offer(0).split("m=audio")[0] + VIDEO
        for body in (offer(109), offer(18), video):
            record = self.call(invite(body=body), refused(488))
            self.assertEqual((record["disposition"], record["status"]), ("refused", 488))

    def test_our_offer_and_no_answer_to_it(self) -> None:
        """Neither INVITE nor ACK hold SDP: nobody knows where to send (RFC 3261 13.2.1)."""
        record = self.call(invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"), send("ACK", 1),
                           hung_up())  # fmt: skip
        self.assertIn("the answer in the ACK did not fit", record["cause"])

    def test_our_offer_and_an_answer_that_does_not_fit_it(self) -> None:
        record = self.call(
            invite(body=""), maybe(100), maybe(180), recv(200, rrs="true"), send("ACK", 1, body=offer(18)), hung_up()
        )
        self.assertIn("the answer in the ACK did not fit", record["cause"])

    def test_our_offer_and_we_hang_up(self) -> None:
        record = self.call(invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"),
                           send("ACK", 1, body=offer(8)), hung_up(), to="leaving")  # fmt: skip
        self.assertEqual((outcome(record), record["codec"]), (("completed", "had enough"), "PCMA"))

    def test_a_reinvite_without_an_offer(self) -> None:
        """The 200 offers, the ACK answers; the third time without an answer, and all stays as it was."""

        def change(cseq: int, body: str) -> str:
            wanted = recv(200, contains("m=audio [1-9][0-9]* RTP/AVP 0 8"), rrs="true")
            return invite(cseq, "") + maybe(100) + wanted + send("ACK", cseq, body=body)

        record = self.call(invite(body=offer(0)), answered(), change(3, offer(8, direction="sendonly", version=2)),
                           change(4, offer(8, version=3)), change(5, ""), hang_up())  # fmt: skip
        self.assertEqual((outcome(record), record["codec"], media(record)), (CALLER_LEFT, "PCMA", ["hold", "media"]))


@needs("sipp")
class Oddities(Housed):
    ports = "26200-26400"

    def test_what_we_can(self) -> None:
        before = self.house.counted("sip_request", "OPTIONS")
        self.run_sipp(send("OPTIONS", 1), recv(200, contains("norefersub", "Supported")))
        self.assertEqual(self.house.counted("sip_request", "OPTIONS"), before + 1)

    def test_several_require(self) -> None:
        unsupported = recv(420, contains("toto", "Unsupported"))
        steps = (invite(headers="Require: timer\nRequire: toto"), maybe(100), unsupported, send("ACK", 1, of="1INVITE"))
        self.assertEqual(self.house.records(self.run_sipp(*steps)), 0)

    def test_methods_that_are_not_for_us(self) -> None:
        for method, headers in (("MESSAGE", ""), ("SUBSCRIBE", "Event: presence"), ("PUBLISH", "Event: presence")):
            self.run_sipp(send(method, 1, headers=headers), recv(405, contains("INVITE", "Allow")))
            self.assertEqual(self.house.counted("sip_request", method), 1)

    def test_the_invite_again_after_its_ack_is_no_call(self) -> None:
        """pjproject's uac-inv-retrans-after-ack."""
        before = self.house.counted("sip_retransmission", "udp")
        again = send("INVITE", 1, body=offer(), retransmitted=False)
        call_id = self.run_sipp(invite(), answered(), again, pause(100), reinvite(3, offer(version=2)), hang_up())
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


@needs("sipp")
class Flows(Housed):
    ports = "26400-26600"

    def test_either_side_hangs_up(self) -> None:
        """RFC 3665 3.1."""
        for transport in ("udp", "tcp"):
            record = self.call(invite(), answered(), hang_up(), transport=transport)
            self.assertEqual((outcome(record), record["transport"]), (CALLER_LEFT, transport))
            record = self.call(invite(), answered(), hung_up(), to="leaving", transport=transport)
            self.assertEqual(outcome(record), ("completed", "had enough"))

    def test_hold_in_each_way_there_is(self) -> None:
        """RFC 5359 2.1 to 2.3; the old way is RFC 2543's; music comes from another host and with another codec."""
        old = offer(version=4).replace("[media_ip]", "0.0.0.0")
        music = offer(8, direction="sendonly", version=6).replace("[media_ip]", "127.0.0.6")
        for transport in ("udp", "tcp"):
            record = self.call(
                invite(), answered(), reinvite(3, offer(direction="inactive", version=3), "a=inactive"), reinvite(4, old),
                reinvite(5, offer(version=5), "a=sendrecv"), reinvite(6, music, "a=recvonly"),
                reinvite(7, offer(0, version=7), "a=sendrecv"), hang_up(), transport=transport,
            )  # fmt: skip
            self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["hold", "hold", "media", "hold", "media"]))

    def test_a_third_party_joins(self) -> None:
        """RFC 5359 2.13: the call moves to a focus at another address, which ends it."""
        focus = CONTACT.replace("pbx@", "focus@").replace(">", ">;isfocus")
        moved = reinvite(3, offer(version=2).replace("[media_ip]", "127.0.0.6")).replace(CONTACT, focus)
        record = self.call(invite(), answered(), moved, hang_up())
        self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["media"]))

    def test_click_to_dial(self) -> None:
        """RFC 5359 2.18, by flow I of RFC 3725: the controller asks for an offer twice."""
        held = offer(0, direction="inactive")
        steps = (invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"), send("ACK", 1, body=held),
                 invite(3, ""), maybe(100), recv(200, contains("m=audio"), rrs="true"), send("ACK", 3, body=offer(0, version=2)),
                 hang_up())  # fmt: skip
        record = self.call(*steps)
        self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["hold", "media"]))

    def test_a_call_that_was_forwarded(self) -> None:
        """RFC 5359 2.7 to 2.9, as the last hop sees it (RFC 5806, RFC 7044)."""
        diversion = "Diversion: <sip:301@pbx.example.com>;reason=no-answer, <sip:100@pbx.example.com>;reason=user-busy"
        record = self.call(invite(headers=diversion), answered(), hang_up())
        diverted = [(event["from"], event["reason"]) for event in record["events"] if event["kind"] == "diverted"]
        self.assertEqual(diverted, [("301", "no-answer"), ("100", "user-busy")])


@needs("sipp")
class Leftovers(Housed):
    """Over TCP no transaction outlives the ACK of a refusal: all by itself this platform has nothing left at once."""

    ports = "26600-26700"

    def refused(self, *steps: str, to: str = "play") -> dict[str, Any]:
        record = self.call(*steps, to=to, transport="tcp")
        self.house.settle(("calls", "legs", "sip_transactions"))
        return record

    def test_refusals(self) -> None:
        """RFC 3665 3.11 and its like."""
        for to, body, status in (("nobody", offer(), 480), ("stranger", offer(), 404), ("play", offer(18), 488)):
            record = self.refused(invite(body=body), refused(status), to=to)
            self.assertEqual((record["disposition"], record["status"]), ("refused", status))

    def test_no_answer_and_cancel(self) -> None:
        """RFC 3665 3.8."""
        cancel = send("CANCEL", 1, of="1INVITE") + recv(200) + recv(487) + send("ACK", 1, of="1INVITE")
        record = self.refused(invite(), maybe(100), recv(180), cancel, to="slow")
        self.assertEqual(outcome(record), ("cancelled", "cancelled"))

    def test_bye_instead_of_cancel(self) -> None:
        """RFC 3261 15."""
        early = send("BYE", 2, branch="bye") + recv(200) + recv(487) + send("ACK", 1, of="1INVITE")
        record = self.refused(invite(), maybe(100), recv(180, rrs="true"), early, to="slow")
        self.assertEqual(record["cause"], "caller hung up")


@needs("sipp")
class Registration(Housed):
    """RFC 3665 2."""

    ports = "26700-26800"

    def contacts(self, trunk: str) -> float:
        return self.house.metrics().get(f'smartalex_trunk_contacts{{label="{trunk}"}}', 0.0)

    def test_new_another_list_and_none(self) -> None:
        second = CONTACT.replace("pbx@", "second@")
        ask = send("REGISTER", 3).replace(f"{CONTACT}\n", "")
        nothing = send("REGISTER", 4, headers="Expires: 0").replace(CONTACT, "Contact: *")
        two = "Contact: <sip:pbx@.*Contact: <sip:second@"
        for transport in ("udp", "tcp"):
            self.run_sipp(send("REGISTER", 1, headers="Expires: 60"), recv(200, contains("pbx@.*expires=60", "Contact")),
                          send("REGISTER", 2).replace(CONTACT, second), recv(200, contains(two)), ask, recv(200, contains(two)),
                          to="pbx", transport=transport)  # fmt: skip
            self.assertEqual(self.contacts("pbx"), 2)
            self.run_sipp(nothing, recv(200), to="pbx", transport=transport)
            self.assertEqual(self.contacts("pbx"), 0)

    def test_a_password_and_a_wrong_one(self) -> None:
        for password, status, contacts in (("wrong", 403, 0), (self.house.password, 200, 1)):
            login = f"[authentication username={self.house.username} password={password}]"
            self.run_sipp(send("REGISTER", 1), recv(401, auth="true"), send("REGISTER", 2, headers=login), recv(status),
                          to=self.house.username, source="127.0.0.3")  # fmt: skip
            self.assertEqual(self.contacts("acme"), contacts)

    def test_somebody_elses_address(self) -> None:
        before = self.contacts("acme")
        self.run_sipp(send("REGISTER", 1), recv(404), to="acme")
        self.assertEqual(self.contacts("acme"), before)
