"""Turn taking as a table, counted in 20 ms frames: who has the floor, and what to do about it.

Barge-in has two steps: 200 ms of speech over the agent hold the playing, 500 ms
or a word take it away; a cough lets it go on from where it was.
"""

from __future__ import annotations

import attrs

from smartalex.machine import Symbol, Table, step
from smartalex.media.frame import FRAME_MS


class State(Symbol):
    IDLE = "nobody is owed anything"
    CALLER = "the caller speaks"
    HELD = "the caller speaks over the agent, who is held"
    DOUBT = "the caller stopped, the agent is still held"
    CHECKING = "the backend is asked whether that were words"
    THINKING = "the agent owes an answer"
    CUTTING = "the caller did not stop; the agent speaks anyway"
    BUSY = "a tool runs"
    SUSPENDED = "neither hear nor speak"


class Input(Symbol):
    ONSET = "caller begins"
    OVERLAP = "caller begins while the agent speaks"
    INSISTS = "500 ms of speech"
    PAUSES = "200 ms of quiet"
    ENDPOINT = "quiet long enough for the end of a turn"
    NOT_MEANT = "no words in time"
    WORDS = "words were understood"
    NO_WORDS = "no words were understood"
    KEY = "a key"
    AGENT_SPEAKS = "the agent begins while the caller speaks"
    ANSWERED = "the backend answered the turn"
    MONOLOGUE = "60 s without a pause"
    QUIET = "8 s of silence on both sides"
    QUIET_AGAIN = "8 s of silence for the third time"
    TOOL = "a tool is called"
    TOOL_DONE = "the tool is done"
    SUSPEND = "suspend"
    CONTINUE = "continue"


class Action(Symbol):
    START = "tell the backend the caller begins"
    END = "tell the backend the caller finished; an answer is owed"
    CHECK = "tell the backend the caller finished; it may have been nothing"
    OWED = "an answer is owed"
    HOLD = "hold the playing"
    RESUME = "play on"
    INTERRUPT = "take the playing away"
    PRESS = "pass the key on"
    REPROMPT = "ask whether the caller is there"
    COMFORT = "say that it goes on"
    GOODBYE = "say goodbye and end the call"


S, I, A = State, Input, Action  # noqa: E741

HEARING = (S.IDLE, S.CALLER, S.HELD, S.DOUBT, S.CHECKING, S.THINKING, S.CUTTING)
"""States in which turns are taken."""

TABLE: Table[State, Input, Action] = {
    (S.IDLE, I.ONSET): ((A.START,), S.CALLER),
    (S.IDLE, I.OVERLAP): ((A.HOLD, A.START), S.HELD),
    (S.IDLE, I.QUIET): ((A.REPROMPT,), S.IDLE),
    (S.IDLE, I.QUIET_AGAIN): ((A.GOODBYE,), S.SUSPENDED),
    (S.CALLER, I.ENDPOINT): ((A.END,), S.THINKING),
    (S.CALLER, I.AGENT_SPEAKS): ((A.HOLD,), S.HELD),
    (S.CALLER, I.MONOLOGUE): ((A.END,), S.CUTTING),
    (S.HELD, I.INSISTS): ((A.INTERRUPT,), S.CALLER),
    (S.HELD, I.WORDS): ((A.INTERRUPT,), S.CALLER),
    (S.HELD, I.PAUSES): ((), S.DOUBT),
    (S.DOUBT, I.INSISTS): ((A.INTERRUPT,), S.CALLER),
    (S.DOUBT, I.WORDS): ((A.INTERRUPT,), S.CALLER),
    (S.DOUBT, I.ENDPOINT): ((A.CHECK,), S.CHECKING),
    (S.CHECKING, I.ONSET): ((A.START,), S.HELD),
    (S.CHECKING, I.WORDS): ((A.INTERRUPT, A.OWED), S.THINKING),
    (S.CHECKING, I.NO_WORDS): ((A.RESUME,), S.IDLE),
    (S.CHECKING, I.NOT_MEANT): ((A.RESUME,), S.IDLE),
    (S.THINKING, I.ANSWERED): ((), S.IDLE),
    (S.THINKING, I.ONSET): ((A.START,), S.CALLER),
    (S.THINKING, I.OVERLAP): ((A.HOLD, A.START), S.HELD),
    (S.CUTTING, I.PAUSES): ((), S.IDLE),
    (S.CUTTING, I.QUIET): ((A.REPROMPT,), S.CUTTING),
    (S.CUTTING, I.QUIET_AGAIN): ((A.GOODBYE,), S.SUSPENDED),
    (S.BUSY, I.QUIET): ((A.COMFORT,), S.BUSY),
    (S.BUSY, I.QUIET_AGAIN): ((A.COMFORT,), S.BUSY),
    (S.BUSY, I.TOOL_DONE): ((), S.IDLE),
    (S.BUSY, I.SUSPEND): ((), S.SUSPENDED),
    (S.SUSPENDED, I.CONTINUE): ((), S.IDLE),
    **{(state, I.KEY): ((A.INTERRUPT, A.PRESS), S.IDLE) for state in HEARING},
    **{(state, I.TOOL): ((A.RESUME,), S.BUSY) for state in HEARING},
    **{(state, I.SUSPEND): ((), S.SUSPENDED) for state in HEARING},
}
"""A pair that is not listed has no effect."""


@attrs.frozen
class Pace:
    """Milliseconds; `endpoint_ms` by what the agent expects to hear."""

    onset_ms: int = 60
    overlap_ms: int = 200
    insist_ms: int = 500
    pause_ms: int = 200
    not_meant_ms: int = 1500
    echo_guard_ms: int = 300
    silence_ms: int = 8000
    reprompts: int = 2
    last_silence_ms: int = 8000
    monologue_ms: int = 60_000
    endpoint_ms: int = 500
    endpoint_short_ms: int = 300
    endpoint_digits_ms: int = 1000

    @classmethod
    def giving_up_after(cls, seconds: float) -> Pace:
        """One by which a caller may say nothing for so long in all: asked after 8 s, twice, or sooner where that is too long."""
        each = min(8000, round(seconds * 1000 / 3))
        return cls(silence_ms=each, last_silence_ms=round(seconds * 1000) - 2 * each)

    def endpoint(self, expected: str) -> int:
        return {"confirm": self.endpoint_short_ms, "choice": self.endpoint_short_ms, "digits": self.endpoint_digits_ms}.get(
            expected, self.endpoint_ms
        )


GAP_MS = 60
"""Quiet inside a burst of speech that does not start the counting anew."""

ACKNOWLEDGEMENTS = frozenset(
    "ok okay yes yeah yep right sure uh huh uhhuh hm hmm mm mhm mmhm um uhuh ah oh aha good fine".split()
)
"""Words that, one or two at a time and where no answer is expected, only say that somebody listens."""


class Turns:
    """One call's place in the table, and the counting that makes its inputs."""

    __slots__ = ("_endpoint_ms", "_expected", "_length", "_over", "_pace", "_quiet", "_still", "_voiced", "prompted", "state")

    def __init__(self, pace: Pace = Pace()) -> None:
        self._pace = pace
        self.state = State.IDLE
        self.prompted = 0
        self._expected = "any"
        self._endpoint_ms = pace.endpoint("any")
        self._voiced = 0  # of the present burst
        self._quiet = 0  # since the last speech
        self._length = 0  # of the turn
        self._over = 0  # since the agent began to speak
        self._still = 0  # since anybody was heard

    def frame(self, speech: bool, speaking: bool, interruptible: bool = True) -> tuple[Action, ...]:
        """20 ms more: did the caller speak, is there agent audio to be heard, may it be cut."""
        self._count(speech, speaking)
        event = self._due(speaking, interruptible)
        return self.input(event) if event is not None else ()

    def input(self, event: Input) -> tuple[Action, ...]:
        row = step(TABLE, self.state, event)
        if row is None:
            return ()
        actions, state = row
        if event is Input.KEY:
            self.prompted = 0
        if event in (Input.QUIET, Input.QUIET_AGAIN):
            self.prompted += 1
            self._still = 0
        if state not in LISTENED or Action.INTERRUPT in actions:
            self._voiced = 0
        if Action.START in actions:
            self._length = 0
        if state is State.SUSPENDED:
            self._still = 0
        self.state = state
        return actions

    def words(self, text: str, final: bool = True) -> tuple[Action, ...]:
        """The backend understood this from the caller, perhaps nothing; a guess that is nothing means nothing."""
        if text and not self._acknowledges(text):
            self.prompted = 0
            return self.input(Input.WORDS)
        return self.input(Input.NO_WORDS) if final else ()

    def expect(self, kind: str) -> None:
        self._expected = kind
        self._endpoint_ms = self._pace.endpoint(kind)

    # ------------------------------------------------------------------

    def _count(self, speech: bool, speaking: bool) -> None:
        self._over = self._over + FRAME_MS if speaking else 0
        self._length += FRAME_MS
        if speech and not (self.state in UNSPOKEN and 0 < self._over <= self._pace.echo_guard_ms):
            self._voiced += FRAME_MS
            self._quiet = 0
        else:
            self._quiet += FRAME_MS
            if self._quiet >= GAP_MS and self.state in UNSPOKEN:
                self._voiced = 0
        heard = self.state not in MUTED if speaking else self._quiet == 0 and self.state not in DEAF
        self._still = 0 if heard else self._still + FRAME_MS
        if self._voiced >= self._pace.insist_ms and self.state is not State.CUTTING:
            self.prompted = 0

    def _due(self, speaking: bool, interruptible: bool) -> Input | None:
        pace, state = self._pace, self.state
        if state in UNSPOKEN:
            return self._onset(speaking, interruptible)
        if state is State.CALLER:
            if self._quiet >= self._endpoint_ms:
                return Input.ENDPOINT
            if speaking and interruptible:
                return Input.AGENT_SPEAKS
            return Input.MONOLOGUE if self._length >= pace.monologue_ms else None
        if state in (State.HELD, State.DOUBT):
            if self._voiced >= pace.insist_ms:
                return Input.INSISTS
            if state is State.HELD:
                return Input.PAUSES if self._quiet >= pace.pause_ms else None
            return Input.ENDPOINT if self._quiet >= self._endpoint_ms else None
        if state is State.CHECKING:
            if self._voiced >= pace.onset_ms:
                return Input.ONSET
            return Input.NOT_MEANT if self._quiet >= pace.not_meant_ms else None
        if state is State.CUTTING and self._quiet >= pace.pause_ms:
            return Input.PAUSES
        return self._silence()

    def _onset(self, speaking: bool, interruptible: bool) -> Input | None:
        if self._voiced >= (self._pace.overlap_ms if speaking else self._pace.onset_ms):
            return Input.OVERLAP if speaking and interruptible else Input.ONSET
        return self._silence()

    def _silence(self) -> Input | None:
        """The caller is asked twice; what follows on the last silence is goodbye."""
        last = self.prompted >= self._pace.reprompts
        if self._still < (self._pace.last_silence_ms if last else self._pace.silence_ms):
            return None
        return Input.QUIET_AGAIN if last else Input.QUIET

    def _acknowledges(self, text: str) -> bool:
        words = text.lower().replace("-", "").split()
        return self._expected == "any" and len(words) <= 2 and all(word.strip(".,!?") in ACKNOWLEDGEMENTS for word in words)


UNSPOKEN = (State.IDLE, State.THINKING)
"""States in which the caller is not (known to be) speaking."""

MUTED = (State.HELD, State.DOUBT, State.CHECKING)
"""States in which the agent has audio and the caller hears none of it."""

DEAF = (State.CUTTING, State.BUSY)
"""States in which what the caller says breaks no silence."""

LISTENED = (State.CALLER, State.HELD, State.DOUBT)
"""States in which the present burst of speech goes on counting."""
