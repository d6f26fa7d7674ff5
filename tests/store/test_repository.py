"""Calls as `smartalex calls` lists them, and what tenants own as admission sees it."""

import attrs
from sqlalchemy.exc import DataError, IntegrityError

from smartalex.interfaces import CallEvent
from smartalex.store.demo import AGENTS, seed_demo
from smartalex.store.records import BESIDE
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from tests.store.stores import StoreCase, call, on_both

REFUSED = {"disposition": "refused", "status": 404, "detail": "DID +1 unknown; trunk acme has +27215550100", "ended_at": 1000.0}


@on_both
class Records(StoreCase):
    def test_one_call_becomes_one_row_and_its_story(self) -> None:
        self.repository.records.apply(call("01AB", caller="+27215550100", codec="PCMU"))
        [row] = self.repository.records.calls()
        self.assertEqual(
            (row["id"], row["caller"], row["codec"], row["disposition"]), ("01AB", "+27215550100", "PCMU", "completed")
        )
        self.assertEqual(
            (row["started_at"], row["answered_at"], row["ended_at"], row["duration_s"]), (1000.0, 1001.0, 1009.0, 8.0)
        )
        shown = self.repository.records.call("01AB")
        assert shown is not None
        self.assertEqual([e["kind"] for e in shown["events"]], ["invite", "answer", "end"])
        self.assertEqual(shown["events"][1], {"at": 1001.0, "kind": "answer", "after_ms": 1000})

    def test_a_call_is_the_same_however_its_events_are_batched(self) -> None:
        whole, parts = call("A"), call("B")
        self.repository.records.apply(whole)
        for event in parts:
            self.repository.records.apply([event])
        first, second = ({**row, "id": "", "sip_call_id": ""} for row in self.repository.records.calls())
        self.assertEqual(first, second)

    def test_calls_mixed_in_one_batch_keep_apart(self) -> None:
        calls = [call(f"C{n}", caller=str(n)) for n in range(50)]
        self.repository.records.apply([events[seq] for seq in range(3) for events in calls])
        self.assertEqual(
            {row["id"]: row["caller"] for row in self.repository.records.calls(100)}, {f"C{n}": str(n) for n in range(50)}
        )

    def test_an_event_told_twice_in_one_batch_counts_once(self) -> None:
        self.repository.records.apply([event for event in call("A") for _ in range(2)])
        shown = self.repository.records.call("A")
        assert shown is not None
        self.assertEqual(len(shown["events"]), 3)

    def test_a_batch_is_all_or_nothing(self) -> None:
        broken = CallEvent("B", 0, 1.0, "invite", {"status": 1 << 70})
        with self.assertRaises((OverflowError, DataError)):
            self.repository.records.apply([*call("A"), broken])
        self.assertEqual((self.repository.records.calls(), self.repository.records.call("A")), ([], None))

    def test_nothing_is_a_batch_too(self) -> None:
        self.repository.records.apply([])
        self.assertEqual(self.repository.records.calls(), [])

    def test_a_field_without_a_column_is_only_passed_over(self) -> None:
        self.repository.records.apply(call("A", shoe_size=43))
        self.assertEqual(len(self.repository.records.calls()), 1)

    def test_the_newest_come_first_and_no_more_than_asked(self) -> None:
        for number in range(5):
            self.repository.records.apply(call(f"A{number}", at=1000.0 + number))
        self.assertEqual([row["id"] for row in self.repository.records.calls(2)], ["A4", "A3"])

    def test_the_refused_alone(self) -> None:
        self.repository.records.apply([*call("A"), CallEvent("B", 0, 1000.0, "invite", {"started_at": 1000.0, **REFUSED})])
        [row] = self.repository.records.calls(refused=True)
        self.assertEqual((row["id"], row["status"], row["detail"]), ("B", 404, REFUSED["detail"]))

    def test_trunks_whose_keys_anybody_could_read(self) -> None:
        for number, (trunk, secured) in enumerate((
            ("office", "sdes AES_CM_128_HMAC_SHA1_80, keys in clear"), ("office", "dtls AEAD_AES_256_GCM"),
            ("carrier", "sdes AES_CM_128_HMAC_SHA1_80"), ("desk", ""),
        )):  # fmt: skip
            self.repository.records.apply(call(f"A{number}", trunk=trunk, secured=secured))
        self.assertEqual(self.repository.records.keys_in_clear(), {"office"})

    def test_a_call_is_shown_by_the_beginning_of_its_id_or_by_its_sip_call_id(self) -> None:
        self.repository.records.apply(call("01ABCD") + call("01ABCE"))
        for name, found in (("01abcd", "01ABCD"), ("01ABCE", "01ABCE"), ("01ABCD@pbx", "01ABCD"), ("01AB", "01ABCE")):
            shown = self.repository.records.call(name)
            assert shown is not None
            self.assertEqual(shown["id"], found)
        for name in ("02", "%", "_1ABCD", "01abcd@"):
            self.assertIsNone(self.repository.records.call(name), name)

    def test_following_a_call_shows_each_event_once(self) -> None:
        events = call("A")
        self.repository.records.apply(events[:2])
        first = self.repository.records.story_since("A@pbx", 900.0, -1)
        self.repository.records.apply(events)
        second = self.repository.records.story_since("A@pbx", 900.0, first[-1]["seq"])
        self.assertEqual([e["kind"] for e in first + second], ["invite", "answer", "end"])
        self.assertEqual(self.repository.records.story_since("A@pbx", 1001.0, -1), [])

    def test_what_no_database_takes_is_left_out_of_text(self) -> None:
        self.repository.records.apply(call("A", caller="a\0b\udce9"))
        self.assertEqual(self.repository.records.calls()[0]["caller"], "ab?")

    def test_a_message_is_kept_once(self) -> None:
        row = {"id": "A", "call": "A", "at": 1.0, "caller": "+1", "for_id": "", "for_name": "", "duration_ms": 9, "path": "/a"}
        for _ in range(2):
            self.repository.records.apply([*call("A"), CallEvent("A", BESIDE, 1.0, "message", row)])
        self.assertEqual(self.repository.records.messages(), [row])
        self.assertEqual([e["kind"] for e in (self.repository.records.call("A") or {})["events"]], ["invite", "answer", "end"])


@on_both
class Tenants(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.name, self.username, self.password = seed_demo(self.repository, "smartalex")

    def test_the_demo_is_ready_to_be_called(self) -> None:
        tenancy = self.repository.tenancy()
        trunk = tenancy.trunks["acme"]
        self.assertEqual((trunk.name, trunk.username, trunk.auth, trunk.active), ("acme", self.username, "digest", True))
        for number, agent in (("+27215550100", "Alex"), ("ALEX", "Alex"), ("play", "Play"), ("echo", "Echo"), ("cps", "Silent")):
            found = tenancy.routes_of("acme").find(number)
            assert found is not None
            self.assertEqual((found.trunk_id, tenancy.agents[found.agent_id].name), ("acme", agent))
        self.assertEqual(len(tenancy.agents), len(AGENTS))

    def test_its_directory_can_be_spoken_to(self) -> None:
        directory = self.repository.tenancy().workspaces["demo"].directory
        operator = directory.find(directory.operator or "")
        assert operator is not None
        self.assertEqual((operator.number, operator.digit), ("100", "0"))
        self.assertEqual({e.digit: e.name for e in directory.extensions if e.digit}["2"], "Billing")
        numbers = [e.number for e in directory.extensions]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_every_change_raises_the_revision(self) -> None:
        revisions = [self.repository.revision()]
        trunk = Trunk("t2", "demo", "two", "pbx2.example.com", "", "ip-allowlist", ("192.0.2.1",))
        for change in (
            lambda: self.repository.add_trunk(trunk, "smartalex"),
            lambda: self.repository.put_did(Did("+1", "t2", "alex")),
            lambda: self.repository.put_directory("demo", Directory((Extension("e", "1", "E"),), "e")),
            lambda: self.repository.rotate(self.repository.tenancy().trunks["acme"], "smartalex"),
            lambda: self.repository.remove_did(Did("+1", "t2", "alex")),
            lambda: self.repository.remove_trunk(trunk),
        ):
            change()
            revisions.append(self.repository.revision())
        self.assertEqual(revisions, list(range(revisions[0], revisions[0] + len(revisions))))
        self.assertEqual(self.repository.tenancy().revision, revisions[-1])

    def test_a_trunk_is_read_as_it_was_written(self) -> None:
        trunk = Trunk("t2", "demo", "two", "", "sa_two", "both", ("192.0.2.0/24", "2001:db8::1"), ("PCMA",), 7, False)
        self.assertEqual(len(self.repository.add_trunk(trunk, "smartalex") or ""), 24)
        self.assertEqual(self.repository.tenancy().trunks["t2"], trunk)
        self.assertEqual(self.repository.trunk_named("two"), trunk)
        self.assertIsNone(self.repository.trunk_named("three"))

    def test_only_trunks_with_a_password_have_credentials(self) -> None:
        self.repository.add_trunk(Trunk("t2", "demo", "two", "", "", "ip-allowlist", ("192.0.2.1",)), "smartalex")
        self.assertEqual(list(self.repository.credentials()), [self.username])

    def test_one_spoilt_secret_costs_its_own_trunk_only(self) -> None:
        self.repository.add_trunk(Trunk("t2", "demo", "two", "", "sa_two"), "smartalex")
        self.repository.vault.delete("trunk/acme/digest")
        self.assertEqual(list(self.repository.credentials()), ["sa_two"])

    def test_a_trunk_that_loses_its_password_forgets_it(self) -> None:
        old = self.repository.tenancy().trunks["acme"]
        open_now = attrs.evolve(old, auth="ip-allowlist", allowed_sources=("192.0.2.1",))
        self.assertIsNone(self.repository.change_trunk(old, open_now, "smartalex"))
        self.assertRaises(KeyError, self.repository.vault.get, "trunk/acme/digest")

    def test_a_directory_is_replaced_as_a_whole_or_not_at_all(self) -> None:
        before = self.repository.tenancy().workspaces["demo"].directory
        twice = Directory((Extension("a", "1", "A"), Extension("a", "2", "B")), "a")
        self.assertRaises(IntegrityError, self.repository.put_directory, "demo", twice)
        self.assertEqual(self.repository.tenancy().workspaces["demo"].directory, before)
