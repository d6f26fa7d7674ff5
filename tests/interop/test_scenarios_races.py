"""The races of RFC 5407 between SIPp and the platform: the call is in one known state at the end, and so is its record."""

from __future__ import annotations

from tests.interop.house import CALLER_LEFT, Housed, media, outcome
from tests.interop.peers import needs
from tests.interop.scenario import (
    OVER,
    answered,
    hang_up,
    hung_up,
    invite,
    keep,
    maybe,
    notify,
    offer,
    recv,
    refused,
    reinvite,
    reply_kept,
    send,
)


@needs("sipp")
class Races(Housed):
    """RFC 5407, by the number of its section where it has one."""

    ports = "26800-27000"

    def test_3_1_1_the_invite_again_after_its_200(self) -> None:
        again = send("INVITE", 1, body=offer(), retransmitted=False)
        call_id = self.run_sipp(invite(), recv(200, rrs="true"), again, recv(200), send("ACK", 1), hang_up(), repeats=False)
        self.assertEqual((outcome(self.house.record(call_id)), self.house.records(call_id)), (CALLER_LEFT, 1))

    def test_3_1_3_cancel_crosses_the_200(self) -> None:
        cancel = send("CANCEL", 1, of="1INVITE") + recv(200)
        self.assertEqual(outcome(self.call(invite(), recv(200, rrs="true"), cancel, send("ACK", 1), hang_up())), CALLER_LEFT)

    def test_3_1_4_a_reinvite_before_the_ack(self) -> None:
        record = self.call(invite(), recv(200, rrs="true"), reinvite(3, offer(version=2)), send("ACK", 1), hang_up())
        self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["media"]))

    def test_3_1_5_a_reinvite_before_the_ack_with_the_answer(self) -> None:
        record = self.call(invite(body=""), maybe(100), recv(200, rrs="true"), invite(3, offer(8)), refused(491, 3),
                           send("ACK", 1, body=offer(0)), hang_up())  # fmt: skip
        self.assertEqual((outcome(record), record["codec"]), (CALLER_LEFT, "PCMU"))

    def test_3_1_6_bye_before_the_ack(self) -> None:
        record = self.call(invite(), recv(200, rrs="true"), send("BYE", 3), recv(200), send("ACK", 1))
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_the_ack_is_lost(self) -> None:
        record = self.call(invite(), recv(200, rrs="true"), recv(200), send("ACK", 1), hang_up(), repeats=False)
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_3_2_1_bye_crosses_bye(self) -> None:
        record = self.call(invite(), answered(), keep("BYE"), send("BYE", 3), recv(200), reply_kept(200), to="leaving")
        self.assertEqual(outcome(record), ("completed", "had enough"))

    def test_3_2_4_requests_cross_our_bye(self) -> None:
        """All but a BYE get 481."""
        others = {"INVITE": offer(8), "UPDATE": "", "INFO": "", "REFER": "", "OPTIONS": ""}
        for method, body in others.items():
            inside = send(method, 3, body=body)
            if method == "OPTIONS":
                inside = inside.replace("sip:[service]@[remote_ip]:[remote_port]>", "sip:[service]@[remote_ip]>[peer_tag_param]")
            last = send("ACK", 3, of="3INVITE") if method == "INVITE" else ""
            record = self.call(invite(), answered(), keep("BYE"), inside, recv(481), last, reply_kept(200), to="leaving")
            self.assertEqual(outcome(record), ("completed", "had enough"), method)

    def test_the_200_of_a_reinvite_is_lost(self) -> None:
        change = invite(3, offer(version=2)) + recv(200) + recv(200) + send("ACK", 3)
        record = self.call(invite(), answered(), change, hang_up(), repeats=False)
        self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["media"]))

    def test_bye_instead_of_the_ack_of_a_reinvite(self) -> None:
        self.assertEqual(outcome(self.call(invite(), answered(), invite(3, offer(version=2)), recv(200), hang_up())), CALLER_LEFT)

    def test_out_of_order(self) -> None:
        """RFC 3261 12.2.2; what belongs to no call, or to no transaction, is 481."""
        state = "Subscription-State: active"
        steps = (invite(), answered(), send("INFO", 5), recv(200), send("INFO", 4), recv(500),
                 send("PRACK", 6, headers="RAck: 1 1 INVITE"), recv(481),
                 send("NOTIFY", 7, headers=f"Event: refer\n{state}"), recv(481),
                 send("NOTIFY", 8, headers=f"Event: presence\n{state}"), recv(489), hang_up())  # fmt: skip
        self.assertEqual(outcome(self.call(*steps)), CALLER_LEFT)
        for method in ("BYE", "CANCEL", "INFO", "UPDATE", "NOTIFY", "PRACK"):
            call_id = self.run_sipp(send(method, 1, of="none"), recv(481))
            self.assertEqual(self.house.records(call_id), 0)

    def test_refer_crosses_bye(self) -> None:
        record = self.call(invite(), answered(), keep("REFER"), send("BYE", 3), recv(200), reply_kept(202), to="moving")
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_refer_crosses_reinvite(self) -> None:
        """The PBX holds the caller while our REFER is on its way, and then takes it."""
        record = self.call(invite(), answered(), keep("REFER"), reinvite(3, offer(direction="sendonly", version=2), "a=recvonly"),
                           reply_kept(202), notify(4, "200 OK", OVER), hung_up(), to="moving")  # fmt: skip
        self.assertEqual((outcome(record), media(record)), (("transferred", "transferred"), ["hold"]))
