"""Kamailio with Record-Route between a PBX and the platform: everything in a call goes through it, whichever side asks."""

from __future__ import annotations

import time
from typing import Any

from tests.interop.baresip import Baresip
from tests.interop.house import CALLER_LEFT, Housed, media, outcome
from tests.interop.kamailio import ADDRESS, Kamailio
from tests.interop.peers import needs
from tests.interop.scenario import (
    ACTIVE,
    OVER,
    answered,
    contains,
    hang_up,
    hung_up,
    invite,
    label,
    maybe,
    notify,
    offer,
    pause,
    recv,
    refused,
    reinvite,
    reply,
    send,
)
from tests.interop.voice import loudest_hz

ROUTES = """\
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    if (has_totag()) {
        if (loose_route() || (is_method("ACK") && t_check_trans())) t_relay(); else sl_send_reply("403", "No Route");
        exit;
    }
    record_route();
    if (is_present_hf("X-Onward")) $du = "sip:%(address)s;transport=" + $hdr(X-Onward);
    else $du = "sip:%(address)s;transport=" + $proto;
    t_relay();
}
"""
"""X-Onward names the transport to the platform where it is another than the one to the proxy."""

RELAYED = "Via: .*Via: "
"""In what came from the platform: it did not come straight."""

WAYS = (("udp", "udp"), ("tcp", "tcp"), ("udp", "tcp"), ("tcp", "udp"))


class Behind(Housed):
    kamailio: Kamailio

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.house.command("trunks", "set", "pbx", "--allow", f"{ADDRESS}/32")
        cls.kamailio = Kamailio(routes=ROUTES % {"address": cls.house.address}, more_modules=("rr", "maxfwd"))
        cls.addClassCleanup(cls.kamailio.close)


@needs("kamailio", "kamcmd", "sipp")
class Pbx(Behind):
    ports = "27400-27600"

    def each_way(self, *steps: str, to: str = "play") -> list[dict[str, Any]]:
        """The records of the same call over each pair of transports; `steps` come after the INVITE."""
        records = []
        for near, far in WAYS:
            begin = invite(headers=f"X-Onward: {far}")
            records.append(self.call(begin, *steps, to=to, by=self.kamailio, transport=near))
            self.assertEqual((records[-1]["transport"], records[-1]["source"].split(":")[0]), (far, ADDRESS))
        return records

    def test_either_side_hangs_up(self) -> None:
        left = recv("BYE", contains(RELAYED)) + reply(200)
        for record in self.each_way(answered(), hang_up()):
            self.assertEqual(outcome(record), CALLER_LEFT)
        for record in self.each_way(answered(), left, to="leaving"):
            self.assertEqual(outcome(record), ("completed", "had enough"))

    def test_hold_and_back(self) -> None:
        hold = reinvite(3, offer(direction="sendonly", version=2), "a=recvonly")
        update = send("UPDATE", 5, body=offer(direction="inactive", version=4)) + recv(200, contains("a=inactive"))
        steps = (answered(), hold, reinvite(4, offer(version=3), "a=sendrecv"), update, hang_up())
        for record in self.each_way(*steps):
            self.assertEqual((outcome(record), media(record)), (CALLER_LEFT, ["hold", "media", "hold"]))

    def test_an_offer_in_the_200(self) -> None:
        steps = (invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio"), rrs="true"),
                 send("ACK", 1, body=offer(8)), pause(100), hang_up())  # fmt: skip
        record = self.call(*steps, by=self.kamailio)
        self.assertEqual((outcome(record), record["codec"]), (CALLER_LEFT, "PCMA"))

    def test_cancel(self) -> None:
        either = recv(487, optional="true", next="1") + recv(200) + recv(487, next="2") + label(1) + recv(200) + label(2)
        cancel = send("CANCEL", 1, of="1INVITE") + either + send("ACK", 1, of="1INVITE")
        for record in self.each_way(maybe(100), recv(180), cancel, to="slow"):
            self.assertEqual(outcome(record), ("cancelled", "cancelled"))

    def test_refused(self) -> None:
        for record in self.each_way(refused(480), to="nobody"):
            self.assertEqual((record["disposition"], record["status"]), ("refused", 480))

    def test_reliable_ringing(self) -> None:
        number = '<action><ereg regexp=".*" search_in="hdr" header="RSeq:" assign_to="6" check_it="true"/></action>'
        prack = recv(180, number, rrs="true") + send("PRACK", 2, headers="RAck:[$6] 1 INVITE") + recv(200)
        begin = invite(headers="Require: 100rel\nX-Onward: tcp")
        record = self.call(
            begin, maybe(100), prack, recv(200, rrs="true"), send("ACK", 1), hang_up(), to="slow", by=self.kamailio
        )
        self.assertEqual(outcome(record), CALLER_LEFT)

    def test_transfer(self) -> None:
        refer = recv("REFER", contains(RELAYED)) + reply(202, "Accepted")
        trying = notify(3, "100 Trying", ACTIVE) + notify(4, "180 Ringing", ACTIVE)
        for record in self.each_way(answered(), refer, trying, notify(5, "200 OK", OVER), hung_up(), to="moving"):
            self.assertEqual((outcome(record), record["transferred_to"]), (("transferred", "transferred"), "200"))


@needs("kamailio", "kamcmd", "baresip")
class Telephone(Behind):
    ports = "27600-27800"

    def test_it_hears_holds_and_comes_back(self) -> None:
        for transport in ("udp", "tcp"):
            telephone = Baresip(self.house, transport)
            self.addCleanup(telephone.close)
            telephone.command("dial", f"sip:play@{self.kamailio.address}")
            call_id = telephone.wait("CALL_ESTABLISHED")["id"]
            for command in ("hold", "resume", "hangup"):
                time.sleep(0.5)
                telephone.command(command)
            telephone.wait("CALL_CLOSED")
            self.assertGreater(loudest_hz(telephone.heard()), 200)
            record = self.house.record(call_id)
            self.assertEqual((outcome(record), record["transport"], media(record)), (CALLER_LEFT, transport, ["hold", "media"]))
            self.house.settle()
