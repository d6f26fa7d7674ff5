"""The cascade: recogniser, dialogue and synthesizer as one voice agent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

import attrs
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.ai.hearing import Ear, Hearing
from smartalex.ai.speaking import Speaking, Voice, as_backend_error
from smartalex.ai.spoken import Spoken
from smartalex.ai.text import sentences, speakable
from smartalex.errors import BackendError, ProtocolError
from smartalex.interfaces import (
    Brief,
    CallTool,
    Expect,
    Hints,
    IDialogue,
    IRecognitionListener,
    IRecognizer,
    ISynthesizer,
    IVoiceAgentFactory,
    IVoiceAgentHost,
    IVoiceAgentSession,
    Reply,
    Say,
    Utterance,
)
from smartalex.media.frame import PCM8K, PCM16K

P = ParamSpec("P")

PRESSED = re.compile(r"\[pressed ([0-9*#A-D])\]")
"""How a key stands in the history."""


def bordered(method: Callable[Concatenate[Cascade, P], None]) -> Callable[Concatenate[Cascade, P], None]:
    """The border to a dialogue: whatever it raises, while recogniser or voice call us, is a failed backend."""

    @wraps(method)
    def inside(self: Cascade, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.closed:
            return
        try:
            method(self, *args, **kwargs)
        except Exception:
            failure = Failure()
            self.log.failure("the dialogue of a cascade failed", failure)
            self.host.failed(as_backend_error(failure))

    return cast("Callable[Concatenate[Cascade, P], None]", inside)


@implementer(IVoiceAgentFactory)
class CascadeFactory:
    """`dialogue(brief)` makes the middle part of each session."""

    formats = (PCM8K, PCM16K)
    output_formats = (PCM8K, PCM16K)
    capabilities = frozenset({"say", "tools"})
    lifetime = None
    receives = True
    greets = True

    def __init__(
        self, recognizer: IRecognizer, dialogue: Callable[[Brief], IDialogue], synthesizer: ISynthesizer, name: str = "cascade"
    ) -> None:
        self.name = name
        self.recognizer = recognizer
        self.synthesizer = synthesizer
        self.formats = tuple(recognizer.formats)
        self._dialogue = dialogue

    def validate(self) -> list[str]:
        return []

    def probe(self) -> Deferred[None]:
        """Opens the recogniser and closes it again; cancel it to bound the wait."""
        opening = maybeDeferred(self.recognizer.open, self.formats[0], "en-US", Hints(), _Nobody())
        return opening.addCallback(lambda recognition: recognition.close())

    def session(self, brief: Brief) -> Cascade:
        return Cascade(self, brief, self._dialogue(brief))


@attrs.define
class _Item:
    """One Say on its way to the caller."""

    interruptible: bool
    spoken: Spoken = attrs.field(factory=Spoken)


@implementer(IVoiceAgentSession)
class Cascade:
    """One conversation: caller's turns go to the recogniser, its words to the dialogue, the reply to the voice.

    What the runtime lets play on is not answered: when an utterance arrives
    while our own interruptible words are still playing, it was a cough or an
    "mm-hm", for the runtime would have called `interrupted` otherwise.
    """

    log = Logger()

    __slots__ = (
        "_brief", "_count", "_dialogue", "_hearing", "_history", "_items", "_parts", "_speaking", "_tools", "closed", "host",
    )  # fmt: skip

    def __init__(self, parts: CascadeFactory, brief: Brief, dialogue: IDialogue) -> None:
        self._parts = parts
        self._brief = brief
        self._dialogue = dialogue
        self._history: list[tuple[str, str]] = list(brief.history)
        self._items: dict[str, _Item] = {}
        self._tools: dict[str, str] = {}
        self._count = 0
        self.closed = False
        self.host: IVoiceAgentHost
        self._hearing: Hearing
        self._speaking: Speaking

    # ------------------------------------------------------------------ IVoiceAgentSession

    def start(self, host: IVoiceAgentHost) -> Deferred[None]:
        self.host = host
        parts, brief = self._parts, self._brief
        ear = Ear(parts.recognizer, brief.input_format or parts.formats[0], brief.language)
        voice = Voice(parts.synthesizer, brief.voice, brief.output_format or parts.output_formats[0])
        self._hearing = Hearing(ear, host.clock, self)
        self._speaking = Speaking(voice, host.clock, self)
        reply = self._dialogue.start(bool(brief.history))
        hints = [step.hints for step in reply if isinstance(step, Expect)]
        opening = self._hearing.open(hints[-1] if hints else Hints())
        return opening.addCallback(lambda _: self._open(reply))

    def _open(self, reply: Reply) -> None:
        """The dialogue's first reply; an empty one settles nothing, for no turn is owed an answer."""
        if self.closed:
            return
        if all(isinstance(step, Expect) for step in reply):
            self._expect_only(reply)
        else:
            self._perform(reply)

    def write(self, frame: bytes) -> None:
        self._hearing.write(frame)

    def dtmf(self, digit: str, duration_ms: int) -> None:
        self._hearing.forget()
        self._speaking.cancel()
        self._items.clear()
        self._history.append(("caller", f"[pressed {digit}]"))
        self._perform(self._dialogue.pressed(digit))

    def speech_started(self) -> None:
        self._hearing.begin()

    def end_of_turn(self) -> None:
        if not self._hearing.end():
            self.host.item_done("")

    def interrupted(self, item_id: str, played_ms: int) -> None:
        self._speaking.cancel()
        item = self._items.get(item_id)
        heard = item.spoken.heard(played_ms) if item else ""
        self._items.clear()
        if heard:
            self._history.append(("agent", heard + " ..."))
        self._expect_only(self._dialogue.cut_off(heard))

    def say(self, text: str, interruptible: bool = True) -> str:
        self._count += 1
        item_id = str(self._count)
        self._items[item_id] = _Item(interruptible)
        protect = getattr(self.host, "protect", None)
        if not interruptible and protect is not None:
            protect(item_id)
        self._speaking.say(item_id, text)
        self._speaking.then(lambda: self._said(item_id))
        return item_id

    def inject(self, role: str, text: str, speak: bool) -> None:
        """With `speak`: answer the caller's last words or key if that was never done, else ask them to go on."""
        who, said = self._history[-1] if self._history else ("", "")
        self._history.append((role, text))
        if not speak:
            return
        key = PRESSED.fullmatch(said) if who == "caller" else None
        if key is not None:
            self._perform(self._dialogue.pressed(key.group(1)))
        else:
            self._perform(self._dialogue.heard(Utterance(said if who == "caller" else "")))

    def tool_result(self, tool_call_id: str, ok: bool, data: Mapping[str, Any]) -> None:
        name = self._tools.pop(tool_call_id, None)
        if name is not None:
            self._perform(self._dialogue.tool_result(name, ok, data))

    def silence(self, count: int) -> None:
        self._perform(self._dialogue.silence(count))

    def marked(self, name: str) -> None:
        item = self._items.pop(name, None)
        if item is not None and item.spoken.text:
            self._history.append(("agent", item.spoken.text))

    def snapshot(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._history)

    def close(self, reason: str) -> Deferred[None]:
        if not self.closed:
            self.closed = True
            for part in ("_hearing", "_speaking"):
                if hasattr(self, part):
                    getattr(self, part).close()
        return succeed(None)

    # ------------------------------------------------------------------ what the ear reports

    @bordered
    def on_partial(self, text: str) -> None:
        self.host.transcript("caller", text, final=False)

    @bordered
    def on_utterance(self, utterance: Utterance) -> None:
        self.host.transcript("caller", utterance.text)
        if any(item.interruptible for item in self._items.values()):
            return
        if utterance.text:
            self._history.append(("caller", utterance.text))
        self._perform(self._dialogue.heard(utterance))

    @bordered
    def on_deaf(self, error: BackendError) -> None:
        self.host.failed(error)

    # ------------------------------------------------------------------ what the mouth reports

    @bordered
    def on_sentence(self, item_id: str, text: str) -> None:
        item = self._items.get(item_id)
        if item is not None:
            item.spoken.begin(text)
        self.host.transcript("agent", text, item_id=item_id)

    @bordered
    def on_audio(self, item_id: str, data: bytes) -> None:
        item = self._items.get(item_id)
        if item is not None:
            item.spoken.audio(len(data) * 500 // self._rate)
        self.host.audio(item_id, data)

    @bordered
    def on_silent(self, error: BackendError) -> None:
        self.host.failed(error)

    # ------------------------------------------------------------------

    @property
    def _rate(self) -> int:
        return (self._brief.output_format or self._parts.output_formats[0]).rate

    def _perform(self, reply: Reply) -> None:
        """Do a Reply in order, except that what to listen for counts from the first word on: callers barge in."""
        if not isinstance(reply, tuple) or not all(isinstance(step, (Say, Expect, CallTool)) for step in reply):
            raise ProtocolError("a dialogue's reply is no Reply")
        self._expect_only(reply)
        audible = False
        for step in reply:
            if isinstance(step, Say) and sentences(speakable(step.text)):
                self.say(step.text, step.interruptible)
                audible = True
            elif isinstance(step, CallTool):
                self._speaking.then(lambda step=step: self._call_tool(step))  # type: ignore[misc]
                audible = True
        if not audible:
            self.host.item_done("")

    def _expect_only(self, reply: Reply) -> None:
        for step in reply:
            if isinstance(step, Expect):
                self._hearing.expect(step.hints)
                self.host.expect(step.kind)

    def _said(self, item_id: str) -> None:
        self.host.item_done(item_id)
        self.host.mark(item_id)

    def _call_tool(self, step: CallTool) -> None:
        self._count += 1
        tool_call_id = f"tool-{self._count}"
        self._tools[tool_call_id] = step.name
        self._hearing.forget()
        self.host.tool_call(tool_call_id, step.name, step.arguments)


@implementer(IRecognitionListener)
class _Nobody:
    """Listens to a probe."""

    def partial(self, text: str) -> None:
        pass

    def final(self, utterance: Utterance) -> None:
        pass

    def failed(self, error: BackendError) -> None:
        pass
