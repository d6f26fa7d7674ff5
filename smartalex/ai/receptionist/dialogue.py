"""The receptionist's rules, sans-IO: nothing recognised is trusted before the caller said yes to it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from zope.interface import implementer

from smartalex.ai.receptionist.grammar import Intent, Names, jsgf, read, vocabulary
from smartalex.ai.receptionist.lexicon import phones
from smartalex.interfaces import Brief, CallTool, Destination, Expect, Hints, IDialogue, Reply, Say, Utterance


class State(Enum):
    ASKING = "asking"  # who would you like to speak to?
    CONFIRMING = "confirming"  # shall I connect you to ...?
    CHOOSING = "choosing"  # did you mean A or B?
    OFFERING = "offering"  # can I take a message instead?
    BUSY = "busy"  # a tool is running


MOST_FAILURES = 2


@implementer(IDialogue)
class ReceptionistDialogue:
    """Two failures in a row lead to the operator, or to message taking where there is none."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._names = Names.of(brief.destinations)
        self._by_id = {one.id: one for one in brief.destinations}
        self._by_digit = {one.digit: one.id for one in brief.destinations if one.digit}
        self.state = State.ASKING
        self._target = ""
        self._choices: tuple[str, ...] = ()
        self._failures = 0
        self._last: Reply = ()
        pronunciations = tuple((word, phones(word)) for word in vocabulary(self._names))
        grammar = jsgf(self._names)
        self._hints = Hints((), grammar, f"directory-{abs(hash(grammar)):x}", pronunciations)

    def start(self, greeted: bool) -> Reply:
        return (Expect("any", self._hints),) if greeted else self._ask(self._brief.first_message or "Who would you like to speak to?")

    def heard(self, utterance: Utterance) -> Reply:
        intent = read(utterance.text, self._names)
        if self.state is State.BUSY:
            return ()
        handle = getattr(self, f"_{intent.kind}", None)
        return handle(intent) if handle is not None else self._not_understood()

    def pressed(self, digit: str) -> Reply:
        if self.state in (State.CONFIRMING, State.OFFERING) and digit in "12":
            return self._yes(Intent("yes")) if digit == "1" else self._no(Intent("no"))
        if self.state is State.CHOOSING and digit.isdigit() and 1 <= int(digit) <= len(self._choices):
            return self._confirm(self._choices[int(digit) - 1])
        if digit == "0":
            return self._operator(Intent("operator"))
        if digit in self._by_digit:
            return self._confirm(self._by_digit[digit])
        return self._not_understood()

    def silence(self, count: int) -> Reply:
        return self._last or self._ask("Are you still there?")

    def tool_result(self, name: str, ok: bool, data: Any) -> Reply:
        if name != "transfer" or ok:
            return ()
        who = self._by_id[self._target].name if self._target in self._by_id else "them"
        return self._offer(f"I wasn't able to connect you to {who}. Can I take a message instead?")

    def cut_off(self, text: str) -> Reply:
        return ()

    # ------------------------------------------------------------------ what was meant

    def _destination(self, intent: Intent) -> Reply:
        self._failures = 0
        if len(intent.candidates) == 1:
            return self._confirm(intent.candidates[0])
        self._choices = intent.candidates[:3]
        self.state = State.CHOOSING
        spoken = " or ".join(f"{described(self._by_id[one])}, press {n}" for n, one in enumerate(self._choices, 1))
        return self._say(f"Did you mean {spoken}?", "choice")

    def _operator(self, intent: Intent) -> Reply:
        if self._brief.operator is None:
            return self._offer("There is no operator just now. Can I take a message instead?")
        return self._transfer(self._brief.operator)

    def _message(self, intent: Intent) -> Reply:
        return self._take_message()

    def _yes(self, intent: Intent) -> Reply:
        if self.state is State.CONFIRMING:
            return self._transfer(self._target)
        if self.state is State.OFFERING:
            return self._take_message()
        return self._ask("Who would you like to speak to?")

    def _no(self, intent: Intent) -> Reply:
        if self.state is State.OFFERING:
            return self._ask("All right. Is there anybody else you would like to speak to?")
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            return self._give_up()
        return self._ask("Sorry about that. Who would you like to speak to?")

    def _repeat(self, intent: Intent) -> Reply:
        return self._last

    def _goodbye(self, intent: Intent) -> Reply:
        self.state = State.BUSY
        return Say("Thank you for calling. Goodbye.", interruptible=False), CallTool("end_call", {"reason": "the caller said goodbye"})

    def _help(self, intent: Intent) -> Reply:
        return self._ask(f"You can say the name of a person or a department{self._keys()}.")

    # ------------------------------------------------------------------ what we do about it

    def _not_understood(self) -> Reply:
        self._failures += 1
        if self._failures > MOST_FAILURES:
            return self._give_up()
        if self.state is State.CONFIRMING:
            return self._say(f"Sorry, shall I connect you to {described(self._by_id[self._target])}? Say yes or press 1, no or press 2.", "confirm")
        if self.state is State.OFFERING:
            return self._say("Would you like to leave a message? Say yes or press 1, no or press 2.", "confirm")
        return self._ask(f"Sorry, I didn't catch that. Say a name{self._keys()}.")

    def _give_up(self) -> Reply:
        if self._brief.operator is not None:
            return (Say("Let me connect you to somebody who can help."), *self._transfer(self._brief.operator))
        return (Say("I'm sorry, I could not find out whom you wanted."), *self._take_message())

    def _keys(self) -> str:
        keys = [f"{digit} for {self._by_id[one].name.lower()}" for digit, one in sorted(self._by_digit.items()) if digit != "0"]
        return f", or press {', '.join(keys)}" + (", or 0 for the operator" if self._brief.operator else "") if keys else ""

    def _confirm(self, one: str) -> Reply:
        self.state, self._target = State.CONFIRMING, one
        return self._say(f"Shall I connect you to {described(self._by_id[one])}?", "confirm")

    def _offer(self, text: str) -> Reply:
        self.state = State.OFFERING
        return self._say(text, "confirm")

    def _ask(self, text: str) -> Reply:
        self.state = State.ASKING
        return self._say(text, "any")

    def _say(self, text: str, kind: str) -> Reply:
        self._last = (Say(text), Expect(kind, self._hints))
        return self._last

    def _transfer(self, one: str) -> Reply:
        self.state, self._target = State.BUSY, one
        arguments: Mapping[str, str] = {"destination": one, "reason": "the caller asked for them"}
        return Expect("any", self._hints), CallTool("transfer", arguments)

    def _take_message(self) -> Reply:
        self.state = State.BUSY
        return (CallTool("take_message", {"for": self._target}),)


def described(one: Destination) -> str:
    """ "Sarah Mitchell in billing", "sales"."""
    if one.kind == "department":
        return one.name.lower()
    return f"{one.name} in {one.department}" if one.department else one.name
