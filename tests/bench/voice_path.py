"""Recorded speech -> packets -> a network -> our receiver: what is heard, and how late.

The way is the whole one: UDP on loopback, the plane's tick, a leg; on a clock that only moves from one event to the next, so
that 8 s of speech take a tenth of a second.  Depth is how much later speech is heard than the quickest packet could have brought
it, by comparing what was sent with what was heard.
"""

from __future__ import annotations

import random
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from smartalex.media.codecs.registry import find
from smartalex.media.frame import FRAME_MS
from smartalex.rtp.hearing import CONCEALED, Hearing
from smartalex.rtp.packet import pack
from smartalex.rtp.plane import MediaParams, MediaPlane
from smartalex.rtp.receiver import Receiver
from tests.rtp.wire import Bench

Samples = NDArray[np.int16]

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
CLIPS = (
    ("demo-instruct", 0), ("demo-instruct", 20), ("demo-instruct", 40), ("priv-callee-options", 2), ("demo-congrats", 0),
    ("demo-congrats", 12), ("basic-pbx-ivr-main", 0), ("demo-echotest", 5), ("conf-adminmenu-18", 3),
    ("screen-callee-options", 2), ("vm-options", 1), ("demo-abouttotry", 2),
)  # fmt: skip
"""(file, second it begins at)"""

CLIP_S, FRAME_S, BASE_S, LEAD_OUT_S = 8.0, FRAME_MS / 1000, 0.1, 0.5
LEVEL_DBOV = -26.0
QUIET_RMS, HANGOVER_FRAMES = 60, 8
NOISE, DYNAMIC = 13, 111
"""Payload types."""

SEARCHED_S, WINDOW_S = 0.5, 0.4


@attrs.frozen
class Network:
    """`loss` in 0 to 1, in bursts of a mean length (Gilbert); delay is even within +-`jitter_s` until `until_s`; in a spike
    nothing comes for `spike_s`, then all of it.  The sender's clock is slow by `drift_ppm`."""

    loss: float = 0.0
    burst: float = 1.0
    jitter_s: float = 0.0
    until_s: float = 1e9
    spike_at_s: float = 0.0
    spike_s: float = 0.0
    drift_ppm: float = 0.0

    def arrivals(self, count: int, draw: random.Random, packet_s: float = FRAME_S) -> list[tuple[float, int]]:
        """(seconds, packet), in order of arrival; packet n is sent at n * packet_s, and BASE_S is the quickest way."""
        found = []
        for n, lost in enumerate(self._lost(count, draw)):
            at = n * packet_s * (1 + self.drift_ppm * 1e-6)
            delay = draw.uniform(0, 2 * self.jitter_s) if at < self.until_s else draw.uniform(0, 0.0003)
            if self.spike_at_s <= at + delay < self.spike_at_s + self.spike_s:
                delay = self.spike_at_s + self.spike_s - at + n * 1e-6
            if not lost:
                found.append((at + BASE_S + delay, n))
        return sorted(found)

    def _lost(self, count: int, draw: random.Random) -> Iterable[bool]:
        if self.burst <= 1:
            return [draw.random() < self.loss for _ in range(count)]
        end = 1 / self.burst
        begin, bad, found = end * self.loss / (1 - self.loss), False, []
        for _ in range(count):
            bad = draw.random() >= end if bad else draw.random() < begin
            found.append(bad)
        return found


@attrs.frozen
class Task:
    """One clip, `repeats` times.  `stamp_ms` is by how much timestamps grow from packet to packet, if not by `packet_ms`.

    `pauses` are not sent, with comfort noise instead if they are "noise"; `onsets`: the first packet after each is lost.
    """

    clip: int
    seed: int
    network: Network
    codec: str = "PCMU"
    core: bool = False
    lead_in_s: float = 0.5
    repeats: int = 1
    packet_ms: int = FRAME_MS
    stamp_ms: int = 0
    pauses: str = ""
    onsets: bool = False


@attrs.frozen
class Heard:
    """What came of one clip; `faded` is the MOS if each lost packet were the one before it, 6 dB softer, for 40 ms.

    `depths` are (second, ms); `gaps` are the seconds at which 40 ms or more were made up, `made_up` those of all such frames.
    """

    mos: float
    faded: float
    late: int
    waits: int
    concealed: int
    depths: list[tuple[float, float]]
    gaps: list[float]
    made_up: list[float]

    @property
    def depth_ms(self) -> float:
        return float(np.mean([ms for _, ms in self.depths])) if self.depths else 0.0


# ---------------------------------------------------------------------- speech


def narrow(name: str, at_s: float) -> Samples:
    with wave.open(str(SOUNDS / f"{name}.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return level(samples, 8000, at_s)


def wide(name: str, at_s: float) -> Samples:
    pcm = find("G722")().decode((SOUNDS / f"{name}.g722").read_bytes())
    return level(np.frombuffer(pcm, "<i2"), 16000, at_s)


def level(samples: Samples, rate: int, at_s: float) -> Samples:
    """CLIP_S of it, speech at LEVEL_DBOV: the mean over frames that are within 35 dB of the loudest."""
    part = samples[int(at_s * rate) :][: int(CLIP_S * rate)].astype(np.float64)
    energy = (part[: len(part) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
    speech = energy[energy > energy.max() * 10**-3.5].mean()
    return as_int16(part * 32768 * 10 ** (LEVEL_DBOV / 20) / np.sqrt(speech))


def as_int16(samples: NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2")


def quiet(frames: Sequence[bytes]) -> list[bool]:
    """Which of them a sender that saves packets does not send."""
    found, run = [], 0
    for frame in frames:
        run = run + 1 if np.sqrt((np.frombuffer(frame, "<i2").astype(np.float64) ** 2).mean()) < QUIET_RMS else 0
        found.append(run > HANGOVER_FRAMES)
    return found


# ---------------------------------------------------------------------- the way


class Whole:
    """Sockets, plane and leg on a clock of their own; `frames` is (seconds, pcm, flags)."""

    def __init__(self, codec: str) -> None:
        self._bench = Bench(MediaPlane, polled=False)
        kind = find(codec).payload_type
        self._leg, self._peer = self._bench.connected(
            MediaParams(codec, DYNAMIC if kind is None else kind, noise_payload_type=NOISE)
        )
        self._began = self._bench.clock.seconds()
        self.hearing = self._leg.hearing
        self.frames: list[tuple[float, bytes, int]] = []
        self._bench.sink.on_frames = self._on_frames  # type: ignore[method-assign]

    def _on_frames(self, batch: Any) -> None:
        now = self._bench.clock.seconds() - self._began
        self.frames += [(now, pcm, flags) for _, pcm, flags in batch]

    def send(self, at_s: float, packet: bytes) -> None:
        self.run(at_s)
        self._peer.raw(self._leg, packet)
        self._bench.clock.poll()

    def run(self, until_s: float) -> None:
        clock, until = self._bench.clock, self._began + until_s
        while True:
            due = min((call.getTime() for call in clock.getDelayedCalls()), default=until)
            if due > until:
                break
            clock.advance(max(0.0, due - clock.seconds()))
        clock.advance(max(0.0, until - clock.seconds()))
        self._peer.drain()

    def close(self) -> None:
        self._bench.close()


class Core:
    """The same without sockets and plane."""

    def __init__(self, codec: str) -> None:
        kind = find(codec).payload_type
        self.hearing = Hearing(find(codec)())
        self._now, self._due = 0.0, 0.0
        self._receiver = Receiver(self.hearing, lambda: self._now)
        self._receiver.configure(DYNAMIC if kind is None else kind, None, noise_payload_type=NOISE)
        self._receiver.expect("192.0.2.1", 4000)
        self.frames: list[tuple[float, bytes, int]] = []

    def send(self, at_s: float, packet: bytes) -> None:
        self.run(at_s)
        self._now = at_s
        self._receiver.received(memoryview(packet), len(packet), ("192.0.2.1", 4000), at_s)

    def run(self, until_s: float) -> None:
        while self._due <= until_s:
            self.frames.append((self._due, *self.hearing.hear()))
            self._due += FRAME_S

    def close(self) -> None:
        pass


def listened(task: Task) -> Heard:
    """One clip over the network and into the score."""
    codec = find(task.codec)()
    codec.adapt("useinbandfec=1")
    rate, size = codec.rate, task.packet_ms * codec.rate // 1000
    speech = (narrow if rate == 8000 else wide)(*CLIPS[task.clip])
    silence = [np.zeros(int(seconds * rate), np.int16) for seconds in (task.lead_in_s, LEAD_OUT_S)]
    sent = np.concatenate((silence[0], *[speech] * task.repeats, silence[1]))
    frames = [sent[at : at + size].tobytes() for at in range(0, len(sent) - size + 1, size)]
    payloads = [codec.encode(frame) for frame in frames]
    draw = random.Random(1000 * task.seed + task.clip)
    phase = draw.uniform(0, FRAME_S)
    arrivals = task.network.arrivals(len(payloads), draw, task.packet_ms / 1000)
    arrivals, noisy = saved(task, frames, arrivals)
    way, numbers = (Core if task.core else Whole)(task.codec), numbered(task, len(frames), noisy, quiet(frames))
    kind, step = (DYNAMIC if codec.payload_type is None else codec.payload_type), (task.stamp_ms or task.packet_ms) * codec.clock
    try:
        for at, n in arrivals:
            payload = bytes([60]) if n in noisy else payloads[n]
            way.send(phase + at, pack(numbers[n], n * step // 1000, 4711, NOISE if n in noisy else kind) + payload)
        end = len(payloads) * task.packet_ms / 1000 * (1 + task.network.drift_ppm * 1e-6)
        way.run(phase + end + BASE_S + 0.3)
    finally:
        way.close()
    begun = way.frames[0][0] - phase - BASE_S
    heard = np.frombuffer(b"".join(pcm for _, pcm, _ in way.frames), "<i2")
    depths = [(at, ms - task.network.drift_ppm * 1e-3 * at) for at, ms in measured(sent, heard, rate, begun)]
    heard = np.concatenate((np.zeros(max(0, int(begun * rate)), np.int16), heard[max(0, -int(begun * rate)) :]))
    there = {n for _, n in arrivals} | {n for n, still in enumerate(quiet(frames)) if still and task.pauses}
    one = task.repeats == 1
    return Heard(
        score(rate, sent, heard) if one else 0.0,
        score(rate, sent, faded(task.codec, payloads, there)) if one and len(there) < len(payloads) else 0.0,
        way.hearing.jitter.late, way.hearing.jitter.waits, way.hearing.concealed, depths,
        [at for at in gaps(way.frames, phase + BASE_S) if at < end - 0.1],
        [at - phase - BASE_S for at, _, flags in way.frames if flags == CONCEALED and at - phase - BASE_S < end - 0.1],
    )  # fmt: skip


def saved(task: Task, frames: list[bytes], arrivals: list[tuple[float, int]]) -> tuple[list[tuple[float, int]], set[int]]:
    """What is sent and arrives, and which of that is comfort noise."""
    still = quiet(frames)
    firsts = {n for n in range(1, len(frames)) if still[n - 1] and not still[n]}
    if task.onsets:
        return [(at, n) for at, n in arrivals if n not in firsts], set()
    if not task.pauses:
        return arrivals, set()
    noisy = {n for n in range(1, len(frames)) if still[n] and not still[n - 1]} if task.pauses == "noise" else set()
    return [(at, n) for at, n in arrivals if not still[n] or n in noisy], noisy


def numbered(task: Task, count: int, noisy: set[int], still: list[bool]) -> list[int]:
    """The sequence numbers: what is not sent has none."""
    numbers, number = [], 0
    for n in range(count):
        number += not task.pauses or not still[n] or n in noisy
        numbers.append(number)
    return numbers


def faded(codec: str, payloads: list[bytes], there: set[int]) -> Samples:
    decode, heard, gain = find(codec)().decode, [], 0.0
    last = np.zeros(0, np.int16)
    for n, payload in enumerate(payloads):
        if n in there:
            last, gain = np.frombuffer(decode(payload), "<i2"), 1.0
            heard.append(last)
        else:
            gain = gain / 2 if gain >= 0.5 else 0.0
            heard.append((last * gain).astype(np.int16))
    return np.concatenate(heard)


def score(rate: int, sent: Samples, heard: Samples) -> float:
    """MOS-LQO: P.862.1 for 8 kHz, P.862.2 for 16."""
    from pesq import pesq  # noqa: PLC0415 - needs a compiler to install

    count = min(len(sent), len(heard))
    return float(pesq(rate, sent[:count], heard[:count], "nb" if rate == 8000 else "wb"))


def measured(sent: Samples, heard: Samples, rate: int, begun_s: float) -> Iterable[tuple[float, float]]:
    """(second, ms by which it is behind), where there is speech enough to tell; `begun_s` is when the first sample was heard."""
    size, most = int(WINDOW_S * rate), int(SEARCHED_S * rate)
    whole, padded = sent.astype(np.float64), np.concatenate((np.zeros(most), heard.astype(np.float64), np.zeros(size + most)))
    loud = 0.1 * np.sqrt((whole**2).mean())
    for start in range(0, len(whole) - size, size // 2):
        part = whole[start : start + size]
        if np.sqrt((part**2).mean()) < loud:
            continue
        first = start - int(begun_s * rate)  # where it would be with no delay at all
        window = padded[max(0, first + most - most // 10) : first + most + size + most]
        offset = max(0, first + most - most // 10) - (first + most)
        power = np.concatenate(([0.0], np.cumsum(window**2)))
        energy = power[size:] - power[:-size]
        spectrum = np.fft.rfft(window, 1 << int(len(window) + size).bit_length())
        match = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, 2 * (len(spectrum) - 1))))[: len(energy)]
        match /= np.sqrt((energy + 1) * (part @ part))
        best = int(match.argmax())
        if match[best] > 0.6:
            yield start / rate, (best + offset) * 1000 / rate


def gaps(frames: Sequence[tuple[float, bytes, int]], from_s: float) -> Iterable[float]:
    """When there were at least two frames on end that were made up, after the first one that was not."""
    run, heard = 0, False
    for at, _, flags in frames:
        heard = heard or not flags
        run = run + 1 if flags and heard else 0
        if run == 2:
            yield at - from_s - FRAME_S
