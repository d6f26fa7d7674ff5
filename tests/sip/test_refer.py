"""REFER: what is written and read, and the table of a transfer over every (state, input) pair."""

from __future__ import annotations

from itertools import product
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.sip.message import Headers, Request
from smartalex.sip.refer import (
    TRANSFER,
    Progress,
    Tell,
    Transfer,
    TransferInput,
    TransferState,
    input_of_notify,
    notify_headers,
    read_event_id,
    read_notify,
    read_refer_to,
    refer_headers,
    sipfrag,
)

S, I, T = TransferState, TransferInput, Tell  # noqa: E741

EXPECTED = {
    (S.SENT, I.ACCEPTED): (T.ACCEPTED, S.ACCEPTED),
    (S.SENT, I.REFUSED): (T.PROGRESS, S.OVER),
    (S.SENT, I.UNANSWERED): (T.LOST, S.OVER),
    (S.SENT, I.PROGRESS): (T.PROGRESS, S.SENT),
    (S.SENT, I.OUTCOME): (T.PROGRESS, S.OVER),
    (S.SENT, I.NO_OUTCOME): (T.LOST, S.OVER),
    (S.ACCEPTED, I.PROGRESS): (T.PROGRESS, S.ACCEPTED),
    (S.ACCEPTED, I.OUTCOME): (T.PROGRESS, S.OVER),
    (S.ACCEPTED, I.NO_OUTCOME): (T.LOST, S.OVER),
}
ANSWERS = (I.ACCEPTED, I.REFUSED, I.UNANSWERED)
NOTIFIES = (I.PROGRESS, I.OUTCOME, I.NO_OUTCOME)


def notify(body: bytes, state: str = "active;expires=60", event: str = "refer") -> Request:
    return Request("NOTIFY", "sip:h", Headers([("Event", event), ("Subscription-State", state)]), body)


class Table(TestCase):
    def test_every_pair(self) -> None:
        for state, event in product(S, I):
            transfer = Transfer(1)
            transfer.state = state
            told = transfer.input(event)
            with self.subTest(state=state, event=event):
                if (state, event) in EXPECTED:
                    self.assertEqual((told, transfer.state), ((EXPECTED[state, event][0],), EXPECTED[state, event][1]))
                else:
                    self.assertEqual((told, transfer.state), (() if state is S.OVER and event in ANSWERS else None, state))

    @given(
        st.sampled_from(ANSWERS), st.lists(st.sampled_from((I.PROGRESS, I.OUTCOME, I.NO_OUTCOME)), max_size=6), st.integers(0, 6)
    )
    def test_an_outcome_is_told_at_most_once_and_nothing_after_it(self, answer: I, notifies: list[I], when: int) -> None:
        transfer, told = Transfer(1), []
        for event in (*notifies[:when], answer, *notifies[when:]):
            told.append((transfer.over, transfer.input(event)))
        self.assertTrue(all(not what for over, what in told if over), told)

    def test_the_table_has_no_more(self) -> None:
        self.assertEqual(len(TRANSFER), len(EXPECTED) + len(ANSWERS))


class Writing(TestCase):
    def test_refer(self) -> None:
        written = refer_headers("sip:300@h", "<sip:b@h>", (("X", "y"),))
        self.assertEqual(written, (("Refer-To", "<sip:300@h>"), ("Referred-By", "<sip:b@h>"), ("X", "y")))
        self.assertEqual(refer_headers('"S" <sip:300@h>', "")[0][1], '"S" <sip:300@h>')

    def test_sipfrag(self) -> None:
        self.assertEqual((sipfrag(180), sipfrag(486, "Busy"), sipfrag(699)), (
            b"SIP/2.0 180 Ringing\r\n", b"SIP/2.0 486 Busy\r\n", b"SIP/2.0 699 Unknown\r\n",
        ))  # fmt: skip

    @given(st.integers(100, 699), st.booleans(), st.text("abc ", max_size=10).map(str.strip))
    def test_what_is_written_is_read(self, status: int, final: bool, reason: str) -> None:
        request = Request("NOTIFY", "sip:h", Headers(notify_headers("7", final=final)), sipfrag(status, reason))
        progress = read_notify(request)
        self.assertEqual((progress.status, progress.final, read_event_id(request)), (status, final, "7"))
        self.assertEqual(progress.reason, reason or progress.reason)


class Reading(TestCase):
    def test_states(self) -> None:
        body = b"SIP/2.0 200 OK\r\n"
        for state, final in (
            ("active;expires=1", False),
            ("pending", False),
            ("Terminated;reason=noresource", True),
            ("", False),
        ):
            self.assertEqual(read_notify(notify(body, state)), Progress(200, "OK", final), state)

    def test_bodies_as_they_come(self) -> None:
        for body, status in (
            (b"SIP/2.0 100 Trying", 100), (b"\r\nsip/2.0 180 \r\nTo: <sip:x>\r\n", 180), (b"SIP/2.0 503\n", 503),
            (b"", 100), (b" \r\n", 100),
        ):  # fmt: skip
            self.assertEqual(read_notify(notify(body)).status, status, body)

    def test_bodies_that_say_nothing(self) -> None:
        for body in (
            b"hello",
            b"SIP/2.0 2000 OK",
            b"SIP/2.0 099 x",
            b"SIP/1.0 200 OK",
            b"SIP/2.0 \xd9\xa1\xd9\xa1\xd9\xa1 x",
            b"\xff",
        ):
            with self.assertRaises(RemoteError) as caught:
                read_notify(notify(body))
            self.assertEqual(caught.exception.status, 400, body)

    def test_what_a_notify_means(self) -> None:
        for status, final, meaning in (
            (180, False, I.PROGRESS),
            (200, False, I.PROGRESS),
            (200, True, I.OUTCOME),
            (486, True, I.OUTCOME),
        ):
            self.assertIs(input_of_notify(Progress(status, "", final)), meaning)
        self.assertIs(input_of_notify(Progress(100, "", True)), I.NO_OUTCOME)

    def test_events(self) -> None:
        self.assertEqual(
            [read_event_id(notify(b"", event=e)) for e in ("refer", "Refer ; id=93", "refer;x;id=1")], [None, "93", "1"]
        )
        for event in ("", "presence", "message-summary;id=1"):
            with self.assertRaises(RemoteError) as caught:
                read_event_id(notify(b"", event=event))
            self.assertEqual(caught.exception.status, 489)

    def test_one_target(self) -> None:
        def refer(*targets: str) -> Request:
            return Request("REFER", "sip:h", Headers([("Refer-To", target) for target in targets]))

        self.assertEqual(str(read_refer_to(refer("sip:300@h")).uri), "sip:300@h")
        for wrong in ((), ("<sip:a@h>", "<sip:b@h>"), ("<sip:a@h>, <sip:b@h>",), ("nobody",)):
            with self.assertRaises(RemoteError) as caught:
                read_refer_to(refer(*wrong))
            self.assertEqual(caught.exception.status, 400)

    @given(st.binary(max_size=40), st.text(max_size=20), st.text(max_size=20))
    def test_any_notify_is_read_or_refused(self, body: bytes, state: str, event: str) -> None:
        for read in (read_notify, read_event_id):
            try:
                read(notify(body, state, event))
            except RemoteError as error:
                self.assertIn(error.status, (400, 489))
