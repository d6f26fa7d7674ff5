"""What a caller may say to a receptionist: JSGF made from the directory, and reading a sentence back."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

import attrs

from smartalex.interfaces import Destination

ASKING = (
    "connect me (to | with)", "(can | could | would) you [please] (connect | put) me (to | through to | with)",
    "(can | could | may) i [please] (speak | talk) (to | with)", "(i would | i'd) like to (speak | talk) (to | with)",
    "(i want | i need) to (speak | talk) (to | with)", "put me through to", "[can you | could you] transfer me to",
    "(i would | i'd) like", "get me", "give me", "let me (speak | talk) to", "i'm (calling | looking) for", "is this",
)  # fmt: skip
BEFORE = ("hello", "hi", "please", "yes")
AFTER = ("please", "thank you", "thanks")
SOMEBODY = "(someone | somebody | a person | anyone) (in | from | at)"
YES = (
    "yes",
    "yes please",
    "yeah",
    "yep",
    "correct",
    "that's right",
    "that is right",
    "right",
    "sure",
    "okay",
    "please do",
    "go ahead",
)
NO = ("no", "no thanks", "no thank you", "nope", "wrong", "that's wrong", "not that one")
OPERATOR = (
    "operator",
    "the operator",
    "a person",
    "a human",
    "an agent",
    "somebody",
    "someone",
    "a real person",
    "a representative",
)
MESSAGE = ("leave a message", "i would like to leave a message", "i want to leave a message", "can i leave a message",
"take a message",
           "can you take a message")  # fmt: skip
REPEAT = ("repeat", "repeat that", "say that again", "what did you say", "pardon", "sorry what")
GOODBYE = ("goodbye", "bye", "bye bye", "that's all", "that is all", "nothing else", "hang up")
HELP = ("help", "what are my options", "who can i speak to")
ORDINALS = (
    ("one", "the first", "the first one"),
    ("two", "the second", "the second one"),
    ("three", "the third", "the third one"),
)

UNFINISHED = frozenset({"in", "from", "at", "to", "with", "for", "the", "a", "i", "is", "me", "or"})
"""Last words of what a decoder gave up half way."""

FIXED = {"yes": YES, "no": NO, "message": MESSAGE, "repeat": REPEAT, "goodbye": GOODBYE, "help": HELP}
DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True))


@attrs.frozen
class Intent:
    """`kind`: destination, choice, operator, message, repeat, yes, no, goodbye, help, none.

    `candidates` are destination ids; for a choice, its number counted from 1.
    """

    kind: str
    candidates: tuple[str, ...] = ()


NONE = Intent("none")


def words(text: str) -> list[str]:
    """ "José, Building 7" -> jose, building, seven."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.findall(r"[a-z']+", re.sub(r"\d", lambda digit: f" {DIGITS[digit[0]]} ", plain))


def spoken(text: str) -> str:
    return " ".join(words(text))


def holds(said: str, phrase: str) -> bool:
    return f" {phrase} " in f" {said} "


@attrs.frozen
class Names:
    """Every way of naming each destination, lower case: phrase -> ids; and where people work: id -> phrases."""

    people: dict[str, set[str]]
    departments: dict[str, set[str]]
    where: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, destinations: Iterable[Destination]) -> Names:
        people: dict[str, set[str]] = {}
        departments: dict[str, set[str]] = {}
        known = tuple(destinations)
        also = {spoken(one.name): tuple(map(spoken, one.aliases)) for one in known if one.kind == "department"}
        where: dict[str, tuple[str, ...]] = {}
        for one in known:
            full = spoken(one.name)
            names = {full, *map(spoken, one.aliases)}
            if one.kind == "person" and full:
                names |= {full.split()[0], full.split()[-1]}
            for name in names - {""}:
                (departments if one.kind == "department" else people).setdefault(name, set()).add(one.id)
            if one.department:
                works = spoken(one.department)
                where[one.id] = tuple(filter(None, (works, *also.get(works, ()))))
        return cls(people, departments, where)

    def without(self, ids: Collection[str]) -> Names:
        """Names of the others."""

        def others(names: dict[str, set[str]]) -> dict[str, set[str]]:
            left = {phrase: found - set(ids) for phrase, found in names.items()}
            return {phrase: found for phrase, found in left.items() if found}

        return Names(others(self.people), others(self.departments), self.where)

    def vocabulary(self) -> list[str]:
        phrases = (*self.people, *self.departments, *(phrase for where in self.where.values() for phrase in where))
        return sorted({word for phrase in phrases for word in phrase.split()})


def asking(names: Names) -> str:
    """JSGF for "who would you like to speak to?"."""
    return _grammar(
        f"[<before>] [<ask>] <target> [<after>] | {_there(names)} <fixed>",
        names,
        f"<before> = {_any(BEFORE)};\n<ask> = {_any(ASKING)};\n",
    )


def answering(names: Names, choices: int = 0) -> str:
    """JSGF for an answer to a question of ours: yes, no, another name, or one of so many `choices`."""
    ordinals = "".join(f"{phrase} | " for group in ORDINALS[:choices] for phrase in group)
    return _grammar(f"{ordinals}[no] <target> [<after>] | <fixed>", names)


def read(text: str, names: Names) -> Intent:
    """What a recognised sentence asks for; half sentences without a name mean nothing."""
    said = spoken(text)
    for kind, group in FIXED.items():
        if said in group:
            return Intent(kind)
    if said.rpartition(" ")[2] in UNFINISHED:
        return NONE
    for number, group in enumerate(ORDINALS, 1):
        if said in group:
            return Intent("choice", (str(number),))
    found = _named(said, names)
    if found:
        return Intent("destination", tuple(sorted(found)))
    if any(holds(said, phrase) for phrase in OPERATOR) and not re.search(r"\b(in|from|at)\b", said):
        return Intent("operator")
    first = said.partition(" ")[0]
    return Intent(first) if first in ("yes", "no") else NONE


def _any(phrases: Iterable[str]) -> str:
    return " | ".join(phrases)


def _grammar(said: str, names: Names, more: str = "") -> str:
    fixed = _any(phrase for group in (*FIXED.values(), OPERATOR) for phrase in group)
    return (
        f"#JSGF V1.0;\ngrammar receptionist;\npublic <said> = {said};\n"
        f"<target> = {_targets(names)};\n<after> = {_any(AFTER)};\n<fixed> = {fixed};\n{more}"
    )


def _targets(names: Names) -> str:
    """People with no department but their own, so that a misheard name must at least agree with it."""
    targets = [_any(sorted(names.people))] if names.people else []
    for where in sorted(set(names.where.values())):
        here = sorted(phrase for phrase, ids in names.people.items() if any(names.where.get(one) == where for one in ids))
        if here and where:
            targets.append(f"({_any(here)}) (in | from | at) ({_any(where)})")
    if names.departments:
        departments = f"({_any(sorted(names.departments))})"
        targets += [f"[the] {departments} [department | team]", f"{SOMEBODY} {departments}"]
    return _any([*targets, *OPERATOR])


def _there(names: Names) -> str:
    return f"is ({_any(sorted(names.people))}) (there | in | available) |" if names.people else ""


def _named(said: str, names: Names) -> set[str]:
    """The longest name in the sentence, narrowed by the department said with it; else the department alone."""
    who, _, where = re.sub(r"\b(in|from|at)\b", "\0", said).partition("\0")
    found = _longest(who, names.people) or _longest(who, names.departments) or _longest(where, names.departments)
    narrowed = {one for one in found if any(holds(where, phrase) for phrase in names.where.get(one, ()))}
    return narrowed or found


def _longest(said: str, phrases: dict[str, set[str]]) -> set[str]:
    hits = [phrase for phrase in phrases if holds(said, phrase)]
    most = max(map(len, hits), default=0)
    return {one for phrase in hits if len(phrase) == most for one in phrases[phrase]}
