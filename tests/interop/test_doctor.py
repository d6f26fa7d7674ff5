"""`smartalex trunk doctor` examines a PBX, Kamailio before an echo of SIPp's: a good one, and ones that are bad on purpose."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from tests.interop.alg import Alg
from tests.interop.house import Housed, until
from tests.interop.kamailio import Kamailio
from tests.interop.peers import PBX, Reachable, Sipp, needs, sipp
from tests.interop.platform import smartalex
from tests.interop.scenario import (
    ACTIVE,
    CONTACT,
    OVER,
    answered,
    content,
    hang_up,
    invite,
    offer,
    pause,
    recv,
    refused,
    scenario,
    send,
    sent,
)

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


def echo(*kinds: int, asks: str = "", last: str = "") -> str:
    """A call as the doctor has it; `asks` is what the PBX asks within it, `last` comes before its end."""
    return scenario(
        recv("INVITE", rrs="true"), reply(offer(*kinds), tag=True), recv("ACK"), asks, recv("INFO"), reply(),
        changed("recvonly", 2, *kinds), changed("sendrecv", 3, *kinds), recv("UPDATE"), reply(), last,
        recv("BYE"), reply(),
    )  # fmt: skip


def inside(method: str, cseq: int, *headers: str, body: str = "") -> str:
    """A request of the PBX's; its caller stands in SIPp's first variable."""
    lines = [f"{method} [next_url] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]", "[routes]",
             "Max-Forwards: 70", "From: <sip:600@[local_ip]>;tag=[pid]e[call_number]", "To: [$1]", "Call-ID: [call_id]",
             f"CSeq: {cseq} {method}", CONTACT, *headers, f"Content-Length: {'[len]' if body else 0}", "", body]  # fmt: skip
    return sent(lines, retransmitted=True) + recv(200)


def told(cseq: int, sipfrag: str, state: str) -> str:
    kind = "Content-Type: message/sipfrag;version=2.0"
    return inside("NOTIFY", cseq, "Event: refer", f"Subscription-State: {state}", kind, body=f"SIP/2.0 {sipfrag}\n")


def knowing(steps: str) -> str:
    """With the caller of the INVITE in SIPp's first variable."""
    first = '<recv request="INVITE" rrs="true">'
    return steps.replace(first, first + CALLER, 1)


CALLER = '<action><ereg regexp="[^ ].*" search_in="hdr" header="From:" assign_to="1"/></action>'


@needs("sipp")
class Explained(Housed):
    """Every call that is refused says what was missing, and the doctor reads the calls that were."""

    ports = "28900-29200"

    def refusals(self, call_id: str) -> dict[str, Any]:
        """As `calls --refused` has that call."""
        lines = self.house.command("calls", "--refused", "--json").splitlines()
        return next(row for row in map(json.loads, lines) if row["sip_call_id"] == call_id)

    def examined(self, call_id: str) -> dict[str, dict[str, Any]]:
        """Once the messages of that call are kept."""
        record = self.house.record(call_id)["id"]
        until(lambda: self.house._rows("SELECT seq FROM call_event WHERE call = ? AND kind = 'sip'", record))
        return self.looked()

    def looked(self) -> dict[str, dict[str, Any]]:
        done = smartalex("trunk", "doctor", "pbx", "--state", str(self.house.state), "--json")
        return {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}

    def test_no_codec_in_common(self) -> None:
        call_id = self.run_sipp(invite(body=offer(18)), refused(488))
        self.assertIn("it offers G729 over RTP/AVP, no keys; trunk pbx takes PCMU, PCMA, G722", self.refusals(call_id)["detail"])
        found = self.examined(call_id)
        self.assertEqual((found["refused"]["level"], found["offers"]["level"]), ("bad", "bad"))
        self.assertIn("--codecs G729", found["offers"]["change"])

    def test_from_next_door_without_a_password(self) -> None:
        call_id = uuid4().hex
        sipp(self.house, scenario(invite(), refused(401)), "play", "-cid_str", call_id, source="127.0.0.3")
        self.house.record(call_id)
        row = self.refusals(call_id)
        self.assertEqual((row["status"], row["cause"]), (401, "no password"))
        self.assertIn(f"127.0.0.3 is beside its addresses, number play is its; but 127.0.0.3 is not in its allowlist ({PBX})",
                      row["near_miss"])  # fmt: skip
        self.assertIn("almost trunk pbx", self.house.command("calls", "show", row["id"]))

    def test_its_options_are_seen(self) -> None:
        sipp(self.house, scenario(send("OPTIONS", 1), recv(200)), "play")
        found = until(lambda: (one := self.looked()["options-in"])["level"] == "ok" and one)
        self.assertIn("the last one came", found["seen"])

    def test_calls_that_went_well(self) -> None:
        found = self.examined(self.run_sipp(invite(), answered(), pause(3500), hang_up()))
        self.assertEqual((found["calls"]["level"], found["keys"]["level"], found["offers"]["level"]), ("ok", "ok", "ok"))
        self.assertEqual(found["one-way"]["level"], "bad", "SIPp sent no audio")
        self.assertIn("where it called from", found["dns"]["seen"])


@needs("kamailio", "kamcmd", "sipp")
class Doctor(Housed):
    ports = "28600-28900"

    def examined(
        self, steps: str = "", *options: str, allow: str = ALLOW, date: str = NOW, alg: bool = False
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
        done = smartalex("trunk", "doctor", "pbx", "--call", "600", "--state", str(self.house.state), "--json", *options)
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
        self.assertIn("endpoint/allow_transfer=yes", found["refer"]["change"])

    def test_it_transfers_when_asked_to(self) -> None:
        for last, level, said in (("200 OK", "ok", "202, NOTIFY 100 200"), ("404 Not Found", "bad", "came to nothing")):
            notified = told(1, "100 Trying", ACTIVE) + told(2, last, OVER)
            steps = echo(0, 101, last=recv("REFER") + reply(status="202 Accepted") + notified)
            found, _ = self.examined(knowing(steps), "--refer", "301")
            self.assertEqual(found["refer"]["level"], level, found["refer"])
            self.assertIn(said, found["refer"]["seen"])

    def test_srtp_that_it_does_not_have(self) -> None:
        self.house.command("trunk", "set", "pbx", "--srtp", "optional")
        found, _ = self.examined()
        self.house.command("trunk", "set", "pbx", "--srtp", "off")
        self.assertEqual((found["srtp"]["level"], found["audio"]["level"]), ("warn", "ok"))
        self.assertIn("Media Encryption", found["srtp"]["change"])

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
        steps = knowing(echo(0, 101, asks=inside("OPTIONS", 1)))
        found, status = self.examined(steps, alg=True)
        self.assertEqual((found["alg"]["level"], status), ("bad", 1), found)
        self.assertIn("we said to be reached at", found["alg"]["seen"])
        self.assertIn("SIP ALG", found["alg"]["change"])
        self.assertEqual(found["nat"]["level"], "warn")
