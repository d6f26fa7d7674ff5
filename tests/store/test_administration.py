"""What operators change: trunks with their secrets, DIDs, the directory; each change whole, and seen by a running service."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from smartalex.sip.digest import ha1
from smartalex.store import schema
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from tests.store.stores import StoreCase, call, on_both

OFFICE = Trunk(
    "office", "demo", "office", "pbx.example.com", "sa_office", allowed_sources=("192.0.2.1",), auth="both", max_calls=3
)
REALM = "smartalex"


class Administration(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        with self.repository.engine.begin() as connection:
            connection.execute(insert(schema.workspace).values(id="demo", name="Demo"))
            connection.execute(
                insert(schema.agent), [dict(id=i, workspace="demo", name=i, backends=[]) for i in ("alex", "echo")]
            )

    def password_of(self, trunk: Trunk, password: str | None) -> bool:
        kept = self.repository.credentials()[trunk.username]
        return kept[0] == trunk.id and kept[1]["MD5"] == ha1(trunk.username, REALM, password or "", "MD5")


@on_both
class Trunks(Administration):
    def test_added_as_it_was_given(self) -> None:
        password = self.repository.add_trunk(OFFICE, REALM)
        self.assertEqual(self.repository.trunk_named("office"), OFFICE)
        self.assertEqual(self.repository.tenancy().trunks, {"office": OFFICE})
        self.assertTrue(self.password_of(OFFICE, password))

    def test_a_name_is_taken_once(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        with self.assertRaises(IntegrityError):
            self.repository.add_trunk(attrs.evolve(OFFICE, id="other"), REALM)

    def test_a_change_keeps_the_password(self) -> None:
        password = self.repository.add_trunk(OFFICE, REALM)
        fewer = attrs.evolve(OFFICE, max_calls=1, active=False, auth="digest", allowed_sources=())
        self.assertIsNone(self.repository.change_trunk(OFFICE, fewer, REALM))
        self.assertEqual(self.repository.trunk_named("office"), fewer)
        self.assertTrue(self.password_of(fewer, password))

    def test_a_new_username_gets_a_new_one(self) -> None:
        old = self.repository.add_trunk(OFFICE, REALM)
        renamed = attrs.evolve(OFFICE, username="pbx")
        new = self.repository.change_trunk(OFFICE, renamed, REALM)
        self.assertNotEqual(new, old)
        self.assertTrue(self.password_of(renamed, new))

    def test_without_digest_no_secret_is_left(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        self.repository.change_trunk(OFFICE, attrs.evolve(OFFICE, auth="ip-allowlist", username=""), REALM)
        self.assertEqual(self.repository.credentials(), {})
        with self.assertRaises(KeyError):
            self.repository.vault.get("trunk/office/digest")

    def test_removed_with_dids_and_secret(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        self.repository.put_did(Did("100", "office", "alex"))
        self.repository.remove_trunk(OFFICE)
        tenancy = self.repository.tenancy()
        self.assertEqual((tenancy.trunks, list(tenancy.dids), self.repository.credentials()), ({}, [], {}))

    def test_calls_in_progress(self) -> None:
        self.repository.records.apply([*call("01A"), *call("01B", end=False), *call("01C", end=False)])
        self.assertEqual(self.repository.records.in_progress(), {"acme": 2})


@on_both
class Dids(Administration):
    def test_one_agent_at_a_time(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        self.repository.put_did(Did("Desk", "office", "alex"))
        self.repository.put_did(Did("desk", "office", "echo"))
        self.assertEqual(list(self.repository.tenancy().dids), [Did("desk", "office", "echo")])
        self.repository.remove_did(Did("DESK", "office", "echo"))
        self.assertEqual(list(self.repository.tenancy().dids), [])

    def test_an_agent_that_does_not_exist_changes_nothing(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        self.repository.put_did(Did("desk", "office", "alex"))
        with self.assertRaises(IntegrityError):
            self.repository.put_did(Did("desk", "office", "nobody"))
        self.assertEqual(list(self.repository.tenancy().dids), [Did("desk", "office", "alex")])


@on_both
class Directories(Administration):
    ANN = Extension("ann", "301", "Ann", aliases=("annie",), digit="1", department="sales", pronunciation="an")
    BOB = Extension("bob", "302", "Bob", kind="department")

    def test_replaced_as_a_whole(self) -> None:
        for directory in (Directory((self.ANN, self.BOB), "ann"), Directory((self.BOB,), None), Directory()):
            self.repository.put_directory("demo", directory)
            self.assertEqual(self.repository.tenancy().workspaces["demo"].directory, directory)

    def test_all_or_nothing(self) -> None:
        before = Directory((self.ANN,), "ann")
        self.repository.put_directory("demo", before)
        with self.assertRaises(IntegrityError):
            self.repository.put_directory("demo", Directory((self.BOB, attrs.evolve(self.ANN, id="bob"))))
        self.assertEqual(self.repository.tenancy().workspaces["demo"].directory, before)


@on_both
class Seen(Administration):
    def test_changes_at_the_same_time_are_counted_each(self) -> None:
        self.repository.add_trunk(OFFICE, REALM)
        before, others = self.repository.revision(), [self.open() for _ in range(4)]

        def change(number: int) -> None:
            others[number % 4].put_did(Did(f"{number}", "office", "alex"))

        with ThreadPoolExecutor(4) as both:
            list(both.map(change, range(40)))
        self.assertEqual(self.repository.revision() - before, 40)
        self.assertEqual(len(list(self.repository.tenancy().dids)), 40)

    def test_every_change_has_a_revision(self) -> None:
        changes = (
            lambda: self.repository.add_trunk(OFFICE, REALM),
            lambda: self.repository.put_did(Did("1", "office", "alex")),
            lambda: self.repository.change_trunk(OFFICE, attrs.evolve(OFFICE, max_calls=9), REALM),
            lambda: self.repository.remove_did(Did("1", "office", "alex")),
            lambda: self.repository.put_directory("demo", Directory()),
            lambda: self.repository.remove_trunk(OFFICE),
        )
        seen = [self.repository.revision()]
        for change in changes:
            change()
            seen.append(self.repository.revision())
        self.assertEqual(len(set(seen)), len(changes) + 1)
