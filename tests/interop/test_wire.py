"""Calls of SIPp and baresip, and what tshark finds in them: nothing malformed, RTP in step, the caller's own voice."""

from __future__ import annotations

import time
from unittest import TestCase

from tests.interop.baresip import Baresip
from tests.interop.capture import Capture, Stream
from tests.interop.peers import needs, sipp
from tests.interop.platform import Platform
from tests.interop.scenario import answered, hang_up, invite, offer, pause, play, refused, scenario
from tests.interop.voice import VOICE, compare, pcm, voice

KINDS = ("sip", "sdp", "rtp", "rtcp", "sip.Method == REFER")


@needs("sipp", "baresip", "tshark")
class Wire(TestCase):
    platform: Platform
    capture: Capture
    said: str

    @classmethod
    def setUpClass(cls) -> None:
        platform = cls.platform = Platform("25000-25900").start()
        cls.addClassCleanup(platform.remove)
        platform.command("trunks", "set", "acme", "--no-digest", "--allow", "127.0.0.0/8")
        cls.capture = Capture(platform)
        telephones = [Baresip(platform, transport) for transport in ("udp", "tcp")]
        for telephone, number in zip(telephones, ("echo", "alex"), strict=True):
            cls.addClassCleanup(telephone.close)
            telephone.dial(number)
            telephone.wait("CALL_ESTABLISHED")
        sipp(platform, scenario(invite(body=offer(8, 101)), answered(), play(VOICE), pause(4000), hang_up()), "echo")
        for _ in range(2):
            telephones[1].press("1")
            time.sleep(1.5)
        telephones[0].command("hangup")
        sipp(platform, scenario(invite(), refused(404)), "nobody", transport="tcp")
        cls.said = cls.capture.stop()

    def streams(self, *, ours: bool) -> list[Stream]:
        """SmartAlex's, or baresip's; SIPp has an address of its own."""
        local = [stream for stream in self.capture.streams() if stream.packets[0].source == "127.0.0.1"]
        return [stream for stream in local if (25000 <= stream.packets[0].port < 25900) is ours]

    def test_nothing_is_malformed(self) -> None:
        self.assertNotIn("dropped", self.said)
        seen = {kind: len(self.capture.read(kind, "frame.number")) for kind in KINDS}
        print(seen)
        self.assertNotIn(0, seen.values())
        bad = self.capture.read("_ws.malformed || _ws.expert.severity == error", "_ws.col.Info", "_ws.expert.message")
        self.assertEqual(bad, [])

    def test_what_we_send_is_in_step(self) -> None:
        ours = self.streams(ours=True)
        self.assertEqual(len(ours), 3)
        for stream in ours:
            print(f"{len(stream.packets)} packets of ours, median spacing {stream.spacing_ms:.1f} ms")
            self.assertEqual((stream.steps("sequence", 16), stream.steps("timestamp", 32)), ({1}, {160}))
            self.assertAlmostEqual(stream.spacing_ms, 20, delta=2)
        self.assertEqual(len({stream.packets[0].port for stream in ours}), 3, "one SSRC a call")

    def test_what_baresip_sends_is_in_step(self) -> None:
        theirs = self.streams(ours=False)
        self.assertEqual(len(theirs), 2)
        for stream in theirs:
            self.assertEqual(stream.steps("sequence", 16), {1})
            self.assertAlmostEqual(stream.spacing_ms, 20, delta=2)

    def test_the_voice_comes_back(self) -> None:
        """What SIPp played to `echo`, in 30 ms packets of PCMA."""
        [stream] = [stream for stream in self.streams(ours=True) if {packet.kind for packet in stream.packets} == {8}]
        heard = b"".join(packet.payload for packet in stream.packets)
        likeness, delay_ms = compare(voice(3), pcm(heard))
        print(f"echo of SIPp's recording: correlation {likeness:.3f}, delay {delay_ms:.0f} ms")
        self.assertGreater(likeness, 0.8)
