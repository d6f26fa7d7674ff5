"""Which of the records are a trunk's, and what they tell."""

from __future__ import annotations

from typing import Any
from unittest import TestCase

from smartalex.doctor.facts import Past
from smartalex.doctor.history import READ, past
from smartalex.sip.trace import Trace
from smartalex.tenants.trunk import Trunk
from tests.doctor.test_talk import asked, sdp

OFFICE = Trunk("t1", "w1", "office", "", "sa_office")


def row(name: str, **fields: Any) -> dict[str, Any]:
    usual = {"trunk": "office", "direction": "inbound", "disposition": "completed", "source": "192.0.2.10:5060", "detail": ""}
    return {"id": name, "transferred_to": "", "flagged": "", **usual, **fields}


class Mine(TestCase):
    def past(self, *rows: dict[str, Any], events: tuple[dict[str, Any], ...] = (), messages: Any = ()) -> Past:
        data = Trace(tuple(messages)).to_data() if messages else None
        return past(rows, OFFICE, {"192.0.2.10"}, lambda name: {"events": events}, lambda name: {"trace": data})

    def ids(self, rows: Any) -> list[str]:
        return [one["id"] for one in rows]

    def test_calls_and_refusals(self) -> None:
        stranger = {"trunk": "", "disposition": "refused"}
        found = self.past(
            row("A"), row("B", trunk="carrier"), row("C", direction="outbound"), row("D", disposition="refused"),
            row("E", **stranger), row("F", **stranger, source="203.0.113.1:9"),
            row("G", **{**stranger, "source": "203.0.113.1:9", "detail": "wrong password for sa_office"}),
            row("H", **{**stranger, "source": "203.0.113.1:9", "detail": "trunk office2 by credentials"}),
        )  # fmt: skip
        self.assertEqual((self.ids(found.calls), self.ids(found.refused)), (["A"], ["D", "E", "G"]))

    def test_messages_of_the_newest(self) -> None:
        invite = asked("sip:5@x", "Contact: <sip:1@203.0.113.5>", body=sdp(), method="INVITE")
        found = self.past(*(row(f"A{number}") for number in range(READ + 3)), messages=[invite])
        self.assertEqual((len(found.talks), found.talks["A0"].spoken[0].codecs), (READ, ("PCMU",)))

    def test_a_trace_that_cannot_be_read(self) -> None:
        found = past([row("A")], OFFICE, (), lambda name: None, lambda name: {"trace": {"messages": "x", "dropped": 0}})
        self.assertEqual(found.talks, {})

    def test_transfers(self) -> None:
        steps = ({"kind": "transfer", "step": "refer"}, {"kind": "transfer", "step": "failed", "cause": "not supported"},
                 {"kind": "transfer", "step": "done"})  # fmt: skip
        self.assertEqual(self.past(row("A", transferred_to="301"), events=steps).transfers, ("not supported", ""))
        self.assertEqual(self.past(row("A"), events=steps).transfers, ())
