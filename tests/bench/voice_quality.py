"""How speech sounds after a bad network: recorded speech -> packets -> loss, jitter -> our receiver -> PESQ (P.862.1, P.862.2).

python -m tests.bench.voice_quality [--only loss,bursts,jitter,calm,spike,lengths,onsets,senders,drift,wide,opus] [--clips 12]
       [--seeds 2] [--workers 2] [--core] [--lead-in 0.5] [--plot FILE.svg]

The way is in `voice_path`: UDP on loopback, the plane's tick, a leg; with --core receiver and hearing alone.  The tick comes at
another phase in each run, and each clip has silence before and after.  Needs `pesq` and speech: Debian's
asterisk-core-sounds-en-wav, -en-g722; --plot needs `matplotlib`.

Two references: G.711 Appendix I (ITU-T G.191's program) on the same sounds, and `fade`, each lost packet the one before it, 6 dB
softer, for 40 ms.  A line is ok at no less than 0.1 under Appendix I, and never under `fade` on the same losses.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from tests.bench.voice_path import CLIPS, SOUNDS, WINDOW_S, Heard, Network, Task, listened

LOSSES = (0, 1, 3, 5, 10)
JITTERS_MS = {0: (0.0, 1000), 20: (0.0, 60), 40: (3.9, 110), 80: (3.7, 190)}
"""+- ms: (lowest MOS, deepest ms); with 20 the MOS is to be within 0.05 of that with 0."""

RANDOM, BURSTS = "random loss", "bursts of 3"
REFERENCE = {RANDOM: (4.12, 3.84, 3.42, 3.05, 2.54), BURSTS: (4.12, 3.91, 3.49, 3.19, 2.41)}
"""MOS-LQO of G.711 Appendix I at LOSSES."""

Point = tuple[float, float, float]
"""What is on the axis, MOS, and the reference or the depth in ms."""


class Table:
    """Runs the conditions, prints a line for each as it is known."""

    def __init__(self, options: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
        self._options, self._pool = options, pool
        self.failed = 0
        self.points: dict[str, list[Point]] = {}

    def run(self, network: Network, clips: int = 0, seeds: int = 0, **settings: Any) -> list[Heard]:
        options = self._options
        settings = {"core": options.core, "lead_in_s": options.lead_in, **settings}
        pairs = [(clip, seed) for clip in range(clips or options.clips) for seed in range(1, (seeds or options.seeds) + 1)]
        return list(self._pool.map(listened, [Task(clip, seed, network, **settings) for clip, seed in pairs], chunksize=2))

    def line(self, name: str, text: str, good: bool | None = None) -> None:
        self.failed += good is False
        print(f"{name:24}{text}{'' if good is None else '  ok' if good else '  SHORT'}", flush=True)

    # ------------------------------------------------------------------ loss

    def narrow(self, name: str, burst: float) -> None:
        for percent, reference in zip(LOSSES, REFERENCE[name], strict=True):
            heard = self.run(Network(percent / 100, burst))
            mos, fade = mean(one.mos for one in heard), mean(one.faded or one.mos for one in heard)
            self.points.setdefault(name, []).append((percent, mos, reference))
            told = f"{said(heard)}  Appendix I {reference:.2f}  {mos - reference:+.2f}  fade {fade:.2f}"
            good = mos >= max(reference - 0.1, fade - 0.005)
            self.line(f"{name} {percent} %", f"{told}  depth {mean(one.depth_ms for one in heard):.0f} ms", good)

    def wide(self, codec: str) -> None:
        for name, burst in ((f"{codec} {RANDOM}", 1.0), (f"{codec} {BURSTS}", 3.0)):
            for percent in LOSSES:
                heard = self.run(Network(percent / 100, burst), codec=codec)
                mos, fade = mean(one.mos for one in heard), mean(one.faded or one.mos for one in heard)
                self.points.setdefault(name, []).append((percent, mos, fade))
                self.line(f"{name} {percent} %", f"{said(heard)}  P.862.2  fade {fade:.2f}", mos >= fade - 0.005)

    def lengths(self) -> None:
        """Packets of other lengths."""
        for ms in (10, 20, 30, 40, 60):
            heard = self.run(Network(0.03), packet_ms=ms)
            fade = mean(one.faded or one.mos for one in heard)
            self.line(f"3 % of {ms} ms", f"{said(heard)}  fade {fade:.2f}", mean(one.mos for one in heard) > fade)

    def onsets(self) -> None:
        """The first packet of each talk spurt is lost."""
        heard = self.run(Network(), onsets=True)
        mos, fade = mean(one.mos for one in heard), mean(one.faded for one in heard)
        self.line("first of each spurt", f"{said(heard)}  fade {fade:.2f}", mos > fade)

    # ------------------------------------------------------------------ delay

    def jitter(self) -> None:
        clean = 0.0
        for ms, (lowest, deepest) in JITTERS_MS.items():
            heard = self.run(Network(jitter_s=ms / 1000))
            mos, depth = mean(one.mos for one in heard), mean(one.depth_ms for one in heard)
            clean = clean or mos
            self.points.setdefault("jitter", []).append((ms, mos, depth))
            told = f"{said(heard)}  late {mean(one.late for one in heard):.1f} packets  mean depth {depth:.0f} ms"
            self.line(f"jitter +-{ms} ms", told, mos >= (lowest or clean - 0.05) and depth <= deepest)

    def calm(self) -> None:
        """Jitter of +-40 ms for four seconds, then none; and none from the beginning."""
        for name, jitter_s in (("calm from the start", 0.0), ("calm after +-40 ms", 0.04)):
            heard = self.run(Network(jitter_s=jitter_s, until_s=4.0), repeats=2)
            ends = [ms for one in heard for at, ms in one.depths if at >= 14.0]
            self.line(name, f"depth after 10 calm seconds {mean(ends):.0f} ms (at most {max(ends):.0f})", mean(ends) <= 30)

    def spike(self) -> None:
        at, length = 4.0, 0.3
        heard = self.run(Network(spike_at_s=at, spike_s=length))
        times = [recovery(one, at + length) for one in heard]
        count = max(sum(gap > at - 0.5 for gap in one.gaps) for one in heard)
        told = f"shallow again {mean(times):.2f} s after (at most {max(times):.2f})  gaps at most {count}"
        self.line("spike of 300 ms", told, max(times) < 2 and count <= 1)

    def drift(self) -> None:
        """Five minutes."""
        for ppm in (-200, 200):
            heard = self.run(Network(drift_ppm=ppm), clips=2, seeds=1, repeats=37)
            minutes = [mean(ms for one in heard for at, ms in one.depths if 60 * n <= at < 60 * n + 60) for n in range(5)]
            told = ", ".join(f"{ms:.0f}" for ms in minutes)
            made_up = max(one.concealed for one in heard)
            counts = f"waits {max(one.waits for one in heard)}  late {max(one.late for one in heard)}  made up {made_up} frames"
            self.line(f"clock {ppm:+} ppm", f"depth by minutes {told} ms  {counts}", max(minutes) <= 40 and made_up <= 5)

    # ------------------------------------------------------------------ senders

    def senders(self) -> None:
        """As they are."""
        for name, pauses in (("no packets in pauses", "none"), ("comfort noise in them", "noise")):
            heard = self.run(Network(), pauses=pauses)
            count = max(one.concealed for one in heard)
            self.line(name, f"{said(heard)}  taken for lost {count} frames", count == 0)
        for name, settings in (
            ("30 ms counted as 20", {"packet_ms": 30, "stamp_ms": 20}),
            ("G.722 counted at 16 kHz", {"codec": "G722", "stamp_ms": 40}),
        ):
            heard = self.run(Network(), clips=4, seeds=1, repeats=2, **settings)
            before, after = (max(sum(low <= at < low + 4 for at in one.made_up) for one in heard) for low in (0, 5))
            self.line(name, f"made up in seconds 0 to 4: {before} frames, 5 to 9: {after}", after == 0)


def recovery(heard: Heard, end_s: float) -> float:
    """Seconds from the end of the spike until it was no deeper than 25 ms above what it had been before."""
    before = float(np.median([ms for at, ms in heard.depths if at < end_s - 0.8]))
    deep = [at for at, ms in heard.depths if at >= end_s - 0.5 and ms > before + 25]
    return max(0.0, deep[-1] + WINDOW_S / 2 - end_s) if deep else 0.0


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def said(heard: Sequence[Heard]) -> str:
    scores = [one.mos for one in heard]
    return f"MOS {mean(scores):.2f} (10th percentile {np.quantile(scores, 0.1):.2f})"


def plot(points: dict[str, list[Point]], file: str) -> None:
    import matplotlib  # noqa: PLC0415

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "voice_quality", "svg.fonttype": "none"})
    from matplotlib import pyplot  # noqa: PLC0415

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, colour in ((RANDOM, "C0"), (BURSTS, "C1")):
        if name in points:
            across, mos, reference = zip(*points[name], strict=True)
            left.plot(across, mos, "o-", color=colour, label=name)
            left.plot(across, reference, "--", color=colour, alpha=0.6, label=f"{name}, G.711 Appendix I")
    left.set(xlabel="packets lost, %", ylabel="MOS-LQO (P.862.1)", ylim=(1, 4.5), title="Loss")
    left.legend(loc="lower left", fontsize="small")
    if "jitter" in points:
        across, mos, depth = zip(*points["jitter"], strict=True)
        right.plot(across, mos, "o-", color="C2")
        beside = right.twinx()
        beside.plot(across, depth, "s--", color="C3")
        beside.set_ylabel("depth of the buffer, ms (dashed)", color="C3")
        beside.set_ylim(0, 200)
    right.set(xlabel="jitter, ± ms", ylim=(1, 4.5), title="Jitter")
    right.set_ylabel("MOS-LQO (P.862.1)", color="C2")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    conditions: dict[str, Callable[[Table], None]] = {
        "loss": lambda table: table.narrow(RANDOM, 1.0),
        "bursts": lambda table: table.narrow(BURSTS, 3.0),
        "jitter": Table.jitter,
        "calm": Table.calm,
        "spike": Table.spike,
        "lengths": Table.lengths,
        "onsets": Table.onsets,
        "senders": Table.senders,
        "drift": Table.drift,
        "wide": lambda table: table.wide("G722"),
        "opus": lambda table: table.wide("opus"),
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(conditions))
    parser.add_argument("--clips", type=int, default=len(CLIPS), choices=range(1, len(CLIPS) + 1), metavar="N")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lead-in", type=float, default=0.5, help="seconds of silence before the speech")
    parser.add_argument("--core", action="store_true")
    parser.add_argument("--plot", default="", metavar="FILE")
    options = parser.parse_args()
    for package in ("pesq", *(["matplotlib"] if options.plot else [])):
        if find_spec(package) is None:
            sys.exit(f"{package} is not installed: pip install 'smartalex[bench]' (pesq needs a compiler)")
    if not SOUNDS.is_dir():
        sys.exit(f"no speech in {SOUNDS}: apt-get install asterisk-core-sounds-en-wav asterisk-core-sounds-en-g722")
    with ProcessPoolExecutor(options.workers) as pool:
        table = Table(options, pool)
        for name in options.only.split(","):
            conditions[name](table)
    if options.plot:
        plot(table.points, options.plot)
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
