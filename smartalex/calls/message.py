"""Taking a message: prompt, beep, record, keep.  Needs no AI, and no database while the caller speaks.

`MessageCore` decides, frame by frame; `MessageTaking` does it on a leg.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.interfaces import IAudioOut, IMessageWriter
from smartalex.machine import Symbol, Table, step
from smartalex.media.frame import FRAME_MS, PCM8K, Clip
from smartalex.media.resample import Frames


class State(Symbol):
    PROMPTING = "prompting"
    RECORDING = "recording"
    SAVING = "saving"
    CLOSING = "closing"
    DONE = "done"


class Input(Symbol):
    PLAYED = "played"
    FINISHED = "caller finished"
    KEY = "key"
    GONE = "caller gone"
    SAVED = "saved"
    FAILED = "not saved"


class Action(Symbol):
    BEEP_AND_RECORD = "start recording"
    SAVE = "keep it"
    THANK = "say it was saved"
    APOLOGISE = "say it was not saved"
    ABANDON = "nothing was recorded"
    HANG_UP = "end the call"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    (S.PROMPTING, I.PLAYED): ((A.BEEP_AND_RECORD,), S.RECORDING),
    (S.PROMPTING, I.KEY): ((A.BEEP_AND_RECORD,), S.RECORDING),  # a key skips the prompt
    (S.PROMPTING, I.GONE): ((A.ABANDON,), S.DONE),
    (S.RECORDING, I.FINISHED): ((A.SAVE,), S.SAVING),
    (S.RECORDING, I.KEY): ((A.SAVE,), S.SAVING),
    (S.RECORDING, I.GONE): ((A.SAVE,), S.DONE),
    (S.SAVING, I.SAVED): ((A.THANK,), S.CLOSING),
    (S.SAVING, I.FAILED): ((A.APOLOGISE,), S.CLOSING),
    (S.SAVING, I.GONE): ((), S.DONE),
    (S.CLOSING, I.PLAYED): ((A.HANG_UP,), S.DONE),
    (S.CLOSING, I.GONE): ((), S.DONE),
}


@attrs.frozen
class MessageLimits:
    """When the recorder stops by itself, in seconds; `least_speech_s` is what makes a message worth keeping."""

    max_s: float = 180.0
    silence_s: float = 5.0
    no_speech_s: float = 10.0
    least_speech_s: float = 0.6


@attrs.define
class Recording:
    """Counts what the caller has said so far, in 20 ms frames."""

    limits: MessageLimits
    frames: int = 0
    speech: int = 0
    quiet: int = 0

    def frame(self, speech: bool) -> bool:
        """One frame more; True when the caller has finished."""
        self.frames += 1
        self.speech += speech
        self.quiet = 0 if speech else self.quiet + 1
        patience = self.limits.silence_s if self.worth_keeping else self.limits.no_speech_s
        return self.quiet * FRAME_MS >= patience * 1000 or self.duration_ms >= self.limits.max_s * 1000

    @property
    def duration_ms(self) -> int:
        return self.frames * FRAME_MS

    @property
    def worth_keeping(self) -> bool:
        return self.speech * FRAME_MS >= self.limits.least_speech_s * 1000


@attrs.frozen
class MessageSounds:
    """Clips rendered ahead, so that nothing here depends on a voice being alive."""

    prompt: Clip
    beep: Clip
    saved: Clip
    nothing_heard: Clip
    trouble: Clip


@attrs.frozen
class Addressee:
    """Whom the message is for: a directory id and name, or both ''."""

    id: str = ""
    name: str = ""


class MessageTaking:
    """One message on one leg.

    `settled` fires once with (kind, message id): 'kept', 'empty' (no speech) or
    'lost' (could not be stored), also when the caller hung up meanwhile;
    `hang_up` is called after the last word to the caller.
    """

    __slots__ = (
        "_audio",
        "_frames",
        "_hang_up",
        "_recording",
        "_sounds",
        "_speech",
        "_state",
        "_to",
        "_writer",
        "outcome",
        "settled",
    )

    log = Logger()

    def __init__(
        self,
        audio: IAudioOut,
        sounds: MessageSounds,
        writer: IMessageWriter,
        speech: Callable[[bytes], bool],
        limits: MessageLimits,
    ) -> None:
        self._audio = audio
        self._sounds = sounds
        self._writer = writer
        self._speech = speech
        self._frames = Frames(PCM8K.rate)
        self._recording = Recording(limits)
        self._state = State.PROMPTING
        self._to = Addressee()
        self._hang_up: Callable[[], None] = lambda: None
        self.outcome = ""
        self.settled: Deferred[tuple[str, str]] = Deferred()

    def start(self, to: Addressee, hang_up: Callable[[], None]) -> None:
        self._to, self._hang_up = to, hang_up
        self._play(self._sounds.prompt)

    def frame(self, pcm: bytes, flags: int) -> None:
        """20 ms of the caller; while we speak ourselves nothing is recorded."""
        if self._audio.queued_ms > 0:
            return
        if self._state is not State.RECORDING:
            self._input(Input.PLAYED)
            return
        for frame in self._frames.of(pcm):
            self._writer.write(frame)
            if self._recording.frame(self._speech(frame)):
                self._input(Input.FINISHED)
                return

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """Any key skips the prompt; only # ends the recording."""
        if self._state is State.PROMPTING or digit == "#":
            self._input(Input.KEY)

    def caller_gone(self) -> None:
        self._input(Input.GONE)

    # ------------------------------------------------------------------

    def _input(self, event: Input) -> None:
        row = step(TABLE, self._state, event)
        if row is None:
            return
        actions, self._state = row
        for action in actions:
            self._perform[action](self)

    def _play(self, clip: Clip) -> None:
        self._audio.flush()
        self._audio.play_clip(clip)

    def _beep_and_record(self) -> None:
        self._play(self._sounds.beep)

    def _save(self) -> None:
        if not self._recording.worth_keeping:
            self._writer.abandon()
            self._settle("empty")
            return
        stored: Deferred[str] = self._writer.commit(self._recording.duration_ms, self._to.id, self._to.name)
        stored.addCallbacks(lambda message_id: self._settle("kept", message_id), self._not_stored)

    def _not_stored(self, failure: Failure) -> None:
        self.log.failure("a message could not be stored", failure)
        self._settle("lost")

    def _settle(self, outcome: str, message_id: str = "") -> None:
        self.outcome = outcome
        self.settled.callback((outcome, message_id))
        self._input(Input.FAILED if outcome == "lost" else Input.SAVED)

    def _abandon(self) -> None:
        self._writer.abandon()
        self._settle("empty")

    def _thank(self) -> None:
        self._play(self._sounds.saved if self.outcome == "kept" else self._sounds.nothing_heard)

    def _apologise(self) -> None:
        self._play(self._sounds.trouble)

    _perform = {
        Action.BEEP_AND_RECORD: _beep_and_record,
        Action.SAVE: _save,
        Action.ABANDON: _abandon,
        Action.THANK: _thank,
        Action.APOLOGISE: _apologise,
        Action.HANG_UP: lambda self: self._hang_up(),
    }
