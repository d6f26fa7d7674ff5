"""pocketsphinx as an IRecognizer: an utterance is gathered here and decoded in the listening child."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from smartalex.ai.receptionist.asr_worker import GRAMMAR, HEARD, RECOGNISE
from smartalex.ai.receptionist.children import Child
from smartalex.errors import TimedOut, Unavailable
from smartalex.interfaces import Hints, IRecognition, IRecognitionListener, IRecognizer, Utterance
from smartalex.media.frame import PCM8K, AudioFormat

LONGEST_BYTES = 15 * 16_000
ANSWER_S = 1.9


@implementer(IRecognizer)
class EmbeddedRecognizer:
    name = "pocketsphinx"
    formats = (PCM8K,)
    final_p99_s = 1.5
    decides_turns = False

    def __init__(self, reactor: Any) -> None:
        self.clock = reactor
        self._grammars: dict[str, bytes] = {}
        self._waiting: dict[int, Recognition] = {}
        self._numbers = count(1)
        self.child = Child(reactor, "smartalex.ai.receptionist.asr_worker", self._frame, self._died)
        self.child.start()

    def open(self, format: AudioFormat, language: str, hints: Hints, listener: IRecognitionListener) -> Deferred[Recognition]:
        return succeed(Recognition(self, hints, listener))

    def stop(self) -> Deferred[None]:
        return self.child.stop()

    def learn(self, hints: Hints) -> None:
        if hints.grammar_name and hints.grammar_name not in self._grammars:
            body = {"name": hints.grammar_name, "jsgf": hints.grammar, "words": hints.pronunciations}
            self._grammars[hints.grammar_name] = json.dumps(body).encode()
            self.child.send(GRAMMAR, 0, self._grammars[hints.grammar_name])

    def ask(self, recognition: Recognition, grammar: str, pcm: bytes) -> int:
        """0 when there is no child just now."""
        number = next(self._numbers) & 0xFFFFFFFF
        self._waiting[number] = recognition
        if not self.child.send(RECOGNISE, number, json.dumps({"grammar": grammar}).encode() + b"\n" + pcm):
            del self._waiting[number]
            return 0
        return number

    def forget(self, number: int) -> None:
        self._waiting.pop(number, None)

    def _frame(self, kind: int, stream: int, payload: bytes) -> None:
        recognition = self._waiting.pop(stream, None)
        if recognition is None:
            return
        if kind == HEARD:
            self.child.worked()
            heard = json.loads(payload)
            recognition.heard(Utterance(heard["text"], heard["confidence"]))
        else:
            recognition.fail(Unavailable(payload.decode("utf-8", "replace")))

    def _died(self) -> None:
        for grammar in self._grammars.values():
            self.child.send(GRAMMAR, 0, grammar)
        waiting, self._waiting = self._waiting, {}
        for recognition in waiting.values():
            recognition.fail(Unavailable("the recogniser died"))


@implementer(IRecognition)
class Recognition:
    def __init__(self, recognizer: EmbeddedRecognizer, hints: Hints, listener: IRecognitionListener) -> None:
        self._recognizer = recognizer
        self._listener = listener
        self._pcm = bytearray()
        self._number = 0
        self._limit: IDelayedCall | None = None
        self._closed = False
        self.expect(hints)

    def write(self, frame: bytes) -> None:
        if len(self._pcm) < LONGEST_BYTES:
            self._pcm += frame

    def expect(self, hints: Hints) -> None:
        self._grammar = hints.grammar_name
        self._recognizer.learn(hints)

    def finalize(self) -> None:
        pcm = bytes(self._pcm)
        self._pcm.clear()
        if not self._grammar or not pcm:
            self._recognizer.clock.callLater(0, self.heard, Utterance("", 0.0))
            return
        self._number = self._recognizer.ask(self, self._grammar, pcm)
        if not self._number:
            self._recognizer.clock.callLater(0, self.fail, Unavailable("the recogniser is being started again"))
            return
        self._limit = self._recognizer.clock.callLater(ANSWER_S, self.fail, TimedOut("the recogniser does not answer"))

    def close(self) -> None:
        self._closed = True
        self._done()

    def heard(self, utterance: Utterance) -> None:
        if not self._closed:
            self._done()
            self._listener.final(utterance)

    def fail(self, error: Exception) -> None:
        if not self._closed:
            self.close()
            self._listener.failed(error)

    def _done(self) -> None:
        self._recognizer.forget(self._number)
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self._limit = None
