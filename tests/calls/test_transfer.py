"""Reading what became of a REFER."""

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.calls import transfer
from smartalex.calls.lifecycle import Input
from smartalex.calls.transfer import Deadline


class Reading(TestCase):
    def test_trying_says_nothing_and_ringing_starts_the_ring_limit(self) -> None:
        self.assertEqual(transfer.progress(100, final=False), transfer.NOTHING)
        self.assertIs(transfer.progress(180, final=False).deadline, Deadline.RINGING)

    def test_200_is_done_though_the_subscription_stays_open(self) -> None:
        self.assertIs(transfer.progress(200, final=False).input, Input.REFER_DONE)
        self.assertIs(transfer.progress(200, final=True).input, Input.REFER_DONE)

    def test_causes(self) -> None:
        wanted = {
            486: "busy",
            480: "no answer",
            404: "not found",
            603: "declined",
            503: "unreachable",
            501: "not supported",
            401: "authentication wanted",
        }
        for status, cause in wanted.items():
            found = transfer.progress(status, final=True)
            self.assertEqual((found.input, found.cause, found.no_pbx), (Input.REFER_FAILED, cause, status == 503))

    def test_a_subscription_that_ends_on_a_provisional_has_no_outcome(self) -> None:
        self.assertEqual(transfer.progress(180, final=True), transfer.Step(Input.REFER_FAILED, "outcome unknown"))

    def test_deadlines(self) -> None:
        first = transfer.Step(Input.REFER_FAILED, "no response", no_pbx=True)
        self.assertEqual(transfer.deadline_passed(Deadline.FIRST_SIGN), first)
        self.assertEqual(transfer.deadline_passed(Deadline.RINGING), transfer.Step(Input.REFER_FAILED, "no answer"))

    @given(st.integers(100, 699), st.booleans())
    def test_a_final_notify_always_decides(self, status: int, final: bool) -> None:
        taken = transfer.progress(status, final=final)
        if final or status >= 200:
            self.assertIn(taken.input, (Input.REFER_DONE, Input.REFER_FAILED))
