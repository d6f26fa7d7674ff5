"""An agent that says its first message, and then takes a message or hangs up: for what is closed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from smartalex.ai.pipeline import CascadeFactory
from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer
from smartalex.errors import ConfigurationError
from smartalex.interfaces import (
    Brief,
    CallTool,
    Hints,
    IDialogue,
    IRecognition,
    IRecognitionListener,
    IRecognizer,
    Reply,
    Say,
    Utterance,
)
from smartalex.media.frame import PCM8K, AudioFormat

AFTERWARDS = {"message": "take_message", "hang-up": "end_call"}


class NoticeFactory(CascadeFactory):
    """`then` is "message" or "hang-up"; needs the reactor for the voice's child, `stop` ends it."""

    wants_reactor = True

    def __init__(self, reactor: Any, then: str = "message") -> None:
        if then not in AFTERWARDS:
            raise ConfigurationError(f"notice: then={then} is neither of {', '.join(AFTERWARDS)}")
        voice = self._voice = EmbeddedSynthesizer(reactor)
        super().__init__(Deaf(reactor), lambda brief: NoticeDialogue(brief, AFTERWARDS[then]), voice, "notice")

    def stop(self) -> Deferred[None]:
        """Fires when the child is gone."""
        return self._voice.stop()


@implementer(IDialogue)
class NoticeDialogue:
    """`afterwards` is the tool; where it is not allowed, or comes to nothing, the call ends."""

    def __init__(self, brief: Brief, afterwards: str) -> None:
        self._brief = brief
        self._afterwards = afterwards

    def start(self, greeted: bool) -> Reply:
        said = () if greeted or not self._brief.first_message else (Say(self._brief.first_message),)
        return (*said, CallTool(self._afterwards, {"reason": "closed"}))

    def heard(self, utterance: Utterance) -> Reply:
        return ()

    def pressed(self, digit: str) -> Reply:
        return (CallTool(self._afterwards, {"reason": "closed"}),)

    def silence(self, count: int) -> Reply:
        return ()

    def tool_result(self, name: str, ok: bool, data: Any) -> Reply:
        return () if ok or name == "end_call" else (CallTool("end_call", {"reason": "closed"}),)

    def cut_off(self, text: str) -> Reply:
        return ()


@implementer(IRecognizer)
class Deaf:
    """Understands nothing, at no cost."""

    name = "deaf"
    formats = (PCM8K,)
    final_p99_s = 0.1
    decides_turns = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock

    def open(self, format: AudioFormat, language: str, hints: Hints, listener: IRecognitionListener) -> Deferred[IRecognition]:
        return succeed(_Ear(self._clock, listener))


@implementer(IRecognition)
class _Ear:
    def __init__(self, clock: IReactorTime, listener: IRecognitionListener) -> None:
        self._clock = clock
        self._listener: IRecognitionListener | None = listener

    def write(self, frame: bytes) -> None:
        """Not even kept."""

    def expect(self, hints: Hints) -> None:
        """Whatever it is."""

    def finalize(self) -> None:
        self._clock.callLater(0, self._final)

    def _final(self) -> None:
        if self._listener is not None:
            self._listener.final(Utterance(""))

    def close(self) -> None:
        self._listener = None
