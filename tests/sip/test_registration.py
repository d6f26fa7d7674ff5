"""Registering as an extension: the whole table, every kind of answer, and the times."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import RemoteError
from smartalex.machine import step
from smartalex.sip.message import Headers, Response
from smartalex.sip.registration import (
    FAILED_S,
    REFUSED_S,
    TABLE,
    Action,
    Answer,
    Identity,
    Input,
    State,
    back_off_s,
    read,
    refresh_s,
)
from smartalex.sip.uri import Uri

US = Uri.parse("sip:300@192.0.2.1:5060")
ANSWERS = (Input.OK, Input.BRIEF, Input.REFUSAL, Input.FAILURE)
ASKING = (State.REGISTERING, State.HURRYING, State.LEAVING, State.UNREGISTERING)
TIMED = (State.REGISTERED, State.WAITING, State.REFUSED)


def answer(status: int, *headers: tuple[str, str], reason: str = "Why", asked_s: int = 600, raised: bool = False) -> Answer:
    return read(Response(status, reason, Headers(headers)), US, asked_s, raised=raised)


class Everywhere(TestCase):
    """What has to be true of every row, listed or not."""

    def test_an_answer_is_expected_exactly_while_a_request_is_under_way(self) -> None:
        for state in State:
            for event in ANSWERS:
                self.assertEqual(step(TABLE, state, event) is not None, state in ASKING, (state, event))

    def test_the_timer_runs_exactly_where_something_is_due(self) -> None:
        for (state, event), (actions, after) in TABLE.items():
            sets = Action.REFRESH_LATER in actions or Action.BACK_OFF in actions
            self.assertEqual(after in TIMED, sets, (state, event))
            if state in TIMED and event is not Input.DUE:
                self.assertEqual(actions[0], Action.STOP_TIMER)
        self.assertEqual({state for state in State if (state, Input.DUE) in TABLE}, set(TIMED))

    def test_one_request_at_a_time(self) -> None:
        for (state, event), (actions, after) in TABLE.items():
            sent = [action for action in actions if action in (Action.REGISTER, Action.UNREGISTER)]
            self.assertLessEqual(len(sent), 1)
            if sent:
                self.assertTrue(state not in ASKING or event in ANSWERS, (state, event))
                self.assertEqual(actions[-1], sent[0], "an answer may come at once")
                self.assertEqual(after, State.REGISTERING if sent[0] is Action.REGISTER else State.UNREGISTERING)

    def test_stopping_comes_to_an_end_and_tells_it_once(self) -> None:
        for (state, event), (actions, after) in TABLE.items():
            self.assertEqual(Action.END in actions, after is State.ENDED, (state, event))
        for state in State:
            if state is not State.ENDED:
                self.assertIn((state, Input.STOP), TABLE)
        for state in (State.LEAVING, State.UNREGISTERING):
            self.assertEqual(TABLE[state, Input.GIVE_UP], ((Action.END,), State.ENDED))
        self.assertEqual([row for row in TABLE if row[0] is State.ENDED], [])

    def test_what_is_registered_is_unregistered(self) -> None:
        self.assertIn(Action.UNREGISTER, TABLE[State.REGISTERED, Input.STOP][0])
        self.assertIn(Action.UNREGISTER, TABLE[State.LEAVING, Input.OK][0])


class Granted(TestCase):
    def test_our_contact_among_others(self) -> None:
        rows = (("Contact", "<sip:300@10.0.0.1>;expires=9"), ("Contact", "<sip:%3300@192.0.2.1:5060;x=1>;expires=120"))
        self.assertEqual(answer(200, *rows), Answer(Input.OK, 120))

    def test_the_only_one_written_in_another_way(self) -> None:
        self.assertEqual(answer(200, ("Contact", "<sip:300@198.51.100.9:5060>;expires=90")).seconds, 90)

    def test_the_header_and_what_was_asked_for(self) -> None:
        self.assertEqual(answer(200, ("Expires", "70"), ("Contact", "<sip:300@192.0.2.1:5060>")).seconds, 70)
        two = (("Contact", "<sip:a@h>;expires=5"), ("Contact", "<sip:b@h>;expires=6"))
        self.assertEqual(answer(200, *two).seconds, 600)
        for text, seconds in (("soon", 600), ("\u0663", 600), ("99999999999", 86_400)):
            self.assertEqual(answer(200, ("Contact", "nonsense<"), ("Expires", text)).seconds, seconds)

    def test_no_time_at_all_is_a_failure_but_not_when_we_leave(self) -> None:
        self.assertEqual(answer(200, ("Expires", "0")).input, Input.FAILURE)
        self.assertEqual(answer(200, ("Expires", "0"), asked_s=0).input, Input.OK)

    def test_routes(self) -> None:
        heard = answer(200, ("Service-Route", "<sip:a;lr>, <sip:b;lr>"), ("Service-Route", "<sip:c;lr>"), ("Path", "<sip:p;lr>"))
        self.assertEqual((heard.service_route, heard.path), (("<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"), ("<sip:p;lr>",)))


class Refused(TestCase):
    def test_too_brief_is_raised_once(self) -> None:
        rows = (("Min-Expires", "1800"),)
        self.assertEqual(answer(423, *rows), Answer(Input.BRIEF, 1800, "423 Why"))
        for options in ({"raised": True}, {"asked_s": 1800}):
            self.assertEqual(answer(423, *rows, **options).input, Input.REFUSAL)  # type: ignore[arg-type]
        self.assertEqual(answer(423).input, Input.REFUSAL)
        self.assertEqual(answer(423, ("Min-Expires", "9999999999")).input, Input.REFUSAL)

    def test_what_would_be_refused_again_and_what_may_pass(self) -> None:
        for status in (301, 302, 400, 401, 403, 404, 407, 501, 600, 603):
            self.assertEqual(answer(status).input, Input.REFUSAL, status)
        for status in (408, 480, 486, 500, 502, 503, 504, 580):
            self.assertEqual(answer(status).input, Input.FAILURE, status)

    def test_retry_after(self) -> None:
        for text, seconds in (("120", 120), ("18000;duration=3600", 18000), ("60 (maintenance)", 60), ("soon", 0), ("\u0661", 0)):
            self.assertEqual(answer(503, ("Retry-After", text)), Answer(Input.FAILURE, seconds, "503 Why"))

    def test_their_words_are_bounded_and_printable(self) -> None:
        self.assertEqual(answer(403, reason="No\x1b[2J" + "x" * 100).why, "403 No?[2J" + "x" * 54)
        self.assertEqual(answer(403, reason="").why, "403")


class Times(TestCase):
    @given(st.floats(20, 86_400), st.floats(0, 1))
    def test_refreshed_in_good_time(self, granted_s: float, chance: float) -> None:
        wait_s = refresh_s(granted_s, chance)
        self.assertLessEqual(wait_s, granted_s - 10)
        self.assertLessEqual(wait_s, granted_s * 0.95 + 1e-6)
        self.assertGreaterEqual(wait_s, min(granted_s * 0.85, granted_s - 10) - 1e-6)

    def test_short_ones_at_half_their_time(self) -> None:
        self.assertEqual([refresh_s(seconds, 0.5) for seconds in (1, 4, 19)], [1.0, 2.0, 9.5])

    def test_back_off(self) -> None:
        self.assertEqual([back_off_s(n, *FAILED_S, 1.0) for n in (1, 2, 3, 6, 99)], [60, 120, 240, 1800, 1800])
        self.assertEqual([back_off_s(n, *FAILED_S, 0.0) for n in (1, 2, 99)], [30, 60, 900])
        self.assertEqual([back_off_s(n, *REFUSED_S, 0.0) for n in (1, 2, 99)], [300, 600, 1800])


class Who(TestCase):
    def test_address_and_registrar(self) -> None:
        found = Identity.of("sip:300@pbx.example.com:5080;transport=tcp;user=phone")
        self.assertEqual(
            (str(found.address), str(found.registrar)), ("sip:300@pbx.example.com", "sip:pbx.example.com:5080;transport=tcp")
        )
        self.assertEqual(found.user, "300")

    def test_what_is_none(self) -> None:
        for text in (
            "pbx.example.com",
            "sip:pbx.example.com",
            "tel:+1555",
            "sip:300:secret@pbx",
            "sip:300@pbx?a=b",
            "300@pbx",
            "",
        ):
            self.assertRaises(RemoteError, Identity.of, text)
