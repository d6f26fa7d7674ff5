"""The ear of the cascade: the caller's turns, kept until they are understood, over the death of a recogniser."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.ai.speaking import as_backend_error
from smartalex.errors import BackendError, ProtocolError, TimedOut
from smartalex.interfaces import Hints, IRecognition, IRecognitionListener, IRecognizer, Utterance
from smartalex.media.frame import FRAME_MS, AudioFormat

PRE_ROLL_MS = 300
"""Audio from before the detector was sure that belongs to the turn."""

REPLAY_MS = 15_000
"""Audio of one turn kept for a second recogniser."""

REOPEN_S = 2.0
GRACE_S = 0.6
"""Seconds over `final_p99_s` after which a recogniser that owes a final is dead."""


class HearingListener(Protocol):
    def on_partial(self, text: str) -> None: ...
    def on_utterance(self, utterance: Utterance) -> None: ...
    def on_deaf(self, error: BackendError) -> None:
        """The recogniser died twice without understanding anything in between."""


@attrs.define
class _Turn:
    frames: deque[bytes]
    ended: bool = False
    wanted: bool = True


@attrs.frozen
class Ear:
    """What `IRecognizer.open` wants to know."""

    recognizer: IRecognizer
    format: AudioFormat
    language: str


class Hearing:
    """Feeds a recogniser with the caller's turns only, each from 300 ms before its start."""

    log = Logger()

    __slots__ = ("_attempts", "_clock", "_ear", "_hints", "_limit", "_line", "_listener", "_ring", "_turns")

    def __init__(self, ear: Ear, clock: IReactorTime, listener: HearingListener) -> None:
        self._ear = ear
        self._clock = clock
        self._listener = listener
        self._hints = Hints()
        self._ring: deque[bytes] = deque(maxlen=PRE_ROLL_MS // FRAME_MS)
        self._turns: deque[_Turn] = deque()
        self._line: _Line | None = None
        self._limit: IDelayedCall | None = None
        self._attempts = 0

    def open(self, hints: Hints) -> Deferred[None]:
        """Fires when the recogniser listens; fails with what it failed with."""
        self._hints = hints
        line = self._line = _Line(self)
        try:
            opening = self._ear.recognizer.open(self._ear.format, self._ear.language, hints, line)
        except Exception:
            opening = fail(Failure())
        return maybeDeferred(lambda: opening).addCallback(line.opened)

    def write(self, frame: bytes) -> None:
        if self._turn is None:
            self._ring.append(frame)
            return
        self._turn.frames.append(frame)
        self._use(lambda recognition: recognition.write(frame))

    def begin(self) -> None:
        """The caller has begun to speak."""
        if self._turn is not None:
            self.forget()
        turn = _Turn(deque(self._ring, maxlen=REPLAY_MS // FRAME_MS))
        self._ring.clear()
        self._turns.append(turn)
        self._use(lambda recognition: _write(recognition, turn))

    def end(self) -> bool:
        """The caller has finished: one `on_utterance` follows.  False when there was no turn to end."""
        turn = self._turn
        if turn is None:
            return False
        turn.ended = True
        self._use(lambda recognition: recognition.finalize())
        self._watch()
        return True

    def forget(self) -> None:
        """What was said up to now is of no interest any more (a key was pressed instead)."""
        self.end()
        for turn in self._turns:
            turn.wanted = False

    def expect(self, hints: Hints) -> None:
        self._hints = hints
        self._use(lambda recognition: recognition.expect(hints))

    def close(self) -> None:
        self._turns.clear()
        self._hang_up()

    # ------------------------------------------------------------------

    @property
    def _turn(self) -> _Turn | None:
        """The turn the caller is in."""
        return self._turns[-1] if self._turns and not self._turns[-1].ended else None

    def _use(self, action: Callable[[Any], None]) -> None:
        line = self._line
        if line is None or line.recognition is None:
            return  # being reopened; the turn is replayed then
        try:
            action(line.recognition)
        except Exception:
            self._died(line, as_backend_error(Failure()))

    def _final(self, utterance: Utterance) -> None:
        if not self._turns or not self._turns[0].ended:
            return  # nobody asked
        turn = self._turns.popleft()
        self._attempts = 0
        self._watch()
        if turn.wanted:
            self._listener.on_utterance(utterance)

    def _died(self, line: _Line, error: BackendError) -> None:
        if line is not self._line:
            return
        self._hang_up()
        self._attempts += 1
        if self._attempts > 1:
            self._listener.on_deaf(error)
            return
        opening = self.open(self._hints)
        opening.addTimeout(REOPEN_S, self._clock, lambda result, _: Failure(TimedOut("the recogniser did not reopen")))
        opening.addCallbacks(lambda _: self._replay(), self._not_reopened, errbackArgs=(self._line,))

    def _replay(self) -> None:
        for turn in tuple(self._turns):
            self._use(lambda recognition, turn=turn: _write(recognition, turn))  # type: ignore[misc]
        self._watch()

    def _not_reopened(self, failure: Failure, line: _Line) -> None:
        self._died(line, as_backend_error(failure))

    def _watch(self) -> None:
        """A final that is owed must come in time."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if self._turns and self._turns[0].ended:
            self._limit = self._clock.callLater(self._ear.recognizer.final_p99_s + GRACE_S, self._late)

    def _late(self) -> None:
        self._limit = None
        if self._line is not None:
            self._died(self._line, TimedOut("the recogniser did not answer"))

    def _hang_up(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        line, self._line = self._line, None
        if line is not None and line.recognition is not None:
            _close(line.recognition)


@implementer(IRecognitionListener)
class _Line:
    """One opened recogniser; what a closed one still says has no effect."""

    __slots__ = ("_hearing", "recognition")

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self.recognition: IRecognition | None = None

    def opened(self, recognition: IRecognition) -> None:
        if self._hearing._line is self:
            self.recognition = recognition
        else:
            _close(recognition)

    def partial(self, text: str) -> None:
        if self._hearing._line is self and isinstance(text, str):
            self._hearing._listener.on_partial(text)

    def final(self, utterance: Utterance) -> None:
        if self._hearing._line is not self:
            return
        if isinstance(utterance, Utterance) and isinstance(utterance.text, str):
            self._hearing._final(utterance)
        else:
            self._hearing._died(self, ProtocolError("a final that is no utterance"))

    def failed(self, error: BackendError) -> None:
        self._hearing._died(self, error if isinstance(error, BackendError) else ProtocolError(repr(error)[:200]))


def _write(recognition: IRecognition, turn: _Turn) -> None:
    for frame in turn.frames:
        recognition.write(frame)
    if turn.ended:
        recognition.finalize()


def _close(recognition: IRecognition) -> None:
    try:
        recognition.close()
    except Exception:
        Hearing.log.failure("closing a recogniser failed")
