"""Agents by command: made, changed, shown, removed."""

from __future__ import annotations

from tests.cli.commands import Commands


class Agents(Commands):
    def add(self, *options: str) -> dict[str, object]:
        return self.line("agent", "add", "Bea", "--first-message", "Hello, this is Bea.", *options)

    def test_defaults(self) -> None:
        self.assertEqual(self.add(), {
            "agent": "Bea", "workspace": "Acme", "first_message": "Hello, this is Bea.", "instructions": "", "voice": "en-us",
            "language": "en-US", "backends": ["receptionist"], "max_duration_s": 0, "call_forwarding_number": "",
            "tools": ["transfer", "take_message", "end_call"], "silence_timeout_s": 30,
        })  # fmt: skip
        self.assertIn("300 s a call, 30 s of silence", self.output("agent", "show", "bea"))

    def test_everything_that_can_be_said(self) -> None:
        made = self.add(
            "--voice", "en-gb", "--language", "en-GB", "--backend", "echo", "--backend", "play", "--tool", "end_call",
            "--forward-to", "+27215550111", "--max-duration", "14400", "--silence-timeout", "60", "--instructions", "Be kind.",
        )  # fmt: skip
        self.assertEqual((made["backends"], made["tools"], made["max_duration_s"]), (["echo", "play"], ["end_call"], 14_400))
        kept = self.opened().repository.tenancy().agents["bea"]
        self.assertEqual((kept.call_forwarding_number, kept.silence_timeout_s, kept.voice), ("+27215550111", 60, "en-gb"))
        shown = self.output("agents", "show", "Bea")
        for text in (
            "voice en-gb, by echo, then play",
            "may       end_call",
            "to +27215550111",
            "    Be kind.",
            "numbers   none",
        ):
            self.assertIn(text, shown)

    def test_what_is_not_given_stays(self) -> None:
        before = self.add("--max-duration", "60", "--no-tools")
        self.assertEqual(before["tools"], [])
        self.assertEqual(self.line("agent", "set", "bea", "--voice", "de"), {**before, "voice": "de"})
        self.assertEqual(self.line("agent", "set", "bea", "--max-duration", "0")["max_duration_s"], 0)
        self.assertEqual(self.line("agent", "set", "bea", "--tool", "transfer")["tools"], ["transfer"])
        self.assertEqual(self.line("agent", "set", "bea", "--name", "Beatrix")["agent"], "Beatrix")

    def test_instructions_from_a_file(self) -> None:
        path = self.folder / "bea.txt"
        path.write_text("Say little.\nListen.\n", encoding="utf-8")
        self.assertEqual(self.add("--instructions-file", str(path))["instructions"], "Say little.\nListen.")
        self.assertIn("either", self.error("agent", "set", "bea", "--instructions-file", str(path), "--instructions", "x"))

    def test_removed_when_no_number_leads_there(self) -> None:
        self.add()
        self.output("did", "add", "7", "--trunk", "acme", "--agent", "bea")
        self.assertIn("7 lead to agent Bea", self.error("agent", "remove", "bea", "--yes"))
        self.output("did", "remove", "7", "--yes")
        self.assertIn("remove agent Bea; say that it is meant with --yes", self.error("agent", "remove", "bea"))
        self.assertEqual(self.line("agent", "remove", "bea", "--yes"), {"removed": "Bea"})
        self.assertNotIn("Bea", self.output("agent", "list"))

    def test_the_demos_agents_have_the_limit_of_their_workspace(self) -> None:
        self.output("workspace", "set", "acme", "--max-duration", "600")
        self.assertIn("600 s a call", self.output("agent", "show", "alex"))
        self.assertIn("+27215550100 alex", self.output("agent", "show", "alex"))

    def test_errors(self) -> None:
        self.assertIn("there is an agent 'alex' already", self.error("agent", "add", "alex", "--first-message", "x"))
        self.assertIn("something to say", self.error("agent", "add", "Mute"))
        self.assertIn("did you mean Alex?", self.error("agent", "set", "alxe", "--voice", "de"))
        self.assertIn("14401", self.error("agent", "set", "alex", "--max-duration", "14401"))
        self.assertIn("at least 10", self.error("agent", "set", "alex", "--max-duration", "5"))
        self.assertIn("receptionist", self.error("agent", "set", "alex", "--backend", "receptionits"))
        self.assertIn("'english!'", self.error("agent", "set", "alex", "--language", "english!"))
        self.assertIn("'call me'", self.error("agent", "set", "alex", "--forward-to", "call me"))
        self.assertIn("what to change", self.error("agent", "set", "alex"))
        self.assertIn("Did you mean 'agent", self.error("agnet"))


class Workspaces(Commands):
    def add(self, *options: str) -> dict[str, object]:
        return self.line("workspace", "add", "Second Ltd", *options)

    def test_added_with_limits_hours_and_holidays(self) -> None:
        made = self.add("--max-calls", "25", "--max-duration", "900", "--forward-to", "9", "--timezone", "Africa/Johannesburg",
                        "--holiday", "12-25", "--holiday", "2026-12-16")  # fmt: skip
        self.assertEqual(made, {
            "workspace": "Second Ltd", "max_calls": 25, "max_duration_s": 900, "call_forwarding_number": "9",
            "timezone": "Africa/Johannesburg", "holidays": ["12-25", "2026-12-16"], "trunks": [], "agents": [], "extensions": 0,
        })  # fmt: skip
        kept = self.opened().repository.tenancy().workspaces["second-ltd"]
        self.assertEqual((kept.max_calls, kept.holidays), (25, ("12-25", "2026-12-16")))
        self.assertIn("Africa/Johannesburg  12-25 2026-12-16  0", self.output("workspaces"))

    def test_what_is_not_given_stays(self) -> None:
        before = self.add("--max-calls", "25", "--holiday", "12-25")
        self.assertEqual(self.line("workspace", "set", "second-ltd", "--timezone", "UTC"), before)
        row = self.line("workspace", "set", "Second Ltd", "--no-max-calls", "--no-holidays", "--name", "Third")
        self.assertEqual((row["workspace"], row["max_calls"], row["holidays"]), ("Third", None, []))
        self.assertEqual(len(self.opened().repository.tenancy().workspaces["demo"].directory.extensions), 11)

    def test_each_has_its_own(self) -> None:
        self.add()
        self.assertIn("give --workspace", self.error("trunk", "add", "office"))
        self.output("trunk", "add", "office", "--workspace", "Second Ltd")
        self.output("agent", "add", "Alex", "--first-message", "Hi", "--workspace", "second ltd")
        self.assertIn("give --workspace", self.error("agent", "show", "Alex"))
        self.assertIn("Hi", self.output("agent", "show", "Alex", "--workspace", "Second Ltd"))
        self.output("did", "add", "1", "--trunk", "office", "--agent", "alex")
        self.assertEqual(self.opened().repository.tenancy().routes_of("office").find("1").agent_id, "alex-2")  # type: ignore
        self.assertIn("did you mean", self.error("did", "add", "2", "--trunk", "office", "--agent", "alexa"))
        self.assertEqual([row["agent"] for row in self.lines("agent", "list", "--workspace", "second ltd")], ["Alex"])
        self.assertEqual([row["trunk"] for row in self.lines("trunk", "list", "--workspace", "second ltd")], ["office"])
        self.assertRegex(self.output("trunk", "list"), "TRUNK +WORKSPACE +STATE.*\nacme +Acme +active.*\noffice +Second Ltd")
        self.assertNotIn("WORKSPACE", self.output("trunks", "--workspace", "acme"))

    def test_removed_with_everything_in_it(self) -> None:
        before = self.lines("trunk"), self.lines("agent"), self.lines("workspace")
        self.add()
        self.output("trunk", "add", "office", "--workspace", "Second Ltd")
        self.output("agent", "add", "Bea", "--first-message", "Hi", "--workspace", "Second Ltd")
        self.output("extension", "add", "1", "Ann", "--workspace", "Second Ltd")
        self.assertIn("its 1 trunks, 1 agents and 1 extensions", self.error("workspace", "remove", "second ltd"))
        gone = self.line("workspace", "remove", "second ltd", "--yes")
        self.assertEqual(gone, {"removed": "Second Ltd", "trunks": ["office"], "agents": ["Bea"]})
        self.assertEqual((self.lines("trunk"), self.lines("agent"), self.lines("workspace")), before)

    def test_errors(self) -> None:
        self.assertIn("the only one", self.error("workspace", "remove", "acme", "--yes"))
        self.assertIn("'ACME' already", self.error("workspace", "add", "ACME"))
        self.assertIn("did you mean Acme", self.error("workspace", "set", "acne", "--max-calls", "3"))
        self.assertIn("what to change", self.error("workspace", "set", "acme"))
        self.assertIn("'Mars'", self.error("workspace", "set", "acme", "--timezone", "Mars"))
        self.assertIn("14401", self.error("workspace", "set", "acme", "--max-duration", "14401"))
