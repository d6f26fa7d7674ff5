"""Numbers by command: which trunk may dial them, which agent answers."""

from __future__ import annotations

from typing import Any

from tests.cli.commands import Commands


class Dids(Commands):
    def test_add_repoint_remove(self) -> None:
        self.assertIn("leads to Alex", self.output("dids", "add", "+27215550199", "--trunk", "acme", "--agent", "alex"))
        self.assertIn("(it was Alex)", self.output("dids", "add", "+27215550199", "--trunk", "ACME", "--agent", "Play"))
        self.assertEqual(self.row("+27215550199")["agent"], "Play")
        self.assertIn("take +27215550199 off trunk acme", self.error("dids", "remove", "+27215550199"))
        self.assertEqual(self.line("dids", "remove", "+27215550199", "--yes"), {"removed": "+27215550199", "trunk": "acme"})
        self.assertNotIn("+27215550199", self.output("dids"))

    def test_case_does_not_make_another_number(self) -> None:
        self.output("dids", "add", "ALEX", "--trunk", "acme", "--agent", "echo")
        self.assertEqual([row["number"] for row in self.lines("dids") if row["agent"] == "Alex"], ["+27215550100"])

    def test_a_number_on_two_trunks(self) -> None:
        self.output("trunks", "add", "office")
        self.output("dids", "add", "alex", "--trunk", "office", "--agent", "alex")
        self.assertIn("acme, office", self.error("dids", "remove", "alex"))
        self.assertEqual(self.line("dids", "remove", "alex", "--trunk", "office", "--yes")["trunk"], "office")

    def test_errors(self) -> None:
        self.assertIn("did you mean acme?", self.error("dids", "add", "1", "--trunk", "amce", "--agent", "alex"))
        self.assertIn("did you mean Alex?", self.error("dids", "add", "1", "--trunk", "acme", "--agent", "alexa"))
        self.assertIn("'1 2'", self.error("dids", "add", "1 2", "--trunk", "acme", "--agent", "alex"))
        self.assertIn("'+27215550101'; did you mean +27215550100", self.error("dids", "remove", "+27215550101"))
        self.assertIn("there is no number 'star*'", self.error("dids", "set", "star*", "--always"))
        for bad in ("+27**", "*1", ""):
            self.assertIn(repr(bad), self.error("dids", "add", bad, "--trunk", "acme", "--agent", "alex"))

    def row(self, number: str) -> dict[str, Any]:
        return next(row for row in self.lines("did", "list") if row["number"] == number)


class Beginnings(Commands):
    def test_prefixes_and_the_default(self) -> None:
        said = self.output("did", "add", "+2721555*", "--trunk", "acme", "--agent", "play")
        self.assertIn("every other number that begins with +2721555 of trunk acme leads to Play", said)
        self.assertIn("every other number of trunk acme", self.output("did", "add", "*", "--trunk", "acme", "--agent", "echo"))
        routes = self.opened().repository.tenancy().routes_of("acme")
        led = {number: found.agent_id for number in ("+27215550100", "+27215559", "1") if (found := routes.find(number))}
        self.assertEqual(led, {"+27215550100": "alex", "+27215559": "play", "1": "echo"})
        self.assertEqual(self.line("did", "remove", "+2721555*", "--yes")["removed"], "+2721555*")


class OutOfHours(Commands):
    HOURS = ("--hours", "Mo-Fr 08:00-17:00; PH off")

    def test_another_agent(self) -> None:
        given = ("--timezone", "africa/johannesburg", "--holiday", "12-25", "--holiday", "2026-12-16", "--closed-agent", "play")
        said = self.output("did", "set", "+27215550100", *self.HOURS, *given)
        self.assertIn("Mo-Fr 08:00-17:00; PH off, Africa/Johannesburg; holidays: 12-25 2026-12-16", said)
        self.assertIn("otherwise Play answers", said)
        row = self.line("did", "set", "+27215550100", "--agent", "echo")
        self.assertEqual((row["agent"], row["closed_agent"], row["holidays"]), ("Echo", "Play", ["12-25", "2026-12-16"]))
        self.assertEqual(self.line("did", "set", "+27215550100", "--no-holidays")["holidays"], [])
        row = self.line("did", "set", "+27215550100", "--always")
        self.assertEqual((row["hours"], row["timezone"], row["closed_agent"]), ("", "", ""))

    def test_a_message(self) -> None:
        given = (*self.HOURS, "--closed-message", "We are closed.")
        self.assertEqual(self.line("did", "set", "alex", *given)["closed_agent"], "Alex closed")
        self.assertEqual(self.line("did", "set", "+27215550100", *given)["closed_agent"], "Alex closed")
        agent = self.opened().repository.tenancy().agents["alex-closed"]
        self.assertEqual((agent.first_message, agent.backends), ("We are closed.", ("notice",)))
        other = self.line("did", "set", "alex", "--closed-message", "Come back tomorrow.")["closed_agent"]
        self.assertEqual(other, "Alex closed 2")
        self.assertIn("alex lead to agent Alex closed 2", self.error("agent", "remove", "alex closed 2", "--yes"))

    def test_what_is_wrong_is_named(self) -> None:
        self.assertIn("who answers out of hours", self.error("did", "set", "alex", *self.HOURS))
        self.assertIn("'9 to 5'", self.error("did", "set", "alex", "--hours", "9 to 5"))
        self.assertIn("Africa/Johannesburg", self.error("did", "set", "alex", "--timezone", "Africa/Johanesburg"))
        self.assertIn("'2026-02-30'", self.error("did", "set", "alex", "--holiday", "2026-02-30"))
        self.assertIn("either", self.error("did", "set", "alex", *self.HOURS, "--closed-agent", "x", "--closed-message", "y"))
        self.assertIn("did you mean Play", self.error("did", "set", "alex", *self.HOURS, "--closed-agent", "plai"))
        self.assertIn("what to change", self.error("did", "set", "alex"))
