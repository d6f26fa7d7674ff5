"""From payloads as they arrive to one frame of PCM each 20 ms: jitter buffer, decoder, concealment, time scaling."""

from __future__ import annotations

from collections.abc import Callable

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

PATIENCE_TICKS = 200
"""For so long what is too deep waits for a pause; then it is taken out of speech."""

RECOVERED_MS = 60
"""What a codec may restore by itself; the packet after the gap often holds the one before it once more."""


class Hearing:
    """Sans-IO: `push` what the receiver lets through, `hear` one frame at `codec.rate` each 20 ms.

    `concealed` frames held something made up, `concealed_ms` of it; `longer_ms` and `shorter_ms` is what was put in and taken
    out to change the depth.
    """

    __slots__ = (
        "_codec", "_concealer", "_foreseen", "_foretold", "_last", "_noise", "_noise_at", "_pauses", "_per_unit",
        "_recover", "_rest", "_silence", "_size", "_waited", "concealed", "concealed_ms", "jitter", "longer_ms", "shorter_ms",
    )  # fmt: skip

    def __init__(self, codec: ICodec) -> None:
        self.jitter = JitterBuffer(codec.clock)
        self.concealed = 0
        self.concealed_ms = 0.0
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
        self.jitter.missing, self.jitter.dropped = before.missing, before.dropped
        self._rest = self._noise = b""
        self._noise_at = self._waited = 0
        self._pauses = Pauses()

    def reset(self) -> None:
        """A new source, or a sender that has begun anew."""
        self.jitter.reset()
        self._rest = b""

    def push(self, timestamp: int, payload: bytes, jitter: float = 0.0) -> None:
        """`timestamp` as in the header; `jitter` is the source's (RFC 3550 6.4.1) in units of the RTP clock."""
        if self._noise:
            self._noise = b""
        self.jitter.push(timestamp, payload, jitter)

    def noise(self, level: int) -> None:
        """Comfort noise until audio comes again (RFC 3389); `level` is 0 to 127, in dB below full scale."""
        self._noise = noise(1000, self._codec.rate, -float(level))

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
                    made, flags = self._made_up(gap, size - len(pcm)), flags | CONCEALED
                    pcm += made
                    made_up += len(made)
        if jitter.pending and not flags:
            pcm = self._scaled(pcm)
        frame, self._rest = pcm[:size], pcm[size:]
        jitter.ahead = int(len(self._rest) / self._per_unit)
        self._last = frame
        if flags:
            if jitter.dry and (self._noise or self._concealer.silent):
                return frame, NOTHING
            self.concealed += 1
            self.concealed_ms += made_up * 500 / self._codec.rate
        return frame, flags

    def _made_up(self, gap: int, wanted: int) -> bytes:
        """In place of what is lost, or has yet to come."""
        jitter = self.jitter
        if gap < 0:
            jitter.dry += int(wanted / self._per_unit)
            return self._stand_in(wanted)
        size = int(gap * self._per_unit) & ~1
        if self._recover is not None and 0 < size <= RECOVERED_MS * self._codec.rate // 500 and not self._noise:
            following = jitter.following
            jitter.passed(gap)
            return self._concealer.good(self._recover(size, following))
        following = self._following()
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
        if jitter.pending > 0:
            pcm, added = longer(self._last, pcm, rate, samples)
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
            pcm, cut = shorter(pcm, rate, min(samples, spare), self._alike(pcm[: self._size], samples * 1000 // rate))
            jitter.scaled(-int(cut * 2 / per_unit))
            if not jitter.pending:
                self._waited = 0
            self.shorter_ms += cut * 1000 / rate
        return pcm

    def _alike(self, pcm: bytes, too_deep_ms: int) -> float:
        """How good a joint must be, were one made here."""
        self._waited += 1
        if self._pauses.at(pcm):
            return ANYHOW
        if too_deep_ms > HASTY_MS:
            return ALIKE_ENOUGH
        return ALIKE if self._waited > PATIENCE_TICKS else NEVER
