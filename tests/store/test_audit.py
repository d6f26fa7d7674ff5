"""What is written down of each change: who, what it was before and is now, and nothing secret."""

from __future__ import annotations

import attrs
from sqlalchemy.exc import IntegrityError

from smartalex.store import audit
from smartalex.store.audit import Author
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Workspace
from tests.store.stores import StoreCase, on_both

WORKSPACE = Workspace("w", "Acme", Directory())
TRUNK = Trunk("t", "w", "office", "pbx.example.com", "sa_user", register="sip:300@pbx.example.com")
AGENT = Agent("a", "w", "Alex", "Hello")


@on_both
class Audit(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.repository.author = Author("ann", "trunks set", lambda: 1234.5)

    def written(self, **chosen: str) -> list[tuple[str, str, str]]:
        """Oldest first."""
        lines = audit.read(self.repository.engine, 100, **chosen)
        self.assertEqual({(line["who"], line["via"], line["at"]) for line in lines}, {("ann", "trunks set", 1234.5)})
        return [(line["kind"], line["name"], line["action"]) for line in reversed(lines)]

    def test_each_kind_of_change(self) -> None:
        store = self.repository
        store.put_workspace(WORKSPACE)
        store.put_agent(AGENT)
        store.add_trunk(TRUNK, "realm", "register-secret")
        store.put_did(Did("+1555", "t", "a"))
        store.put_directory("w", Directory((Extension("e", "301", "Sarah"),), "e"))
        store.change_trunk(TRUNK, attrs.evolve(TRUNK, max_calls=20), "realm")
        [change] = audit.read(store.engine, 1)
        self.assertEqual(change["data"], {"max_calls": [10, 20]})
        store.rotate(TRUNK, "realm")
        store.put_did(Did("+1555", "t", "a", hours="24/7"))
        store.put_agent(AGENT)  # as it was
        store.remove_did(Did("+1555", "t", "a"))
        store.remove_workspace("w")
        self.assertEqual(
            self.written(),
            [
                ("workspace", "Acme", "added"), ("agent", "Alex", "added"), ("trunk", "office", "added"),
                ("did", "+1555", "added"), ("extension", "301", "added"), ("workspace", "Acme", "changed"),
                ("trunk", "office", "changed"), ("trunk", "office", "rotated the password"), ("did", "+1555", "changed"),
                ("did", "+1555", "removed"), ("agent", "Alex", "removed"), ("extension", "301", "removed"),
                ("trunk", "office", "removed"), ("workspace", "Acme", "removed"),
            ],
        )  # fmt: skip
        self.assertEqual(self.written(kind="did")[0], ("did", "+1555", "added"))
        self.assertEqual(self.written(name="office")[1], ("trunk", "office", "changed"))

    def test_no_password(self) -> None:
        self.repository.put_workspace(WORKSPACE)
        issued = self.repository.add_trunk(TRUNK, "realm", "register-secret")
        issued_later = self.repository.rotate(TRUNK, "realm")
        said = str(audit.read(self.repository.engine))
        for secret in (issued, issued_later, "register-secret"):
            assert secret
            self.assertNotIn(secret, said)

    def test_what_fails_is_not_written_down(self) -> None:
        self.repository.put_workspace(WORKSPACE)
        self.assertRaises(IntegrityError, self.repository.put_did, Did("+1555", "nowhere", "a"))
        self.assertEqual(self.written(), [("workspace", "Acme", "added")])
