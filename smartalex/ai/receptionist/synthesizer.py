"""espeak-ng as an ISynthesizer: sentences go to the speaking child, audio comes back."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smartalex.ai.receptionist.children import Child
from smartalex.ai.receptionist.tts_worker import AUDIO, CANCEL, DONE, SPEAK
from smartalex.errors import Unavailable
from smartalex.interfaces import ISynthesis, ISynthesisConsumer, ISynthesizer
from smartalex.media.frame import AudioFormat


@implementer(ISynthesizer)
class EmbeddedSynthesizer:
    name = "espeak-ng"
    streaming = False

    def __init__(self, reactor: Any) -> None:
        self._streams: dict[int, Synthesis] = {}
        self._numbers = count(1)
        self.child = Child(reactor, "smartalex.ai.receptionist.tts_worker", self._frame, self._died)
        self.child.start()

    def speak(self, voice: str, format: AudioFormat, consumer: ISynthesisConsumer) -> Synthesis:
        return Synthesis(self, voice, format.rate, consumer)

    def stop(self) -> Deferred[None]:
        return self.child.stop()

    def ask(self, synthesis: Synthesis, text: str) -> None:
        number = next(self._numbers) & 0xFFFFFFFF
        self._streams[number] = synthesis
        synthesis.waiting.add(number)
        body = json.dumps({"voice": synthesis.voice, "rate": synthesis.rate, "text": text}).encode()
        if not self.child.send(SPEAK, number, body):
            synthesis.fail("the voice is being started again")

    def forget(self, numbers: set[int], *, cancel: bool) -> None:
        for number in numbers:
            if self._streams.pop(number, None) is not None and cancel:
                self.child.send(CANCEL, number)

    def _frame(self, kind: int, stream: int, payload: bytes) -> None:
        synthesis = self._streams.get(stream)
        if synthesis is None:
            return
        if kind == AUDIO:
            synthesis.consumer.audio(payload)
        elif kind == DONE:
            self.child.worked()
            del self._streams[stream]
            synthesis.finished(stream)
        else:
            synthesis.fail(payload.decode("utf-8", "replace"))

    def _died(self) -> None:
        for synthesis in list(dict.fromkeys(self._streams.values())):
            synthesis.fail("the voice died")


@implementer(ISynthesis)
class Synthesis:
    def __init__(self, synthesizer: EmbeddedSynthesizer, voice: str, rate: int, consumer: ISynthesisConsumer) -> None:
        self.voice, self.rate, self.consumer = voice, rate, consumer
        self.waiting: set[int] = set()
        self._synthesizer = synthesizer
        self._ended = False
        self._over = False
        self.done: Deferred[None] = Deferred(lambda _: self._stop())

    def feed(self, text: str) -> None:
        if text.strip() and not self._over:
            self._synthesizer.ask(self, text)

    def end(self) -> None:
        self._ended = True
        self._check()

    def cancel(self) -> None:
        if not self._over:
            self.done.cancel()

    def finished(self, number: int) -> None:
        self.waiting.discard(number)
        self._check()

    def fail(self, why: str) -> None:
        if not self._over:
            self._stop()
            self.done.errback(Unavailable(why))

    def _check(self) -> None:
        if self._ended and not self.waiting and not self._over:
            self._over = True
            self.done.callback(None)

    def _stop(self) -> None:
        self._over = True
        self._synthesizer.forget(self.waiting, cancel=True)
        self.waiting = set()
