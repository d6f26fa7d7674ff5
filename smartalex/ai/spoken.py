"""How much of a text was heard: words laid along the audio that says them."""

from __future__ import annotations


class Spoken:
    """Texts in the order they were begun, each with the milliseconds of audio it took so far."""

    __slots__ = ("_texts", "ms")

    def __init__(self) -> None:
        self._texts: list[tuple[str, float]] = []
        self.ms = 0.0

    def begin(self, text: str) -> None:
        """The audio that follows says `text`."""
        self._texts.append((text, self.ms))

    def audio(self, ms: float) -> None:
        self.ms += ms

    @property
    def text(self) -> str:
        return " ".join(text for text, _ in self._texts)

    def heard(self, played_ms: float) -> str:
        """What of it was heard after `played_ms`: whole words, in proportion to their audio."""
        words: list[str] = []
        ends = [start for _, start in self._texts[1:]] + [self.ms]
        for (text, start), end in zip(self._texts, ends, strict=False):
            if played_ms >= end > start:
                words.append(text)
            elif start < played_ms < end:
                words.append(_whole_words(text, (played_ms - start) / (end - start)))
        return " ".join(word for word in words if word)


def _whole_words(text: str, part: float) -> str:
    reach = int(len(text) * part)
    return text if reach >= len(text) else text[:reach].rpartition(" ")[0]
