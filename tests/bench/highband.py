"""Trains smartalex/ai/receptionist/highband.npz: the mel energies above the telephone's band from those within it.

    python -m tests.bench.highband FOLDER [--out FILE]

FOLDER holds wide-band speech (16 kHz mono WAV), a quarter of an hour or more of
several voices.  The file that ships was made of 1200 s: 150 announcements of a
human speaker (Debian's asterisk-core-sounds-en-g722), six Festival and flite
voices built from recordings, and seven espeak-ng voices, each reading the same
twenty Harvard sentences.  It prints the share of each band's variance explained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smartalex.ai.receptionist import features
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.resample import resample
from smartalex.media.wav import read_wav

Array = NDArray[np.float64]
HIDDEN, EPOCHS, BATCH, STEP = 48, 25, 512, 2e-3


def pairs(wide: bytes, random: np.random.Generator) -> tuple[Array, Array]:
    """Features of the telephone's band, and the bands above it relative to the same level."""
    silence = bytes(2 * int(random.integers(0, 6000)))
    wide = silence + wide + silence
    codec = PCMU()
    narrow = codec.decode(codec.encode(resample(wide, 16000, 8000)))
    low, high = features.mel_energies(features.dithered(narrow)), features.mel_energies(features.dithered(wide), 16000)
    frames = min(len(low), len(high))
    inputs, level = features.telephone_features(low[:frames])
    return inputs, np.maximum(high[:frames, features.telephone_filters() :] - level, features.FLOOR)


def train(inputs: Array, wanted: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """One hidden layer of rectified units, fitted by Adam on normalised values; the normalisation is folded in afterwards."""
    mean, scale = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    out_mean, out_scale = wanted.mean(axis=0), wanted.std(axis=0) + 1e-6
    x, y = _with_one((inputs - mean) / scale), (wanted - out_mean) / out_scale
    weights = [random.normal(0, x.shape[1] ** -0.5, (x.shape[1], HIDDEN)), random.normal(0, 0.1, (HIDDEN + 1, y.shape[1]))]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    step = 0
    for epoch in range(EPOCHS):
        order = random.permutation(len(x))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            hidden = x[batch] @ weights[0]
            active = _with_one(np.maximum(hidden, 0))
            error = (active @ weights[1] - y[batch]) / BATCH
            back = (error @ weights[1][:-1].T) * (hidden > 0)
            step += 1
            for i, slope in enumerate((x[batch].T @ back, active.T @ error)):
                first, second = moments[i]
                first += 0.1 * (slope - first)
                second += 0.001 * (slope**2 - second)
                rate = STEP * 0.9 ** (epoch / 3)
                weights[i] -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    hidden, out = weights[0].copy(), weights[1] * out_scale
    hidden[:-1] /= scale[:, None]
    hidden[-1] -= mean @ hidden[:-1]
    out[-1] += out_mean
    return hidden, out


def _with_one(values: Array) -> Array:
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def main(folder: Path, out: Path) -> None:
    random = np.random.default_rng(5)
    both = [pairs(resample(wav.pcm, wav.rate, 16000), random) for wav in map(read_wav, sorted(folder.rglob("*.wav")))]
    inputs, wanted = (np.concatenate(part) for part in zip(*both, strict=True))
    hidden, last = train(inputs, wanted, random)
    predicted = _with_one(np.maximum(_with_one(inputs) @ hidden, 0)) @ last
    print("variance explained:", np.round(1 - np.mean((predicted - wanted) ** 2, axis=0) / wanted.var(axis=0), 2))
    np.savez_compressed(out, hidden=hidden.astype(np.float32), out=last.astype(np.float32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(features.__file__).with_name("highband.npz"))
    given = parser.parse_args()
    main(given.folder, given.out)
