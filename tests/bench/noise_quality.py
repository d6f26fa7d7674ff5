"""What noise suppression is worth:  python -m tests.bench.noise_quality [SPEC ...]

PESQ (MOS-LQO, narrow band) of recorded prompts with noise on top through mu-law, the hits and false alarms of our voice
detector behind it, and the microseconds a frame costs.  A SPEC names a provider with its options, such as "webrtc:level=4".
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IAudioFilter
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.seams import audio_filters
from smartalex.media.vad import Vad
from tests.bench.vad_quality import CONDITIONS, LEAD, material, noisy, rates
from tests.media import recordings
from tests.media.sounds import Samples, frames, pcm, samples

PIECE = 8 * 8000
"""PESQ is computed over pieces of 8 s, and averaged."""


def mean_pesq(clean: Samples, heard: Samples) -> float:
    from pesq import pesq  # noqa: PLC0415 (a compiler is needed to install it)

    starts = range(LEAD * 8000, min(len(clean), len(heard)) - PIECE + 1, PIECE)
    return float(np.mean([pesq(8000, _int16(clean, at), _int16(heard, at), "nb") for at in starts]))


def _int16(wave: Samples, at: int) -> Samples:
    return wave[at : at + PIECE].astype(np.int16)


def through(heard: bytes, made: IAudioFilter | None) -> tuple[bytes, float]:
    """What the filter makes of it, and microseconds a frame."""
    cut, began = frames(heard), perf_counter()
    cleaned = b"".join(made.process(frame, b"") for frame in cut) if made is not None else heard
    return cleaned, (perf_counter() - began) / len(cut) * 1e6


def main(specs: list[str]) -> None:
    if not recordings.installed():
        raise SystemExit(recordings.WHY_NOT)
    speech, truth = material()
    print("PESQ MOS-LQO, hits / false alarms of the voice detector in percent\n")
    print(f"{'':18}" + "".join(f"{name + (f' {snr}' if kind else ''):>14}" for name, kind, snr in CONDITIONS) + f"{'us':>8}")
    for spec in ["", *(specs or [f"webrtc:level={n}" for n in (1, 2, 3, 4)] + ["livekit:echo=no:noise=yes"])]:
        try:
            factory = audio_filters(spec) if spec else None
        except ConfigurationError as error:
            print(f"{spec:18}{error}")
            continue
        cells, spent = "", 0.0
        for _, kind, snr in CONDITIONS:
            heard = PCMU().decode(PCMU().encode(pcm(noisy(speech, kind, snr))))
            cleaned, spent = through(heard, factory.filter(8000) if factory else None)
            decide = Vad().speech
            score = rates([decide(frame) for frame in frames(cleaned)], truth)
            cells += "{:>14}".format("{:.2f} {:.0f}/{:.0f}".format(mean_pesq(speech, samples(cleaned)), *score))
        print(f"{spec or 'none':18}{cells}{spent:8.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
