"""The listening child: pocketsphinx with small grammars, one utterance at a time.

In: GRAMMAR (JSON {"name", "jsgf", "words": [[word, phones], ...]}), RECOGNISE (JSON {"grammar"}, newline, 8 kHz s16le).
Out: HEARD, JSON {"text", "confidence"}; FAILED (text).
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartalex.ai.receptionist.children import Unpacker, pack
from smartalex.ai.receptionist.features import cepstra

GRAMMAR, RECOGNISE, HEARD, FAILED = range(4)
MOST_GRAMMARS = 200
PHONES = "phones"
SILENCES = frozenset({"<s>", "</s>", "<sil>", "(NULL)", "[NOISE]", "[SPEECH]", "[COUGH]", "[SMACK]", "[UM]", "[UH]"})
AS_GOOD_AS_PHONES, FAR_FROM_PHONES = -3.0, -7.0  # natural logarithms per 10 ms frame


class Listener:
    """One decoder (dictionary and acoustic model) with a search for each grammar; those used last are kept."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder  # noqa: PLC0415  (only in the child)

        self._decoder = Decoder(lm=None, loglevel="FATAL", allphone_ci=True)
        self._decoder.add_allphone_file(PHONES)
        self._grammars: OrderedDict[str, None] = OrderedDict()

    def learn(self, name: str, jsgf: str, words: Iterable[tuple[str, str]]) -> None:
        """Raises whatever the decoder raises on a bad grammar; then the name stays unknown."""
        if name in self._grammars:
            return
        self._pronounce(words)
        self._decoder.add_jsgf_string(name, jsgf)
        self._grammars[name] = None
        while len(self._grammars) > MOST_GRAMMARS:
            self._decoder.remove_search(self._grammars.popitem(last=False)[0])

    def _pronounce(self, words: Iterable[tuple[str, str]]) -> None:
        """Words of the dictionary keep what it says; of the others, further readings are "word(2)" and so on."""
        new: dict[str, int] = {}
        for word, phones in words:
            if word in new or self._decoder.lookup_word(word) is None:
                new[word] = new.get(word, 0) + 1
                self._decoder.add_word(word if new[word] == 1 else f"{word}({new[word]})", phones, False)

    def recognise(self, name: str, pcm: bytes) -> dict[str, Any]:
        """`confidence` 0..1 says how near the words come to the best string of mere phones."""
        self._grammars.move_to_end(name)
        features = cepstra(pcm)
        text, words = self._search(name, features)
        if not text:
            return {"text": "", "confidence": 0.0}
        _, phones = self._search(PHONES, features)
        return {"text": text, "confidence": confidence(words, phones)}

    def _search(self, name: str, features: NDArray[np.float32]) -> tuple[str, list[tuple[str, int, int, float]]]:
        """What was heard, and (word, first frame, last frame, log likelihood) of each segment."""
        decoder = self._decoder
        if not len(features):
            return "", []
        decoder.activate_search(name)
        decoder.start_utt()
        decoder.process_cep(features.tobytes(), False, True)
        decoder.end_utt()
        best = decoder.hyp()
        if best is None or not best.hypstr:
            return "", []
        tiny = sys.float_info.min
        return best.hypstr, [(s.word, s.start_frame, s.end_frame, math.log(max(s.ascore, tiny))) for s in decoder.seg()]


def confidence(words: list[tuple[str, int, int, float]], phones: list[tuple[str, int, int, float]]) -> float:
    """0: the sound has little to do with these words; 1: no phones of any language would fit better."""
    length = max((last for _, _, last, _ in words), default=0) + 1
    free = np.zeros(length)
    for _, first, last, score in phones:
        free[first : min(last, length - 1) + 1] = score / (last - first + 1)
    spoken = [
        (score - free[first : last + 1].sum(), last - first + 1) for word, first, last, score in words if word not in SILENCES
    ]
    frames = sum(count for _, count in spoken)
    if not frames:
        return 0.0
    lost = sum(score for score, _ in spoken) / frames
    return float(np.clip((lost - FAR_FROM_PHONES) / (AS_GOOD_AS_PHONES - FAR_FROM_PHONES), 0.0, 1.0))


def serve(read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
    listener, unpacker = Listener(), Unpacker()
    while True:
        data = read()
        if not data:
            return
        for kind, stream, payload in unpacker.feed(data):
            try:
                if kind == GRAMMAR:
                    grammar = json.loads(payload)
                    listener.learn(grammar["name"], grammar["jsgf"], grammar["words"])
                elif kind == RECOGNISE:
                    head, _, pcm = payload.partition(b"\n")
                    heard = listener.recognise(json.loads(head)["grammar"], pcm)
                    write(pack(HEARD, stream, json.dumps(heard).encode()))
            except Exception as error:
                write(pack(FAILED, stream, f"{type(error).__name__}: {error}".encode()))


def main() -> None:
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever the decoder prints must not mix with our frames
    sys.stdout = sys.stderr
    serve(lambda: os.read(0, 65536), out.write)


if __name__ == "__main__":
    main()
