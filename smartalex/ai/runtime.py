"""One call's conversation: the only thing calls/ knows of the AI side.

It owns the call's time: turn taking, playing, timers, what an agent may do, and
what is heard when a backend fails.  Nothing a backend does leaves the caller in
silence: an answer that is owed is filled and then given up, a quiet line is
asked, a dead backend is replaced, and below the last one is message taking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from weakref import proxy

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from smartalex.ai.backlog import Backlog
from smartalex.ai.duration import Duration
from smartalex.ai.errands import Errands
from smartalex.ai.host import EARLY, MOST_EARLY
from smartalex.ai.options import ConversationOptions
from smartalex.ai.prompts import PromptBook
from smartalex.ai.quiet import MUTE_MS, PAUSE_MS, Quiet
from smartalex.ai.shape import Shape
from smartalex.ai.stage import Prompter, Stage
from smartalex.ai.supervisor import Chain, State, Supervisor
from smartalex.ai.timers import Timers
from smartalex.ai.turn import Action, Input, Turns
from smartalex.ai.turn import State as Turn
from smartalex.errors import BackendError, TimedOut
from smartalex.interfaces import Brief, IAudioOut, ICallControl, ICounters
from smartalex.media.level import FLOOR_DBFS, dbfs

NOTHING_ARRIVED = 1
"""Flag of a frame in whose place nothing arrived (smartalex.rtp.plane.NOTHING)."""

ECHO_MARGIN_DB = 9.0
"""Above our own voice on its way back a caller has to be, where it comes back: the estimate may be off by some of it."""

PREPARE_S = 3.0

RECOVERED = "The line to the assistant broke and was restored. The caller is waiting."
"""What a backend is told that takes over in mid-call."""

__all__ = ["Conversation", "ConversationOptions"]


class Conversation:
    """`prepare`, then `begin`, then a `frame` every 20 ms; `close` at the end, whatever happened before.

    The methods named on_... are for the supervisor and the session's host.
    """

    __slots__ = (
        "__weakref__", "_apologised", "_audio", "_backlog", "_begun", "_brief", "_closed", "_control", "_early", "_ending",
        "_endings", "_errands", "_frame_bytes", "_greeting", "_options", "_owed", "_prepared", "_quiet", "_raw", "_shape",
        "_speech", "_spoke", "_stage", "_supervisor", "_timers", "_turns",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 (a call names them all)
        self,
        brief: Brief,
        options: ConversationOptions,
        control: ICallControl,
        audio: IAudioOut,
        prompts: PromptBook,
        clock: IReactorTime,
        counters: ICounters,
    ) -> None:
        self._brief = brief
        self._options = options
        self._control = control
        self._audio = audio
        self._timers = Timers(clock)
        self._stage = Stage(audio, Prompter(prompts, options.language), control, self._timers)
        self._supervisor = Supervisor(Chain(options.factories, options.breakers, options.deadlines), proxy(self), clock, counters)
        self._turns = Turns(options.pace)
        self._frame_bytes = audio.rate // 25
        self._speech = options.detector(audio.rate)
        self._quiet = Quiet()
        self._backlog = Backlog()
        self._errands = Errands(proxy(self), control, brief, self._stage, self._timers)
        self._early: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=MOST_EARLY)
        self._prepared: Deferred[None] | None = None
        self._endings: list[Deferred[None]] = []
        greets = bool(options.factories) and getattr(options.factories[0], "greets", True)
        self._greeting = options.greeting if greets else None
        self._shape = Shape(audio.rate)
        self._begun = self._closed = self._ending = self._raw = False
        self._owed = self._spoke = self._apologised = False

    # ------------------------------------------------------------------ for the call

    def prepare(self, limit_s: float = PREPARE_S) -> Deferred[None]:
        """Start the backend while it rings.  Fires when there is something to say, after `limit_s` in any case; never fails."""
        if self._greeting is not None and self._greeting.text:
            self._stage.history.append(("agent", self._greeting.text))
        prepared = self._prepared = Deferred()
        self._timers.later(limit_s, self._ready)
        self._supervisor.open()
        return prepared

    def begin(self) -> None:
        """Media is up: the greeting's first frame is queued when this returns."""
        self._begun = True
        if any("raw_audio" not in factory.capabilities for factory in self._options.factories):
            self._audio.measure_echo()
        if self._greeting is not None:
            self._stage.playout.clip(self._greeting)
        elif self._supervisor.state is State.FLOOR:
            self._stage.say("fallback-greeting")
        if self._supervisor.live:
            self._go_live()
        early, self._early = self._early, deque()
        for verb, arguments in early:
            self.receive(verb, arguments)
        if self._supervisor.state is State.FLOOR:
            self._floor()
        Duration(self, self._stage, self._timers).start(self._options.max_duration_s, warns=not self._raw)

    def frame(self, pcm: bytes, flags: int) -> None:
        """20 ms of the caller at the leg's rate: also the clock of turn taking."""
        if not self._begun or self._closed:
            return
        for name in self._stage.tick():
            self._supervisor.tell("marked", name)
        if self._turns.state is Turn.SUSPENDED and not self._raw:
            return
        self._write(pcm)
        if self._raw:
            return
        if len(pcm) != self._frame_bytes:  # another codec, by a re-INVITE
            self._frame_bytes = len(pcm)
            self._speech = self._options.detector(len(pcm) * 25)
        speech = not flags & NOTHING_ARRIVED and self._speech(pcm) and not self._is_echo(pcm)
        self._perform(self._turns.frame(speech, self._stage.playout.speaking, self._stage.playout.interruptible))
        self._listen_for_silence()

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """A key interrupts at once; it is passed on unless a tool runs or the call is not ours."""
        if not self._begun or self._closed:
            return
        if self._raw:
            self._supervisor.tell("dtmf", digit, duration_ms)
            return
        for action in self._turns.input(Input.KEY):
            if action is Action.PRESS:
                self._press(digit, duration_ms)
            else:
                self._perform((action,))

    def suspend(self) -> None:
        """Neither hear nor speak until `resume`; what was queued is dropped."""
        self._cut()
        self._turns.input(Input.SUSPEND)
        self._supervisor.answered()

    def resume(self, event_text: str, speak: bool) -> None:
        """Go on; the backend is told what happened and, with `speak`, says something about it."""
        if self._closed or self._ending:
            return
        self._turns.input(Input.CONTINUE)
        if self._raw:
            self._supervisor.offer("attach", self._audio)
        if self._supervisor.state is State.FLOOR:
            self._floor()
        elif event_text:
            self.tell_event(event_text, speak)

    def end_after_playout(self, goodbye: bool) -> Deferred[None]:
        """No new turn begins; fires when the last sample of what is being said has left, after 15 s in any case."""
        return self._end("goodbye" if goodbye else "")

    def close(self, reason: str) -> None:
        """Free everything; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._timers.close()
        self._stage.cut()
        self._supervisor.close(reason)
        self._ready()
        self._finished()

    # ------------------------------------------------------------------ the session's wishes (host.IOwner)

    def receive(self, verb: str, arguments: tuple[Any, ...]) -> None:
        if verb in EARLY and not self._begun:
            self._early.append((verb, arguments))
        else:
            getattr(self, verb)(*arguments)

    def on_audio(self, item_id: str, data: bytes) -> None:
        pcm, rate = self._shape.from_backend.pcm(data), self._shape.from_backend.rate
        if self._raw:
            if self._audible:
                self._audio.play(pcm, rate)
            return
        if not pcm or not self._may_speak(item_id):
            return
        heard = self._quiet.agent(pcm, rate)
        if not self._supervisor.can("continuous_output") and self._quiet.mute_ms > PAUSE_MS:
            if self._quiet.mute_ms >= MUTE_MS:
                self._supervisor.failed(TimedOut("silence instead of speech"))
        elif self._stage.playout.audio(item_id, pcm, rate) and heard:
            self._spoke = True
            self.answered()

    def on_item_done(self, item_id: str) -> None:
        """'' says that the turn is answered with nothing."""
        if item_id:
            self._stage.playout.done(item_id)
        else:
            self._settled()

    def on_protect(self, item_id: str) -> None:
        self._stage.playout.protect(item_id)

    def on_discard(self, item_id: str | None) -> None:
        self._early.clear()
        if self._begun:
            self._stage.cut()

    def on_mark(self, name: str) -> None:
        self._stage.playout.mark(name)

    def on_transcript(self, role: str, text: str, final: bool, item_id: str) -> None:
        if role == "caller":
            if final:
                self._stage.understood(text.strip())
            self._perform(self._turns.words(text.strip(), final))
        elif final and self._may_speak(item_id) and not self._stage.playout.note(item_id, text):
            self._stage.said("agent", text)

    def on_expect(self, kind: str) -> None:
        self._turns.expect(kind)

    def on_tool_call(self, tool_call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        if not self._ending and self._turns.state is not Turn.SUSPENDED:
            self._errands.ask(tool_call_id, name, arguments)

    def on_going_away(self, seconds: float) -> None:
        self._control.event("backend", {"going_away_s": seconds})

    def on_ended(self, reason: str) -> None:
        if self._audible and not self._errands.running:
            self._timers.later(0, self.finish, "", reason[:80] or "the agent ended the call")

    # ------------------------------------------------------------------ the supervisor's calls (ISupervised)

    def brief(self) -> Brief:
        """As a session is told that starts now; the formats are chosen here."""
        assert self._supervisor.factory is not None
        heard, spoken = self._shape.adopt(self._supervisor.factory, self._audio.rate)
        history = (*self._brief.history, *self._stage.history)
        return attrs.evolve(self._brief, history=history, input_format=heard, output_format=spoken)

    def on_live(self) -> None:
        self._raw = self._supervisor.can("raw_audio")
        self._ready()
        if self._begun:
            self._go_live()

    def on_gone(self) -> None:
        self._early.clear()
        self._stage.playout.disown()
        self._quiet.reset()
        self._raw = False

    def on_trouble(self) -> None:
        if self._begun and self._audible:
            self._apologised = True
            self._stage.playout.release()
            self._stage.say("one-moment")

    def on_floor(self) -> None:
        self._ready()
        if self._begun:
            self._floor()

    def on_waiting(self, count: int) -> None:
        if self._audible and not self._stage.playout.speaking:
            self._stage.say("thinking" if count == 1 else "thinking-2")

    def on_record(self, kind: str, data: dict[str, Any]) -> None:
        self._control.event(kind, data)

    # ------------------------------------------------------------------ for errands

    @property
    def epoch(self) -> int:
        """Changes with every new session."""
        return self._supervisor.epoch

    @property
    def spoke(self) -> bool:
        """Whether the agent said something since the caller's last turn."""
        return self._spoke or self._stage.playout.busy

    def input(self, event: Input) -> None:
        self._perform(self._turns.input(event))

    def answered(self) -> None:
        """The session reacted, by words or a tool."""
        self._quiet.answered()
        self._settled()

    def failed(self, error: BackendError) -> None:
        self._supervisor.failed(error)

    def regained(self) -> bool:
        """A tool that took the caller away has failed: take turns again.  False when the call is over or out of backends."""
        if self._closed or self._ending:
            return False
        self.input(Input.CONTINUE if self._turns.state is Turn.SUSPENDED else Input.TOOL_DONE)
        if self._supervisor.state is State.FLOOR:
            self._stage.say("transfer-failed")
            self._floor()
            return False
        return True

    def tell_result(self, tool_call_id: str, data: Mapping[str, Any]) -> None:
        """A tool failed; the agent has to say so."""
        self._owe()
        self._supervisor.tell("tool_result", tool_call_id, False, dict(data))

    def tell_event(self, text: str, speak: bool) -> None:
        """Something happened; a session that is being replaced learns it from the history."""
        self._stage.history.append(("event", text))
        if self._supervisor.live:
            if speak:
                self._owe()
            self._supervisor.tell("inject", "event", text, speak)
        elif speak:
            self._apologised = True

    def finish(self, prompt: str, reason: str) -> None:
        """Say `prompt` ('' for nothing), then end the call."""
        if not self._ending and not self._closed:
            self._end(prompt).addCallback(lambda _: None if self._closed else self._control.end(reason))

    # ------------------------------------------------------------------ turns

    def _is_echo(self, pcm: bytes) -> bool:
        """Whether this may well be nobody but us."""
        echo_dbfs = self._audio.echo_dbfs()
        return echo_dbfs > FLOOR_DBFS and dbfs(pcm) < echo_dbfs + ECHO_MARGIN_DB

    def _write(self, pcm: bytes) -> None:
        if self._supervisor.live:
            for frame in self._shape.to_backend.frames(pcm):
                self._supervisor.tell("write", frame)
        else:
            self._backlog.add(pcm)

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            self._do[action](self)

    def _start(self) -> None:
        self._errands.stay()
        self._quiet.answered()
        self._supervisor.answered()
        if not self._supervisor.live:
            self._backlog.begin()
        elif not self._supervisor.can("server_turns"):
            self._supervisor.tell("speech_started")

    def _finish_turn(self) -> None:
        self._spoke = False
        self._owe()
        self._check()

    def _check(self) -> None:
        if not self._supervisor.can("server_turns"):
            self._supervisor.tell("end_of_turn")

    def _owe(self) -> None:
        self._owed = True
        self._supervisor.owed()

    def _play_on(self) -> None:
        self._stage.playout.release()
        if self._owed:
            self._supervisor.owed()

    def _cut(self) -> None:
        """Take away what is being played, and tell the session how much of it was heard."""
        cut = self._stage.cut()
        if cut is not None:
            self._supervisor.tell("interrupted", cut.item_id, cut.played_ms)

    def _press(self, digit: str, duration_ms: int) -> None:
        self._errands.stay()
        self._supervisor.answered()
        self._owed = False
        self._stage.said("caller", f"[pressed {digit}]")
        if self._supervisor.live:
            self._supervisor.tell("dtmf", digit, duration_ms)
        else:
            self._apologised = True

    def _reprompt(self) -> None:
        self._spoke = False
        self._quiet.asked()
        self._supervisor.tell("silence", self._turns.prompted)

    def _goodbye(self) -> None:
        self._control.event("silent-caller", {})
        self.finish("goodbye", "caller silent")

    _do: Mapping[Action, Callable[[Conversation], None]] = {
        Action.START: _start,
        Action.END: _finish_turn,
        Action.CHECK: _check,
        Action.OWED: _owe,
        Action.HOLD: lambda self: self._stage.playout.hold(),
        Action.RESUME: _play_on,
        Action.INTERRUPT: _cut,
        Action.PRESS: lambda self: None,  # dtmf knows the digit
        Action.REPROMPT: _reprompt,
        Action.COMFORT: lambda self: self._stage.say("please-hold"),
        Action.GOODBYE: _goodbye,
    }

    def _settled(self) -> None:
        """Nothing is owed any more."""
        self._supervisor.answered()
        self._owed = False
        self._turns.input(Input.ANSWERED)

    def _listen_for_silence(self) -> None:
        """What the frames say about a backend that does not react, or stopped in mid-sentence."""
        if self._quiet.unasked(self._stage.playout.speaking):
            self._stage.say("still-there" if self._turns.prompted < 2 else "still-there-2")
        if self._quiet.starving(self._stage.playout.starved):
            self._supervisor.failed(TimedOut("stopped in mid-sentence"))

    # ------------------------------------------------------------------ beginning and end

    @property
    def handed_over(self) -> bool:
        """The caller is with the PBX, or with message taking, or on the way there."""
        return self._turns.state is Turn.SUSPENDED or self._errands.running

    @property
    def _audible(self) -> bool:
        """Whether we are the ones the caller hears."""
        return not self._ending and self._turns.state is not Turn.SUSPENDED

    def _may_speak(self, item_id: str) -> bool:
        return self._audible or self._stage.playout.knows(item_id)

    def _ready(self) -> None:
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.callback(None)

    def _go_live(self) -> None:
        """A session may speak, and the caller is there."""
        missed = self._backlog.take()
        if self._raw:
            self._supervisor.offer("attach", self._audio)
        elif not self._audible or self._errands.running:
            pass  # it speaks when its turn comes
        elif self._turns.state is Turn.THINKING and missed and not self._apologised:
            self._catch_up(missed)
            self._finish_turn()
        elif self._apologised or self._turns.state is Turn.THINKING:
            self._apologised = False
            self._owe()
            if self._stage.history:
                self._supervisor.tell("inject", "event", RECOVERED, True)
        elif self._turns.state is Turn.CALLER:
            self._catch_up(missed)
        elif not self._stage.history and not self._stage.playout.busy and not self._early:
            self._owe()  # the first words

    def _catch_up(self, missed: tuple[bytes, ...]) -> None:
        """The caller began to speak before the session was there."""
        if not self._supervisor.can("server_turns"):
            self._supervisor.tell("speech_started")
        for pcm in missed:
            self._write(pcm)

    def _floor(self) -> None:
        """No backend is left: message taking, which needs none."""
        if self._audible and not self._errands.running:
            self.input(Input.TOOL)
            self._stage.say("sorry-trouble")
            self._errands.take_message()

    def _end(self, prompt: str) -> Deferred[None]:
        ended: Deferred[None] = Deferred()
        self._endings.append(ended)
        if self._closed:
            self._finished()
        elif self._ending:
            self._stage.after(self._finished)
        else:
            if prompt:
                self._cut()
                self._stage.say(prompt, interruptible=False)
            self._ending = True
            self._stage.playout.release()
            self._turns.input(Input.SUSPEND)
            self._supervisor.answered()
            self._stage.after(self._finished)
        return ended

    def _finished(self) -> None:
        """The last word has left."""
        endings, self._endings = self._endings, []
        for ended in endings:
            ended.callback(None)
