"""CPU of the media plane: N legs on loopback, each playing and hearing speech, against a generator in a process of its own.

python -m tests.bench.media_cost [--legs 50,100] [--seconds 5] [--reactor uvloop|epoll|asyncio] [--srtp SUITE] [--codec NAME]
       [--profile FILE]

CPU is that of the plane's process, system time included; on loopback a sender also pays for the receiver's part of the stack.
"First packet" is from `set_remote` and `play` to the send call.  With --profile the figures are those of a profiled process.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import os
import random
import secrets
import socket
import statistics
import sys
import time
from typing import Any

WARM_UP_S = 1.0


def generate(ports: list[int], conn: Any, suite: str = "", codec: str = "PCMU") -> None:
    """Send to each port every 20 ms, phases spread at random, and take what comes back, until told to stop."""
    from smartalex.rtp.packet import pack  # noqa: PLC0415

    peers = []
    protect = [protected(suite) for _ in ports]
    payloads, kind, step = spoken(codec)
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        peers.append(sock)
    conn.send([sock.getsockname()[1] for sock in peers])
    draw = random.Random(1)
    order = sorted((draw.uniform(0, 0.02), n) for n in range(len(peers)))
    began, sequence, received, late = time.monotonic() + 0.1, 0, 0, 0.0
    while not conn.poll():
        for phase, n in order:
            due = began + 0.02 * sequence + phase
            wait = due - time.monotonic()
            if wait > 0.0005:
                time.sleep(wait)
            late = max(late, -wait)
            data = pack(sequence, sequence * step & 0xFFFFFFFF, n + 1, kind) + payloads[sequence % len(payloads)]
            peers[n].send(protect[n](data))
            received += taken(peers[n])
        sequence += 1
    conn.send((sequence * len(peers), received, late))


def spoken(name: str) -> tuple[list[bytes], int, int]:
    """Payloads of four seconds of syllables, their payload type, and by how much the timestamp moves on."""
    from smartalex.ai.diagnostics import melody  # noqa: PLC0415
    from smartalex.media.codecs import registry  # noqa: PLC0415

    codec = registry.find(name)()
    pcm, size = melody(codec.rate).pcm, codec.rate // 25
    payloads = [codec.encode(pcm[at : at + size]) for at in range(len(pcm) // 2, len(pcm) - size + 1, size)]
    return payloads, payload_type(name), codec.clock // 50


def payload_type(name: str) -> int:
    from smartalex.media.codecs import registry  # noqa: PLC0415

    known: int | None = registry.find(name).payload_type
    return 96 if known is None else known


def keys(suite: str) -> Any:
    """The same for every call, both ways."""
    from smartalex.rtp.srtp import SrtpKeys  # noqa: PLC0415
    from smartalex.sdp.crypto import SUITES  # noqa: PLC0415

    return SrtpKeys(suite, bytes(SUITES[suite]), bytes(SUITES[suite]))


def protected(suite: str) -> Any:
    from smartalex.rtp.srtp import Srtp  # noqa: PLC0415

    context = Srtp()
    if suite:
        context.use(keys(suite))
    return context.protect if suite else lambda packet: packet


def taken(sock: socket.socket) -> int:
    count = 0
    try:
        while sock.recv(2048):
            count += 1
    except (BlockingIOError, ConnectionRefusedError):
        pass
    return count


def install(name: str) -> Any:
    """The reactor of this name; it can only be chosen once in a process."""
    from twisted.internet import asyncioreactor, epollreactor  # noqa: PLC0415

    if name == "uvloop":
        from smartalex.reactor import install as install_uvloop  # noqa: PLC0415

        install_uvloop()
    else:
        {"epoll": epollreactor, "asyncio": asyncioreactor}[name].install()
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


class Run:
    """One plane with `legs` calls for `seconds`."""

    def __init__(  # noqa: PLR0917
        self, reactor: Any, legs: int, seconds: float, profile: str, suite: str = "", codec: str = "PCMU"
    ) -> None:
        from smartalex.counters import Counters  # noqa: PLC0415
        from smartalex.media.frame import Clip  # noqa: PLC0415
        from smartalex.media.tone import sine  # noqa: PLC0415
        from smartalex.rtp.plane import MediaPlane, PlaneOptions  # noqa: PLC0415

        self.reactor = reactor
        self.seconds = seconds
        self.suite, self.codec = suite, codec
        self.frames = 0
        self.profile = cProfile.Profile() if profile else None
        self.plane = MediaPlane(
            reactor, PlaneOptions("127.0.0.1", (20000, 30000), exact=True), self, Counters(), secrets.randbits
        )
        self.plane.start()
        self.legs = [self.plane.open() for _ in range(legs)]
        self.clip = Clip(sine(440, 1000))
        self.waits_ms: list[float] = []
        self.ours, theirs = multiprocessing.Pipe()
        self.generator = multiprocessing.Process(
            target=generate, args=([leg.local_port for leg in self.legs], theirs, suite, codec)
        )
        self.generator.start()
        self._ports = self.ours.recv()
        reactor.callLater(0, self._connect)

    def on_frames(self, batch: Any) -> None:
        self.frames += len(batch)

    def on_dtmf(self, leg: Any, digit: str, duration_ms: int) -> None:
        raise AssertionError("nobody pressed a key")

    def _connect(self) -> None:
        """One leg each few milliseconds, as calls come."""
        if not self._ports:
            self.reactor.callLater(WARM_UP_S, self._begin)
            return
        from smartalex.rtp.plane import MediaParams  # noqa: PLC0415

        leg = self.legs[len(self._ports) - 1]
        asked = time.monotonic()
        secured = keys(self.suite) if self.suite else None
        leg.set_remote("127.0.0.1", self._ports.pop(), MediaParams(self.codec, payload_type(self.codec), secured=secured))
        leg.play_clip(self.clip, loop=True)
        leg.wire = First(leg, asked, self.waits_ms)
        self.reactor.callLater(random.uniform(0.003, 0.012), self._connect)

    def _begin(self) -> None:
        plane = self.plane
        plane._lateness = [0] * len(plane._lateness)
        plane.ticks = plane.late_ticks = 0
        plane.worst_late_s = 0.0
        self.frames = 0
        self._before = self._packets()
        self._wall, self._cpu = time.monotonic(), time.process_time()
        if self.profile:
            self.profile.enable()
        self._seconds: list[float] = []
        self.reactor.callLater(1.0, self._second, time.process_time(), time.monotonic())
        self.reactor.callLater(self.seconds + 0.1, self._end)

    def _second(self, cpu: float, wall: float) -> None:
        """The part of a core that each second took: on a busy machine the least is nearest to the truth."""
        now = time.process_time(), time.monotonic()
        self._seconds.append((now[0] - cpu) / (now[1] - wall))
        if len(self._seconds) < int(self.seconds):
            self.reactor.callLater(1.0, self._second, *now)

    def _packets(self) -> tuple[int, int]:
        return sum(leg.sender.packets for leg in self.legs), sum(leg.packets_received for leg in self.legs)

    def _end(self) -> None:
        if self.profile:
            self.profile.disable()
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        sent, received = (after - before for before, after in zip(self._before, self._packets(), strict=True))
        self.report(cpu, wall, sent, received)
        self.ours.send("stop")
        self.generator.join()
        self.plane.stop()
        self.reactor.stop()

    def report(self, cpu: float, wall: float, sent: int, received: int) -> None:
        count, tick = len(self.legs), self.plane.tick_stats()
        first = sorted(self.waits_ms)
        print(
            f"N={count}: {100 * cpu / wall / count:.3f} % of a core per call ({100 * min(self._seconds) / count:.3f} % in the"
            f" calmest second), {1e6 * cpu / (sent + received):.1f} us per packet"
            f" ({sent / wall / count:.1f} sent, {received / wall / count:.1f} received per call and second,"
            f" {sum(leg.stats().concealed for leg in self.legs)} frames concealed);"
            f" ticks late p50 {tick.p50_ms:.2f} p99 {tick.p99_ms:.2f} worst {tick.worst_ms:.2f} ms,"
            f" {tick.ticks / wall:.0f} wake-ups per second;"
            f" first packet after {statistics.median(first):.1f} ms, at most {first[-1]:.1f} ms"
        )


class First:
    """A leg's wire until its first packet."""

    def __init__(self, leg: Any, asked: float, waits_ms: list[float]) -> None:
        self._leg, self._asked, self._waits_ms = leg, asked, waits_ms
        self._wire = leg.wire

    def send(self, data: bytes, address: Any) -> bool:
        self._waits_ms.append((time.monotonic() - self._asked) * 1000)
        self._leg.wire = self._wire
        return self._wire.send(data, address)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--legs", default="50,100")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--reactor", default="uvloop", choices=("uvloop", "epoll", "asyncio"))
    parser.add_argument("--srtp", default="", metavar="SUITE")
    parser.add_argument("--codec", default="PCMU")
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    counts = [int(text) for text in options.legs.split(",")]
    if len(counts) > 1:  # a reactor runs once in a process
        for count in counts:
            arguments = [sys.executable, "-m", "tests.bench.media_cost", *sys.argv[1:], "--legs", str(count)]
            os.spawnv(os.P_WAIT, sys.executable, arguments)
        return
    reactor = install(options.reactor)
    run = Run(reactor, counts[0], options.seconds, options.profile, options.srtp, options.codec)
    reactor.run()
    if run.profile:
        run.profile.dump_stats(options.profile)


if __name__ == "__main__":
    main()
