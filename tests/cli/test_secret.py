"""`smartalex secret`, and what a trunk is known by: what is written, and what is said about it."""

from __future__ import annotations

import time

from smartalex.config import load
from smartalex.sip.digest import ha1
from smartalex.store import credentials
from smartalex.store.repository import Repository
from smartalex.store.state import open_state
from tests.cli.commands import Commands

HOUR_S = 3600


class SecretCase(Commands):
    def repository(self) -> Repository:
        state = open_state(load(None, {"node.state_dir": str(self.state)}), serve=False)
        self.addCleanup(state.repository.engine.dispose)
        return state.repository


class Rotating(SecretCase):
    def kept(self) -> dict[str, str]:
        return dict(credentials.read(self.repository().vault, "acme"))

    def test_with_an_overlap_both_are_kept_until_then(self) -> None:
        before = self.kept()
        began = time.time()
        made = self.line("secret", "rotate", "acme", "--overlap", "24h")
        kept = self.kept()
        self.assertEqual(kept["MD5"], ha1(made["username"], "smartalex", made["password"], "MD5"))
        self.assertEqual((kept["old:MD5"], kept["old:SHA-256"]), (before["MD5"], before["SHA-256"]))
        self.assertAlmostEqual(float(kept["old:until"]), made["old_password_until"], places=5)
        self.assertTrue(began + 24 * HOUR_S <= made["old_password_until"] <= time.time() + 24 * HOUR_S)

    def test_now_ends_it_and_makes_no_password(self) -> None:
        self.line("secret", "rotate", "acme", "--overlap", "30m")
        kept = self.kept()
        self.assertEqual(self.line("secret", "rotate", "acme", "--now"), {"trunk": "acme", "ended": True})
        self.assertEqual(self.kept(), {key: held for key, held in kept.items() if not key.startswith("old:")})
        self.assertIn("had only one password", self.output("secret", "rotate", "acme", "--now"))

    def test_without_an_overlap_the_old_one_is_gone(self) -> None:
        self.line("secret", "rotate", "acme", "--overlap", "7d")
        self.line("secret", "rotate", "acme")
        self.assertFalse([key for key in self.kept() if key.startswith("old:")])

    def test_what_is_no_time(self) -> None:
        for wrong in ("24", "0h", "-1h", "31d", "1w", ""):
            self.assertIn("write for example 24h", self.error("secret", "rotate", "acme", "--overlap", wrong))
        self.assertIn("give one of them", self.error("secret", "rotate", "acme", "--overlap", "1h", "--now"))


class Rekeying(SecretCase):
    def test_another_key_and_the_same_secrets(self) -> None:
        before = dict(credentials.read(self.repository().vault, "acme")), (self.state / "vault.key").read_bytes()
        done = self.line("secret", "rekey")
        self.assertEqual(done["secrets"], 1)
        self.assertNotEqual((self.state / "vault.key").read_bytes(), before[1])
        self.assertEqual(dict(credentials.read(self.repository().vault, "acme")), before[0])
        self.assertIn("1 secrets are under local:", self.output("secret", "rekey"))


class KnownBy(SecretCase):
    def test_by_where_it_has_registered_from(self) -> None:
        made = self.line("trunks", "add", "desk", "--auth", "registration")
        self.assertEqual((made["auth"], len(made["password"]), made["username"][:3]), ("registration", 24, "sa_"))
        self.assertEqual(self.line("trunks", "set", "desk", "--max-calls", "3")["auth"], "registration")
        self.assertEqual(self.line("trunks", "set", "desk", "--auth", "digest")["auth"], "digest")
        self.assertIn("needs a password", self.error("trunks", "add", "two", "--auth", "registration", "--no-digest"))

    def test_by_what_is_not_installed(self) -> None:
        said = self.error("trunks", "add", "desk", "--auth", "acme-tokens:key=1")
        self.assertIn("no IAuthenticator provider is named 'acme-tokens'; installed are: all-of, digest, ip-allowlist", said)

    def test_two_trunks_at_one_address_are_warned_of(self) -> None:
        self.output("trunks", "add", "one", "--allow", "192.0.2.0/24", "--no-digest")
        two = self.run_command("trunks", "add", "two", "--allow", "192.0.2.7", "--no-digest")
        self.assertEqual(two.exit_code, 0)
        self.assertIn("! 192.0.2.7/32 is how trunk one is known, too: the number called decides", two.stderr)
        self.output("trunks", "add", "three", "--allow", "192.0.2.7")  # has a password
        four = self.run_command("trunks", "set", "two", "--max-calls", "4")
        self.assertIn("is how trunk one is known, too", four.stderr)
        self.assertNotIn("three", four.stderr)
