"""Text on its way to a voice: what must not be spoken is taken out, and the rest is cut into sentences."""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 4000
"""Characters of one answer that are spoken; what is longer is cut there."""

SENTENCE_LIMIT = 240
"""Characters of one synthesis; longer sentences are cut at a comma or a space."""

ABBREVIATIONS = frozenset("mr mrs ms dr st prof no ext vs etc inc ltd jr sr approx e.g i.e a.m p.m".split())

LINK = re.compile(r"(?:https?://|www\.)([^\s/<>()\[\]]{1,200})[^\s<>()\[\]]{0,500}")
MARKDOWN_LINK = re.compile(r"\[([^\[\]]{1,200})\]\([^()\s]{1,500}\)")
LINE_MARK = re.compile(r"^[ \t]*(?:[-*+>#]{1,6}|\d{1,3}[.)])[ \t]+", re.MULTILINE)
MARKS = str.maketrans("", "", "*_`~#|\\<>{}[]")
END = re.compile(r"(?<![.!?…])[.!?…]+[\"')\]]?(?=\s|$)")


def speakable(text: str) -> str:
    """`text` without markup, emoji, links and control characters, as one line of at most MAX_TEXT characters."""
    text = MARKDOWN_LINK.sub(r"\1", text[: MAX_TEXT * 2])
    text = LINK.sub(lambda link: link.group(1).removeprefix("www.").rstrip(".,;").replace(".", " dot "), text)
    text = LINE_MARK.sub("", text).translate(MARKS)
    return " ".join("".join(map(_character, text)).split())[:MAX_TEXT]


def _character(c: str) -> str:
    """`c`, a space for white space, nothing for control characters and symbols that are no money or sums."""
    if c.isspace():
        return " "
    return c if unicodedata.category(c)[0] not in "CS" or c in "$€£%+=" else ""


def sentences(text: str) -> list[str]:
    """The sentences of `text`, in order; nothing that has no letter or digit, nothing over SENTENCE_LIMIT."""
    found, start = [], 0
    for end in END.finditer(text):
        if not _abbreviation(text[start : end.start()], end.group()):
            found.append(text[start : end.end()])
            start = end.end()
    found.append(text[start:])
    pieces = [piece for sentence in found for piece in _pieces(sentence.strip())]
    return [piece for piece in pieces if any(c.isalnum() for c in piece)]


def _abbreviation(before: str, end: str) -> bool:
    word = before.rsplit(None, 1)[-1].lower() if before.strip() else ""
    return end == "." and (word in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i"))


def _pieces(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > SENTENCE_LIMIT:
        cut = max(sentence.rfind(mark, SENTENCE_LIMIT // 3, SENTENCE_LIMIT) for mark in (", ", "; ", ": "))
        cut = cut + 1 if cut > 0 else sentence.rfind(" ", 1, SENTENCE_LIMIT)
        cut = cut if cut > 0 else SENTENCE_LIMIT
        pieces.append(sentence[:cut].strip())
        sentence = sentence[cut:].strip()
    return [*pieces, sentence]
