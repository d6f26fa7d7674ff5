"""The file of `smartalex export` and `smartalex apply`: there and back, every mistake by name, all or nothing."""

from __future__ import annotations

import tomllib
from unittest import TestCase

import attrs

from smartalex.cli import document
from smartalex.errors import ConfigurationError
from smartalex.store import audit, whole
from smartalex.store.audit import Author
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace
from tests.cli.commands import Commands
from tests.store.stores import StoreCase, on_both

NOTHING = Tenancy(0, {}, {}, (), {})
SARAH = Extension("e1", "301", "Sarah", aliases=("sal",))
FULL = Tenancy(
    0,
    {"acme": Workspace("acme", "Acme", Directory((SARAH,), "e1"), 25, timezone="Africa/Cairo")},
    {"office": Trunk("office", "acme", "office", "pbx.example.com", "sa_x", codecs=("PCMA", "G722"), regions=("eu",))},
    (
        Did("+1555", "office", "alex", hours="Mo-Fr 08:00-17:00", closed_agent_id="night", holidays=("12-25",)),
        Did("*", "office", "night"),
    ),
    {
        "alex": Agent("alex", "acme", "Alex", "Hello", tools=("transfer",)),
        "night": Agent("night", "acme", "Night", "Closed", backends=("notice",)),
    },
)  # fmt: skip


def problems(text: str, known: Tenancy = NOTHING) -> list[str]:
    try:
        document.read(text, known)
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


class Document(TestCase):
    def test_there_and_back(self) -> None:
        text = document.write(FULL)
        self.assertEqual(document.read(text, FULL), FULL)
        elsewhere = document.read(text, NOTHING)
        self.assertEqual(document.write(elsewhere), text)
        self.assertEqual(whole.compare(FULL, document.read(text, FULL)), [])

    def test_what_is_as_always_is_left_out(self) -> None:
        text = document.write(FULL)
        for name in ("ptime_ms", "dtmf", "id", "silence_timeout_s"):
            self.assertNotIn(f"\n{name} =", text)

    def test_a_new_trunk_gets_a_username(self) -> None:
        found = document.read('[[workspace]]\nname = "A"\n[[workspace.trunk]]\nname = "t"\n', NOTHING)
        [trunk] = found.trunks.values()
        self.assertRegex(trunk.username, r"^sa_[a-z2-7]{12}$")
        self.assertEqual(document.read('[[workspace]]\nname = "A"\n[[workspace.trunk]]\nname = "t"\n', found), found)

    def test_each_mistake_is_named(self) -> None:
        head = '[[workspace]]\nname = "A"\n'
        for text, said in {
            "x = 1": "file: there is no 'x'; there are: workspace",
            "[workspace]\nname = 'A'": "file: workspace has to be written as [[workspace]]",
            "[[workspace]]\n": "workspace number 1: name is missing",
            head + "max_calls = 0": "workspace A: max_calls: 0 is not in the range 1<=x<=100000.",
            head + "max_calls = '5'": "workspace A: max_calls has to be a whole number",
            head + "timezone = 'Mars'": "workspace A: timezone: 'Mars' is no time zone",
            head + "operator = '9'": "workspace A: operator = '9' is no extension of this workspace",
            head + "[[workspace.agent]]\nname = 'X'": "workspace A, agent X: an agent needs something to say",
            head + "[[workspace.agent]]\nname = 'X'\nfirst_message = 'hi'\nbackends = ['none-such']": "agent X: backends: ",
            head + "[[workspace.trunk]]\nname = 't'\nauth = 'ip-allowlist'": "trunk t: without a password a trunk needs",
            head + "[[workspace.trunk]]\nname = 't'\ncodec = []": "workspace A, trunk t: there is no 'codec'",
            head + "[[workspace.trunk]]\nname = 't'\ncodecs = ['MP3']": "workspace A, trunk t: codecs: ",
            head + "[[workspace.trunk]]\nname = 't'\n[[workspace.trunk.did]]\nnumber = '1'": "did 1: agent = '' is no agent",
            head + "[[workspace.extension]]\nnumber = '3 1'\nname = 'S'": "extension 3 1: number: '3 1' cannot be dialled",
            head + head: "workspace 'a' stands there twice",
            "[[workspace": "Expected",
        }.items():
            found = problems(text)
            self.assertTrue(found and said in found[0], (text, found))

    def test_all_mistakes_at_once(self) -> None:
        text = '[[workspace]]\nname = "A"\nmax_calls = 0\ntimezone = "Mars"\nnonsense = 1\n'
        self.assertEqual(len(problems(text)), 3)


@on_both
class Applied(StoreCase):
    def applied(self, after: Tenancy) -> dict[str, str]:
        return whole.apply(self.repository, self.repository.tenancy(), after, "realm")

    def now(self) -> Tenancy:
        return attrs.evolve(self.repository.tenancy(), revision=0)

    def test_from_nothing_to_all_and_back(self) -> None:
        self.repository.author = Author("ann", "apply", lambda: 1.0)
        passwords = self.applied(FULL)
        self.assertEqual((self.now(), list(passwords)), (FULL, ["office"]))
        self.assertEqual(self.repository.credentials()["sa_x"][0], "office")
        self.assertEqual(len(audit.read(self.repository.engine)), 7)
        self.assertEqual(self.applied(NOTHING), {})
        self.assertEqual((self.now(), self.repository.credentials()), (NOTHING, {}))

    def test_what_keeps_its_username_keeps_its_password(self) -> None:
        self.applied(FULL)
        before = self.repository.credentials()
        office = FULL.trunks["office"]
        self.assertEqual(self.applied(attrs.evolve(FULL, trunks={"office": attrs.evolve(office, max_calls=20)})), {})
        self.assertEqual(self.repository.credentials(), before)
        self.assertEqual(
            list(self.applied(attrs.evolve(FULL, trunks={"office": attrs.evolve(office, username="sa_y")}))), ["office"]
        )
        self.assertEqual(list(self.repository.credentials()), ["sa_y"])

    def test_nothing_when_something_was_changed_meanwhile(self) -> None:
        before = self.repository.tenancy()
        self.repository.put_workspace(Workspace("other", "Other", Directory()))
        self.assertRaises(LookupError, whole.apply, self.repository, before, FULL, "realm")
        self.assertEqual(list(self.repository.tenancy().workspaces), ["other"])


class Cli(Commands):
    def test_export_dry_run_and_apply(self) -> None:
        text = self.output("export")
        file = self.folder / "all.toml"
        file.write_text(text.replace('name = "acme"', 'name = "acme"\nmax_calls = 20', 1).replace("max_calls = 1000\n", "", 1))
        shown = self.output("apply", str(file), "--dry-run")
        self.assertIn("max_calls 1000 -> 20", shown)
        self.assertEqual(self.output("export"), text)
        self.assertEqual(self.line("export"), tomllib.loads(text))
        self.assertIn("done", self.output("apply", str(file), "--yes"))
        self.assertIn("max_calls = 20", self.output("export"))
        self.assertEqual(self.output("apply", str(file)), "nothing is to be changed\n")
        line = self.line("audit", "--limit", "1")
        self.assertEqual((line["via"], line["data"]), ("apply", {"max_calls": [1000, 20]}))
        self.assertIn("trunk acme: max_calls 1000 -> 20", self.output("audit"))

    def test_a_new_trunk_is_told_its_password_and_removing_asks(self) -> None:
        text = self.output("export")
        file = self.folder / "all.toml"
        file.write_text(text.replace("[[workspace.trunk]]", '[[workspace.trunk]]\nname = "more"\n\n[[workspace.trunk]]', 1))
        self.assertRegex(self.output("apply", str(file)), r"trunk more: username sa_\w{12}, password \w{24} ")
        file.write_text(text)
        refused = self.run_command("apply", str(file))
        self.assertNotEqual(refused.exit_code, 0)
        self.assertIn("this would make 1 removed; say that it is meant with --yes", refused.output)
        self.assertIn("-  trunk  more", self.output("apply", str(file), "--yes"))
        file.write_text("nonsense = 1\n")
        self.assertIn(f"{file}: file: there is no 'nonsense'", self.error("apply", str(file)))
