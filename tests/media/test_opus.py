from __future__ import annotations

from unittest import TestCase, skipUnless

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from smartalex.media.codecs import registry
from smartalex.rtp.hearing import Hearing
from tests.media.sounds import voice

HERE = bool(registry.usable(["opus"]))
SPEECH = voice(2000, rate=16000)


def packets(pcm: bytes, ms: int = 20) -> list[bytes]:
    size = 32 * ms
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def likeness(sent: bytes, heard: bytes) -> float:
    """The greatest correlation under any delay of up to 20 ms."""
    a, b = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (sent, heard))
    size = min(len(a), len(b)) - 320
    return max(float(np.corrcoef(a[:size], b[lag : lag + size])[0, 1]) for lag in range(320))


@skipUnless(HERE, "there is no libopus")
class Codec(TestCase):
    def setUp(self) -> None:
        self.make = registry.find("opus")

    def test_speech_comes_through_in_packets_of_every_length(self) -> None:
        for ms in self.make.packet_ms:
            codec = self.make()
            heard = b"".join(codec.decode(codec.encode(pcm)) for pcm in packets(SPEECH, ms))
            self.assertGreater(likeness(SPEECH, heard), 0.9, ms)

    def test_the_length_of_a_packet_may_change_in_mid_stream(self) -> None:
        codec, heard, at = self.make(), b"", 0
        for ms in (20, 60, 10, 40, 20) * 10:
            heard += codec.decode(codec.encode(SPEECH[at : at + 32 * ms]))
            at += 32 * ms
        self.assertGreater(likeness(SPEECH[:at], heard), 0.9)

    def test_no_other_length_is_a_packet(self) -> None:
        self.assertRaises(ValueError, self.make().encode, bytes(960))

    def test_the_peer_chooses_the_bit_rate(self) -> None:
        sizes = {}
        for parameters in ("maxaveragebitrate=8000", "", "maxaveragebitrate=40000;cbr=1", "maxaveragebitrate=999999999999;x;y=z"):
            codec = self.make()
            codec.adapt(parameters)
            sizes[parameters] = [len(codec.encode(pcm)) for pcm in packets(SPEECH)]
        little, usual, much, _ = (sum(size) / len(size) * 400 for size in sizes.values())
        self.assertTrue(little < 12_000 < usual < 32_000 < much, (little, usual, much))
        self.assertEqual(len(set(sizes["maxaveragebitrate=40000;cbr=1"])), 1)

    def test_a_lost_packet_is_restored_from_the_one_after_it(self) -> None:
        """Where the peer takes error correction; without it there is only a guess."""
        errors = []
        for parameters in ("useinbandfec=1;maxaveragebitrate=32000", "maxaveragebitrate=32000"):
            sender, whole, holed = self.make(), self.make(), self.make()
            sender.adapt(parameters)
            sent = [sender.encode(pcm) for pcm in packets(SPEECH)]
            error = 0.0
            for n, payload in enumerate(sent):
                wanted = whole.decode(payload)
                lost = n % 5 == 3 and n + 1 < len(sent)
                got = holed.recover(640, sent[n + 1]) if lost else holed.decode(payload)
                self.assertEqual(len(got), 640)
                if lost:
                    error += float(np.sum((np.frombuffer(wanted, "<i2") - np.frombuffer(got, "<i2").astype(float)) ** 2))
            errors.append(error)
        self.assertLess(errors[0], errors[1] / 2)

    def test_what_is_restored_is_as_long_as_it_was_asked_for(self) -> None:
        codec = self.make()
        sent = [codec.encode(pcm) for pcm in packets(SPEECH)]
        for payload in sent[:20]:
            codec.decode(payload)
        for size in (2, 80, 100, 640, 1282, 1920):
            self.assertEqual((len(codec.recover(size, sent[21])), len(codec.recover(size))), (size, size))

    def test_a_lost_packet_without_a_follower_fades(self) -> None:
        codec = self.make()
        for pcm in packets(SPEECH[:16000]):
            codec.decode(codec.encode(pcm))
        made = [np.abs(np.frombuffer(codec.recover(640), "<i2")).max() for _ in range(20)]
        self.assertLess(made[-1], max(made[0], 20))

    @settings(deadline=None)
    @given(st.binary(max_size=1500))
    def test_any_payload_is_survived(self, payload: bytes) -> None:
        self.assertLessEqual(len(self.make().decode(payload)), 120 * 32)


@skipUnless(HERE, "there is no libopus")
class InACall(TestCase):
    def test_losses_are_restored_where_the_peer_sent_them_twice(self) -> None:
        """Every fifth packet lost: nearer to the whole than what is made up from the sound before."""

        def heard(lost: bool, recovers: bool) -> NDArray[np.float64]:
            sender, make = registry.find("opus")(), registry.find("opus")
            sender.adapt("useinbandfec=1;maxaveragebitrate=32000")
            hearing = Hearing(make())
            if not recovers:
                hearing._recover = None
            found = b""
            for n, pcm in enumerate(packets(SPEECH)[:30]):  # before anything is scaled
                payload = sender.encode(pcm)
                if not lost or n % 5 != 3:
                    hearing.push(n * 960, payload)
                found += hearing.hear()[0]
            return np.frombuffer(found, "<i2").astype(float)

        whole = heard(False, True)
        restored, made_up = (float(np.sum((heard(True, how) - whole) ** 2)) for how in (True, False))
        self.assertLess(restored, made_up / 3)
