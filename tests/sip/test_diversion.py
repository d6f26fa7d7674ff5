from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.sip.diversion import MOST, diversions
from smartalex.sip.message import Headers


def read(*rows: tuple[str, str]) -> list[tuple[str, str]]:
    return [(one.address.uri.user_text, one.reason) for one in diversions(Headers(rows))]


class FromDiversion(TestCase):
    def test_the_latest_stands_first(self) -> None:
        found = read(
            ("Diversion", '"Sales" <sip:200@pbx>;reason=no-answer;counter=1, <sip:201@pbx>;reason="user-busy"'),
            ("Diversion", "<tel:+27215550100>;reason=unconditional"),
        )
        self.assertEqual(found, [("200", "no-answer"), ("201", "user-busy"), ("+27215550100", "unconditional")])

    def test_a_broken_one_costs_only_itself(self) -> None:
        self.assertEqual(read(("Diversion", "<sip:200@h"), ("Diversion", "<sip:201@h>")), [("201", "")])

    def test_a_loop_of_them_is_cut(self) -> None:
        self.assertEqual(len(read(*[("Diversion", "<sip:1@h>")] * 50)), MOST)


class FromHistory(TestCase):
    def test_the_cause_stands_with_the_next_target(self) -> None:
        found = read((
            "History-Info",
            "<sip:100@pbx>;index=1, <sip:200@pbx;cause=486>;index=1.1, <sip:alex@192.0.2.1;cause=408>;index=1.1.1",
        ))  # fmt: skip
        self.assertEqual(found, [("200", "no-answer"), ("100", "user-busy")])

    def test_a_call_that_was_only_routed_was_not_diverted(self) -> None:
        self.assertEqual(read(("History-Info", "<sip:alex@h>;index=1, <sip:alex@192.0.2.1>;index=1.1;rc=1")), [])

    def test_diversion_counts_before_it(self) -> None:
        rows = (("Diversion", "<sip:300@h>"), ("History-Info", "<sip:1@h>;index=1, <sip:2@h;cause=302>;index=1.1"))
        self.assertEqual(read(*rows), [("300", "")])


class AnyText(TestCase):
    @given(st.text(max_size=80), st.sampled_from(["Diversion", "History-Info"]))
    def test_never_raises(self, text: str, name: str) -> None:
        self.assertLessEqual(len(diversions(Headers([(name, text)]))), MOST)
