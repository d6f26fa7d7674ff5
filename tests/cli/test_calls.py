"""The records by command: a list, the refused ones, and one call's story."""

from __future__ import annotations

import json
from typing import Any

from smartalex.calls.record import CallRecord
from smartalex.interfaces import CallEvent
from smartalex.store.records import BESIDE
from tests.cli.commands import Commands

INVITE = {
    "sip_call_id": "abc@pbx", "direction": "inbound", "did": "+27215550100", "trunk": "acme", "agent": "Alex", "transport": "udp",
    "caller": "+27825550123", "caller_name": "J. Doe", "source": "192.0.2.7:5060", "user_agent": "Some PBX",
}  # fmt: skip
RTP = {"packets_sent": 900, "packets_received": 890, "lost": 10, "jitter_ms": 1.5, "last_packet_s": None, "mos": 4.2}


class Recorded(Commands):
    def setUp(self) -> None:
        super().setUp()
        self.now = 1_700_000_000.0

    def recorded(self, call_id: str, *events: Any) -> None:
        """`events` are (seconds later, what to do with the CallRecord)."""
        written: list[CallEvent] = []
        record = CallRecord(written.append, lambda: self.now, lambda: self.now, call_id)
        for later, do in events:
            self.now += later
            do(record)
        self.opened().repository.records.apply(written)

    def transferred(self) -> None:
        self.recorded(
            "01AAA",
            (0, lambda r: r.open(INVITE)),
            (0.5, lambda r: r.answered({"status": 200, "codec": "PCMA"})),
            (3, lambda r: r.event("said", data={"role": "agent", "text": "Hello."})),
            (2, lambda r: r.event("said", data={"role": "caller", "text": "sarah\x1b[31m please"})),
            (1, lambda r: r.event("transfer", data={"step": "refer", "to": "301", "name": "Sarah", "why": "asked"})),
            (1, lambda r: r.event("transfer", data={"step": "progress", "status": 180, "reason": "Ringing"})),
            (1, lambda r: r.event("transfer", {"transferred_to": "301"}, {"step": "done"})),
            (1, lambda r: r.event("surprise", data={"some_thing": 7})),
            (1, lambda r: r.close("transferred", "transferred", {"rtp": RTP})),
        )


class Records(Recorded):
    def test_a_story(self) -> None:
        self.transferred()
        told = self.output("calls", "show", "01a")
        for line in (
            'from       +27825550123 "J. Doe"',
            "to         +27215550100 (agent Alex)",
            "source     192.0.2.7:5060 by UDP, Some PBX",
            "outcome    transferred: to 301",
            "codec      PCMA",
            "audio      MOS 4.2, packets sent 900, packets received 890, lost 10, jitter ms 1.5",
            "Call-ID    abc@pbx",
            "     3.5 s  agent    Hello.",
            "     6.5 s  transfer REFER to 301 (Sarah): asked",
            "     7.5 s  transfer NOTIFY 180 Ringing",
            "     9.5 s  surprise some thing 7",
        ):
            self.assertIn(line, told.splitlines())
        self.assertIn("after 0.5 s", told)
        self.assertNotIn("\x1b", told)

    def test_by_sip_call_id_and_as_json(self) -> None:
        self.transferred()
        shown = json.loads(self.output("calls", "show", "abc@pbx", "--json"))
        self.assertEqual((shown["id"], shown["rtp"], len(shown["events"])), ("01AAA", RTP, 9))

    def test_the_list(self) -> None:
        self.assertIn("no calls yet", self.output("calls"))
        self.transferred()
        self.recorded("01BBB", (5, lambda r: r.open(INVITE)))
        newest, older = self.output("calls").splitlines()[1:]
        self.assertTrue(newest.startswith("01BBB") and newest.endswith("in progress"), newest)
        self.assertTrue(older.endswith("transferred: to 301"), older)
        self.assertEqual([row["id"] for row in self.lines("calls", "--limit", "1")], ["01BBB"])

    def test_refused(self) -> None:
        self.assertIn("no refused calls", self.output("calls", "--refused"))
        self.transferred()
        detail = {"status": 404, "detail": "DID 1 unknown; trunk acme has +27215550100"}
        self.recorded("01CCC", (0, lambda r: r.open({**INVITE, **detail})), (0, lambda r: r.close("refused", "did")))
        (row,) = self.output("calls", "--refused").splitlines()[1:]
        self.assertIn("192.0.2.7:5060", row)
        self.assertTrue(row.endswith("refused 404: DID 1 unknown; trunk acme has +27215550100"), row)

    def test_errors(self) -> None:
        self.assertIn("smartalex calls", self.error("calls", "show", "zzz"))
        self.assertIn("smartalex run", self.error("calls", "--state", str(self.folder / "none")))
        self.assertIn("--limit", self.error("calls", "--limit", "0"))

    def test_a_state_given_to_the_group_is_the_commands_too(self) -> None:
        self.transferred()
        elsewhere = self.run_command("calls", "--state", str(self.folder / "none"), "show", "01AAA")
        self.assertEqual(elsewhere.exit_code, 1)


class Following(Recorded):
    """What the phone reads while its call lasts."""

    def test_only_what_is_new(self) -> None:
        self.transferred()
        repository = self.opened().repository
        story = repository.records.story_since("abc@pbx", 1_699_999_990.0, -1)
        self.assertEqual([event["kind"] for event in story][:3], ["invite", "answer", "said"])
        self.assertEqual(repository.records.story_since("abc@pbx", 1_699_999_990.0, story[-1]["seq"]), [])
        self.assertEqual(repository.records.story_since("abc@pbx", 1_700_000_001.0, -1), [])


class Others(Commands):
    def test_messages(self) -> None:
        self.assertEqual(self.output("messages"), "no messages\n")
        row = {"id": "01M", "call": "01C", "at": 1_700_000_000.0, "caller": "+1555", "for_id": "", "for_name": "Sarah"}
        left = CallEvent("01C", BESIDE, 1.0, "message", {**row, "duration_ms": 2500, "path": "m.wav"})
        self.opened().repository.records.apply([left])
        self.assertIn("2.5 s", self.output("messages"))
        self.assertEqual(self.line("messages")["for_name"], "Sarah")

    def test_providers_by_seam(self) -> None:
        told = self.output("providers")
        self.assertIn("IVoiceAgentFactory", told)
        self.assertIn(
            {"seam": "IVoiceAgentFactory", "name": "echo"}, [{k: r[k] for k in ("seam", "name")} for r in self.lines("providers")]
        )
