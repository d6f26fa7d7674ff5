"""Message taking over every (state, input), and on a leg that plays in real frames."""

from itertools import product

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from smartalex.calls.message import TABLE, Action, Addressee, Input, MessageLimits, MessageSounds, MessageTaking, Recording, State
from smartalex.interfaces import IAudioOut, IMessageWriter
from smartalex.media.frame import FRAME_MS, Clip

LOUD, QUIET = b"\x00\x40" * 160, b"\x00\x00" * 160


def clip(name: str, ms: int = 100) -> Clip:
    return Clip(b"\x00\x00" * (8 * ms), 8000, name)


SOUNDS = MessageSounds(clip("prompt"), clip("beep"), clip("saved"), clip("nothing"), clip("trouble"))


@implementer(IAudioOut)
class Speaker:
    """Plays 20 ms per `tick`."""

    rate = 8000
    played_ms = 0

    def __init__(self) -> None:
        self.queued_ms = 0
        self.heard: list[str] = []

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        self.heard.append(clip.text)
        self.queued_ms += clip.duration_ms

    def flush(self) -> int:
        dropped, self.queued_ms = self.queued_ms, 0
        return dropped

    def tick(self) -> None:
        self.queued_ms = max(0, self.queued_ms - FRAME_MS)

    def play(self, pcm: bytes, rate: int = 0) -> None: ...

    def expect(self, more: bool) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@implementer(IMessageWriter)
class Writer:
    def __init__(self) -> None:
        self.pcm = b""
        self.stored: Deferred[str] = Deferred()
        self.committed: tuple[int, str, str] | None = None
        self.abandoned = False

    def write(self, pcm: bytes) -> None:
        self.pcm += pcm

    def commit(self, duration_ms: int, for_id: str, for_name: str) -> Deferred[str]:
        self.committed = (duration_ms, for_id, for_name)
        return self.stored

    def abandon(self) -> None:
        self.abandoned = True


class Taking(TestCase):
    def setUp(self) -> None:
        self.speaker, self.writer, self.hung_up = Speaker(), Writer(), 0
        limits = MessageLimits(max_s=20, silence_s=1, no_speech_s=2, least_speech_s=0.4)
        self.taking = MessageTaking(self.speaker, SOUNDS, self.writer, lambda pcm: pcm == LOUD, limits)
        self.settled: list[tuple[str, str]] = []
        self.taking.settled.addCallback(self.settled.append)
        self.taking.start(Addressee("e1", "Sarah"), self._hang_up)

    def _hang_up(self) -> None:
        self.hung_up += 1

    def hear(self, pcm: bytes, seconds: float) -> None:
        for _ in range(round(seconds * 1000 / FRAME_MS)):
            self.speaker.tick()
            self.taking.frame(pcm, 0)

    def record(self, speech_s: float = 1.0) -> None:
        self.hear(QUIET, 0.3)
        self.hear(LOUD, speech_s)

    def test_a_message_from_prompt_to_goodbye(self) -> None:
        self.record()
        self.hear(QUIET, 1.1)
        self.assertEqual(self.writer.committed, (2000 + 120, "e1", "Sarah"))
        self.assertEqual(self.hung_up, 0)
        self.writer.stored.callback("m1")
        self.hear(QUIET, 0.3)
        self.assertEqual(self.speaker.heard, ["prompt", "beep", "saved"])
        self.assertEqual((self.hung_up, self.settled), (1, [("kept", "m1")]))

    def test_nothing_is_recorded_under_prompt_and_beep(self) -> None:
        self.hear(LOUD, 0.18)
        self.assertEqual(self.writer.pcm, b"")

    def test_hash_ends_it(self) -> None:
        self.record()
        self.taking.dtmf("5", 100)
        self.assertIsNone(self.writer.committed)
        self.taking.dtmf("#", 100)
        self.assertIsNotNone(self.writer.committed)

    def test_a_key_skips_the_prompt(self) -> None:
        self.taking.dtmf("5", 100)
        self.assertEqual(self.speaker.heard, ["prompt", "beep"])
        self.assertEqual(self.speaker.queued_ms, SOUNDS.beep.duration_ms)

    def test_hanging_up_keeps_what_was_said(self) -> None:
        self.record()
        self.taking.caller_gone()
        self.writer.stored.callback("m1")
        self.assertEqual((self.settled, self.hung_up), ([("kept", "m1")], 0))

    def test_hanging_up_without_a_word_keeps_nothing(self) -> None:
        self.record(0.2)
        self.taking.caller_gone()
        self.assertTrue(self.writer.abandoned)
        self.assertEqual(self.settled, [("empty", "")])

    def test_hanging_up_in_the_prompt(self) -> None:
        self.taking.caller_gone()
        self.assertEqual((self.writer.abandoned, self.settled), (True, [("empty", "")]))

    def test_silence_is_told_and_ends(self) -> None:
        self.hear(QUIET, 3)
        self.assertEqual(self.speaker.heard[-1], "nothing")
        self.assertEqual(self.hung_up, 1)

    def test_the_longest_message(self) -> None:
        self.hear(LOUD, 21)
        self.assertEqual(self.writer.committed, (20_000, "e1", "Sarah"))

    def test_a_disk_that_fails_is_told_to_the_caller(self) -> None:
        self.record()
        self.taking.dtmf("#", 100)
        self.writer.stored.errback(OSError("no space"))
        self.hear(QUIET, 0.3)
        self.assertEqual((self.speaker.heard[-1], self.hung_up, self.settled), ("trouble", 1, [("lost", "")]))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class MessageTable(TestCase):
    def test_every_pair(self) -> None:
        for state, event in product(State, Input):
            row = TABLE.get((state, event))
            if state is State.DONE:
                self.assertIsNone(row)
            elif event is Input.GONE:
                assert row is not None
                self.assertIs(row[1], State.DONE)

    def test_a_recording_is_always_saved_or_abandoned_when_the_caller_goes(self) -> None:
        self.assertEqual(TABLE[State.PROMPTING, Input.GONE][0], (Action.ABANDON,))
        self.assertEqual(TABLE[State.RECORDING, Input.GONE][0], (Action.SAVE,))


class Counting(TestCase):
    def test_silence_before_speech_is_given_more_time(self) -> None:
        recording = Recording(MessageLimits(silence_s=1, no_speech_s=2, least_speech_s=0.1))
        self.assertEqual(sum(not recording.frame(False) for _ in range(99)), 99)
        self.assertTrue(recording.frame(False))
