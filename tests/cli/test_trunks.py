"""Trunks by command: made, changed, removed; secrets shown once; errors that name the value."""

from __future__ import annotations

import re

from smartalex.sip.digest import ha1
from tests.cli.commands import Commands


class Add(Commands):
    def test_by_password(self) -> None:
        text = self.output("trunks", "add", "office", "--pbx-domain", "pbx.office.example", "--max-calls", "30")
        username = re.search(r"username +(sa_[a-z2-7]{12})\n", text)
        password = re.search(r"password +([A-Za-z0-9]{24}) ", text)
        assert username is not None and password is not None, text
        self.assertEqual(text.count(password[1]), 1)
        trunk = self.opened().repository.trunk_named("office")
        assert trunk is not None
        self.assertEqual((trunk.auth, trunk.max_calls, trunk.pbx_domain), ("digest", 30, "pbx.office.example"))
        trunk_id, kept = self.opened().repository.credentials()[username[1]]
        self.assertEqual((trunk_id, kept["SHA-256"]), (trunk.id, ha1(username[1], "smartalex", password[1], "SHA-256")))

    def test_password_and_address(self) -> None:
        made = self.line("trunks", "add", "office", "--allow", "192.0.2.10", "--allow", "2001:db8::/32", "--username", "pbx1")
        self.assertEqual((made["auth"], made["username"], len(made["password"])), ("both", "pbx1", 24))
        self.assertEqual(made["allowed_sources"], ["192.0.2.10", "2001:db8::/32"])

    def test_address_alone(self) -> None:
        made = self.line("trunks", "add", "carrier", "--allow", "192.0.2.0/28", "--no-digest")
        self.assertEqual((made["auth"], made["username"]), ("ip-allowlist", ""))
        self.assertNotIn("password", made)
        self.assertNotIn("", self.opened().repository.credentials())

    def test_what_is_wrong_is_named(self) -> None:
        for bad in ("192.0.2.300", "192.0.2.1/24", "pbx.example.com"):
            self.assertIn(repr(bad).strip("'"), self.error("trunks", "add", "x", "--allow", bad))
        self.assertIn("'pbx example'", self.error("trunks", "add", "x", "--pbx-domain", "pbx example"))
        self.assertIn("'a b'", self.error("trunks", "add", "a b"))
        self.assertIn("1001", self.error("trunks", "add", "x", "--max-calls", "1001"))
        self.assertIn("--allow", self.error("trunks", "add", "x", "--no-digest"))
        self.assertIn("everybody", self.error("trunks", "add", "x", "--no-digest", "--allow", "0.0.0.0/0"))
        self.assertIn("trunks set acme", self.error("trunks", "add", "acme"))

    def test_two_trunks_stay_two(self) -> None:
        self.output("trunks", "add", "one", "--allow", "192.0.2.0/28", "--no-digest")
        self.assertIn("trunk one", self.error("trunks", "add", "two", "--allow", "192.0.2.0/28", "--no-digest"))
        taken = self.line("trunks", "add", "three")["username"]
        self.assertIn("trunk three", self.error("trunks", "add", "four", "--username", taken))

    def test_no_password_is_shown_again(self) -> None:
        password = self.line("trunks", "add", "office")["password"]
        told = [
            self.output(*command)
            for command in (("trunks",), ("trunks", "--json"), ("trunks", "set", "office", "--max-calls", "3"))
        ]
        self.assertNotIn(password, "".join(told))
        for path in (path for path in self.state.rglob("*") if path.is_file()):
            self.assertNotIn(password.encode(), path.read_bytes(), path)


class Change(Commands):
    def test_addresses_come_and_go(self) -> None:
        self.assertEqual(self.line("trunks", "set", "acme", "--allow", "192.0.2.1")["auth"], "both")
        changed = self.line("trunks", "set", "acme", "--allow", "192.0.2.2", "--disallow", "192.0.2.1")
        self.assertEqual(changed["allowed_sources"], ["192.0.2.2"])
        self.assertEqual(self.line("trunks", "set", "acme", "--disallow", "192.0.2.2")["auth"], "digest")
        self.assertIn("192.0.2.9", self.error("trunks", "set", "acme", "--disallow", "192.0.2.9"))

    def test_the_password_goes_and_a_new_one_comes(self) -> None:
        changed = self.line("trunks", "set", "acme", "--allow", "192.0.2.1", "--no-digest")
        self.assertEqual((changed["auth"], changed["username"]), ("ip-allowlist", ""))
        self.assertEqual(self.opened().repository.credentials(), {})
        self.assertIn("--digest", self.error("secret", "rotate", "acme"))
        self.assertEqual(len(self.line("trunks", "set", "acme", "--digest")["password"]), 24)

    def test_another_username_needs_another_password(self) -> None:
        changed = self.line("trunks", "set", "acme", "--username", "pbx")
        self.assertNotEqual(changed["password"], self.issued)
        self.assertEqual(list(self.opened().repository.credentials()), ["pbx"])

    def test_the_rest_stays(self) -> None:
        before, after = self.lines("trunks")[0], self.line("trunks", "set", "acme", "--suspend")
        self.assertEqual(after, {**before, "state": "suspended"})
        self.assertEqual(self.line("trunks", "set", "acme", "--activate"), before)

    def test_errors(self) -> None:
        self.assertIn("did you mean acme?", self.error("trunks", "set", "acmee", "--suspend"))
        self.assertIn("what to change", self.error("trunks", "set", "acme"))
        self.assertIn("--allow", self.error("trunks", "set", "acme", "--no-digest"))


class Remove(Commands):
    def test_with_its_dids_and_its_secret(self) -> None:
        gone = self.line("trunks", "remove", "acme")
        self.assertEqual((gone["removed"], len(gone["dids"])), ("acme", 5))
        self.assertEqual((self.lines("trunks"), self.lines("dids")), ([], []))
        self.assertEqual(self.opened().repository.credentials(), {})
        self.assertIn("there is none yet", self.error("trunks", "remove", "acme"))

    def test_every_change_raises_the_revision(self) -> None:
        seen = [self.opened().repository.revision()]
        for command in (("add", "x"), ("set", "x", "--suspend"), ("remove", "x")):
            self.output("trunks", *command)
            seen.append(self.opened().repository.revision())
        self.assertEqual(seen, sorted(set(seen)))


class Rotate(Commands):
    def test_a_new_password_once(self) -> None:
        made = self.line("secret", "rotate", "acme")
        self.assertEqual((made["trunk"], len(made["password"])), ("acme", 24))
        self.assertNotEqual(made["password"], self.issued)
        self.assertIn("did you mean acme?", self.error("secret", "rotate", "acne"))
