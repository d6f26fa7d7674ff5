"""What is queued leaves bit by bit, without holes, in packets of any length and whatever the codec."""

from __future__ import annotations

import gc
from random import Random
from unittest import TestCase

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartalex.interfaces import ICodec
from smartalex.media.codecs.g711 import PCMA, PCMU
from smartalex.media.codecs.g722 import G722
from smartalex.media.frame import PACKET_MS, Clip
from smartalex.media.resample import resample
from smartalex.rtp import playback
from smartalex.rtp.playback import CUSHION_MS, LONGEST_HOLE_MS, MOST_QUEUED_MS, PATIENCE_MS, SLICE_MS, Playback
from tests.media.sounds import rms, samples, tone, voice

VOICE, WIDE = voice(1000), voice(1000, rate=16000)
SILENT = PCMU().encode(bytes(320))


def drained(play: Playback, most: int = 10_000) -> list[bytes]:
    """Packets until nothing is queued."""
    found = []
    while play.queued_ms and len(found) < most:
        found.append(play.next())
    return found


def heard(play: Playback, codec: ICodec) -> bytes:
    return b"".join(codec.decode(payload) for payload in drained(play))


class Counting:
    """G.711 that remembers how much it was given at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(PCMU, name)

    def encode(self, pcm: bytes) -> bytes:
        self.sizes.append(len(pcm))
        return PCMU().encode(pcm)


class Queue(TestCase):
    @given(st.sampled_from(PACKET_MS), st.lists(st.integers(0, 7000), max_size=8))
    @settings(max_examples=60, deadline=None)
    def test_any_cuts_come_out_as_one_and_only_the_end_is_filled_up(self, ms: int, cuts: list[int]) -> None:
        play, at = Playback(PCMU(), ms), 0
        for cut in cuts:
            play.play(VOICE[at : at + cut])
            at += cut
        said = VOICE[: min(at, len(VOICE)) & ~1]
        queued = play.queued_ms
        packets = drained(play)
        self.assertAlmostEqual(queued, len(said) / 16, delta=0.1)
        self.assertEqual({len(packet) for packet in packets}, {8 * ms} if packets else set())
        self.assertTrue(b"".join(packets) == PCMU().encode(said).ljust(8 * ms * len(packets), b"\xff"))
        self.assertEqual(play.played_ms, len(said) / 16)

    @given(st.lists(st.tuples(st.sampled_from(["play", "clip", "next", "pause", "resume", "flush"]), st.integers(1, 4000))))
    @settings(max_examples=100, deadline=None)
    def test_what_was_put_in_is_played_queued_or_was_dropped(self, steps: list[tuple[str, int]]) -> None:
        play, put_ms, dropped_ms, before = Playback(PCMU(), 20), 0.0, 0.0, 0.0
        for verb, size in steps:
            if verb == "play":
                play.play(VOICE[: 2 * size])
                put_ms += size / 8
            elif verb == "clip":
                play.play_clip(Clip(VOICE[: 2 * size]))
                put_ms += size / 8
            elif verb == "next":
                self.assertEqual(len(play.next()), 160)
            elif verb == "flush":
                dropped_ms += play.flush()
            else:
                getattr(play, verb)()
            self.assertAlmostEqual(play.played_ms + play.queued_ms + dropped_ms, put_ms, 6)
            self.assertGreaterEqual(play.played_ms, before)
            before = play.played_ms

    def test_a_burst_is_taken_in_by_and_by(self) -> None:
        for rate in (8000, 16000, 24000):
            codec = Counting()
            play = Playback(codec, 20)  # type: ignore[arg-type]
            codec.sizes.clear()
            play.play(tone(440, 10_000, rate), rate)
            self.assertEqual(play.queued_ms, 10_000)
            self.assertEqual(len(codec.sizes), 1)
            first = play.next()
            self.assertNotEqual(first, SILENT)
            packets = [first, *drained(play)]
            self.assertLessEqual(max(codec.sizes), SLICE_MS * 16 + 64)
            self.assertEqual(len(packets), 500)
            wave = samples(b"".join(map(PCMU().decode, packets)))
            self.assertLess(rms(wave[400:-400] - samples(tone(440, 10_000))[400 : len(wave) - 400]), 0.03 * rms(wave))

    def test_a_limit_in_seconds_and_what_is_beyond_it_is_counted(self) -> None:
        play = Playback(PCMU(), 20)
        second = bytes(16000)
        for _ in range(MOST_QUEUED_MS // 1000 + 5):
            play.play(second)
        self.assertEqual((play.queued_ms, play.overflow_ms), (MOST_QUEUED_MS, 5000))
        play.play(bytes(16000 * 200), 16000)
        self.assertEqual((play.queued_ms, play.overflow_ms), (MOST_QUEUED_MS, 105_000))

    def test_flush_leaves_nothing_of_a_burst(self) -> None:
        play = Playback(PCMU(), 20)
        play.play(tone(440, 5000, 24000), 24000)
        play.next()
        self.assertAlmostEqual(play.flush(), 4980, delta=3)
        self.assertEqual((play.queued_ms, play.next()), (0, SILENT))

    def test_streams_of_several_rates_keep_their_order(self) -> None:
        play = Playback(PCMU(), 20)
        for hz, rate in ((500, 24000), (1000, 8000), (1500, 16000), (2000, 24000)):
            play.play(tone(hz, 500, rate), rate)
        wave = samples(heard(play, PCMU()))
        self.assertEqual(len(wave), 16000)
        for n, hz in enumerate((500, 1000, 1500, 2000)):
            part = wave[4000 * n + 400 : 4000 * n + 3600]
            self.assertEqual(round(np.abs(np.fft.rfft(part)).argmax() * 8000 / len(part)), hz)


class Items(TestCase):
    """`expect`: a whole that comes in parts."""

    def run_with(self, play: Playback, comes: list[bytes], ends: bool = True) -> list[bytes]:
        """One entry each tick of 20 ms, then the end."""
        play.expect(True)
        found = []
        for pcm in comes:
            if pcm:
                play.play(pcm)
            found.append(play.next())
        if ends:
            play.expect(False)
        return found + drained(play)

    def test_dribbles_of_3_ms_play_without_a_hole(self) -> None:
        for seed in range(20):
            play, random = Playback(PCMU(), 20), Random(seed)
            play.expect(True)
            at, sent, due = 0, [], 0.0
            for ms in range(1100):
                while at < len(VOICE) and due <= ms:
                    play.play(VOICE[at : at + 48])
                    at, due = at + 48, max(due, at / 16 + random.uniform(0, 15))
                if at >= len(VOICE):
                    play.expect(False)
                if ms % 20 == 19:
                    sent.append(play.next())
            while sent[0] == SILENT:
                del sent[0]
            self.assertTrue(b"".join(sent).startswith(PCMU().encode(VOICE)), seed)
            self.assertEqual((play.dry_ms, play.dry_times, play.played_ms), (0, 0, 1000))

    def test_a_hole_in_mid_item_is_counted_when_it_ends(self) -> None:
        play = Playback(PCMU(), 20)
        parts = [VOICE[:3200], *[b""] * 16, VOICE[3200:3840], b""]
        packets = self.run_with(play, parts)
        silent = sum(packet == SILENT for packet in packets)
        self.assertEqual((play.dry_ms, play.dry_times), (20 * silent, 1))
        self.assertEqual(silent, 7)

    def test_every_hole_is_one(self) -> None:
        play = Playback(PCMU(), 20)
        self.run_with(play, [VOICE[:640], b"", b"", b"", VOICE[640:1280], b"", b"", b"", VOICE[1280:1920]])
        self.assertEqual((play.dry_ms, play.dry_times), (80, 2))

    def test_neither_the_wait_for_its_beginning_nor_for_its_end_is_a_hole(self) -> None:
        play = Playback(PCMU(), 20)
        self.run_with(play, [*[b""] * 10, VOICE[:1600], *[b""] * 30])
        self.assertEqual((play.dry_ms, play.dry_times), (0, 0))

    def test_a_pause_is_no_hole_and_no_longer_one_than_a_backend_may_be_mute(self) -> None:
        play = Playback(PCMU(), 20)
        play.expect(True)
        play.play(VOICE[:1600])
        for _ in range(5):
            play.next()
        play.pause()
        for _ in range(50):
            play.next()
        play.resume()
        for _ in range(LONGEST_HOLE_MS // 20 + 1):
            play.next()
        play.play(VOICE[:1600])
        self.assertEqual((play.dry_ms, play.dry_times), (0, 0))

    def test_a_flush_forgets_the_hole(self) -> None:
        play = Playback(PCMU(), 20)
        self.run_with(play, [VOICE[:640], b"", b"", b""], ends=False)
        play.flush()
        play.play(VOICE[:640])
        self.assertEqual(play.dry_ms, 0)
        self.assertNotEqual(play.next(), SILENT)

    def test_a_part_of_a_packet_waits_for_the_rest_but_not_for_ever(self) -> None:
        play = Playback(PCMU(), 20)
        play.expect(True)
        play.play(VOICE[:100])
        ticks = 0
        while play.queued_ms:
            play.next()
            ticks += 1
        self.assertEqual(ticks, PATIENCE_MS // 20 + 1)
        self.assertEqual(play.played_ms, 6.25)

    def test_little_that_is_all_there_is_waits_for_nothing(self) -> None:
        play = Playback(PCMU(), 20)
        play.expect(True)
        play.play(VOICE[: CUSHION_MS * 8])
        self.assertEqual(play.next(), SILENT)
        play.expect(False)
        self.assertEqual(play.next(), PCMU().encode(VOICE[:320]))

    def test_what_was_queued_before_it_plays_on(self) -> None:
        play = Playback(PCMU(), 20)
        play.play_clip(Clip(VOICE[:640]))
        play.expect(True)
        play.play(VOICE[640:700])
        self.assertEqual([play.next(), play.next()], [PCMU().encode(VOICE[at : at + 320]) for at in (0, 320)])
        self.assertEqual((play.next(), play.dry_ms), (SILENT, 0))

    def test_a_clip_does_not_wait(self) -> None:
        play = Playback(PCMU(), 20)
        play.expect(True)
        play.play_clip(Clip(VOICE[:320]))
        self.assertEqual(play.next(), PCMU().encode(VOICE[:320]))


class Clips(TestCase):
    def test_calls_share_what_was_encoded_and_it_goes_with_the_clip(self) -> None:
        clip = Clip(VOICE)
        first, second = Playback(PCMU(), 20), Playback(PCMU(), 20)
        first.play_clip(clip)
        second.play_clip(clip)
        self.assertTrue(all(one is other for one, other in zip(drained(first), drained(second), strict=True)))
        before = len(playback._packets), len(playback._payloads)
        del clip
        gc.collect()
        self.assertEqual((len(playback._packets), len(playback._payloads)), (before[0] - 1, before[1] - 1))

    def test_for_each_codec_rate_and_length_of_packets(self) -> None:
        clip = Clip(VOICE)
        for codec in (PCMU(), PCMA()):
            for ms in PACKET_MS:
                play = Playback(codec, ms)
                play.play_clip(clip)
                self.assertEqual(b"".join(drained(play))[:8000], codec.encode(VOICE))

    def test_a_narrow_one_on_a_wide_leg(self) -> None:
        clip = Clip(tone(1000, 400))
        for _ in range(2):
            play, ear = Playback(G722(), 20), G722()
            play.play_clip(clip)
            self.assertEqual(play.queued_ms, 400)
            self.assertGreater(alike(heard(play, ear), tone(1000, 400, 16000)), 0.99)

    def test_a_loop_has_no_seam(self) -> None:
        clip = Clip(tone(500, 210))
        for ms in PACKET_MS:
            play = Playback(PCMU(), ms)
            play.play_clip(clip, loop=True)
            sent = b"".join(play.next() for _ in range(60))
            self.assertEqual(sent, (PCMU().encode(clip.pcm) * 20)[: len(sent)])
            self.assertEqual((play.queued_ms, play.played_ms), (0, 60 * ms))

    def test_a_loop_shorter_than_a_packet(self) -> None:
        play = Playback(PCMU(), 60)
        play.play_clip(Clip(VOICE[:34]), loop=True)
        self.assertEqual(play.next() + play.next(), (PCMU().encode(VOICE[:34]) * 60)[:960])


def alike(one: bytes, other: bytes, delay: int = 22) -> float:
    a, b = samples(one)[delay:], samples(other)
    size = min(len(a), len(b))
    return float(np.corrcoef(a[:size], b[:size])[0, 1])


class CodecsWithState(TestCase):
    """The encoder goes the way of the peer's decoder."""

    def test_whatever_happens_the_decoder_follows(self) -> None:
        play, encoder, ear = Playback(G722(), 20), G722(), G722()
        said = b""

        def sends(pcm: bytes) -> None:
            nonlocal said
            for at in range(0, len(pcm), 640):
                self.assertEqual(play.next(), encoder.encode(pcm[at : at + 640]))
            said += pcm

        play.play(WIDE)
        sends(WIDE[: 640 * 10])
        play.pause()
        sends(bytes(640 * 5))
        play.resume()
        sends(WIDE[640 * 10 : 640 * 20])
        play.flush()
        sends(bytes(640 * 3))
        play.play_clip(Clip(WIDE[:6400], 16000), loop=True)
        sends(WIDE[:6400] * 2)
        self.assertEqual(play.silence(), encoder.encode(bytes(640)))
        ear.decode(b"")
        self.assertEqual(play.played_ms, 800)

    def test_packets_of_every_length(self) -> None:
        for ms in PACKET_MS:
            play = Playback(G722(), ms)
            play.play(WIDE)
            self.assertEqual(b"".join(drained(play))[:8000], G722().encode(WIDE)[:8000])

    def test_nothing_is_encoded_before_it_is_sent(self) -> None:
        play = Playback(G722(), 20)
        play.play(WIDE)
        play.flush()
        self.assertEqual(play.next(), G722().encode(bytes(640)))


class Changes(TestCase):
    """Another codec, or packets of another length, in the middle of what is being said."""

    def test_between_g711_no_sample_is_lost(self) -> None:
        play = Playback(PCMU(), 20)
        play.play(VOICE[:-100])
        before = b"".join(play.next() for _ in range(13))
        play.change(PCMA(), 30)
        after = heard(play, PCMA())
        wanted = PCMA().decode(PCMA().encode(PCMU().decode(PCMU().encode(VOICE[13 * 320 : -100]))))
        self.assertEqual(len(before), 13 * 160)
        self.assertTrue(after.startswith(wanted))
        self.assertEqual(play.played_ms, 993.75)

    def test_from_narrow_to_wide_and_back(self) -> None:
        said = voice(2000)
        for first, second, rate in ((PCMU, G722, 16000), (G722, PCMU, 8000), (G722, PCMA, 8000)):
            play, ear = Playback(first(), 20), second()
            play.play(said, 8000)
            for _ in range(25):
                play.next()
            self.assertAlmostEqual(play.queued_ms, 1500, delta=0.2)
            play.change(second(), 20)
            self.assertAlmostEqual(play.played_ms + play.queued_ms, 2000, delta=4)
            got = heard(play, ear)
            wanted = resample(said, 8000, rate)[rate:]
            self.assertGreater(alike(got, wanted[: len(got)], 22 if rate == 16000 else 0), 0.97, (first, second))
            self.assertAlmostEqual(play.played_ms, 2000, delta=4)

    def test_a_burst_that_is_not_yet_taken_in_follows(self) -> None:
        play = Playback(PCMU(), 20)
        play.play(tone(440, 5000, 24000), 24000)
        play.next()
        play.change(G722(), 40)
        self.assertAlmostEqual(play.queued_ms, 4980, delta=4)
        packets = drained(play)
        self.assertEqual({len(packet) for packet in packets}, {320})
        self.assertAlmostEqual(len(packets), 125, delta=1)

    def test_a_loop_goes_on(self) -> None:
        clip = Clip(tone(500, 200))
        play, ear = Playback(PCMU(), 20), G722()
        play.play_clip(clip, loop=True)
        play.next()
        play.change(G722(), 20)
        self.assertGreater(alike(b"".join(ear.decode(play.next()) for _ in range(10)), tone(500, 200, 16000)), 0.99)

    def test_other_packets_of_the_same_codec(self) -> None:
        codec = PCMU()
        play = Playback(codec, 20)
        play.play(VOICE)
        sent = b"".join(play.next() for _ in range(7))
        for ms in (60, 10, 30, 20):
            play.change(codec, ms)
            sent += b"".join(play.next() for _ in range(2))
        self.assertEqual(sent + b"".join(drained(play)), PCMU().encode(VOICE))

    @given(st.lists(st.tuples(st.sampled_from(["play", "next", "change", "wide"]), st.integers(1, 2000)), max_size=20))
    @settings(max_examples=60, deadline=None)
    def test_any_changes_are_survived_and_little_is_lost(self, steps: list[tuple[str, int]]) -> None:
        codecs = [PCMU, G722, PCMA]
        play, put_ms, changes = Playback(PCMU(), 20), 0.0, 0
        for verb, size in steps:
            if verb == "next":
                for _ in range(size % 20):
                    play.next()
            elif verb == "change":
                play.change(codecs[size % 3](), PACKET_MS[size % 6])
                changes += 1
            else:
                rate = 24000 if verb == "wide" else 8000
                play.play(tone(440, size, rate), rate)
                put_ms += size
        drained(play)
        self.assertAlmostEqual(play.played_ms, put_ms, delta=4 * (changes + len(steps)) + 1)
