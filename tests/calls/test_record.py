"""A call's record: ids that sort, events in order, nothing after the end."""

from unittest import TestCase

from smartalex.calls.record import CallRecord, new_id, printable
from smartalex.interfaces import CallEvent


class Ids(TestCase):
    def test_they_sort_by_time(self) -> None:
        early, late = new_id(1_700_000_000.0, lambda n: b"\xff" * n), new_id(1_700_000_000.001, lambda n: b"\0" * n)
        self.assertLess(early, late)
        self.assertEqual((len(early), len(late)), (26, 26))


class Cleaning(TestCase):
    def test_control_characters_do_not_reach_a_terminal(self) -> None:
        self.assertEqual(printable("a\x1b[31mb\r\nc\x00"), "a[31mbc")

    def test_bytes_that_were_no_utf8_are_replaced(self) -> None:
        self.assertEqual(printable("caf\udce9"), "caf")

    def test_length(self) -> None:
        self.assertEqual(len(printable("x" * 500, 80)), 80)


class Recording(TestCase):
    def test_a_whole_call(self) -> None:
        events: list[CallEvent] = []
        now = [100.0]
        record = CallRecord(events.append, lambda: 1000 + now[0], lambda: now[0], "c1")
        record.open({"caller": "+1555"})
        now[0] = 101.5
        record.answered({"codec": "PCMU"})
        now[0] = 111.75
        record.close("completed", "caller hung up")
        record.event("said", data={"text": "too late"})
        self.assertEqual([(e.seq, e.kind) for e in events], [(0, "invite"), (1, "answer"), (2, "end")])
        self.assertEqual(events[0].fields["started_at"], 1100.0)
        self.assertEqual(events[1].data["after_ms"], 1500)
        self.assertEqual(events[2].fields["duration_s"], 10.25)

    def test_a_call_never_answered_lasted_nothing(self) -> None:
        events: list[CallEvent] = []
        record = CallRecord(events.append, lambda: 5.0, lambda: 5.0, "c1")
        record.open({})
        record.close("cancelled", "cancelled")
        self.assertEqual(events[-1].fields["duration_s"], 0.0)
