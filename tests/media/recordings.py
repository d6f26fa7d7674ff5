"""Recorded speech: the prompts of Debian's asterisk-core-sounds-en-wav (8 kHz, 25 minutes), where they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from smartalex.media.wav import read_wav
from tests.media.sounds import Samples, samples

FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
WHY_NOT = f"no recorded speech at {FOLDER}: apt install asterisk-core-sounds-en-wav"
NO_SPEECH = ("beep", "2tone", "silence", "monkeys", "weasels")


def installed() -> bool:
    return FOLDER.is_dir()


def prompts(*, speech_only: bool = True) -> Iterator[tuple[str, Samples]]:
    """(name, samples at 8 kHz), always in the same order."""
    for path in sorted(FOLDER.rglob("*.wav")):
        if not (speech_only and any(word in str(path) for word in NO_SPEECH)):
            yield path.stem, samples(read_wav(path).pcm)


def talk(seconds: float, seed: int = 1) -> Samples:
    """So much speech, of prompts in an order that depends on the seed, with short pauses; about -20 dBFS."""
    rng, wanted, parts = np.random.default_rng(seed), int(seconds * 8000), []
    found = [wave for _, wave in prompts()]
    while sum(len(part) for part in parts) < wanted:
        parts += [found[rng.integers(len(found))], np.zeros(int(rng.uniform(0.1, 0.6) * 8000))]
    return np.concatenate(parts)[:wanted]


def faster(wave: Samples, factor: float) -> Samples:
    """Played at another speed: the same words by another throat."""
    return np.interp(np.arange(0, len(wave) - 1, factor), np.arange(len(wave)), wave)
