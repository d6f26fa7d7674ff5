"""The listening child: pocketsphinx with a small grammar, one utterance at a time.

In: GRAMMAR (payload JSON {"name", "jsgf", "words": [[word, phones], ...]}), RECOGNISE (payload JSON {"grammar"}, newline, 8 kHz s16le).
Out: HEARD, payload JSON {"text", "confidence"}; FAILED (text).

The model was trained on wide-band speech; the band above the telephone's is
filled with noise that follows the envelope just below it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartalex.ai.receptionist.children import Unpacker, pack
from smartalex.media.resample import resample

GRAMMAR, RECOGNISE, HEARD, FAILED = range(4)
DECODERS = 8


class Listener:
    """Keeps the decoders of the grammars used last; loading one takes a tenth of a second."""

    def __init__(self) -> None:
        self._grammars: dict[str, Any] = {}
        self._decoders: OrderedDict[str, Any] = OrderedDict()

    def learn(self, grammar: dict[str, Any]) -> None:
        self._grammars[grammar["name"]] = grammar
        self._decoders.pop(grammar["name"], None)
        self._decoder(grammar["name"])

    def _decoder(self, name: str) -> Any:
        if name in self._decoders:
            self._decoders.move_to_end(name)
            return self._decoders[name]
        from pocketsphinx import Decoder

        grammar = self._grammars[name]
        decoder = Decoder(lm=None, loglevel="FATAL")
        for word, phones in grammar["words"]:
            if decoder.lookup_word(word) is None:
                decoder.add_word(word, phones, True)
        decoder.add_jsgf_string("directory", grammar["jsgf"])
        decoder.activate_search("directory")
        self._decoders[name] = decoder
        while len(self._decoders) > DECODERS:
            self._decoders.popitem(last=False)
        return decoder

    def recognise(self, name: str, pcm: bytes) -> dict[str, Any]:
        decoder = self._decoder(name)
        wide = widen(pcm)
        decoder.start_utt()
        decoder.process_raw(wide, no_search=False, full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        if best is None or not best.hypstr:
            return {"text": "", "confidence": 0.0}
        return {"text": best.hypstr, "confidence": float(decoder.get_logmath().exp(best.prob)), "score": best.best_score / max(1, len(wide) // 320)}


def dithered(pcm: bytes) -> bytes:
    """A little noise (about -63 dBFS): digital silence upsets the model's mean normalisation."""
    samples = np.frombuffer(pcm, np.int16).astype(np.int32)
    noise = np.random.default_rng(1).integers(-40, 41, len(samples))
    return np.clip(samples + noise, -32768, 32767).astype(np.int16).tobytes()


def widen(pcm: bytes) -> bytes:
    """8 kHz s16le -> 16 kHz with the band from 3.3 to 7 kHz filled."""
    wide = np.frombuffer(resample(dithered(pcm), 8000, 16000), np.int16).astype(np.float64)
    size = 512
    padded = np.concatenate([np.zeros(size), wide, np.zeros(size + (-len(wide)) % (size // 2))])
    window = np.hanning(size)
    noise = np.random.default_rng(7)
    out = np.zeros(len(padded))
    low, edge, top = (int(hz * size / 16000) for hz in (2000, 3300, 7000))
    for start in range(0, len(padded) - size + 1, size // 2):
        spectrum = np.fft.rfft(padded[start : start + size] * window)
        out[start : start + size] += np.fft.irfft(_filled(spectrum, low, edge, top, noise)) * window
    shaped = out[size : size + len(wide)] / 1.5 * 2 / 1.0
    return np.clip(shaped, -32768, 32767).astype(np.int16).tobytes()


def _filled(spectrum: NDArray[np.complex128], low: int, edge: int, top: int, noise: np.random.Generator) -> NDArray[np.complex128]:
    envelope = float(np.sqrt(np.mean(np.abs(spectrum[low:edge]) ** 2)))
    count = top - edge
    slope = np.linspace(0.8, 0.3, count)
    spectrum[edge:top] = envelope * slope * np.exp(2j * np.pi * noise.random(count))
    return spectrum


def serve(read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
    listener, unpacker = Listener(), Unpacker()
    while True:
        data = read()
        if not data:
            return
        for kind, stream, payload in unpacker.feed(data):
            try:
                if kind == GRAMMAR:
                    listener.learn(json.loads(payload))
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
