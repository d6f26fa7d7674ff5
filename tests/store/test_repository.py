"""Tenants in and out, and records that bear being told twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from smartalex.errors import LocalError
from smartalex.interfaces import CallEvent
from smartalex.store.engine import writing
from smartalex.store.repository import CallRow, Message
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace
from tests.store.stores import StoreTestCase, answered, ended, invited

EXTENSIONS = (
    Extension("z", "300", "Zoë", aliases=("Zoe", "the boss"), pronunciation="zo ee"),
    Extension("a", "100", "Reception", "department", digit="0"),
)
TENANCY = Tenancy(
    0,
    {"w": Workspace("w", "Acme", Directory(EXTENSIONS, "a")), "empty": Workspace("empty", "Nobody", Directory())},
    {"t": Trunk("t", "w", "acme", "pbx.example.com", "sa_x", "ip-allowlist", ("192.0.2.0/24", "2001:db8::1"), ("PCMA",), 7, False)},
    (Did("+27215550100", "t", "alex"), Did("alex", "t", "alex")),
    {"alex": Agent("alex", "w", "Alex", "Hello", "Be kind.", "en-gb", "en-GB", ("a:b=c", "d"), 14400, "+1555")},
)


class Tenants(StoreTestCase):
    def test_what_goes_in_comes_out(self) -> None:
        self.repository.replace_tenancy(TENANCY)
        found = self.repository.tenancy()
        self.assertEqual((found.workspaces, found.trunks, found.agents), (TENANCY.workspaces, TENANCY.trunks, TENANCY.agents))
        self.assertEqual(set(found.dids), set(TENANCY.dids))

    def test_every_change_raises_the_revision(self) -> None:
        seen = [self.repository.revision()]
        self.repository.replace_tenancy(TENANCY)
        seen.append(self.repository.revision())
        self.repository.set_username("t", "sa_y")
        seen.append(self.repository.revision())
        self.assertEqual(seen, sorted(set(seen)))
        self.assertEqual(self.repository.tenancy().revision, seen[-1])
        self.assertEqual(self.repository.tenancy().trunks["t"].username, "sa_y")

    def test_what_does_not_fit_together_changes_nothing(self) -> None:
        self.repository.replace_tenancy(TENANCY)
        broken = Tenancy(0, TENANCY.workspaces, TENANCY.trunks, (Did("1", "t", "nobody"),), TENANCY.agents)
        with self.assertRaises(IntegrityError):
            self.repository.replace_tenancy(broken)
        self.assertEqual(set(self.repository.tenancy().dids), set(TENANCY.dids))

    def test_trunks_are_found_by_id_or_name(self) -> None:
        self.repository.replace_tenancy(TENANCY)
        self.assertEqual(self.repository.find_trunk("t"), self.repository.find_trunk("acme"))
        with self.assertRaises(LookupError):
            self.repository.find_trunk("x")


STORY = [
    invited("01A", caller="100", user_agent="PBX"),
    answered("01A"),
    CallEvent("01A", 2, 1002.0, "said", {}, {"role": "agent", "text": "Hello"}),
    CallEvent("01A", 3, 1003.0, "transfer", {"flagged": "transfer failed"}, {"step": "failed"}),
    CallEvent("01A", 4, 1004.0, "transfer", {"transferred_to": "301", "flagged": None}, {"step": "done"}),
    ended("01A", 5, disposition="transferred", rtp={"lost": 3, "mos": 4.2}),
]


class Records(StoreTestCase):
    def one(self, key: str) -> CallRow:
        found = self.repository.call(key)
        assert found is not None
        return found

    def test_a_call_as_it_grows(self) -> None:
        self.repository.apply(STORY[:1])
        self.assertEqual((self.one("01A").started_at, self.one("01A").disposition), (1000.0, None))
        self.repository.apply(STORY[1:4])
        self.assertEqual((self.one("01A").codec, self.one("01A").flagged), ("PCMU", "transfer failed"))
        self.repository.apply(STORY[4:])
        row = self.one("01A")
        self.assertEqual((row.transferred_to, row.flagged, row.disposition), ("301", None, "transferred"))
        self.assertEqual(row.rtp, {"lost": 3, "mos": 4.2})
        self.assertEqual([(e.seq, e.kind, e.data.get("step")) for e in row.events][3:5], [(3, "transfer", "failed"), (4, "transfer", "done")])
        self.assertEqual(row.events[2].data, {"role": "agent", "text": "Hello"})

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(STORY)), st.integers(0, len(STORY))), max_size=8))
    def test_told_again_from_any_earlier_point_nothing_changes(self, parts: list[tuple[int, int]]) -> None:
        with writing(self.engine) as connection:
            connection.execute(text("DELETE FROM call"))
            connection.execute(text("DELETE FROM call_event"))
        told = 0
        for start, stop in parts:
            # A journal is read in order: a batch may begin again anywhere before the end of what is known.
            self.repository.apply(STORY[min(start, told) : stop])
            told = max(told, stop) if min(start, told) < stop else told
        self.repository.apply(STORY[told:])
        row = self.one("01A")
        self.assertEqual((row.transferred_to, row.flagged, row.disposition, row.started_at), ("301", None, "transferred", 1000.0))
        self.assertEqual([event.seq for event in row.events], list(range(6)))

    def test_columns_that_do_not_exist_and_values_that_do_not_fit_harm_nobody(self) -> None:
        odd = {"nonsense": 1, "caller": "\ud800\0x" * 2000, "status": 2**70, "agent": {"a": 1}, "duration_s": "soon", "rtp": {"x": object()}}
        self.repository.apply([invited("01A", **odd), invited("01B", caller="7")])
        row = self.one("01A")
        self.assertTrue(str(row.caller).startswith("?x"))
        self.assertEqual((len(str(row.caller)) <= 1000, row.status, row.duration_s, row.agent), (True, None, None, '{"a":1}'))
        self.assertEqual(self.one("01B").caller, "7")

    def test_a_call_whose_beginning_is_missing_is_kept(self) -> None:
        self.repository.apply([ended("01A", 7)])
        self.assertEqual((self.one("01A").started_at, self.one("01A").disposition), (1010.0, "completed"))

    def test_newest_first_and_refused_apart(self) -> None:
        self.repository.apply([invited("01A"), invited("01C"), invited("01B"), ended("01B", 1, disposition="refused", status=404)])
        self.assertEqual([row.id for row in self.repository.calls()], ["01C", "01A"])
        self.assertEqual([row.id for row in self.repository.calls(1)], ["01C"])
        self.assertEqual([(row.id, row.status) for row in self.repository.calls(10, refused=True)], [("01B", 404)])
        self.assertEqual(self.repository.refused_count(), 1)

    def test_since(self) -> None:
        self.repository.apply([invited("01A", at=1000), invited("01B", at=2000)])
        self.assertEqual([row.id for row in self.repository.calls(since=1500)], ["01B"])

    def test_found_by_id_beginning_or_sip_call_id(self) -> None:
        self.repository.apply([invited("01ABC"), invited("01ABCD"), invited("01X")])
        self.assertEqual(self.one("01ABC").id, "01ABC")
        self.assertEqual(self.one("01x").id, "01X")
        self.assertEqual(self.one("01ABCD@pbx").id, "01ABCD")
        self.assertIsNone(self.repository.call("02"))
        with self.assertRaisesRegex(LocalError, "beginning of several"):
            self.repository.call("01A")

    def test_cut_calls_are_closed_once(self) -> None:
        done = [invited("01C"), ended("01C", 1)]
        self.repository.apply([invited("01A"), answered("01A"), invited("01B"), *done])
        self.assertEqual(self.repository.interrupt_open_calls(5000.0), 2)
        self.assertEqual(self.repository.interrupt_open_calls(6000.0), 0)
        talked, rang, whole = self.one("01A"), self.one("01B"), self.one("01C")
        self.assertEqual((talked.disposition, talked.ended_at, talked.duration_s), ("interrupted", 1001.0, 0.0))
        self.assertEqual((rang.disposition, rang.ended_at), ("interrupted", 1000.0))
        self.assertEqual(whole.disposition, "completed")
        self.assertEqual((talked.events[-1].kind, talked.events[-1].at), ("interrupted", 5000.0))

    def test_a_clock_that_went_back_makes_no_negative_length(self) -> None:
        self.repository.apply([invited("01A", at=5000.0), CallEvent("01A", 1, 900.0, "answer", {"answered_at": 5001.0})])
        self.repository.interrupt_open_calls(10.0)
        self.assertEqual(self.one("01A").duration_s, 0.0)

    def test_events_of_a_cut_call_that_come_again_do_not_open_it(self) -> None:
        self.repository.apply([invited("01A"), answered("01A")])
        self.repository.interrupt_open_calls(5000.0)
        self.repository.apply([invited("01A"), answered("01A")])
        self.assertEqual(self.one("01A").disposition, "interrupted")
        self.assertEqual(len(self.one("01A").events), 3)


class Messages(StoreTestCase):
    def test_kept_and_found(self) -> None:
        first = Message("01A", "01A", 1000.0, "+1555", "sarah", "Sarah Mitchell", 4200, "01A.wav")
        second = Message("01B", "01B", 2000.0, "", "", "", 100, "01B.wav")
        self.repository.add_message(first)
        self.repository.add_message(second)
        self.assertEqual(self.repository.messages(), [second, first])
        self.assertEqual(self.repository.message("01a"), first)
        self.assertIsNone(self.repository.message("02"))
