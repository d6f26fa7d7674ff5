"""`smartalex trunk doctor` examines a PBX, Kamailio before an echo of SIPp's: a good one, and ones that are bad on purpose."""

from __future__ import annotations

import json
from typing import Any

from tests.interop.alg import Alg
from tests.interop.house import Housed, until
from tests.interop.kamailio import Kamailio
from tests.interop.peers import PBX, Reachable, Sipp, needs
from tests.interop.platform import smartalex
from tests.interop.scenario import CONTACT, content, offer, recv, scenario, sent

NOW = "$utimef(%a, %d %b %Y %H:%M:%S GMT)"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, REFER, NOTIFY"
ROUTES = """\
request_route {
    if (has_totag()) {
        t_on_reply("back");
        if (loose_route() || (is_method("ACK") && t_check_trans())) t_relay(); else sl_send_reply("481", "No Call");
        exit;
    }
    if (is_method("OPTIONS")) {
        append_to_reply("Allow: %(allow)s\\r\\nDate: %(date)s\\r\\nServer: Echo PBX\\r\\n");
        sl_send_reply("200", "OK");
        exit;
    }
    record_route();
    $du = "sip:%(echo)s";
    t_on_reply("back");
    t_relay();
}
onreply_route[back] {
    append_hf("Allow: %(allow)s\\r\\n");
    append_hf("Date: %(date)s\\r\\n");
    append_hf("Supported: timer, replaces\\r\\n");
}
"""


def reply(body: str = "", *, tag: bool = False, status: str = "200 OK") -> str:
    copied = [f"[last_{name}:]" for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq")]
    to = "[last_To:];tag=[pid]e[call_number]" if tag else "[last_To:]"
    return sent([f"SIP/2.0 {status}", *copied, to, CONTACT, *content(body)], retransmitted=False)


def changed(direction: str, version: int, *kinds: int) -> str:
    return recv("INVITE") + reply(offer(*kinds, direction=direction, version=version)) + recv("ACK")


def echo(*kinds: int, asks: str = "") -> str:
    """A call as the doctor has it; `asks` is what the PBX asks within it."""
    return scenario(
        recv("INVITE", rrs="true"), reply(offer(*kinds), tag=True), recv("ACK"), asks, recv("INFO"), reply(),
        changed("recvonly", 2, *kinds), changed("sendrecv", 3, *kinds), recv("UPDATE"), reply(), recv("BYE"), reply(),
    )  # fmt: skip


ASKS = sent(
    ["OPTIONS [next_url] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]", "[routes]",
     "Max-Forwards: 70", "From: <sip:600@[local_ip]>;tag=[pid]e[call_number]", "To: [$1]",
     "Call-ID: [call_id]", "CSeq: 1 OPTIONS", CONTACT, "Content-Length: 0", ""],
    retransmitted=True,
)  # fmt: skip
CALLER = '<action><ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="1"/></action>'


@needs("kamailio", "kamcmd", "sipp")
class Doctor(Housed):
    ports = "28600-28900"

    def examined(
        self, steps: str = "", *, allow: str = ALLOW, date: str = NOW, alg: bool = False
    ) -> tuple[dict[str, dict[str, Any]], int]:
        """The findings by their checks, and the exit status."""
        phone = Sipp(steps or echo(0, 101), PBX, "udp", "-rtp_echo")
        self.addCleanup(phone.close)
        until(phone.listens)
        routes = ROUTES % {"allow": allow, "date": date, "echo": f"{PBX}:{phone.port}"}
        kamailio = Kamailio(routes=routes, more_modules=("rr",))
        self.addCleanup(kamailio.close)
        pbx: Reachable = kamailio
        if alg:
            pbx = Alg(kamailio.address)
            self.addCleanup(pbx.close)
        self.house.command("trunk", "set", "pbx", "--pbx", "freepbx", "--pbx-domain", pbx.address)
        done = smartalex("trunk", "doctor", "pbx", "--call", "600", "--state", str(self.house.state), "--json")
        found = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
        self.assertTrue(found, done.stderr)
        return found, done.returncode

    def test_a_good_one(self) -> None:
        found, status = self.examined()
        wrong = {name: one["seen"] for name, one in found.items() if one["level"] in ("warn", "bad")}
        self.assertEqual((wrong, status), ({}, 0))
        asked = ("dns", "options", "call", "codec", "audio", "symmetric", "hold", "refresh", "refer", "alg", "clock")
        self.assertEqual({name: found[name]["level"] for name in asked}, dict.fromkeys(asked, "ok"))
        self.assertIn("brought it back by RTP event", found["dtmf-rfc4733"]["seen"])
        self.assertIn("brought it back as a tone", found["dtmf-inband"]["seen"])
        self.assertIn("Echo PBX", found["options"]["seen"])

    def test_one_that_transfers_nobody(self) -> None:
        found, status = self.examined(allow="INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE")
        self.assertEqual((found["refer"]["level"], status), ("bad", 1))
        self.assertIn("REFER", found["refer"]["change"])

    def test_one_whose_clock_is_off(self) -> None:
        found, status = self.examined(date="Sat, 01 Jan 2022 00:00:00 GMT")
        self.assertEqual((found["clock"]["level"], status), ("bad", 1))
        self.assertIn("behind", found["clock"]["seen"])

    def test_one_that_takes_no_keys(self) -> None:
        found, status = self.examined(echo(0))
        self.assertEqual((found["dtmf-rfc4733"]["level"], status), ("bad", 1))
        self.assertIn("DTMF Mode = RFC 4733", found["dtmf-rfc4733"]["change"])
        self.assertEqual(found["dtmf-inband"]["level"], "ok")

    def test_a_router_that_rewrites(self) -> None:
        steps = echo(0, 101, asks=ASKS + recv(200)).replace(
            '<recv request="INVITE" rrs="true">', f'<recv request="INVITE" rrs="true">{CALLER}', 1
        )
        found, status = self.examined(steps, alg=True)
        self.assertEqual((found["alg"]["level"], status), ("bad", 1), found)
        self.assertIn("we said to be reached at", found["alg"]["seen"])
        self.assertIn("SIP ALG", found["alg"]["change"])
        self.assertEqual(found["nat"]["level"], "warn")
