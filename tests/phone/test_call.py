"""The built-in phone in whole calls over loopback: its script, the PBX's part, what it records and reports."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from smartalex.media.level import dbfs
from smartalex.media.tone import sine
from smartalex.media.wav import read_wav
from smartalex.phone.call import Phone, PhoneOptions, Target
from smartalex.phone.pbx import PLANS, Plan
from smartalex.phone.report import Result, as_json, sentence
from smartalex.phone.script import Item
from smartalex.sip.uri import Uri
from tests.phone.robot import Robot

VOICE = Item("wav", "voice.wav", sine(1000, 330))  # no whole number of frames


class Calls(TestCase):
    timeout = 60
    host = "127.0.0.1"

    def setUp(self) -> None:
        self.robot = Robot(reactor, self.host)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.robot.stop()))
        self.shown: list[tuple[str, str]] = []

    def place(self, items: list[Item], max_s: float = 30.0, **options: Any) -> Deferred[Result]:
        self.phone = Phone(reactor, PhoneOptions(**options), lambda who, text: self.shown.append((who, text)))
        host = self.robot.peer.host
        uri = f"sip:alex@{f'[{host}]' if ':' in host else host}:{self.robot.peer.port}"
        target = Target(Uri.parse(uri), self.robot.peer)

        async def whole() -> Result:
            result = await self.phone.call(target, items, max_s)
            await self.phone.close()
            return result

        return Deferred.fromCoroutine(whole())


class Script(Calls):
    async def test_items_in_order_each_after_the_agent_has_finished(self) -> None:
        def answer_key(digit: str) -> None:
            self.robot.beep() if digit == "4" else self.robot.bye()

        self.robot.on_key = answer_key
        frames = self.robot.on_frames

        def answer_voice(batch: Any) -> None:
            frames(batch)
            if dbfs(bytes(self.robot.heard[-320:])) > -30 and not self.robot.leg.queued_ms:
                self.robot.leg.play(bytes(6400) + sine(600, 400))

        self.robot.on_frames = answer_voice  # type: ignore[method-assign]
        result = await self.place([Item("dtmf", "4"), VOICE, Item("dtmf", "9")], codecs=("PCMA",))
        self.assertEqual([entry for entry in self.robot.log if entry[0] == "key"], [("key", "4"), ("key", "9")])
        self.assertEqual(self.phone.said, ["[dtmf 4]", "[wav voice.wav]", "[dtmf 9]"])
        self.assertEqual((result.status, result.codec, result.ended_by, result.ok), (200, "PCMA", "agent", True))
        self.assertGreater(max(dbfs(bytes(self.robot.heard[i : i + 320])) for i in range(0, len(self.robot.heard), 320)), -20)

    async def test_a_callee_behind_a_nat_is_heard_and_hears_us(self) -> None:
        self.robot.says = "192.0.2.9"
        result = await self.place([Item("dtmf", "9")])
        self.assertIn(("key", "9"), self.robot.log)
        self.assertGreater(result.rtp["packets_received"], 0)


class OverIpv6(Calls):
    host = "::1"

    async def test_both_hear_each_other(self) -> None:
        result = await self.place([Item("dtmf", "9")])
        self.assertIn(("key", "9"), self.robot.log)
        self.assertGreater(result.rtp["packets_received"], 0)


class Transfers(Calls):
    def outcome(self, *plans: Plan) -> Deferred[Result]:
        self.robot.on_begin = lambda: self.robot.refer("301")
        return self.place([], plans=plans)

    def notified(self) -> list[object]:
        return [status for kind, status in self.robot.log if kind == "notify"]

    async def test_accept(self) -> None:
        result = await self.outcome(PLANS["accept"])
        self.assertEqual(self.notified(), [100, 180, 200])
        self.assertEqual((result.transferred_to, result.refer_to), ("301", "sip:301@pbx.example.com"))
        self.assertEqual(result.transfers, [{"to": "301", "outcome": "connected"}])
        self.assertIn(("pbx", "connected to 301"), self.shown)
        self.assertIn("transferred to 301", sentence(result))

    async def test_busy(self) -> None:
        result = await self.outcome(PLANS["busy"])
        self.assertEqual(self.notified(), [100, 486])
        self.assertEqual((result.transferred_to, result.transfers), (None, [{"to": "301", "outcome": "busy"}]))

    async def test_decline(self) -> None:
        result = await self.outcome(PLANS["decline"])
        self.assertEqual(self.robot.log[:1], [("notify", 603)])
        self.assertEqual(result.transfers, [{"to": "301", "outcome": "declined"}])

    async def test_no_answer(self) -> None:
        plan = PLANS["no-answer"]
        self.assertEqual(plan.notifies[-1].after_s, 6.0)
        sooner = attrs.evolve(plan, notifies=tuple(attrs.evolve(n, after_s=n.after_s / 20) for n in plan.notifies))
        await self.outcome(sooner)
        self.assertEqual(self.notified(), [100, 180, 480])

    async def test_silent(self) -> None:
        self.robot.reactor.callLater(1.5, self.robot.bye)
        result = await self.outcome(PLANS["silent"])
        self.assertEqual(self.robot.log, [("ended", "local")])
        self.assertEqual(result.transfers, [{"to": "301", "outcome": "silent"}])

    async def test_first_busy_then_accepted_and_the_script_goes_on_between(self) -> None:
        self.robot.on_outcome = lambda status: self.robot.bye() if status == 200 else self.robot.beep()
        self.robot.on_key = lambda digit: self.robot.refer("302")
        self.robot.on_begin = lambda: self.robot.refer("301")
        result = await self.place([Item("dtmf", "1")], plans=(PLANS["busy"], PLANS["accept"]))
        self.assertEqual([t["to"] for t in result.transfers], ["301", "302"])
        self.assertEqual(result.transferred_to, "302")
        self.assertEqual(self.notified(), [100, 486, 100, 180, 200])


class Recordings(Calls):
    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    async def test_left_caller_right_agent_aligned_and_of_one_length(self) -> None:
        path = self.folder / "call.wav"
        self.robot.on_key = lambda digit: self.robot.bye()
        result = await self.place([VOICE, Item("dtmf", "1")], record=str(path), max_s=4.0)
        wav = read_wav(path)
        self.assertEqual((wav.channels, wav.rate), (2, 8000))
        both = np.frombuffer(wav.pcm, "<i2").reshape(-1, 2)
        self.assertEqual(len(both) % 160, 0)
        left, right = both[:, 0], both[:, 1]
        voice = np.frombuffer(VOICE.pcm, "<i2")
        begin = int(np.argmax(left != 0)) - int(np.argmax(voice != 0))
        np.testing.assert_array_equal(left[begin : begin + len(voice)], voice)
        self.assertFalse(left[begin + len(voice) :].any())
        last_loud = max(i for i in range(0, len(right) - 159, 160) if dbfs(right[i : i + 160].tobytes()) > -45)
        self.assertEqual(begin - last_loud, 160 + 8 * 700)  # the caller begins 700 ms after the agent's last loud frame
        self.assertEqual(
            result.speech_heard_s, sum(dbfs(right[i : i + 160].tobytes()) > -45 for i in range(0, len(right), 160)) / 50
        )

    async def test_what_cannot_be_written_ends_the_call_with_a_reason(self) -> None:
        result = await self.place([], record=str(self.folder / "no" / "folder.wav"))
        self.assertFalse(result.ok)
        self.assertIn("folder.wav", sentence(result))


class Refusals(Calls):
    async def test_a_status_and_what_it_means(self) -> None:
        self.robot.status = 503
        result = await self.place([])
        self.assertEqual((result.ok, result.status, result.ended_by), (False, 503, ""))
        self.assertIn("all lines are in use", sentence(result))

    async def test_never_answered(self) -> None:
        self.robot.on_invite = lambda session: session.ring()  # type: ignore[method-assign]
        result = await self.place([], max_s=1.0)
        self.assertEqual((result.ok, result.ended_by), (False, "timeout"))
        self.assertIn("it rang", sentence(result))

    async def test_nobody_there(self) -> None:
        self.robot.on_invite = lambda session: None  # type: ignore[method-assign]
        self.assertIn("nobody answers at that address", sentence(await self.place([], max_s=1.0)))


class Reports(Calls):
    async def test_one_json_object_says_it_all(self) -> None:
        self.robot.on_key = lambda digit: self.robot.refer("300")
        result = await self.place([Item("dtmf", "2")])
        lines = [{"role": "agent", "text": "Hello."}, {"role": "caller", "text": "[pressed 2]"}]
        told = json.loads(json.dumps(as_json(result, self.phone.said, lines, "01ABC")))
        self.assertEqual(told["said"], {"caller": ["[dtmf 2]"], "agent": ["Hello."]})
        self.assertEqual((told["transcript"], told["record"], told["transferred_to"]), (lines, "01ABC", "300"))
        self.assertEqual((told["ok"], told["status"], told["codec"], told["ended_by"]), (True, 200, "PCMU", "agent"))
        for field in ("answer_ms", "first_audio_ms", "duration_s", "speech_heard_s"):
            self.assertIsInstance(told[field], int | float, field)
        self.assertTrue(1.0 <= told["mos"] <= 4.5)
        self.assertEqual(told["mos"], told["rtp"]["mos"])

    async def test_no_quality_where_nothing_was_received(self) -> None:
        self.robot.plane.stop()
        self.robot.on_begin = lambda: None
        result = await self.place([], max_s=1.0)
        self.assertEqual((result.status, result.rtp["packets_received"], result.mos), (200, 0, None))
        self.assertIn("nothing was received", sentence(result))

    async def test_how_long_the_agent_spoke_is_shown(self) -> None:
        self.robot.on_key = lambda digit: self.robot.bye()
        await self.place([Item("dtmf", "1")])
        self.assertIn(("speech", "0.4 s"), self.shown)
