"""Reading what tenants own: a picture that grew change by change is the one that is read at once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from unittest import TestCase

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from smartalex.store import schema
from smartalex.store.demo import seed_demo
from smartalex.store.repository import CHANGES_KEPT, Repository
from smartalex.store.tenancy import Rests
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace
from tests.store.stores import StoreCase, on_both

REALM = "smartalex"
OWNER = Workspace(
    "w2", "Two", Directory(), 5, max_duration_s=900, call_forwarding_number="+1", timezone="Africa/Johannesburg", holidays="12-25"
)
AGENT = Agent("bea", "w2", "Bea", "Hello", "Be kind.", "en-gb", "en-GB", ("receptionist", "echo"), 60, "+2", ("transfer",), 20)
TRUNK = Trunk(
    "t2", "w2", "two", "pbx.example.com", "sa_two", "both", ("192.0.2.0/24", "2001:db8::1"), ("PCMA",), 7, False,
    pbx="3cx", transports=("tls",), calls_per_second=3, regions=("eu", "za"), follow_redirects=True, record=True,
)  # fmt: skip
DESK = Did("+27*", "t2", "bea", "Mo-Fr 08:00-17:00", "Europe/Berlin", ("2026-12-16", "12-25"), "alex")
ANN = Extension("ann", "301", "Ann", aliases=("annie",), digit="1", warm_transfer=True, availability="off")
OLD = attrs.evolve(TRUNK, id="acme", workspace_id="demo", name="acme")

Change = Callable[[Repository], object]

CHANGES: dict[str, Change] = {
    "workspace": lambda r: r.put_workspace(OWNER),
    "another limit": lambda r: r.put_workspace(attrs.evolve(OWNER, max_calls=None)),
    "agent": lambda r: (r.put_workspace(OWNER), r.put_agent(AGENT)),
    "another voice": lambda r: r.put_agent(Agent("alex", "demo", "Alex", "", voice="de")),
    "trunk": lambda r: "t2" in r.tenancy().trunks or (r.put_workspace(OWNER), r.add_trunk(TRUNK, REALM)),
    "other codecs": lambda r: "acme" in r.tenancy().trunks and r.change_trunk(OLD, attrs.evolve(OLD, codecs=("PCMA",)), REALM),
    "DID": lambda r: "acme" in r.tenancy().trunks and r.put_did(Did("100", "acme", "alex")),
    "no DID": lambda r: r.remove_did(Did("alex", "acme", "alex")),
    "directory": lambda r: r.put_directory("demo", Directory((ANN,), "ann")),
    "another password": lambda r: r.rotate(TRUNK, REALM),
    "no trunk": lambda r: r.remove_trunk(attrs.evolve(TRUNK, id="acme")),
    "no workspace": lambda r: r.remove_workspace("w2"),
}  # fmt: skip


@on_both
class Changes(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        seed_demo(self.repository, REALM)

    def test_each_one_by_one(self) -> None:
        for name, change in CHANGES.items():
            known = self.repository.tenancy()
            change(self.repository)
            self.assertEqual(self.repository.tenancy(known), self.repository.tenancy(), name)

    def test_what_has_not_changed_is_the_same(self) -> None:
        known = self.repository.tenancy()
        for change in (CHANGES["agent"], CHANGES["trunk"], lambda r: r.put_did(DESK)):
            change(self.repository)
        now = self.repository.tenancy(known)
        self.assertIs(now.trunks["acme"], known.trunks["acme"])
        self.assertIs(now.routes["acme"], known.routes["acme"])
        self.assertIs(now.workspaces["demo"], known.workspaces["demo"])
        self.assertEqual((now.workspaces["w2"], now.agents["bea"], now.trunks["t2"]), (OWNER, AGENT, TRUNK))
        self.assertEqual(list(now.routes["t2"]), [DESK])
        self.assertEqual((list(known.trunks), list(known.workspaces)), (["acme"], ["demo"]))

    def test_a_directory_stays_when_its_workspace_changes(self) -> None:
        known = self.repository.tenancy()
        self.repository.put_workspace(attrs.evolve(known.workspaces["demo"], max_calls=3))
        now = self.repository.tenancy(known).workspaces["demo"]
        self.assertIs(now.directory, known.workspaces["demo"].directory)
        self.assertEqual(now.max_calls, 3)

    def test_a_new_password_makes_another_value_of_the_trunk(self) -> None:
        known = self.repository.tenancy()
        self.repository.rotate(known.trunks["acme"], REALM)
        now = self.repository.tenancy(known)
        self.assertIsNot(now.trunks["acme"], known.trunks["acme"])
        self.assertEqual(now.trunks, known.trunks)

    def test_a_change_that_says_not_what_it_was_is_found(self) -> None:
        known = self.repository.tenancy()
        with self.repository.engine.begin() as connection:
            self.repository.changed(connection)
            connection.execute(insert(schema.did).values(number="7", trunk="acme", agent="alex"))
        self.assertIsNotNone(self.repository.tenancy(known).routes["acme"].written("7"))

    def test_so_is_one_of_many_that_was_missed(self) -> None:
        known = self.repository.tenancy()
        CHANGES["DID"](self.repository)
        with self.repository.engine.begin() as connection:
            connection.execute(delete(schema.tenant_change).where(schema.tenant_change.c.revision == known.revision + 1))
        CHANGES["directory"](self.repository)
        self.assertIsNotNone(self.repository.tenancy(known).routes["acme"].written("100"))

    def test_only_the_last_ones_are_written_down(self) -> None:
        with self.repository.engine.begin() as connection:
            for _ in range(CHANGES_KEPT + 10):
                self.repository.changed(connection, "agent", "alex")
        with self.repository.engine.connect() as connection:
            self.assertEqual(len(connection.execute(schema.tenant_change.select()).all()), CHANGES_KEPT)

    def test_nothing_new(self) -> None:
        known = self.repository.tenancy()
        self.assertEqual(self.repository.tenancy(known), known)

    def test_it_rests(self) -> None:
        rests: list[None] = []
        self.repository.tenancy(None, lambda: rests.append(None))
        self.assertGreaterEqual(len(rests), 5)  # tables


@on_both
class InAnyOrder(StoreCase):
    def test_grown_is_read(self) -> None:
        seed_demo(self.repository, REALM)
        grown = self.repository.tenancy()

        @settings(max_examples=25, deadline=None)
        @given(st.lists(st.sampled_from(sorted(CHANGES)), max_size=6))
        def check(names: list[str]) -> None:
            nonlocal grown
            for name in names:
                CHANGES[name](self.repository)
            grown = self.repository.tenancy(grown)
            self.assertEqual(grown, self.repository.tenancy())

        check()


@on_both
class Kept(StoreCase):
    def test_everything_is_read_as_it_was_written(self) -> None:
        seed_demo(self.repository, REALM)
        for change in (CHANGES["agent"], CHANGES["trunk"], lambda r: r.put_did(DESK)):
            change(self.repository)
        self.repository.put_directory("w2", Directory((ANN,), "ann"))
        found: Tenancy = self.repository.tenancy()
        self.assertEqual(found.workspaces["w2"].directory, Directory((ANN,), "ann"))
        self.assertEqual(attrs.evolve(found.workspaces["w2"], directory=Directory()), OWNER)
        self.assertEqual((found.agents["bea"], found.trunks["t2"], list(found.routes["t2"])), (AGENT, TRUNK, [DESK]))

    def test_a_workspace_goes_with_everything_in_it(self) -> None:
        seed_demo(self.repository, REALM)
        before = self.repository.tenancy()
        for change in (CHANGES["agent"], CHANGES["trunk"], lambda r: r.put_did(DESK)):
            change(self.repository)
        self.repository.put_directory("w2", Directory((ANN,)))
        self.repository.remove_workspace("w2")
        self.assertEqual(attrs.evolve(self.repository.tenancy(), revision=before.revision), before)
        self.assertEqual([name for name, _ in self.repository.credentials().values()], ["acme"])


@on_both
class Credentials(StoreCase):
    """Opened once; what is opened again is what was changed."""

    def setUp(self) -> None:
        super().setUp()
        seed_demo(self.repository, REALM)
        self.repository.put_workspace(OWNER)
        self.repository.add_trunk(TRUNK, REALM)
        self.asked: list[str] = []
        vault, asked = self.repository.vault, self.asked

        class Counting:
            def get(self, name: str) -> bytes:
                asked.append(name)
                return vault.get(name)

            def get_many(self, names: list[str]) -> dict[str, bytes]:
                asked.extend(names)
                return vault.get_many(names)  # type: ignore[attr-defined, no-any-return]

            def __getattr__(self, name: str) -> object:
                return getattr(vault, name)

        self.repository.vault = Counting()  # type: ignore[assignment]

    def test_only_what_was_changed_is_opened_again(self) -> None:
        before = self.repository.credentials()
        self.assertEqual(sorted(self.asked), ["trunk/acme/digest", "trunk/t2/digest"])
        self.asked.clear()
        self.assertEqual(self.repository.credentials(), before)
        self.repository.put_did(Did("1", "acme", "alex"))
        self.assertEqual((self.repository.credentials(), self.asked), (before, []))
        self.repository.rotate(TRUNK, REALM)
        after = self.repository.credentials()
        self.assertEqual(self.asked, ["trunk/t2/digest"])
        self.assertNotEqual(after["sa_two"], before["sa_two"])
        self.repository.remove_trunk(TRUNK)
        self.assertNotIn("sa_two", self.repository.credentials())

    def test_another_username_and_changes_of_unknown_kind(self) -> None:
        self.repository.credentials()
        self.repository.change_trunk(TRUNK, attrs.evolve(TRUNK, username="other"), REALM)
        self.assertIn("other", self.repository.credentials())
        self.asked.clear()
        with self.repository.engine.begin() as connection:
            self.repository.changed(connection)
        self.repository.credentials()
        self.assertEqual(len(self.asked), 2)

    def test_one_that_could_not_be_opened_is_tried_again(self) -> None:
        kept = self.repository.vault.get("trunk/t2/digest")
        self.repository.vault.delete("trunk/t2/digest")
        self.assertNotIn("sa_two", self.repository.credentials())
        self.repository.vault.put("trunk/t2/digest", kept)
        self.assertIn("sa_two", self.repository.credentials())
        self.flushLoggedErrors()


class Resting(TestCase):
    def test_in_whichever_thread_it_is_called(self) -> None:
        """A thread's clock says nothing in another."""
        slept: list[float] = []
        rests = Rests(0.0, 2.0, slept.append)
        thread = Thread(target=lambda: [rests() for _ in range(5)])
        thread.start()
        thread.join()
        self.assertEqual(len(slept), 5)
        self.assertTrue(all(0 <= seconds <= 0.1 for seconds in slept))
