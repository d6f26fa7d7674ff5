from __future__ import annotations

from itertools import product
from unittest import TestCase

from smartalex.ai.receptionist.dialogue import MEANING, ReceptionistDialogue, State, hints_for_a_request, respelled
from smartalex.ai.receptionist.grammar import FIXED, Intent
from smartalex.interfaces import CallTool, Destination, Expect, Reply, Say, Utterance
from tests.ai.receptionist.office import brief

KINDS = (*FIXED, "destination", "choice", "operator", "none")
REQUEST, TWO, YES, NO = "connect me to sarah in billing", "tom please", "yes", "no"
INTO = {
    State.ASKING: (), State.CONFIRMING: (REQUEST,), State.CHOOSING: (TWO,), State.OFFERING: (REQUEST, YES, "refused"),
    State.BUSY: (REQUEST, YES),
}  # fmt: skip


def conversation(*said: str, operator: str | None = "reception") -> tuple[ReceptionistDialogue, Reply]:
    """What the last of these led to; "refused" is the PBX's answer to a transfer, a digit a key."""
    dialogue = ReceptionistDialogue(brief(operator))
    reply = dialogue.start(greeted=True)
    for one in said:
        if one == "refused":
            reply = dialogue.tool_result("transfer", False, {"cause": "busy"})
        elif len(one) == 1 and not one.isalpha():
            reply = dialogue.pressed(one)
        else:
            reply = dialogue.heard(Utterance(one))
    return dialogue, reply


def says(reply: Reply) -> str:
    return " ".join(part.text for part in reply if isinstance(part, Say))


def tools(reply: Reply) -> list[tuple[str, str]]:
    return [
        (part.name, part.arguments.get("destination", part.arguments.get("for", "")))
        for part in reply
        if isinstance(part, CallTool)
    ]


class Table(TestCase):
    def test_every_state_has_an_answer_to_everything(self) -> None:
        self.assertEqual(set(MEANING), set(product(State, KINDS)))

    def test_every_answer_says_or_does_something_and_listens_again(self) -> None:
        for state, kind in product(State, KINDS):
            dialogue, _ = conversation(*INTO[state])
            self.assertIs(dialogue.state, state)
            candidates = {"destination": ("tom",), "choice": ("1",)}.get(kind, ())
            reply = MEANING[state, kind](dialogue, Intent(kind, candidates))
            if state is State.BUSY:
                self.assertEqual((reply, dialogue.state), ((), State.BUSY), kind)
            else:
                self.assertTrue(any(isinstance(part, Say | CallTool) for part in reply), (state, kind))
                self.assertTrue(any(isinstance(part, Expect) for part in reply) or dialogue.state is State.BUSY, (state, kind))

    def test_only_a_yes_to_the_name_transfers(self) -> None:
        for state, kind in product(State, KINDS):
            dialogue, _ = conversation(*INTO[state])
            reply = MEANING[state, kind](dialogue, Intent(kind, {"destination": ("tom",), "choice": ("1",)}.get(kind, ())))
            transferred = [whom for name, whom in tools(reply) if name == "transfer"]
            self.assertEqual(transferred, ["sarah"] if (state, kind) == (State.CONFIRMING, "yes") else [], (state, kind))


class Conversations(TestCase):
    def test_a_request_is_confirmed_before_the_transfer(self) -> None:
        _, reply = conversation(REQUEST)
        self.assertEqual(says(reply), "Shall I connect you to Sarah Mitchell in billing?")
        self.assertEqual(tools(conversation(REQUEST, YES)[1]), [("transfer", "sarah")])

    def test_two_with_one_name_are_told_apart(self) -> None:
        _, reply = conversation(TWO)
        self.assertIn("Tom Baker in sales, press 1 or Tom Jones in billing, press 2", says(reply))
        for answer in ("2", "the second one", "tom in billing"):
            self.assertIn("Tom Jones", says(conversation(TWO, answer)[1]), answer)

    def test_a_name_that_was_wrong_is_not_guessed_again(self) -> None:
        dialogue, reply = conversation(REQUEST, NO)
        hints = next(part.hints for part in reply if isinstance(part, Expect))
        self.assertNotIn("sarah", hints.grammar)
        self.assertIn("tom", hints.grammar)
        self.assertIs(dialogue.state, State.ASKING)

    def test_two_wrong_names_lead_to_the_operator(self) -> None:
        _, reply = conversation(REQUEST, NO, "sales", NO)
        self.assertEqual(tools(reply), [("transfer", "reception")])

    def test_what_is_not_understood_twice_is_asked_and_then_leads_to_the_operator_or_a_message(self) -> None:
        self.assertIn("press 1 for sales", says(conversation("")[1]))
        self.assertEqual(tools(conversation("", "", "")[1]), [("transfer", "reception")])
        self.assertEqual(tools(conversation("", "", "", operator=None)[1]), [("take_message", "")])

    def test_a_doubtful_hearing_is_none(self) -> None:
        dialogue = ReceptionistDialogue(brief())
        dialogue.start(greeted=True)
        dialogue.heard(Utterance(REQUEST, confidence=0.3))
        self.assertIs(dialogue.state, State.ASKING)

    def test_keys_stand_beside_speech(self) -> None:
        self.assertIn("connect you to billing?", says(conversation("2")[1]))
        self.assertEqual(tools(conversation("2", "1")[1]), [("transfer", "billing")])
        self.assertEqual(tools(conversation("0")[1]), [("transfer", "reception")])
        self.assertIn("message", says(conversation("0", operator=None)[1]))

    def test_a_spoken_wish_for_the_operator_is_confirmed(self) -> None:
        self.assertIn("reception", says(conversation("operator")[1]))
        self.assertEqual(tools(conversation("operator", YES)[1]), [("transfer", "reception")])

    def test_a_transfer_that_fails_ends_in_a_message_for_the_one_wanted(self) -> None:
        _, reply = conversation(REQUEST, YES, "refused")
        self.assertEqual(says(reply), "I wasn't able to connect you to Sarah Mitchell. Can I take a message instead?")
        self.assertEqual(tools(conversation(REQUEST, YES, "refused", YES)[1]), [("take_message", "sarah")])
        self.assertIn("anybody else", says(conversation(REQUEST, YES, "refused", NO)[1]))

    def test_a_respelling_in_the_directory_is_one_more_way_to_say_the_name(self) -> None:
        priya = Destination("priya", "Priya Naidoo", pronunciation="preeya nigh-doo")
        self.assertEqual(respelled(priya), [("priya(as-preeya)", "P R IY IY AA"), ("naidoo(as-nighdoo)", "N AY D UW")])
        self.assertIn(("naidoo(as-nighdoo)", "N AY D UW"), hints_for_a_request((priya,), ()).pronunciations)
        self.assertEqual(respelled(Destination("x", "Priya Naidoo", pronunciation="nigh-doo")), [])

    def test_silence_and_repeat_bring_the_question_again(self) -> None:
        dialogue, question = conversation(REQUEST)
        self.assertEqual(dialogue.silence(1), question)
        self.assertEqual(conversation(REQUEST, "repeat that")[1], question)
