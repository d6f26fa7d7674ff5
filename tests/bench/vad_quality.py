"""How well voice detectors tell speech from noise:  python -m tests.bench.vad_quality [SPEC ...]

Recorded prompts with noise on top, at 8 kHz through mu-law, frame by frame; what is speech is read off the clean recording.
Hits are the part of the frames of speech that were called so, false alarms that of the others.  A SPEC names a provider with
its options, such as "webrtc" or "silero:model=silero_vad.onnx".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from smartalex.errors import ConfigurationError
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.seams import voice_detectors
from tests.media import recordings
from tests.media.sounds import Samples, frames, pcm, rms

SECONDS, LEAD = 120, 4
"""Of speech, after a few seconds of noise alone for the detectors to settle in."""

CONDITIONS = (("clean", "", 0), ("white", "white", 10), ("white", "white", 5), ("pink", "pink", 10), ("pink", "pink", 5),
              ("babble", "babble", 15), ("babble", "babble", 10), ("babble", "babble", 5))  # fmt: skip
WEBRTC_ALONE = "webrtcvad mode 2 alone"


def white(count: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).normal(0, 1, count)


def pink(count: int, seed: int = 1) -> Samples:
    spectrum = np.fft.rfft(white(count, seed))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 50 * count / 8000))  # flat below 50 Hz
    return np.fft.irfft(spectrum, count)


def babble(count: int, seed: int = 1) -> Samples:
    """Eight people at once."""
    talkers = (recordings.faster(recordings.talk(count / 8000 * 1.4, seed + n), 0.75 + 0.08 * n)[:count] for n in range(8))
    return np.sum([talker / rms(talker) for talker in talkers], axis=0)


NOISES: dict[str, Callable[[int, int], Samples]] = {"white": white, "pink": pink, "babble": babble}


def noisy(speech: Samples, kind: str, snr_db: float, seed: int = 11) -> Samples:
    """`snr_db` below the speech where there is speech."""
    if not kind:
        return speech
    noise = NOISES[kind](len(speech), seed)
    active = speech[np.repeat(spoken(speech), 160)]
    return speech + noise * rms(active) / rms(noise) * 10 ** (-snr_db / 20)


def spoken(clean: Samples) -> NDArray[np.bool_]:
    """For each frame of a clean recording, whether it is speech: within 30 dB of the loud ones, gaps of 60 ms filled."""
    level = 10 * np.log10((clean[: len(clean) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1) + 1)
    found = level > np.percentile(level, 95) - 30
    for n in range(3, len(found) - 3):
        found[n] = found[n] or (found[n - 3 : n].any() and found[n + 1 : n + 4].any())
    return found


def material() -> tuple[Samples, NDArray[np.bool_]]:
    speech = np.concatenate([np.zeros(LEAD * 8000), recordings.talk(SECONDS, 7)])
    return speech, spoken(speech)


def rates(found: list[bool], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Hits and false alarms in percent, after the lead."""
    got, want = np.array(found)[LEAD * 50 :], truth[LEAD * 50 : len(found)]
    return 100 * float(got[want].mean()), 100 * float(got[~want].mean())


def detector(spec: str) -> Callable[[bytes], bool]:
    if spec == WEBRTC_ALONE:
        import webrtcvad  # noqa: PLC0415 (for comparison only)

        alone = webrtcvad.Vad(2)
        return lambda frame: bool(alone.is_speech(frame, 8000))
    return voice_detectors(spec).detector(8000).speech


def main(specs: list[str]) -> None:
    if not recordings.installed():
        raise SystemExit(recordings.WHY_NOT)
    speech, truth = material()
    print(f"{SECONDS} s of speech, {100 * truth[LEAD * 50 :].mean():.0f} % of the frames; hits / false alarms in percent\n")
    print(f"{'':28}" + "".join(f"{name + (f' {snr}' if kind else ''):>12}" for name, kind, snr in CONDITIONS) + f"{'us':>8}")
    heard = [frames(PCMU().decode(PCMU().encode(pcm(noisy(speech, kind, snr))))) for _, kind, snr in CONDITIONS]
    for spec in specs or [WEBRTC_ALONE, "webrtc", "energy"]:
        try:
            detectors = [detector(spec) for _ in CONDITIONS]
        except ConfigurationError as error:
            print(f"{spec:28}{error}")
            continue
        began = perf_counter()
        found = [[decide(frame) for frame in cut] for decide, cut in zip(detectors, heard, strict=True)]
        spent = (perf_counter() - began) / sum(map(len, heard)) * 1e6
        cells = ("{:.0f} / {:.0f}".format(*rates(decisions, truth)) for decisions in found)
        print(f"{spec:28}" + "".join(f"{cell:>12}" for cell in cells) + f"{spent:8.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
