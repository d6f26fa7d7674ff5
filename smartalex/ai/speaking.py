"""The mouth of the cascade: texts become audio sentence by sentence, in order, over the death of a synthesis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.ai.text import sentences, speakable
from smartalex.errors import BackendError, ProtocolError, TimedOut
from smartalex.interfaces import ISynthesisConsumer, ISynthesizer
from smartalex.media.frame import AudioFormat

STALL_S = 2.0
"""A synthesis that neither gives audio nor ends for so long is dead."""


class SpeakingListener(Protocol):
    def on_sentence(self, item_id: str, text: str) -> None: ...
    def on_audio(self, item_id: str, data: bytes) -> None: ...
    def on_silent(self, error: BackendError) -> None:
        """A sentence failed twice; nothing is said until `cancel`."""


@attrs.define
class _Sentence:
    item_id: str
    text: str
    attempts: int = 0
    heard_of: bool = False  # the listener knows its text


@attrs.frozen
class Voice:
    """What `ISynthesizer.speak` wants to know."""

    synthesizer: ISynthesizer
    name: str
    format: AudioFormat


class Speaking:
    """`say` and `then` are done in the order they were called."""

    log = Logger()

    __slots__ = ("_clock", "_current", "_listener", "_stall", "_steps", "_synthesis", "_voice")

    def __init__(self, voice: Voice, clock: IReactorTime, listener: SpeakingListener) -> None:
        self._voice = voice
        self._clock = clock
        self._listener = listener
        self._steps: deque[_Sentence | Callable[[], None]] = deque()
        self._current: _Attempt | None = None
        self._synthesis: Any = None
        self._stall: IDelayedCall | None = None

    def say(self, item_id: str, text: str) -> None:
        self._steps.extend(_Sentence(item_id, sentence) for sentence in sentences(speakable(text)))
        self._next()

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` when everything before it was handed over as audio."""
        self._steps.append(action)
        self._next()

    def cancel(self) -> None:
        """Drop what is not yet audio."""
        self._steps.clear()
        self._stop()

    close = cancel

    # ------------------------------------------------------------------

    def _next(self) -> None:
        while self._steps and self._current is None:
            step = self._steps.popleft()
            if isinstance(step, _Sentence):
                self._start(step)
            else:
                step()

    def _start(self, sentence: _Sentence) -> None:
        sentence.attempts += 1
        attempt = self._current = _Attempt(self, sentence)
        self._watch()
        voice = self._voice
        try:
            synthesis = voice.synthesizer.speak(voice.name, voice.format, attempt)
            if self._current is attempt:
                self._synthesis = synthesis
            synthesis.done.addCallbacks(lambda _: self._ended(attempt), lambda failure: self._died(attempt, failure))
            synthesis.feed(sentence.text)
            synthesis.end()
        except Exception:
            self._died(attempt, Failure())

    def _heard(self, attempt: _Attempt, data: bytes) -> None:
        if attempt is not self._current or not data:
            return
        self._watch()
        attempt.bytes += len(data)
        sentence = attempt.sentence
        if not sentence.heard_of:
            sentence.heard_of = True
            self._listener.on_sentence(sentence.item_id, sentence.text)
        self._listener.on_audio(sentence.item_id, data)

    def _ended(self, attempt: _Attempt) -> None:
        if attempt is not self._current:
            return
        if not attempt.bytes:
            self._died(attempt, Failure(ProtocolError("a synthesis ended without audio")))
            return
        self._stop()
        self._next()

    def _died(self, attempt: _Attempt, failure: Failure) -> None:
        """Say the sentence once more from a new synthesis; twice is a failure of the backend."""
        if attempt is not self._current:
            return
        self._stop()
        if attempt.sentence.attempts < 2:
            self._start(attempt.sentence)
            return
        self._steps.clear()
        self._listener.on_silent(as_backend_error(failure))

    def _watch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        self._stall = self._clock.callLater(STALL_S, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        if self._current is not None:
            self._died(self._current, Failure(TimedOut("a synthesis stalled")))

    def _stop(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._current = None
        synthesis, self._synthesis = self._synthesis, None
        if synthesis is not None:
            try:
                synthesis.cancel()
            except Exception:
                self.log.failure("cancelling a synthesis failed")


@implementer(ISynthesisConsumer)
class _Attempt:
    """One synthesis of one sentence; what comes late has no effect."""

    __slots__ = ("_speaking", "bytes", "sentence")

    def __init__(self, speaking: Speaking, sentence: _Sentence) -> None:
        self._speaking = speaking
        self.sentence = sentence
        self.bytes = 0

    def audio(self, data: bytes) -> None:
        self._speaking._heard(self, data)


def as_backend_error(failure: Failure) -> BackendError:
    """A plugin's failure as one of our typed ones; what is not a BackendError is a ProtocolError."""
    error = failure.value
    return error if isinstance(error, BackendError) else ProtocolError(f"{type(error).__name__}: {str(error)[:200]}")
