"""Numbers by command: which trunk may dial them, which agent answers."""

from __future__ import annotations

from tests.cli.commands import Commands


class Dids(Commands):
    def test_add_repoint_remove(self) -> None:
        self.assertIn("leads to Alex", self.output("dids", "add", "+27215550199", "--trunk", "acme", "--agent", "alex"))
        self.assertIn("(it was Alex)", self.output("dids", "add", "+27215550199", "--trunk", "ACME", "--agent", "Play"))
        self.assertIn({"number": "+27215550199", "trunk": "acme", "agent": "Play"}, self.lines("dids"))
        self.assertEqual(self.line("dids", "remove", "+27215550199"), {"removed": "+27215550199", "trunk": "acme"})
        self.assertNotIn("+27215550199", self.output("dids"))

    def test_case_does_not_make_another_number(self) -> None:
        self.output("dids", "add", "ALEX", "--trunk", "acme", "--agent", "echo")
        self.assertEqual([row["number"] for row in self.lines("dids") if row["agent"] == "Alex"], ["+27215550100"])

    def test_a_number_on_two_trunks(self) -> None:
        self.output("trunks", "add", "office")
        self.output("dids", "add", "alex", "--trunk", "office", "--agent", "alex")
        self.assertIn("acme, office", self.error("dids", "remove", "alex"))
        self.assertEqual(self.line("dids", "remove", "alex", "--trunk", "office")["trunk"], "office")

    def test_errors(self) -> None:
        self.assertIn("did you mean acme?", self.error("dids", "add", "1", "--trunk", "amce", "--agent", "alex"))
        self.assertIn("did you mean Alex?", self.error("dids", "add", "1", "--trunk", "acme", "--agent", "alexa"))
        self.assertIn("'1 2'", self.error("dids", "add", "1 2", "--trunk", "acme", "--agent", "alex"))
        self.assertIn("'+27215550101'; did you mean +27215550100", self.error("dids", "remove", "+27215550101"))
