"""The receptionist's rules, sans-IO: nothing recognised is trusted before the caller said yes to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any

from zope.interface import implementer

from smartalex.ai.receptionist.grammar import NONE, Intent, Names, answering, asking, read, words
from smartalex.ai.receptionist.lexicon import phones, variants
from smartalex.interfaces import Brief, CallTool, Destination, Expect, Hints, IDialogue, Reply, Say, Utterance


class State(Enum):
    ASKING = "asking"  # who would you like to speak to?
    CONFIRMING = "confirming"  # shall I connect you to ...?
    CHOOSING = "choosing"  # did you mean A or B?
    OFFERING = "offering"  # can I take a message instead?
    BUSY = "busy"  # a tool is running


MOST_FAILURES = 2
MOST_CHOICES = 3
LEAST_CONFIDENCE = 0.5
"""Below it: half of what was no request at all, two of a hundred requests."""


@implementer(IDialogue)
class ReceptionistDialogue:
    """Two failures in a row lead to the operator, or to message taking where there is none."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._by_id = {one.id: one for one in brief.destinations}
        self._by_digit = {one.digit: one.id for one in brief.destinations if one.digit}
        self._names = names_of(brief.destinations)
        self.state = State.ASKING
        self._target = ""
        self._choices: tuple[str, ...] = ()
        self._refused: tuple[str, ...] = ()  # not offered again at once: the same sound would be misheard the same way
        self._failures = 0
        self._last: Reply = ()

    def start(self, greeted: bool) -> Reply:
        if greeted:
            return (Expect("any", self._hints()),)
        return self._ask(self._brief.first_message or "Who would you like to speak to?")

    def heard(self, utterance: Utterance) -> Reply:
        intent = read(utterance.text, self._names) if utterance.confidence >= LEAST_CONFIDENCE else NONE
        return MEANING[self.state, intent.kind](self, intent)

    def pressed(self, digit: str) -> Reply:
        if self.state is State.BUSY:
            return ()
        if self.state in (State.CONFIRMING, State.OFFERING) and digit in "12":
            return MEANING[self.state, "yes" if digit == "1" else "no"](self, NONE)
        if self.state is State.CHOOSING and digit.isdigit() and 1 <= int(digit) <= len(self._choices):
            return self._confirm(self._choices[int(digit) - 1])
        if digit == "0":
            return self._transfer(self._brief.operator) if self._brief.operator else self._operator(NONE)
        if digit in self._by_digit:
            return self._confirm(self._by_digit[digit])
        return MEANING[self.state, "none"](self, NONE)

    def silence(self, count: int) -> Reply:
        return self._last or self._ask("Are you still there?")

    def tool_result(self, name: str, ok: bool, data: Any) -> Reply:
        if ok:
            return ()
        if name == "take_message":
            return self._ask("I am not able to take a message just now. Who else would you like to speak to?")
        if name != "transfer":
            return ()
        who = self._by_id[self._target].name if self._target in self._by_id else "them"
        return self._offer(f"I wasn't able to connect you to {who}. Can I take a message instead?")

    def cut_off(self, text: str) -> Reply:
        return ()

    # ------------------------------------------------------------------ what was meant

    def _destination(self, intent: Intent) -> Reply:
        if len(intent.candidates) == 1:
            return self._confirm(intent.candidates[0])
        self.state, self._choices = State.CHOOSING, intent.candidates[:MOST_CHOICES]
        offered = " or ".join(f"{described(self._by_id[one])}, press {n}" for n, one in enumerate(self._choices, 1))
        return self._say(f"Did you mean {offered}?", "choice")

    def _choice(self, intent: Intent) -> Reply:
        number = int(intent.candidates[0])
        return self._confirm(self._choices[number - 1]) if number <= len(self._choices) else self._not_chosen(intent)

    def _operator(self, intent: Intent) -> Reply:
        if self._brief.operator is None:
            return self._offer("There is no operator just now. Can I take a message instead?")
        return self._confirm(self._brief.operator)

    def _connect(self, intent: Intent) -> Reply:
        return self._transfer(self._target)

    def _message(self, intent: Intent) -> Reply:
        self.state = State.BUSY
        return (CallTool("take_message", {"for": self._target}),)

    def _wrong(self, intent: Intent) -> Reply:
        self._refused = (self._target,) if self.state is State.CONFIRMING else self._choices
        self._target = ""
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            return self._give_up()
        return self._ask(f"Sorry about that. Please say the name again{self._keys()}.")

    def _who_else(self, intent: Intent) -> Reply:
        return self._ask("All right. Is there anybody else you would like to speak to?")

    def _who(self, intent: Intent) -> Reply:
        return self._ask("Who would you like to speak to?")

    def _repeat(self, intent: Intent) -> Reply:
        return self._last or self._who(intent)

    def _goodbye(self, intent: Intent) -> Reply:
        self.state = State.BUSY
        return Say("Thank you for calling. Goodbye.", interruptible=False), CallTool(
            "end_call", {"reason": "the caller said goodbye"}
        )

    def _help(self, intent: Intent) -> Reply:
        return self._ask(f"You can say the name of a person or a department{self._keys()}.")

    def _nothing(self, intent: Intent) -> Reply:
        return ()

    # ------------------------------------------------------------------ not understood

    def _not_heard(self, intent: Intent) -> Reply:
        return self._again(lambda: self._ask(f"Sorry, I didn't catch that. Say a name{self._keys()}."))

    def _not_confirmed(self, intent: Intent) -> Reply:
        who = described(self._by_id[self._target])
        return self._again(
            lambda: self._say(f"Sorry, shall I connect you to {who}? Say yes or press 1, no or press 2.", "confirm")
        )

    def _not_chosen(self, intent: Intent) -> Reply:
        return self._again(lambda: self._last)

    def _not_answered(self, intent: Intent) -> Reply:
        return self._again(lambda: self._say("Would you like to leave a message? Say yes or press 1, no or press 2.", "confirm"))

    def _again(self, question: Callable[[], Reply]) -> Reply:
        self._failures += 1
        return self._give_up() if self._failures > MOST_FAILURES else question()

    def _give_up(self) -> Reply:
        if self._brief.operator is not None:
            return (Say("Let me connect you to somebody who can help."), *self._transfer(self._brief.operator))
        return (Say("I'm sorry, I could not find out whom you wanted."), *self._message(NONE))

    # ------------------------------------------------------------------ what we do about it

    def _keys(self) -> str:
        keys = [f"{digit} for {self._by_id[one].name.lower()}" for digit, one in sorted(self._by_digit.items()) if digit != "0"]
        return f", or press {', '.join(keys)}" + (", or 0 for the operator" if self._brief.operator else "") if keys else ""

    def _confirm(self, one: str) -> Reply:
        self.state, self._target = State.CONFIRMING, one
        return self._say(f"Shall I connect you to {described(self._by_id[one])}?", "confirm")

    def _offer(self, text: str) -> Reply:
        self.state, self._failures = State.OFFERING, 0
        return self._say(text, "confirm")

    def _ask(self, text: str) -> Reply:
        self.state = State.ASKING
        return self._say(text, "any")

    def _say(self, text: str, kind: str) -> Reply:
        self._last = (Say(text), Expect(kind, self._hints()))
        return self._last

    def _transfer(self, one: str) -> Reply:
        self.state, self._target = State.BUSY, one
        return Expect("any", self._hints()), CallTool("transfer", {"destination": one, "reason": "the caller asked for them"})

    def _hints(self) -> Hints:
        if self.state is State.ASKING:
            return hints_for_a_request(self._brief.destinations, self._refused)
        return hints_for_an_answer(self._brief.destinations, len(self._choices) if self.state is State.CHOOSING else 0)


R = ReceptionistDialogue
_ANYWHERE = {
    "destination": R._destination, "operator": R._operator, "message": R._message, "repeat": R._repeat, "goodbye": R._goodbye,
    "help": R._help,
}  # fmt: skip
_HERE: dict[State, dict[str, Callable[[ReceptionistDialogue, Intent], Reply]]] = {
    State.ASKING: {**_ANYWHERE, "yes": R._who, "no": R._not_heard, "choice": R._not_heard, "none": R._not_heard},
    State.CONFIRMING: {**_ANYWHERE, "yes": R._connect, "no": R._wrong, "choice": R._not_confirmed, "none": R._not_confirmed},
    State.CHOOSING: {**_ANYWHERE, "yes": R._not_chosen, "no": R._wrong, "choice": R._choice, "none": R._not_chosen},
    State.OFFERING: {**_ANYWHERE, "yes": R._message, "no": R._who_else, "choice": R._not_answered, "none": R._not_answered},
    State.BUSY: dict.fromkeys((*_ANYWHERE, "yes", "no", "choice", "none"), R._nothing),
}
MEANING = {(state, kind): handler for state, handlers in _HERE.items() for kind, handler in handlers.items()}
"""(state, kind of Intent) -> what is done."""


def described(one: Destination) -> str:
    """ "Sarah Mitchell in billing", "sales"."""
    if one.kind == "department":
        return one.name.lower()
    return f"{one.name} in {one.department}" if one.department else one.name


def respelled(one: Destination) -> list[tuple[str, str]]:
    """Further readings from the directory, "nigh-doo" for Naidoo: one respelling for each word of the name, or none count."""
    names, spellings = words(one.name), [spelling.replace("-", "") for spelling in one.pronunciation.split()]
    if len(names) != len(spellings):
        return []
    return [(f"{name}(as-{spelling.lower()})", phones(spelling)) for name, spelling in zip(names, spellings, strict=True)]


@lru_cache(64)
def names_of(destinations: tuple[Destination, ...]) -> Names:
    return Names.of(destinations)


@lru_cache(256)
def hints_for_a_request(destinations: tuple[Destination, ...], refused: tuple[str, ...]) -> Hints:
    return _closed(asking(names_of(destinations).without(refused)), destinations)


@lru_cache(64)
def hints_for_an_answer(destinations: tuple[Destination, ...], choices: int) -> Hints:
    return _closed(answering(names_of(destinations), choices), destinations)


def _closed(grammar: str, destinations: tuple[Destination, ...]) -> Hints:
    """Hints with nothing but this grammar; its name is made of its text, so that equal directories share one."""
    pronunciations = [(word, reading) for word in names_of(destinations).vocabulary() for reading in variants(word)]
    pronunciations += [pair for one in destinations for pair in respelled(one)]
    return Hints((), grammar, hashlib.sha256(grammar.encode()).hexdigest()[:16], tuple(pronunciations))
