"""What went over the wire, as tshark sees it."""

from __future__ import annotations

import signal
import subprocess
import time
from itertools import pairwise
from statistics import median

import attrs

from tests.interop.peers import not_run
from tests.interop.platform import Platform

STARTED = "Capture started"


@attrs.frozen
class Packet:
    at: float
    source: str
    port: int
    kind: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@attrs.frozen
class Stream:
    """The RTP packets of one SSRC from one port, as they came."""

    packets: tuple[Packet, ...]

    @property
    def spacing_ms(self) -> float:
        """The median."""
        times = [packet.at for packet in self.packets]
        return 1000 * median(after - before for before, after in pairwise(times))

    def steps(self, name: str, bits: int) -> set[int]:
        """By how much a field differs from packet to packet."""
        values = [getattr(packet, name) for packet in self.packets]
        return {after - before & (1 << bits) - 1 for before, after in pairwise(values)}


class Capture:
    """Of one platform's SIP and RTP on the loopback interface."""

    def __init__(self, platform: Platform) -> None:
        self.file = platform.folder / "capture.pcapng"
        self._sip = platform.sip
        self._process = subprocess.Popen(
            ["tshark", "-i", "lo", "-q", "-w", str(self.file), "-f", f"port {platform.sip} or portrange {platform.rtp_ports}"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        said = ""
        while STARTED not in said:
            line = self._process.stderr.readline()
            if not line:
                raise not_run(f"tshark may not capture here: {said}")
            said += line

    def stop(self) -> str:
        """What tshark says at the end; packets dropped are among it."""
        time.sleep(1.0)  # what the kernel has goes to the file
        self._process.send_signal(signal.SIGINT)
        return self._process.communicate(timeout=30)[1]

    def read(self, wanted: str, *fields: str) -> list[list[str]]:
        """Fields of the packets that the display filter lets through."""
        known = [f"udp.port=={self._sip},sip", f"tcp.port=={self._sip},sip"]
        command = ["tshark", "-r", str(self.file), "-Y", wanted, "-T", "fields", "-E", "separator=|"]
        command += [word for rule in known for word in ("-d", rule)] + [word for field in fields for word in ("-e", field)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [line.split("|") for line in done.stdout.splitlines()]

    def streams(self) -> list[Stream]:
        """Every RTP stream that was signalled by SDP."""
        fields = ["frame.time_epoch", "ip.src", "udp.srcport"]
        fields += [f"rtp.{name}" for name in ("p_type", "seq", "timestamp", "ssrc", "payload")]
        found: dict[tuple[str, int, int], list[Packet]] = {}
        for at, source, port, kind, sequence, timestamp, ssrc, payload in self.read("rtp", *fields):
            packet = Packet(float(at), source, int(port), int(kind), int(sequence), int(timestamp), int(ssrc, 16),
                            bytes.fromhex(payload.replace(":", "")))  # fmt: skip
            found.setdefault((source, packet.port, packet.ssrc), []).append(packet)
        return [Stream(tuple(packets)) for packets in found.values()]
