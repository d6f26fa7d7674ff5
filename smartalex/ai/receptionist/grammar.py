"""What a caller may say to a receptionist: JSGF made from the directory, and reading a sentence back."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from smartalex.interfaces import Destination

ASKING = (
    "connect me to", "can you connect me to", "can i speak to", "could i speak to", "can i talk to", "i would like to speak to",
    "i'd like to speak to", "i want to speak to", "i need to speak to", "put me through to", "transfer me to", "i would like",
)  # fmt: skip
AFTER = ("please", "thank you")
YES = ("yes", "yes please", "yeah", "yep", "correct", "that's right", "that is right", "right", "sure", "okay", "please do", "go ahead")
NO = ("no", "no thanks", "no thank you", "nope", "wrong", "that's wrong", "not that one")
OPERATOR = ("operator", "the operator", "a person", "a human", "an agent", "somebody", "someone", "a real person", "a representative")
MESSAGE = ("leave a message", "i would like to leave a message", "i want to leave a message", "can i leave a message", "take a message",
           "can you take a message")  # fmt: skip
REPEAT = ("repeat", "repeat that", "say that again", "what did you say", "pardon", "sorry what")
GOODBYE = ("goodbye", "bye", "bye bye", "that's all", "that is all", "nothing else", "hang up")
HELP = ("help", "what are my options", "who can i speak to")

FIXED = {"yes": YES, "no": NO, "message": MESSAGE, "repeat": REPEAT, "goodbye": GOODBYE, "help": HELP}


@attrs.frozen
class Intent:
    """`kind`: destination, operator, message, repeat, yes, no, goodbye, help, none; `candidates` are destination ids."""

    kind: str
    candidates: tuple[str, ...] = ()


NONE = Intent("none")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _say(text: str) -> str:
    return " ".join(words(text))


@attrs.frozen
class Names:
    """Every way of naming each destination, lower case: phrase -> ids."""

    phrases: dict[str, set[str]]
    departments: dict[str, str]

    @classmethod
    def of(cls, destinations: Iterable[Destination]) -> Names:
        phrases: dict[str, set[str]] = {}
        departments: dict[str, str] = {}
        for one in destinations:
            full = _say(one.name)
            names = [full, *(_say(alias) for alias in one.aliases)]
            if one.kind == "person" and full:
                names += [full.split()[0], full.split()[-1]]
            for name in filter(None, names):
                phrases.setdefault(name, set()).add(one.id)
            if one.department:
                departments[one.id] = _say(one.department)
        return cls(phrases, departments)


def jsgf(names: Names) -> str:
    """One grammar for every state: the dialogue decides what an answer means where."""
    who = " | ".join(sorted(names.phrases)) or "reception"
    where = " | ".join(sorted(set(names.departments.values()) - {""})) or "reception"
    fixed = " | ".join(phrase for group in (*FIXED.values(), OPERATOR) for phrase in group)
    return (
        "#JSGF V1.0;\ngrammar directory;\n"
        "public <said> = <request> | <fixed>;\n"
        f"<request> = [please] [<asking>] <who> [department] [(in | from) <where>] [<after>];\n"
        f"<asking> = {' | '.join(ASKING)};\n<who> = {who} | {' | '.join(OPERATOR)};\n<where> = {where};\n"
        f"<after> = {' | '.join(AFTER)};\n<fixed> = {fixed};\n"
    )


def vocabulary(names: Names) -> list[str]:
    return sorted({word for phrase in (*names.phrases, *names.departments.values()) for word in words(phrase)})


def read(text: str, names: Names) -> Intent:
    """What a recognised sentence asks for; half sentences without a name mean nothing."""
    said = _say(text)
    if not said:
        return NONE
    for kind, group in FIXED.items():
        if said in group:
            return Intent(kind)
    found = _named(said, names)
    if found:
        return Intent("destination", tuple(sorted(found)))
    if any(re.search(rf"\b{re.escape(phrase)}\b", said) for phrase in OPERATOR):
        return Intent("operator")
    first = said.split()[0]
    return Intent(first) if first in ("yes", "no") else NONE


def _named(said: str, names: Names) -> set[str]:
    """The longest names in the sentence, narrowed by the department said with them."""
    who, _, where = re.sub(r"\b(in|from|at)\b", "\0", said).partition("\0")
    hits = [(phrase, ids) for phrase, ids in names.phrases.items() if re.search(rf"\b{re.escape(phrase)}\b", who)]
    if not hits:
        return set()
    longest = max(len(phrase) for phrase, _ in hits)
    found = {one for phrase, ids in hits if len(phrase) == longest for one in ids}
    department = _say(where)
    narrowed = {one for one in found if names.departments.get(one) and names.departments[one] in department} if department else set()
    return narrowed or found
