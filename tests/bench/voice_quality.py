"""How speech sounds after a bad network: recorded speech -> packets -> loss, jitter -> our receiver -> PESQ (P.862.1, P.862.2).

python -m tests.bench.voice_quality [--only loss,bursts,jitter,calm,spike,wide] [--clips 12] [--seeds 2] [--workers 2] [--core]
       [--lead-in 0.5] [--plot FILE.svg]

The way is the whole one: UDP on loopback, the plane's tick, a leg; on a clock that only moves from one event to the next, so
that 8 s of speech take a tenth of a second.  With --core it is receiver and hearing alone.  The tick comes at another phase in
each run.  Needs `pesq` (and `matplotlib` for a plot), and speech: Debian's asterisk-core-sounds-en-wav, -en-g722.

Depth is how much later speech is heard than the quickest packet could have brought it, by comparing what was sent with what was
heard.  The reference is G.711 Appendix I (ITU-T G.191's program) on the same sounds; each clip has silence before and after.
"""

from __future__ import annotations

import argparse
import random
import sys
import wave
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from pesq import pesq

from smartalex.media.codecs.registry import find
from smartalex.rtp.packet import pack
from smartalex.rtp.plane import MediaParams, MediaPlane

Samples = NDArray[np.int16]

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
CLIPS = (
    ("demo-instruct", 0), ("demo-instruct", 20), ("demo-instruct", 40), ("priv-callee-options", 2), ("demo-congrats", 0),
    ("demo-congrats", 12), ("basic-pbx-ivr-main", 0), ("demo-echotest", 5), ("conf-adminmenu-18", 3),
    ("screen-callee-options", 2), ("vm-options", 1), ("demo-abouttotry", 2),
)  # fmt: skip
"""(file, second it begins at)"""

CLIP_S, PACKET_S, BASE_S = 8.0, 0.02, 0.1
LEVEL_DBOV = -26.0
LEAD_OUT_S = 0.5
LOSSES = (0, 1, 3, 5, 10)
JITTERS_MS = (0, 20, 40, 80)

REFERENCE = {
    "random loss": (4.12, 3.84, 3.42, 3.05, 2.54),
    "bursts of 3": (4.12, 3.91, 3.49, 3.19, 2.41),
}
"""MOS-LQO of G.711 Appendix I at LOSSES."""

SEARCHED_S, WINDOW_S = 0.5, 0.4


@attrs.frozen
class Network:
    """`loss` in 0 to 1, in bursts of a mean length (Gilbert); delay is even within +-`jitter_s` until `until_s`; in a spike
    nothing comes for `spike_s`, then all of it."""

    loss: float = 0.0
    burst: float = 1.0
    jitter_s: float = 0.0
    until_s: float = 1e9
    spike_at_s: float = 0.0
    spike_s: float = 0.0

    def arrivals(self, count: int, draw: random.Random) -> list[tuple[float, int]]:
        """(seconds, packet), in order of arrival; packet n is sent at n * PACKET_S, and BASE_S is the quickest way."""
        found = []
        for n, lost in enumerate(self._lost(count, draw)):
            at = n * PACKET_S
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
class Heard:
    """What came of one clip.  `depths` are (second, ms); `gaps` are the seconds at which 40 ms or more were made up."""

    mos: float
    late: int
    depths: list[tuple[float, float]]
    gaps: list[float]

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


# ---------------------------------------------------------------------- the way


class Whole:
    """Sockets, plane and leg on a clock of their own; `frames` is (seconds, pcm, flags)."""

    def __init__(self, codec: str) -> None:
        from tests.rtp.wire import Bench  # noqa: PLC0415 - binds ports

        kind = find(codec).payload_type
        self._bench = Bench(MediaPlane, polled=False)
        self._leg, self._peer = self._bench.connected(MediaParams(codec, kind))
        self._began = self._bench.clock.seconds()
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

    def late(self) -> int:
        return self._leg.stats().late

    def close(self) -> None:
        self._bench.close()


class Core:
    """The same without sockets and plane."""

    def __init__(self, codec: str) -> None:
        from smartalex.rtp.hearing import Hearing  # noqa: PLC0415
        from smartalex.rtp.receiver import Receiver  # noqa: PLC0415

        self._hearing = Hearing(find(codec)())
        self._now, self._due = 0.0, 0.0
        self._receiver = Receiver(self._hearing, lambda: self._now)
        self._receiver.configure(find(codec).payload_type, None)
        self._receiver.expect("192.0.2.1", 4000)
        self.frames: list[tuple[float, bytes, int]] = []

    def send(self, at_s: float, packet: bytes) -> None:
        self.run(at_s)
        self._now = at_s
        self._receiver.received(memoryview(packet), len(packet), ("192.0.2.1", 4000), at_s)

    def run(self, until_s: float) -> None:
        while self._due <= until_s:
            self.frames.append((self._due, *self._hearing.hear()))
            self._due += PACKET_S

    def late(self) -> int:
        return self._hearing.jitter.late

    def close(self) -> None:
        pass


@attrs.frozen
class Task:
    clip: int
    seed: int
    network: Network
    codec: str = "PCMU"
    core: bool = False
    lead_in_s: float = 0.5
    repeats: int = 1


def listened(task: Task) -> Heard:
    """One clip over the network and into the score."""
    codec = find(task.codec)()
    rate = codec.rate
    speech = (narrow if rate == 8000 else wide)(*CLIPS[task.clip])
    silence = [np.zeros(int(seconds * rate), np.int16) for seconds in (task.lead_in_s, LEAD_OUT_S)]
    sent = np.concatenate((silence[0], *[speech] * task.repeats, silence[1]))
    size = int(PACKET_S * rate)
    payloads = [codec.encode(sent[at : at + size].tobytes()) for at in range(0, len(sent) - size + 1, size)]
    draw = random.Random(1000 * task.seed + task.clip)
    phase = draw.uniform(0, PACKET_S)
    way = (Core if task.core else Whole)(task.codec)
    try:
        for at, n in task.network.arrivals(len(payloads), draw):
            packet = pack(n, n * int(PACKET_S * codec.clock), 4711, codec.payload_type) + payloads[n]
            way.send(phase + at, packet)
        way.run(phase + len(payloads) * PACKET_S + BASE_S + 0.3)
        frames, late = way.frames, way.late()
    finally:
        way.close()
    heard = np.frombuffer(b"".join(pcm for _, pcm, _ in frames), "<i2")
    depths = list(measured(sent, heard, rate, frames[0][0] - phase - BASE_S))
    shift = int((frames[0][0] - phase - BASE_S) * rate)
    heard = np.concatenate((np.zeros(max(0, shift), np.int16), heard[max(0, -shift) :]))
    count = min(len(sent), len(heard))
    score = pesq(rate, sent[:count], heard[:count], "nb" if rate == 8000 else "wb") if task.repeats == 1 else 0.0
    return Heard(score, late, depths, list(gaps(frames, phase + BASE_S)))


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
            yield at - from_s - PACKET_S


# ---------------------------------------------------------------------- the table


class Table:
    """Runs the conditions, prints a line for each as it is known."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._pool = ProcessPoolExecutor(options.workers)
        self.failed = 0
        self.points: dict[str, list[tuple[float, float, float]]] = {}

    def run(self, network: Network, **settings: Any) -> list[Heard]:
        options = self._options
        settings = {"core": options.core, "lead_in_s": options.lead_in, **settings}
        tasks = [Task(clip, seed, network, **settings) for clip in range(options.clips) for seed in range(1, options.seeds + 1)]
        return list(self._pool.map(listened, tasks, chunksize=2))

    def line(self, name: str, text: str, good: bool | None = None) -> None:
        self.failed += good is False
        print(f"{name:24}{text}{'' if good is None else '  ok' if good else '  SHORT'}", flush=True)

    def keep(self, name: str, x: float, mos: float, depth_ms: float = 0.0) -> None:
        self.points.setdefault(name, []).append((x, mos, depth_ms))

    def loss(self, name: str, burst: float) -> None:
        for percent, reference in zip(LOSSES, REFERENCE[name], strict=True):
            heard = self.run(Network(percent / 100, burst))
            mos = mean(one.mos for one in heard)
            self.keep(name, percent, mos)
            told = f"MOS {mos:.2f} (10th percentile {tenth(heard):.2f})  Appendix I {reference:.2f}  {mos - reference:+.2f}"
            self.line(
                f"{name} {percent} %", f"{told}  depth {mean(one.depth_ms for one in heard):.0f} ms", mos >= reference - 0.1
            )

    def wide(self) -> None:
        for name, burst in (("G.722 random", 1.0), ("G.722 bursts of 3", 3.0)):
            for percent in LOSSES:
                heard = self.run(Network(percent / 100, burst), codec="G722")
                mos = mean(one.mos for one in heard)
                self.keep(name, percent, mos)
                self.line(f"{name} {percent} %", f"MOS {mos:.2f} (10th percentile {tenth(heard):.2f})  P.862.2, wide band")

    def jitter(self) -> None:
        clean = 0.0
        for ms in JITTERS_MS:
            heard = self.run(Network(jitter_s=ms / 1000))
            mos, depth = mean(one.mos for one in heard), mean(one.depth_ms for one in heard)
            clean = clean or mos
            self.keep("jitter", ms, mos, depth)
            lowest, deepest = {0: (0.0, 1e9), 20: (clean - 0.05, 60), 40: (3.9, 110), 80: (3.7, 190)}[ms]
            told = f"MOS {mos:.2f} (10th percentile {tenth(heard):.2f})  late {mean(one.late for one in heard):.1f} packets"
            self.line(f"jitter +-{ms} ms", f"{told}  mean depth {depth:.0f} ms", mos >= lowest and depth <= deepest)

    def calm(self) -> None:
        """Jitter of +-40 ms for four seconds, then none; and none from the beginning."""
        for name, jitter_s in (("calm from the start", 0.0), ("calm after +-40 ms", 0.04)):
            heard = self.run(Network(jitter_s=jitter_s, until_s=4.0), repeats=2)
            ends = [ms for one in heard for at, ms in one.depths if at >= 14.0]
            self.line(name, f"depth after 10 calm seconds {mean(ends):.0f} ms (at most {max(ends):.0f})", mean(ends) <= 30)

    def spike(self) -> None:
        at, length = 4.0, 0.3
        heard = self.run(Network(spike_at_s=at, spike_s=length))
        mos, times = mean(one.mos for one in heard), [recovery(one, at + length) for one in heard]
        count = max(sum(gap > at - 0.5 for gap in one.gaps) for one in heard)
        told = f"MOS {mos:.2f}  shallow again {mean(times):.2f} s after (at most {max(times):.2f})  gaps at most {count}"
        self.line("spike of 300 ms", told, max(times) < 2 and count <= 1)


def recovery(heard: Heard, end_s: float) -> float:
    """Seconds from the end of the spike until it was no deeper than 25 ms above what it had been before."""
    before = float(np.median([ms for at, ms in heard.depths if at < end_s - 0.8]))
    deep = [at for at, ms in heard.depths if at >= end_s - 0.5 and ms > before + 25]
    return max(0.0, deep[-1] + WINDOW_S / 2 - end_s) if deep else 0.0


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def tenth(heard: Sequence[Heard]) -> float:
    return float(np.quantile([one.mos for one in heard], 0.1))


def plot(points: dict[str, list[tuple[float, float, float]]], file: str) -> None:
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, reference), colour in zip(REFERENCE.items(), ("C0", "C1"), strict=True):
        if name in points:
            left.plot(*zip(*((x, mos) for x, mos, _ in points[name]), strict=True), "o-", color=colour, label=name)
        left.plot(LOSSES, reference, "--", color=colour, alpha=0.6, label=f"{name}, G.711 Appendix I")
    left.set(xlabel="packets lost, %", ylabel="MOS-LQO (P.862.1)", ylim=(1, 4.5), title="Loss")
    if "jitter" in points:
        across, mos, depth = zip(*points["jitter"], strict=True)
        right.plot(across, mos, "o-", color="C2", label="MOS-LQO")
        beside = right.twinx()
        beside.plot(across, depth, "s--", color="C3")
        beside.set(ylabel="mean depth of the buffer, ms (dashed)", ylim=(0, 200))
    right.set(xlabel="jitter, +- ms", ylim=(1, 4.5), title="Jitter")
    left.legend(loc="lower left", fontsize="small")
    left.grid(alpha=0.3)
    right.grid(alpha=0.3)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="loss,bursts,jitter,calm,spike,wide")
    parser.add_argument("--clips", type=int, default=len(CLIPS), choices=range(1, len(CLIPS) + 1), metavar="N")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lead-in", type=float, default=0.5, help="seconds of silence before the speech")
    parser.add_argument("--core", action="store_true")
    parser.add_argument("--plot", default="", metavar="FILE")
    options = parser.parse_args()
    if not SOUNDS.is_dir():
        sys.exit(f"no speech in {SOUNDS}: apt-get install asterisk-core-sounds-en-wav asterisk-core-sounds-en-g722")
    table = Table(options)
    conditions: dict[str, Callable[[], None]] = {
        "loss": lambda: table.loss("random loss", 1.0),
        "bursts": lambda: table.loss("bursts of 3", 3.0),
        "jitter": table.jitter,
        "calm": table.calm,
        "spike": table.spike,
        "wide": table.wide,
    }
    for name in options.only.split(","):
        conditions[name]()
    if options.plot:
        plot(table.points, options.plot)
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
