"""The promise: nothing a backend does leaves a caller in silence."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from smartalex.ai.pipeline import CascadeFactory
from smartalex.errors import Refused, Unavailable
from smartalex.interfaces import CallTool, Expect, Hints, Say
from tests.ai.fakes import (
    GREETING,
    QUIET,
    SPEECH,
    Backend,
    Dialogue,
    LoggedCase,
    Phone,
    Recognizer,
    Synthesizer,
    answering,
    calls,
    dies,
    loud,
    never,
    raises,
)

VERBS = (
    "start",
    "speech_started",
    "end_of_turn",
    "interrupted",
    "silence",
    "dtmf",
    "inject",
    "tool_result",
    "write",
    "marked",
    "close",
)
DEEDS = {
    "answer": answering("Yes.", 600),
    "long answer": answering("A very long answer indeed.", 6000),
    "nothing": lambda session, *_: None,
    "raise": raises,
    "die": dies,
    "refuse": lambda session, *_: session.host.failed(Refused("quota")),
    "half an item": lambda session, *_: session.host.audio("half", loud(100)),
    "silent audio": lambda session, *_: session.host.audio("mute", bytes(16 * 5000)),
    "empty audio": lambda session, *_: session.host.audio("empty", b""),
    "garbage": lambda session, *_: session.host.audio("a", None),
    "done with nothing": lambda session, *_: session.host.item_done("nothing"),
    "settle": lambda session, *_: session.host.item_done(""),
    "transfer": calls("transfer", destination="301"),
    "bad tool": calls("launch", missiles=True),
    "empty words": lambda session, *_: session.host.transcript("caller", ""),
    "words": lambda session, *_: session.host.transcript("caller", "operator please"),
    "flush": lambda session, *_: session.host.discard(),
    "never": never,
}


class AnyBackend(LoggedCase):
    """Backends that do anything at any verb."""

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    @settings(max_examples=120, deadline=None)
    @given(
        scripts=st.lists(
            st.dictionaries(st.sampled_from(VERBS), st.sampled_from(sorted(DEEDS)), max_size=8), min_size=1, max_size=3
        ),
        caller=st.lists(
            st.tuples(st.sampled_from(["speech", "quiet", "key", "cough"]), st.integers(1, 12)), min_size=1, max_size=8
        ),
        greeted=st.booleans(),
    )
    def test_never_more_than_10_s_of_silence(
        self, scripts: list[dict[str, str]], caller: list[tuple[str, int]], greeted: bool
    ) -> None:
        backends = [Backend(f"b{n}", **{verb: DEEDS[deed] for verb, deed in script.items()}) for n, script in enumerate(scripts)]
        phone = Phone(*backends, greeting=GREETING if greeted else None)
        phone.ring()
        phone.clock.pump([0.1] * 30)
        self.assertEqual(phone.fired, [None])
        phone.conversation.begin()
        quiet_ms = 0
        for what, seconds in [*caller, ("quiet", 40)]:
            if what == "key":
                phone.conversation.dtmf("1", 100)
                quiet_ms = 0
            for n in range(seconds * 50):
                speech = what == "speech" or (what == "cough" and n < 12)
                phone.frame(SPEECH if speech else QUIET)
                quiet_ms = 0 if speech or phone.leg.heard[-1] else quiet_ms + 20
                if phone.control.ended or phone.control.messages:
                    break
                self.assertLessEqual(quiet_ms, 10_000, (phone.conversation._turns.state, phone.conversation._supervisor.state))
        phone.conversation.close("over")
        self.assertEqual(phone.clock.getDelayedCalls(), [])


class AnyEngines(LoggedCase):
    """The cascade over engines and a dialogue that fail in any order."""

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    FAULT = st.sampled_from([None, None, None, Unavailable("dead"), OSError("pipe"), Refused("key")])
    PLAN = st.sampled_from([None, None, None, "stall", "empty", Unavailable("dead")])
    STEP = st.sampled_from([
        Say("One moment."), Say("A longer sentence, in one go. And one more."), Say("Recorded.", interruptible=False), Say("..."),
        Expect("confirm", Hints()), CallTool("transfer", {"destination": "301"}), CallTool("no such tool", {}),
    ])  # fmt: skip
    REPLY = st.one_of(st.lists(STEP, max_size=3).map(tuple), st.sampled_from([None, ZeroDivisionError()]))
    VERBS = st.sampled_from(["start", "heard", "pressed", "silence", "tool_result", "cut_off"])

    @settings(max_examples=80, deadline=None)
    @given(
        faults=st.dictionaries(st.sampled_from(["open", "write", "finalize"]), st.lists(FAULT, max_size=20)),
        plan=st.lists(PLAN, max_size=20),
        replies=st.dictionaries(VERBS, st.lists(REPLY, max_size=6)),
        answers=st.lists(st.sampled_from(["", "sales", "uh-huh", "operator please"]), max_size=8),
        caller=st.lists(st.tuples(st.sampled_from(["speech", "quiet", "key", "word", "fail"]), st.integers(1, 10)), max_size=8),
    )
    def test_never_more_than_10_s_of_silence(self, faults: Any, plan: Any, replies: Any, answers: Any, caller: Any) -> None:
        clock = Clock()
        recognizer, synthesizer = Recognizer(clock, *answers), Synthesizer(clock, *plan)
        recognizer.faults = faults
        dialogues = [Dialogue(**{verb: list(waiting) for verb, waiting in replies.items()}) for _ in range(9)]
        factory = CascadeFactory(recognizer, lambda brief: dialogues.pop(), synthesizer)
        phone = Phone(factory)
        recognizer.clock = synthesizer.clock = phone.clock
        phone.answer()
        quiet_ms = 0
        for what, seconds in [*caller, ("quiet", 40)]:
            if what == "key":
                phone.conversation.dtmf("1", 100)
                quiet_ms = 0
            elif what == "fail" and phone.control.outcome is not None and not phone.control.outcome.called:
                phone.control.outcome.callback({"ok": False, "cause": "busy"})
            for n in range(seconds * 50):
                speech = what == "speech" or (what == "word" and n < 15)
                phone.frame(SPEECH if speech else QUIET)
                quiet_ms = 0 if speech or phone.leg.heard[-1] else quiet_ms + 20
                if phone.control.ended or phone.control.messages:
                    break
                self.assertLessEqual(quiet_ms, 10_000, (phone.conversation._turns.state, phone.conversation._supervisor.state))
        phone.conversation.close("over")
        self.assertEqual(phone.clock.getDelayedCalls(), [])
