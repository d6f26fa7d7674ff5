"""What it costs a leg to be listened in on:  python -m tests.bench.listening_cost

Microseconds of CPU for each 20 ms of a G.711 leg, sockets left out, while we play and the caller talks; in percent of a core.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from random import Random
from time import process_time, thread_time

from smartalex.media.codecs.g711 import PCMU
from smartalex.media.recording import Recorder
from smartalex.media.seams import audio_filters
from smartalex.rtp.hearing import Hearing
from smartalex.rtp.listening import Listening
from smartalex.rtp.sender import Sender
from tests.media.sounds import frames, pcm
from tests.media.test_echo_return import syllables
from tests.media.test_recording import Shelf

SECONDS = 60


def run(setup: Callable[[Listening], None] | None, said: list[bytes], spoken: bytes) -> tuple[float, float]:
    """CPU of the thread that does the media, and of all, in microseconds a tick."""
    codec = PCMU()
    sender, hearing = Sender(codec, Random(1).getrandbits), Hearing(codec)
    sender.configure(0, 101, send=True)
    sender.playback.play(spoken)
    listening = Listening(hearing.hear, sender, codec) if setup is not None else None
    if listening is not None and setup is not None:
        setup(listening)
    hear = hearing.hear if listening is None else listening.hear
    began, all_began = thread_time(), process_time()
    for n, payload in enumerate(said):
        hearing.push(n * 160, payload, 0.0)
        packet = sender.packet()
        if listening is not None and packet is not None:
            listening.sent(packet)
        hear()
    spent = thread_time() - began
    if listening is not None:
        listening.close()
    return spent / len(said) * 1e6, (process_time() - all_began) / len(said) * 1e6


def main() -> None:
    said = frames(PCMU().encode(pcm(syllables(SECONDS, 1))), 160)
    spoken = pcm(syllables(SECONDS, 2))
    recorder = Recorder(lambda call: call())
    wanted: dict[str, Callable[[Listening], None] | None] = {
        "nothing": None,
        "echo measured": lambda listening: listening.measure_echo(True),
        "keys as tones": lambda listening: listening.detect_tones(True),
        "recorded": lambda listening: listening.record(recorder.record(Shelf(), "call", 8000)),
    }
    if find_spec("webrtc_noise_gain"):
        wanted["noise suppressed"] = lambda listening: listening.use_filter(audio_filters("webrtc"))
    if find_spec("livekit"):
        wanted["echo cancelled"] = lambda listening: listening.use_filter(audio_filters("livekit"))
    print(f"{'':20}{'media thread':>14}{'all threads':>14}{'more':>8}{'% of a core more':>20}")
    base = 0.0
    for name, setup in wanted.items():
        spent, everything = min(run(setup, said, spoken) for _ in range(5))
        recorder.stop()
        base = base or everything
        print(f"{name:20}{spent:11.2f} us{everything:11.2f} us{everything - base:8.2f}{(everything - base) / 200:20.4f}")


if __name__ == "__main__":
    main()
