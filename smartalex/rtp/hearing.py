"""From payloads as they arrive to one frame of PCM each 20 ms: jitter buffer, decoder, concealment, time scaling."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from smartalex.interfaces import ICodec
from smartalex.media.conceal import Concealer
from smartalex.media.frame import FRAME_MS
from smartalex.media.stretch import ALIKE, ALIKE_ENOUGH, ANYHOW, NEVER, Pauses, longer, shorter
from smartalex.media.tone import noise
from smartalex.rtp.jitter import JitterBuffer

NOTHING, CONCEALED = 1, 2
"""Flags of a frame handed to the sink: nothing was there (silence), or it stands for a lost one."""

HASTY_MS = 40
"""So much too deep, and the match need not be good."""

HASTE_TICKS, PATIENCE_TICKS, GIVE_UP_TICKS = 25, 200, 250
"""In haste any joint is good enough after so many; else it waits for a pause for so long, then for a good match in speech, and
then it is left as it is for a while."""

RECOVERED_MS = 60
"""What a codec may restore by itself; the packet after the gap often holds the one before it once more."""


class Hearing:
    """Sans-IO: `push` what the receiver lets through, `hear` one frame at `codec.rate` each 20 ms.

    `longer_ms` and `shorter_ms` is what was put in and taken out to change the depth.
    """

    __slots__ = (
        "_codec", "_concealed", "_concealed_ms", "_concealer", "_foreseen", "_foretold", "_last", "_noise", "_noise_at",
        "_pauses", "_pauses_then", "_per_unit", "_recover", "_rest", "_silence", "_size", "_waited", "_waiting", "_waiting_ms",
        "jitter", "longer_ms", "shorter_ms",
    )  # fmt: skip

    def __init__(self, codec: ICodec) -> None:
        self.jitter = JitterBuffer(codec.clock)
        self._concealed, self._concealed_ms = 0, 0.0
        self._waiting, self._waiting_ms, self._pauses_then = 0, 0.0, 0  # made up without knowing whether anything is lost
        self.longer_ms = self.shorter_ms = 0.0
        self.change(codec)

    def change(self, codec: ICodec) -> None:
        """Another codec from the next packet on."""
        self._codec = codec
        self._size = codec.rate * FRAME_MS // 500
        self._per_unit = 2 * codec.rate / codec.clock  # octets of PCM for one unit of the RTP clock
        self._silence = self._last = bytes(self._size)
        self._concealer = Concealer(codec.rate, stateful=codec.stateful)
        self._foreseen: bytes | None = None
        self._foretold = b""  # the audio of it, the payload behind a gap
        self._recover: Callable[[int, bytes], bytes] | None = getattr(codec, "recover", None)
        before = self.jitter
        self.jitter = JitterBuffer(codec.clock)
        self.jitter.late, self.jitter.waits, self.jitter.duplicates = before.late, before.waits, before.duplicates
        self.jitter.missing, self.jitter.dropped, self.jitter.pauses = before.missing, before.dropped, before.pauses
        self._rest = self._noise = b""
        self._noise_at = self._waited = 0
        self._pauses = Pauses()

    def reset(self) -> None:
        """A new source, or a sender that has begun anew."""
        self.jitter.reset()
        self._rest = b""
        self._waiting, self._waiting_ms = 0, 0.0

    def push(self, timestamp: int, payload: bytes, jitter: float = 0.0, sequence: int = -1) -> None:
        """As in the header, `sequence` -1 if not known; `jitter` is the source's (RFC 3550 6.4.1) in units of the RTP clock."""
        self.jitter.push(timestamp, payload, jitter, sequence)
        if self._noise and not self.jitter.paused:
            self._noise = b""

    def noise(self, level: int, sequence: int = -1) -> None:
        """Comfort noise until audio comes again (RFC 3389); `level` is 0 to 127, in dB below full scale."""
        self.jitter.silent(sequence)
        self._noise = _comfort(self._codec.rate, level)

    def hear(self) -> tuple[bytes, int]:
        """The next 20 ms and its flags."""
        jitter, size = self.jitter, self._size
        if not jitter.tick():
            return (self._silence, NOTHING) if self._concealer.silent else (self._concealer.lost(size), CONCEALED)
        if not self._rest and not jitter.pending:
            payload = jitter.take()
            if payload is not None:
                pcm = self._codec.decode(payload) if payload is not self._foreseen else self._foretold
                jitter.heard(int(len(pcm) / self._per_unit))
                pcm = self._concealer.good(pcm)
                if len(pcm) == size:
                    self._last = pcm
                    return pcm, 0
                return self._filled(pcm)
        return self._filled(self._rest)

    def _filled(self, pcm: bytes) -> tuple[bytes, int]:
        """A whole frame, whatever it takes; what is left is for the next one."""
        jitter, size, flags, made_up = self.jitter, self._size, 0, 0
        while len(pcm) < size:
            payload = jitter.take()
            if payload is not None:
                heard = self._codec.decode(payload) if payload is not self._foreseen else self._foretold
                jitter.heard(int(len(heard) / self._per_unit))
                pcm += self._concealer.good(heard)
            else:
                gap = jitter.gap()
                if gap:
                    quiet = jitter.paused if gap > 0 else self._noise or self._concealer.silent
                    made, flags = self._made_up(gap, size - len(pcm)), flags | (NOTHING if quiet else CONCEALED)
                    pcm += made
                    made_up += len(made)
        if jitter.pending and not flags:
            pcm = self._scaled(pcm)
        frame, self._rest = pcm[:size], pcm[size:]
        jitter.ahead = int(len(self._rest) / self._per_unit)
        self._last = frame
        if flags & NOTHING:
            return frame, NOTHING
        if flags:
            self._account(made_up * 500 / self._codec.rate)
        return frame, flags

    def _account(self, made_up_ms: float) -> None:
        if self.jitter.dry:
            self._waiting += 1
            self._waiting_ms += made_up_ms
        else:
            self._concealed += 1
            self._concealed_ms += made_up_ms

    def _decide(self) -> None:
        """Whether what was made up when nothing was there stood for something, or the sender had paused."""
        if self._waiting and not self.jitter.dry:
            if self.jitter.pauses == self._pauses_then:
                self._concealed += self._waiting
                self._concealed_ms += self._waiting_ms
            self._waiting, self._waiting_ms = 0, 0.0

    @property
    def concealed(self) -> int:
        """Frames that held something made up, in place of what was lost or late."""
        self._decide()
        return self._concealed

    @property
    def concealed_ms(self) -> float:
        self._decide()
        return self._concealed_ms

    def _made_up(self, gap: int, wanted: int) -> bytes:
        """In place of what is lost, or has yet to come."""
        jitter = self.jitter
        if gap < 0:
            if not jitter.dry:
                self._decide()
                self._pauses_then = jitter.pauses
            jitter.dry += int(wanted / self._per_unit)
            return self._stand_in(wanted)
        size = int(gap * self._per_unit) & ~1
        if self._recover is not None and 0 < size <= RECOVERED_MS * self._codec.rate // 500 and not self._noise:
            following = jitter.following
            jitter.passed(gap)
            return self._concealer.good(self._recover(size, following))
        following = b"" if jitter.paused else self._following()
        if size <= wanted:
            jitter.passed(gap)
            return self._stand_in(size, following, size)
        jitter.passed(int(wanted / self._per_unit))
        return self._stand_in(wanted, following, size)

    def _following(self) -> bytes:
        """What will be heard after the gap."""
        payload = self.jitter.following
        if payload is not self._foreseen:
            self._foreseen, self._foretold = payload, self._codec.decode(payload)
        return self._foretold

    def _stand_in(self, size: int, following: bytes = b"", ahead: int = 0) -> bytes:
        if not self._noise:
            return self._concealer.lost(size, following, ahead)
        if self._noise_at + size > len(self._noise):
            self._noise_at = 0
        self._noise_at += size
        return self._noise[self._noise_at - size : self._noise_at]

    def _scaled(self, pcm: bytes) -> bytes:
        jitter, rate, per_unit = self.jitter, self._codec.rate, self._per_unit
        samples = int(abs(jitter.pending) * per_unit / 2)
        lengthen = jitter.pending > 0
        alike = ALIKE if lengthen and jitter.urgent else self._alike(pcm[: self._size], -jitter.pending)
        if alike == NEVER:
            return pcm
        if lengthen:
            pcm, added = longer(self._last, pcm, rate, samples, alike)
            jitter.scaled(int(added * 2 / per_unit))
            self.longer_ms += added * 1000 / rate
            return pcm
        payload = jitter.take() if len(pcm) < 2 * self._size else None
        if payload is not None:
            heard = self._codec.decode(payload) if payload is not self._foreseen else self._foretold
            jitter.heard(int(len(heard) / per_unit))
            pcm += self._concealer.good(heard)
        spare = (len(pcm) - self._size) // 2
        if spare > 0:
            pcm, cut = shorter(pcm, rate, min(samples, spare), alike)
            jitter.scaled(-int(cut * 2 / per_unit))
            self.shorter_ms += cut * 1000 / rate
            if not jitter.pending or (cut and alike == ALIKE_ENOUGH):
                self._waited = 0
        return pcm

    def _alike(self, pcm: bytes, too_deep: int) -> float:
        """How good a joint must be, were one made here."""
        self._waited += 1
        if self._pauses.at(pcm):
            return ANYHOW
        if too_deep > HASTY_MS * self._codec.clock // 1000:
            return ALIKE_ENOUGH if self._waited <= HASTE_TICKS else ANYHOW
        if self._waited > GIVE_UP_TICKS:
            self.jitter.content()
            self._waited = 0
        return ALIKE if self._waited > PATIENCE_TICKS else NEVER


@lru_cache
def _comfort(rate: int, level: int) -> bytes:
    return noise(1000, rate, -float(level))
