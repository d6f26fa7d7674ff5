"""A caller's ear, a call's hands, and scripted backends, all on one Clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smartalex.ai.breaker import Breakers
from smartalex.ai.options import ConversationOptions
from smartalex.ai.prompts import ENGLISH, PromptBook
from smartalex.ai.runtime import Conversation
from smartalex.counters import Counters
from smartalex.errors import BackendError, ProtocolError, Unavailable
from smartalex.interfaces import (
    Brief,
    Destination,
    IAudioOut,
    ICallControl,
    IDialogue,
    IRecognition,
    IRecognizer,
    ISynthesis,
    ISynthesizer,
    IVoiceAgentFactory,
    IVoiceAgentSession,
    Utterance,
)
from smartalex.media.frame import PCM8K, Clip
from smartalex.media.level import FLOOR_DBFS
from smartalex.media.resample import resample

FRAME = 320
QUIET = bytes(FRAME)
SPEECH = b"\x00\x20" * (FRAME // 2)
MS = 16  # bytes of a millisecond

BRIEF = Brief(
    agent_name="Alex",
    company="Acme",
    first_message="Hello, this is Alex.",
    destinations=(Destination("301", "Sarah Mitchell", department="billing"), Destination("200", "Sales", kind="department")),
    operator="100",
)


def loud(ms: int) -> bytes:
    return b"\x00\x10" * (ms * MS // 2)


@implementer(IAudioOut)
class Leg:
    """Plays 20 ms each tick; `heard` is what left: one entry a frame, True where it was sound."""

    rate = 8000

    def __init__(self) -> None:
        self.queue = bytearray()
        self.paused = False
        self.played_ms = 0
        self.heard: list[bool] = []
        self.clips: list[str] = []
        self.loop: Clip | None = None
        self.expecting: list[bool] = []
        self.echo = FLOOR_DBFS
        self.measuring = False

    @property
    def queued_ms(self) -> int:
        return -(-len(self.queue) // MS)

    def play(self, pcm: bytes, rate: int = 0) -> None:
        assert len(pcm) % 2 == 0
        self.queue += resample(pcm, rate or self.rate, self.rate)

    def expect(self, more: bool) -> None:
        if more != (bool(self.expecting) and self.expecting[-1]):
            self.expecting.append(more)

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        self.clips.append(clip.text)
        self.play(clip.pcm)
        self.loop = clip if loop else None

    def flush(self) -> int:
        dropped = self.queued_ms
        self.queue.clear()
        self.loop = None
        return dropped

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def measure_echo(self) -> None:
        self.measuring = True

    def echo_dbfs(self) -> float:
        return self.echo

    def tick(self) -> None:
        frame = b"" if self.paused else bytes(self.queue[:FRAME])
        self.heard.append(any(frame))
        if frame:
            del self.queue[:FRAME]
            self.played_ms += 20
            if self.loop is not None and not self.queue:
                self.queue += self.loop.pcm


@implementer(ICallControl)
class Control:
    def __init__(self) -> None:
        self.transfers: list[tuple[str, str]] = []
        self.outcome: Deferred[dict[str, Any]] | None = None
        self.messages: list[str] = []
        self.message_outcome: Any = {"ok": True}
        self.ended: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []

    def transfer(self, destination_id: str, reason: str) -> Deferred[dict[str, Any]]:
        self.transfers.append((destination_id, reason))
        self.outcome = Deferred()
        return self.outcome

    def take_message(self, for_id: str) -> Deferred[Any]:
        self.messages.append(for_id)
        return succeed(self.message_outcome)

    def end(self, reason: str) -> None:
        self.ended.append(reason)

    def said(self, role: str, text: str) -> None:
        self.lines.append((role, text))

    def event(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@implementer(IVoiceAgentSession)
class Session:
    """Notes every verb in `calls`; `factory.on[verb](session, *arguments)` is what it does."""

    def __init__(self, factory: Backend, brief: Brief) -> None:
        self.factory = factory
        self.brief = brief
        self.calls: list[tuple[Any, ...]] = []
        self.frames = 0
        self.closed = ""
        self.host: Any = None

    def _verb(self, verb: str, *arguments: Any) -> Any:
        self.calls.append((verb, *arguments))
        action = self.factory.on.get(verb)
        return action(self, *arguments) if action is not None else None

    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def start(self, host: Any) -> Any:
        self.host = host
        result = self._verb("start")
        return succeed(None) if result is None else result

    def write(self, frame: bytes) -> None:
        self.frames += 1
        action = self.factory.on.get("write")
        if action is not None:
            action(self, frame)

    def dtmf(self, digit: str, duration_ms: int) -> None:
        self._verb("dtmf", digit)

    def speech_started(self) -> None:
        self._verb("speech_started")

    def end_of_turn(self) -> None:
        self._verb("end_of_turn")

    def interrupted(self, item_id: str, played_ms: int) -> None:
        self._verb("interrupted", item_id, played_ms)

    def say(self, text: str, interruptible: bool = True) -> str:
        self._verb("say", text)
        return "said"

    def inject(self, role: str, text: str, speak: bool) -> None:
        self._verb("inject", role, text, speak)

    def tool_result(self, tool_call_id: str, ok: bool, data: Any) -> None:
        self._verb("tool_result", tool_call_id, ok, data)

    def silence(self, count: int) -> None:
        self._verb("silence", count)

    def marked(self, name: str) -> None:
        self._verb("marked", name)

    def snapshot(self) -> tuple[tuple[str, str], ...]:
        return ()

    def close(self, reason: str) -> Deferred[None]:
        self.closed = reason
        self._verb("close", reason)
        return succeed(None)


@implementer(IVoiceAgentFactory)
class Backend:
    """A scripted backend; `sessions` are those it made."""

    formats = (PCM8K,)
    output_formats = (PCM8K,)
    lifetime = None

    def __init__(self, name: str = "scripted", capabilities: frozenset[str] = frozenset(), **on: Callable[..., Any]) -> None:
        self.name = name
        self.capabilities = capabilities
        self.on = on
        self.sessions: list[Session] = []

    def validate(self) -> list[str]:
        return []

    def probe(self) -> Deferred[None]:
        return succeed(None)

    def session(self, brief: Brief) -> Session:
        made = Session(self, brief)
        self.sessions.append(made)
        if "session" in self.on:
            self.on["session"](made)
        return made

    @property
    def last(self) -> Session:
        return self.sessions[-1]


def answering(text: str = "Certainly.", ms: int = 400) -> Callable[..., None]:
    """A verb's script: one item saying `text`."""

    def answer(session: Session, *_: Any) -> None:
        item = f"item-{len(session.calls)}"
        session.host.transcript("agent", text, item_id=item)
        session.host.audio(item, loud(ms))
        session.host.item_done(item)

    return answer


def never(session: Any, *_: Any) -> Deferred[None]:
    return Deferred()


def refuses(error: BackendError) -> Any:
    return lambda session, *_: fail(error)


def raises(session: Any, *_: Any) -> None:
    raise ZeroDivisionError("plugin bug")


def dies(session: Any, *_: Any) -> None:
    session.host.failed(Unavailable("gone"))


def calls(name: str, **arguments: Any) -> Any:
    return lambda session, *_: session.host.tool_call("t1", name, arguments)


def book(clock: Clock) -> PromptBook:
    """Every prompt as half a second of sound."""
    prompts = PromptBook(clock)
    for name, text in ENGLISH.items():
        prompts._clips["en", name] = Clip(loud(500), 8000, text)
    return prompts


GREETING = Clip(loud(600), 8000, "Hello, this is Alex.")


class Phone:
    """One call: a Conversation, its leg, its control, and a caller who speaks when told."""

    def __init__(self, *backends: Any, brief: Brief = BRIEF, greeting: Clip | None = GREETING, **options: Any) -> None:
        self.clock = Clock()
        self.leg = Leg()
        self.control = Control()
        self.counters = Counters()
        self.breakers = options.pop("breakers", Breakers())
        chosen = ConversationOptions(
            tuple(backends), greeting, breakers=self.breakers, detector=lambda rate: lambda frame: frame != QUIET, **options
        )
        self.conversation = Conversation(
            brief,
            chosen,
            control=self.control,
            audio=self.leg,
            prompts=book(self.clock),
            clock=self.clock,
            counters=self.counters,
        )

    def ring(self) -> bool:
        """prepare; whether it fired at once."""
        fired: list[None] = []
        self.conversation.prepare().addCallback(fired.append)
        self.fired = fired
        return bool(fired)

    def answer(self, *, quiet_ms: int = 0) -> Phone:
        self.ring()
        self.conversation.begin()
        self.wait(quiet_ms)
        return self

    def frame(self, pcm: bytes = QUIET) -> None:
        self.clock.advance(0.02)
        self.leg.tick()
        self.conversation.frame(pcm, 0)

    def wait(self, ms: int) -> Phone:
        for _ in range(ms // 20):
            self.frame()
        return self

    def speak(self, ms: int) -> Phone:
        for _ in range(ms // 20):
            self.frame(SPEECH)
        return self

    def until(self, condition: Callable[[], bool], limit_ms: int = 30_000) -> int:
        """Quiet frames until `condition`; how many ms that took."""
        for passed in range(0, limit_ms, 20):
            if condition():
                return passed
            self.frame()
        raise AssertionError(f"not within {limit_ms} ms")


# ------------------------------------------------------------------------- parts of a cascade


@implementer(IRecognition)
class Recognition:
    """Understands what it is told to: `answers` of its recogniser, one a finalize."""

    def __init__(self, recognizer: Recognizer, listener: Any) -> None:
        self.recognizer = recognizer
        self.listener = listener
        self.frames: list[bytes] = []
        self.finalized = 0
        self.closed = False
        self.hints: list[Any] = []

    def write(self, frame: bytes) -> None:
        self.recognizer.do("write")
        self.frames.append(frame)

    def expect(self, hints: Any) -> None:
        self.hints.append(hints)

    def finalize(self) -> None:
        self.recognizer.do("finalize")
        self.finalized += 1
        if self.recognizer.mute:
            return
        text = self.recognizer.answers.pop(0) if self.recognizer.answers else ""
        self.recognizer.clock.callLater(0.05, self.say, text)

    def say(self, text: str) -> None:
        if not self.closed:
            self.listener.final(Utterance(text))

    def close(self) -> None:
        self.closed = True


@implementer(IRecognizer)
class Recognizer:
    name = "scripted"
    formats = (PCM8K,)
    final_p99_s = 0.3
    decides_turns = False

    def __init__(self, clock: Clock, *answers: str) -> None:
        self.clock = clock
        self.answers = list(answers)
        self.mute = False
        self.opened: list[Recognition] = []
        self.faults: dict[str, list[Any]] = {}

    def do(self, verb: str) -> None:
        """Raise the next fault of `verb`, if one is planned."""
        if self.faults.get(verb):
            fault = self.faults[verb].pop(0)
            if fault is not None:
                raise fault

    def open(self, format: Any, language: str, hints: Any, listener: Any) -> Deferred[Recognition]:
        self.do("open")
        self.opened.append(Recognition(self, listener))
        return succeed(self.opened[-1])


@implementer(ISynthesis)
class Synthesis:
    def __init__(self, synthesizer: Synthesizer, consumer: Any) -> None:
        self.synthesizer = synthesizer
        self.consumer = consumer
        self.done: Deferred[None] = Deferred()
        self.text = ""
        self.cancelled = False

    def feed(self, text: str) -> None:
        self.text += text

    def end(self) -> None:
        self.synthesizer.texts.append(self.text)
        plan = self.synthesizer.plan.pop(0) if self.synthesizer.plan else None
        if isinstance(plan, BackendError):
            self.consumer.audio(loud(40))
            self.synthesizer.clock.callLater(0.01, self._fail, plan)
        elif plan != "stall":
            if plan != "empty":
                self.consumer.audio(loud(100 * len(self.text.split())))
            self.synthesizer.clock.callLater(0.01, self._finish)

    def _finish(self) -> None:
        if not self.done.called:
            self.done.callback(None)

    def _fail(self, error: BackendError) -> None:
        if not self.done.called:
            self.done.errback(error)

    def cancel(self) -> None:
        self.cancelled = True
        self.done.cancel()


@implementer(ISynthesizer)
class Synthesizer:
    """100 ms a word; `plan` holds what becomes of the next syntheses: None, an error, 'stall' or 'empty'."""

    name = "scripted"
    streaming = False

    def __init__(self, clock: Clock, *plan: Any) -> None:
        self.clock = clock
        self.plan = list(plan)
        self.texts: list[str] = []
        self.made: list[Synthesis] = []

    def speak(self, voice: str, format: Any, consumer: Any) -> Synthesis:
        self.made.append(Synthesis(self, consumer))
        return self.made[-1]


@implementer(IDialogue)
class Dialogue:
    """Replies from `replies[verb]`, one after the other; notes what it was told."""

    def __init__(self, **replies: list[Any]) -> None:
        self.replies = replies
        self.told: list[tuple[Any, ...]] = []

    def _told(self, verb: str, *arguments: Any) -> Any:
        self.told.append((verb, *arguments))
        waiting = self.replies.get(verb)
        reply = waiting.pop(0) if waiting else ()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def start(self, greeted: bool) -> Any:
        return self._told("start", greeted)

    def heard(self, utterance: Utterance) -> Any:
        return self._told("heard", utterance.text)

    def pressed(self, digit: str) -> Any:
        return self._told("pressed", digit)

    def silence(self, count: int) -> Any:
        return self._told("silence", count)

    def tool_result(self, name: str, ok: bool, data: Any) -> Any:
        return self._told("tool_result", name, ok, data)

    def cut_off(self, text: str) -> Any:
        return self._told("cut_off", text)


class LoggedCase(TestCase):
    """Failures that a backend provoked on purpose are logged, and no surprise."""

    def tearDown(self) -> None:
        self.flushLoggedErrors(ZeroDivisionError, ProtocolError)

    def near(self, value: float, expected: float, tolerance: float) -> None:
        self.assertLessEqual(abs(value - expected), tolerance, (value, expected))
