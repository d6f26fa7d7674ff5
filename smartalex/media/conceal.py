"""Concealing lost frames: what was heard last goes on, towards what comes next where that is there already.

The last few milliseconds are looked for in what was heard before; what followed them there is repeated (G.711 Appendix I
does so by the pitch, found over 20 ms; the shorter the stretch compared, the better it sounds on real speech).  When the
packet after the gap has arrived, the same is done from there backwards, and one fades into the other: on the scale of P.862
this is worth as much again as all the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

HOLD_MS, FADE_MS = 20, 80
"""At full strength for so long, then down to silence over so much more, or to the noise that the line had."""

BRIDGE_HOLD_MS, BRIDGE_FADE_MS = 20, 100
"""The same, from either side, when the end of the gap is known."""

_SHORTEST_S, _LONGEST_S = 0.0025, 0.02  # what is repeated: 400 to 50 Hz
_COMPARED_S, _COMPARED_BACK_S = 0.005, 0.004
_JOINT_S, _LONGEST_JOINT_S = 0.004, 0.02
_SETTLING_S = 0.004
_FRAMES, _SHORT_S = 3, 0.01

_LOUDEST_FLOOR, _RISE = 104.0, 1.2
_HISS = np.random.default_rng(1).standard_normal(4001, np.float32)
"""What is softer than -50 dBFS may be the noise of the line; it is the softest lately, which may have risen since."""


class Concealer:
    """Give it what was received (`good`); ask it for what was not (`lost`).  PCM is s16le of any length.

    `stateful`: the decoder has missed what was lost, so that its first milliseconds after that are not to be trusted.
    """

    __slots__ = (
        "_bridge", "_cycle", "_floor", "_gone", "_history", "_joint", "_peak", "_rate", "_reach", "_settling", "_short",
        "_step",
    )  # fmt: skip

    def __init__(self, rate: int = 8000, *, stateful: bool = False) -> None:
        self._rate = rate
        self._joint = int(_JOINT_S * rate)
        self._settling = int(_SETTLING_S * rate) if stateful else 0
        self._short = int(_SHORT_S * rate) * 2
        self._reach = (BRIDGE_HOLD_MS + BRIDGE_FADE_MS) * rate // 500  # bytes
        self._history: list[bytes] = []
        self._cycle = np.zeros(1, np.float32)
        self._step = self._peak = self._floor = 0.0
        self._gone = 0
        self._bridge: _Bridge | None = None

    @property
    def silent(self) -> bool:
        """True when nothing of what was heard will be in the next lost frame."""
        return not self._history or (self._gone * 1000 >= (HOLD_MS + FADE_MS) * self._rate and self._bridge is None)

    def good(self, pcm: bytes) -> bytes:
        """The frame, blended with what stood for the lost ones before it."""
        if self._gone:
            pcm = self._blended(pcm)
            self._gone, self._bridge = 0, None
        history = self._history
        if len(pcm) < self._short:
            self._remember(pcm)
        else:
            history.append(pcm)
            if len(history) > _FRAMES:
                del history[0]
        return pcm

    def lost(self, size: int, following: bytes = b"", ahead: int = 0) -> bytes:
        """`size` bytes in place of a missing frame.

        `following` is what will be heard next, if it is known; it begins `ahead` bytes from the beginning of this frame,
        `size` if not said.
        """
        if not self._history:
            return bytes(size)
        if self._bridge is not None and self._gone >= self._bridge.end:
            self._gone, self._bridge = 0, None  # what was to follow did not
        if not self._gone:
            self._begin()
        if following and ahead <= self._reach:
            self._head_for(_samples(following), max(ahead, size) // 2)
        made = bytes(size) if self.silent and not self._floor else _pcm(self._going_on(size // 2))
        self._gone += size // 2
        self._remember(made)
        return made

    def _remember(self, pcm: bytes) -> None:
        """Also what is made up, and pieces too short to stand alone."""
        history = self._history
        if history and (len(pcm) < self._short and len(history[-1]) < 2 * self._short):
            history[-1] += pcm
        elif pcm:
            history.append(pcm)
            if len(history) > _FRAMES:
                del history[0]

    def _begin(self) -> None:
        past = _samples(b"".join(self._history))
        self._cycle, self._step = _cycle(past, self._rate, _COMPARED_S)
        self._peak = float(np.abs(past).max(initial=0))
        quietest = _quietest(past, self._short // 2)
        if quietest < _LOUDEST_FLOOR:
            self._floor = min(quietest, self._floor * _RISE) if self._floor else quietest

    def _head_for(self, following: Samples, ahead: int) -> None:
        end = self._gone + ahead
        if self._bridge is None or self._bridge.end != end:
            self._bridge = _Bridge(following[self._settling :], self._gone, end, self._settling, self._rate)
            self._peak = max(self._peak, float(np.abs(following).max()))

    def _going_on(self, count: int) -> Samples:
        """The next samples, without moving on."""
        at = self._gone + np.arange(count)
        made = self._cycle[at % len(self._cycle)]
        if not self._gone:  # where the signal broke off is not quite where the cycle begins
            joint = min(self._joint, count)
            made[:joint] += np.linspace(self._step, 0, joint, endpoint=False, dtype=np.float32)
        bridge = self._bridge
        if bridge is None:
            fading = _fading(at, self._rate, HOLD_MS, FADE_MS)
            made = made * fading + _HISS[at % len(_HISS)] * (self._floor * np.sqrt(1 - fading * fading))
        else:
            weight = bridge.weight(at)
            made = made * _fading(at, self._rate, BRIDGE_HOLD_MS, BRIDGE_FADE_MS) * (1 - weight) + bridge.made(at) * weight
        return np.clip(made, -self._peak, self._peak)

    def _blended(self, pcm: bytes) -> bytes:
        heard = _samples(pcm)
        if self._bridge is not None and self._gone >= self._bridge.end:
            joint = min(self._settling, len(heard))
            heard[:joint] = self._going_on(joint)
            return _pcm(heard)
        joint = min(max(self._joint, self._gone // 5), int(_LONGEST_JOINT_S * self._rate), len(heard))
        weight = np.arange(1, joint + 1, dtype=np.float32) / (joint + 1)
        heard[:joint] = heard[:joint] * weight + self._going_on(joint) * (1 - weight)
        return _pcm(heard)


class _Bridge:
    """From what is known of the far side of a gap backwards.  Places are samples from the beginning of the gap."""

    __slots__ = ("_backwards", "_begun", "_landing", "end")

    def __init__(self, following: Samples, begun: int, end: int, settling: int, rate: int) -> None:
        self._begun, self.end = begun, end
        self._landing = end + settling
        count = self._landing - begun
        cycle, step = _cycle(following[::-1], rate, _COMPARED_BACK_S)
        at = np.arange(count)
        made = cycle[at % len(cycle)]
        joint = min(int(_JOINT_S * rate), count)
        made[:joint] += np.linspace(step, 0, joint, endpoint=False, dtype=np.float32)
        faded = made * _fading(at, rate, BRIDGE_HOLD_MS, BRIDGE_FADE_MS)
        self._backwards = np.concatenate((faded[::-1], np.zeros(1, np.float32)))

    def weight(self, at: NDArray[np.int_]) -> Samples:
        return np.clip((at + 1 - self._begun) / (self._landing - self._begun + 1), 0, 1).astype(np.float32)

    def made(self, at: NDArray[np.int_]) -> Samples:
        return self._backwards[np.minimum(at - self._begun, len(self._backwards) - 1)]


def _cycle(past: Samples, rate: int, compared_s: float) -> tuple[Samples, float]:
    """What is to be repeated after `past`, its end leading into its beginning; and the step from `past` to there."""
    if not len(past):
        return np.zeros(1, np.float32), 0.0
    period = _period(past, rate, compared_s)
    cycle = past[-period:].copy()
    joint = min(period // 4, len(past) - period)
    if joint:
        weight = np.arange(1, joint + 1, dtype=np.float32) / (joint + 1)
        cycle[-joint:] += (past[-period - joint : len(past) - period] - cycle[-joint:]) * weight
    return cycle, float(past[-1] - cycle[-1])


def _period(past: Samples, rate: int, compared_s: float) -> int:
    """In samples: the shift under which the end of `past` resembles itself most."""
    compared, shortest = int(compared_s * rate), int(_SHORTEST_S * rate)
    longest = min(int(_LONGEST_S * rate), len(past) - compared)
    if longest <= shortest:
        return min(len(past), shortest)
    searched = past[-compared - longest : len(past) - shortest]
    power = np.concatenate(([0.0], np.cumsum(searched.astype(np.float64) ** 2)))
    energy = power[compared:] - power[: len(power) - compared]
    likeness = np.correlate(searched, past[-compared:], "valid") / np.sqrt(energy + 1.0)
    return longest - int(likeness.argmax())


def _quietest(past: Samples, size: int) -> float:
    """The RMS of its softest part, `size` samples long."""
    parts = past[len(past) % size :].reshape(-1, size)
    return float(np.sqrt((parts * parts).mean(axis=1).min(initial=np.inf)))


def _fading(at: NDArray[np.int_], rate: int, hold_ms: int, fade_ms: int) -> Samples:
    return np.clip((hold_ms + fade_ms - at * (1000 / rate)) / fade_ms, 0, 1).astype(np.float32)


def _samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32)


def _pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
