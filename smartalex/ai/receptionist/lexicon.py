"""How a name may sound: letters to ARPAbet phones, for words the recogniser's dictionary lacks."""

from __future__ import annotations

PAIRS = {
    "tch": "CH", "sch": "SH", "igh": "AY", "ough": "AO", "eigh": "EY", "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "ck": "K",
    "ng": "NG",
    "qu": "K W", "wh": "W", "kh": "K", "gh": "G", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "ai": "EY",
    "ay": "EY",
    "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ie": "IY", "ei": "AY", "ey": "IY", "oa": "OW", "ue": "UW", "ja": "Y AA",
}  # fmt: skip
LETTERS = {
    "a": "AA", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IY", "j": "JH", "k": "K", "l": "L",
    "m": "M",
    "n": "N", "o": "OW", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "UW", "v": "V", "w": "W", "x": "K S", "y": "IY",
    "z": "Z",
}  # fmt: skip
OTHERWISE = ({"ai": "AY", "ou": "UW", "ow": "AW"}, {"a": "AE", "i": "IH", "u": "AH"}, {"a": "AH", "o": "AA", "e": "IY"})
"""Other readings of the same letters; each row is a variant of its own."""


def variants(word: str) -> list[str]:
    """The likeliest reading first, at most four, all different."""
    return list(dict.fromkeys([phones(word), *(phones(word, other) for other in OTHERWISE)]))


def phones(word: str, other: dict[str, str] | None = None) -> str:
    """ "naidoo" -> "N EY D UW"; letters outside a-z are passed over, never empty."""
    sounds = {**LETTERS, **PAIRS, **(other or {})}
    out: list[str] = []
    rest = "".join(c for c in word.lower() if c in LETTERS)
    while rest:
        size = next((n for n in (4, 3, 2) if rest[:n] in PAIRS), 1)
        out.append(sounds[rest[:size]])
        if size == 1 and rest[:2] == rest[0] * 2 and rest[0] not in "aeiou":
            size = 2  # a doubled consonant is one sound
        rest = rest[size:]
    return " ".join(out) or "AH"
