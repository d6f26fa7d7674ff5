"""Turn taking: the table over every pair, and the figures it is fed with."""

from __future__ import annotations

from itertools import product
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.ai.turn import TABLE, Action, Input, Pace, State, Turns
from smartalex.machine import step


def run(
    turns: Turns, ms: int, speech: bool = False, speaking: bool = False, interruptible: bool = True
) -> list[tuple[int, Action]]:
    """Frames of one kind; (ms from here, action) for each action."""
    return [(at + 20, action) for at in range(0, ms, 20) for action in turns.frame(speech, speaking, interruptible)]


class Table(TestCase):
    def test_every_pair_is_a_row_or_has_no_effect(self) -> None:
        for state, event in product(State, Input):
            row = step(TABLE, state, event)
            if row is not None:
                actions, after = row
                self.assertIsInstance(after, State)
                self.assertTrue(all(isinstance(action, Action) for action in actions))

    def test_a_held_agent_is_always_let_go_or_cut(self) -> None:
        """Every way out of HELD, DOUBT and CHECKING plays on, takes away, or is a suspension (which flushes)."""
        held = {State.HELD, State.DOUBT, State.CHECKING}
        for (state, event), (actions, after) in TABLE.items():
            if state in held and after not in held and event is not Input.SUSPEND:
                self.assertTrue({Action.RESUME, Action.INTERRUPT} & set(actions), (state, event))

    def test_every_state_can_be_suspended_and_none_is_a_dead_end(self) -> None:
        for state in State:
            if state is not State.SUSPENDED:
                self.assertEqual(TABLE[state, Input.SUSPEND][1], State.SUSPENDED)
        self.assertEqual(TABLE[State.SUSPENDED, Input.CONTINUE][1], State.IDLE)

    def test_nothing_is_heard_while_suspended(self) -> None:
        self.assertEqual([event for state, event in TABLE if state is State.SUSPENDED], [Input.CONTINUE])


class OneTurn(TestCase):
    def test_speech_starts_after_60_ms_and_ends_after_500_of_quiet(self) -> None:
        turns = Turns()
        self.assertEqual(run(turns, 1000, speech=True), [(60, Action.START)])
        self.assertEqual(run(turns, 1000), [(500, Action.END)])
        self.assertIs(turns.state, State.THINKING)

    def test_a_click_is_no_speech(self) -> None:
        turns = Turns()
        self.assertEqual(run(turns, 40, speech=True) + run(turns, 2000), [])

    def test_a_pause_within_a_turn_does_not_end_it(self) -> None:
        turns = Turns()
        run(turns, 500, speech=True)
        self.assertEqual(run(turns, 480) + run(turns, 500, speech=True) + run(turns, 480), [])

    def test_endpoints_by_what_is_expected(self) -> None:
        for kind, ms in (("any", 500), ("confirm", 300), ("choice", 300), ("digits", 1000), ("nonsense", 500)):
            turns = Turns()
            turns.expect(kind)
            run(turns, 300, speech=True)
            self.assertEqual(run(turns, 1500), [(ms, Action.END)], kind)

    def test_a_monologue_is_cut_after_60_s_and_noise_does_not_interrupt_what_follows(self) -> None:
        turns = Turns()
        actions = run(turns, 61_000, speech=True)
        self.assertEqual([action for _, action in actions], [Action.START, Action.END])
        self.assertIs(turns.state, State.CUTTING)
        self.assertEqual(run(turns, 3000, speech=True, speaking=True), [])
        self.assertEqual(run(turns, 400), [])
        self.assertIs(turns.state, State.IDLE)

    def test_endless_noise_still_ends_in_goodbye(self) -> None:
        turns = Turns()
        actions = [action for _, action in run(turns, 100_000, speech=True)]
        self.assertEqual(actions[2:5], [Action.REPROMPT, Action.REPROMPT, Action.GOODBYE])


class BargeIn(TestCase):
    def speaking(self) -> Turns:
        turns = Turns()
        run(turns, 1000, speaking=True)
        return turns

    def test_hold_at_200_commit_at_500(self) -> None:
        turns = self.speaking()
        self.assertEqual(
            run(turns, 500, speech=True, speaking=True), [(200, Action.HOLD), (200, Action.START), (500, Action.INTERRUPT)]
        )
        self.assertEqual(run(turns, 500, speech=True), [])
        self.assertEqual(run(turns, 600), [(500, Action.END)])

    def test_a_cough_is_played_over(self) -> None:
        turns = self.speaking()
        run(turns, 260, speech=True, speaking=True)
        self.assertEqual(run(turns, 2000, speaking=True), [(500, Action.CHECK), (1500, Action.RESUME)])
        self.assertIs(turns.state, State.IDLE)

    def test_a_recogniser_that_heard_nothing_ends_the_doubt_early(self) -> None:
        turns = self.speaking()
        run(turns, 260, speech=True, speaking=True)
        run(turns, 600, speaking=True)
        self.assertEqual(turns.words(""), (Action.RESUME,))

    def test_one_word_commits(self) -> None:
        turns = self.speaking()
        run(turns, 260, speech=True, speaking=True)
        run(turns, 600, speaking=True)
        self.assertEqual(turns.words("operator"), (Action.INTERRUPT, Action.OWED))

    def test_an_acknowledgement_does_not_commit_unless_an_answer_is_expected(self) -> None:
        for kind, expected in (("any", (Action.RESUME,)), ("confirm", (Action.INTERRUPT, Action.OWED))):
            turns = self.speaking()
            turns.expect(kind)
            run(turns, 260, speech=True, speaking=True)
            run(turns, 600, speaking=True)
            self.assertEqual(turns.words("uh-huh, okay" if kind == "any" else "yes"), expected)

    def test_a_guess_that_is_nothing_decides_nothing(self) -> None:
        turns = self.speaking()
        run(turns, 260, speech=True, speaking=True)
        self.assertEqual(turns.words("", final=False), ())
        self.assertEqual(turns.words("no wait", final=False), (Action.INTERRUPT,))
        self.assertIs(turns.state, State.CALLER)

    def test_echo_guard(self) -> None:
        turns = Turns()
        self.assertEqual(run(turns, 480, speech=True, speaking=True), [])
        self.assertEqual(run(turns, 40, speech=True, speaking=True)[0], (20, Action.HOLD))

    def test_what_may_not_be_interrupted_is_not_but_the_caller_is_heard(self) -> None:
        turns = Turns()
        run(turns, 1000, speaking=True, interruptible=False)
        self.assertEqual(run(turns, 800, speech=True, speaking=True, interruptible=False), [(200, Action.START)])
        self.assertEqual(run(turns, 600, speaking=True, interruptible=False), [(500, Action.END)])

    def test_an_agent_that_starts_over_the_caller_is_held_at_once(self) -> None:
        turns = Turns()
        run(turns, 200, speech=True)
        self.assertEqual(run(turns, 20, speech=True, speaking=True), [(20, Action.HOLD)])

    def test_a_key_interrupts_at_once_everywhere_but_in_a_tool(self) -> None:
        for state in State:
            turns = Turns()
            turns.state = state
            hears = state not in (State.BUSY, State.SUSPENDED)
            self.assertEqual(turns.input(Input.KEY), (Action.INTERRUPT, Action.PRESS) if hears else ())


class Silence(TestCase):
    def test_two_reprompts_then_goodbye_each_after_8_s(self) -> None:
        turns = Turns()
        self.assertEqual(run(turns, 8000), [(8000, Action.REPROMPT)])
        run(turns, 1500, speaking=True)
        self.assertEqual(run(turns, 8000), [(8000, Action.REPROMPT)])
        run(turns, 1500, speaking=True)
        self.assertEqual(run(turns, 8000), [(8000, Action.GOODBYE)])
        self.assertIs(turns.state, State.SUSPENDED)

    def test_an_agents_own_limit(self) -> None:
        for seconds, waits in ((30, (8000, 8000, 14_000)), (12, (4000, 4000, 4000)), (600, (8000, 8000, 584_000))):
            turns = Turns(Pace.giving_up_after(seconds))
            said = (Action.REPROMPT, Action.REPROMPT, Action.GOODBYE)
            for wait, action in zip(waits, said, strict=True):
                self.assertEqual(run(turns, wait), [(wait, action)], seconds)
                run(turns, 200, speaking=True)

    def test_real_speech_and_keys_start_it_anew_a_click_does_not(self) -> None:
        for what, prompted in (
            (lambda t: run(t, 700, speech=True), 0),
            (lambda t: t.input(Input.KEY), 0),
            (lambda t: run(t, 40, speech=True), 1),
        ):
            turns = Turns()
            run(turns, 8000)
            what(turns)
            self.assertEqual(turns.prompted, prompted)

    def test_a_tool_that_takes_long_is_commented_and_never_hangs_up(self) -> None:
        turns = Turns()
        turns.input(Input.TOOL)
        self.assertEqual([a for _, a in run(turns, 40_000)], [Action.COMFORT] * 5)


class AnyCaller(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 200)), max_size=40))
    def test_held_is_never_for_long(self, periods: list[tuple[bool, bool, int]]) -> None:
        """The agent is held while the caller speaks, and little more than 1.5 s longer."""
        turns = Turns(Pace())
        held = {State.HELD, State.DOUBT, State.CHECKING}
        quiet = 0
        for speech, speaking, frames in periods:
            for _ in range(frames):
                turns.frame(speech, speaking)
                quiet = 0 if speech else quiet + 20
                if turns.state in held:
                    self.assertLess(quiet, 1500 + 500)
