"""The directory by command and by CSV."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.cli import extensions_csv
from smartalex.errors import ConfigurationError
from tests.cli.commands import Commands

STAFF = """number,display_name,department,aliases,kind
301,Sarah Mitchell,Billing,sally; miss mitchell,
700,"Ünal, Zoë",,,
800,Claims,,,department
"""


def mistakes(text: str) -> list[str]:
    try:
        extensions_csv.read(text)
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


class Csv(TestCase):
    def test_rows(self) -> None:
        sarah, zoe, claims = extensions_csv.read("\ufeff" + STAFF).extensions
        self.assertEqual((sarah.department, sarah.aliases, sarah.kind), ("billing", ("sally", "miss mitchell"), "person"))
        self.assertEqual((zoe.name, claims.kind), ("Ünal, Zoë", "department"))

    def test_when_they_are_there_and_whether_they_are_asked_first(self) -> None:
        head = "number,display_name,department,aliases,warm_transfer,pronunciation,availability\n"
        ann, bob, cid = extensions_csv.read(
            head + '1,Ann,sales,,YES,an,"Mo-Fr 08:00-17:00; Sa 09:00-12:00"\n2,Bob,,,no,,off\n3,Cid,,,,,\n'
        ).extensions
        self.assertEqual((ann.warm_transfer, ann.availability), (True, "Mo-Fr 08:00-17:00; Sa 09:00-12:00"))
        self.assertEqual((bob.warm_transfer, bob.availability, cid.warm_transfer, cid.availability), (False, "off", False, ""))
        self.assertEqual(
            [problem.partition(" are ")[0].partition(" is ")[0] for problem in mistakes(head + "1,Ann,,,maybe,,9-5\n")],
            ["line 2, column warm_transfer: 'maybe'", "line 2, column availability: '9-5'"],
        )

    def test_every_mistake_with_its_line_and_column(self) -> None:
        text = "number,display_name,digit,kind\n3 01,Sarah,1,\n302,,x,\n303,Bob,1,robot\n303,Al,,\n"
        self.assertEqual(
            [problem.partition(":")[0] for problem in mistakes(text)],
            ["line 2, column number", "line 3, column display_name", "line 3, column digit", "line 4, column kind",
             "line 5, column number", "line 4, column digit"],
        )  # fmt: skip

    def test_columns(self) -> None:
        self.assertIn("column display_name is missing", mistakes("number,name\n1,A\n")[0])
        self.assertIn("'name'", mistakes("number,name\n1,A\n")[1])
        self.assertIn("twice", mistakes("number,number,display_name\n1,1,A\n")[0])
        self.assertIn("line 2: more cells", mistakes("number,display_name\n1,A,b\n")[0])

    def test_500_rows_and_no_more(self) -> None:
        rows = [f"{n},Name\n" for n in range(501)]
        self.assertEqual(len(extensions_csv.read("number,display_name\n" + "".join(rows[:500])).extensions), 500)
        self.assertIn("501 rows", mistakes("number,display_name\n" + "".join(rows))[0])

    @given(st.text(max_size=200) | st.text(max_size=100).map(lambda text: "number,display_name,aliases\n" + text))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            found = extensions_csv.read(text).extensions
        except ConfigurationError:
            return
        self.assertTrue(all(e.number and e.name and "\n" not in e.name for e in found))


class Directory(Commands):
    def staff(self, text: str = STAFF) -> str:
        path = self.folder / "staff.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    def names(self) -> dict[str, str]:
        return {row["number"]: row["name"] for row in self.lines("extensions")}

    def test_import_adds_and_changes(self) -> None:
        self.assertEqual(self.line("extensions", "import", self.staff()), {"added": 2, "changed": 1, "removed": 0, "entries": 13})
        self.assertEqual(self.line("extensions", "import", self.staff())["changed"], 0)
        self.assertEqual(self.names()["700"], "Ünal, Zoë")

    def test_import_that_replaces(self) -> None:
        self.assertEqual(self.line("extensions", "import", self.staff(), "--replace", "--yes")["removed"], 10)
        self.assertEqual(list(self.names()), ["301", "700", "800"])
        sarah = self.opened().repository.tenancy().workspaces["demo"].directory.extensions[0]
        self.assertEqual(sarah.id, "sarah-mitchell")  # who was known stays the same one

    def test_a_wrong_file_changes_nothing(self) -> None:
        before = self.names()
        told = self.error("extensions", "import", self.staff("number,display_name\n901,Ann\n9 2,Bob\n"))
        self.assertIn("staff.csv: line 3, column number: '9 2'", told)
        self.assertIn("nothing was imported", told)
        self.assertEqual(self.names(), before)

    def test_what_would_be_taken_out_is_asked_about(self) -> None:
        before = self.names()
        self.assertIn("take 10 entries out of the directory", self.error("extensions", "import", self.staff(), "--replace"))
        self.assertIn("take 301 Sarah Mitchell out", self.error("extensions", "remove", "301"))
        self.assertEqual(self.names(), before)

    def test_availability_and_warm_transfer(self) -> None:
        made = self.line("extension", "add", "901", "Ann", "--warm-transfer", "--availability", "Mo-Fr 08:00-17:00")
        self.assertEqual((made["warm_transfer"], made["availability"]), (True, "Mo-Fr 08:00-17:00"))
        self.assertIn("Mo-Fr 08:00-17:00  yes", self.output("extension", "list"))
        self.assertIn("'lunch'", self.error("extension", "add", "901", "Ann", "--availability", "lunch"))

    def test_add_describe_anew_and_remove(self) -> None:
        made = self.line(
            "extensions", "add", "600", "Front Desk", "--kind", "department", "--digit", "9", "--alias", "hall", "--operator"
        )
        self.assertEqual((made["kind"], made["digit"], made["aliases"], made["operator"]), ("department", "9", ["hall"], True))
        self.assertEqual(self.output("extensions", "add", "600", "Lobby"), "600 Lobby is changed\n")
        self.assertIn("no operator now", self.output("extensions", "remove", "lobby", "--yes"))
        self.assertNotIn("600", self.names())

    def test_what_a_file_does_not_speak_of_stays(self) -> None:
        self.output("extension", "set", "301", "--availability", "off", "--pronunciation", "sah-rah mitch-ell")
        told = self.line("extension", "import", self.staff("number,display_name\n301,Sara Mitchell\n"))
        self.assertEqual((told["added"], told["changed"]), (0, 1))
        row = next(row for row in self.lines("extension") if row["number"] == "301")
        self.assertEqual((row["name"], row["availability"], row["department"]), ("Sara Mitchell", "off", "billing"))

    def test_one_entry_changed(self) -> None:
        before = next(row for row in self.lines("extension") if row["number"] == "301")
        row = self.line("extension", "set", "sarah mitchell", "--alias", "sally", "--digit", "1", "--warm-transfer", "--operator")
        self.assertEqual(row, {**before, "aliases": ["sally"], "digit": "1", "warm_transfer": True, "operator": True})
        self.assertEqual([one["name"] for one in self.lines("extension") if one["digit"] == "1"], ["Sarah Mitchell"])
        row = self.line(
            "extension", "set", "301", "--no-aliases", "--digit", "", "--no-operator", "--name", "Sara", "--number", "311"
        )
        self.assertEqual(
            (row["number"], row["name"], row["aliases"], row["digit"], row["operator"]), ("311", "Sara", [], "", False)
        )
        self.output("extension", "set", "100", "--operator")
        self.output("extension", "set", "311", "--no-operator")
        self.assertEqual([one["number"] for one in self.lines("extension") if one["operator"]], ["100"])
        self.assertIn("somebody else's number", self.error("extension", "set", "311", "--number", "302"))
        self.assertIn("what to change", self.error("extension", "set", "311"))
        self.assertIn("'x'", self.error("extension", "set", "311", "--digit", "x"))

    def test_a_key_belongs_to_one(self) -> None:
        self.output("extensions", "add", "299", "Orders", "--digit", "1")
        self.assertEqual([row["name"] for row in self.lines("extensions") if row["digit"] == "1"], ["Orders"])

    def test_errors(self) -> None:
        self.assertIn("'3 01'", self.error("extensions", "add", "3 01", "Sarah"))
        self.assertIn("'301'", self.error("extensions", "add", "901", "301"))
        self.assertIn("did you mean Sarah Mitchell", self.error("extensions", "remove", "sara mitchel"))
        self.assertIn("no-such.csv", self.error("extensions", "import", "no-such.csv"))
