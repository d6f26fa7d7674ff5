"""The call's table over every (state, input)."""

from itertools import product
from unittest import TestCase

from smartalex.calls.lifecycle import LIFECYCLE, Action, Input, State
from smartalex.machine import step

LIVE = [state for state in State if state is not State.ENDED]


class Lifecycle(TestCase):
    def test_every_pair_is_either_listed_or_ignored(self) -> None:
        for state, event in product(State, Input):
            row = step(LIFECYCLE, state, event)
            if row is not None:
                actions, after = row
                self.assertIn(after, State)
                self.assertTrue(all(isinstance(action, Action) for action in actions))

    def test_the_end_is_final(self) -> None:
        self.assertTrue(all(step(LIFECYCLE, State.ENDED, event) is None for event in Input))

    def test_every_live_state_survives_neither_the_peer_nor_our_hanging_up(self) -> None:
        for state, event in product(LIVE, (Input.PEER_GONE, Input.HANG_UP)):
            actions, after = LIFECYCLE[state, event]
            self.assertIs(after, State.ENDED, (state, event))
            self.assertEqual(actions.count(Action.RELEASE), 1, (state, event))

    def test_whatever_ends_the_call_releases_it_exactly_once_and_last(self) -> None:
        for pair, (actions, after) in LIFECYCLE.items():
            self.assertEqual(Action.RELEASE in actions, after is State.ENDED, pair)
            if after is State.ENDED:
                self.assertIs(actions[-1], Action.RELEASE, pair)

    def test_a_bye_is_sent_only_when_the_peer_has_not_gone(self) -> None:
        for (state, event), (actions, _) in LIFECYCLE.items():
            if event is Input.PEER_GONE:
                self.assertNotIn(Action.BYE, actions, state)

    def test_after_acceptance_a_bye_of_the_pbx_is_a_transfer(self) -> None:
        self.assertIn(Action.MARK_TRANSFERRED, LIFECYCLE[State.HANDED_OVER, Input.PEER_GONE][0])
        self.assertNotIn(Action.MARK_TRANSFERRED, LIFECYCLE[State.TRANSFERRING, Input.PEER_GONE][0])

    def test_a_transfer_returns_to_talking_with_its_media(self) -> None:
        actions, after = LIFECYCLE[State.HANDED_OVER, Input.REFER_FAILED]
        self.assertEqual((actions, after), ((Action.RETURN_MEDIA, Action.REPORT_FAILURE), State.TALKING))

    def test_every_state_can_be_reached(self) -> None:
        reached = {State.RINGING} | {after for _, after in LIFECYCLE.values()}
        self.assertEqual(reached, set(State))
