"""What listens in on a leg, where anything does: filters, keys as tones, the echo of our own voice, a recording.

It stands between the leg's hearing and whoever hears it, and sees each packet that is sent.  A leg without it pays one look.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from smartalex.interfaces import IAudioFilter, IAudioFilterFactory, ICodec
from smartalex.media.dtmf_tones import ToneDetector
from smartalex.media.echo_return import MOST_DELAY_MS, EchoMeter, EchoReturn
from smartalex.media.frame import FRAME_MS
from smartalex.media.level import FLOOR_DBFS, dbfs
from smartalex.media.recording import Stretch, Tape, aligned
from smartalex.rtp.packet import HEADER_BYTES
from smartalex.rtp.sender import Sender

TICKS = 1000 // FRAME_MS
"""Kept, and looked at together."""

DELAY_TICKS = MOST_DELAY_MS // FRAME_MS
GLIMPSE_TICKS, GLIMPSE_EVERY = 25, 4

Hear = Callable[[], tuple[bytes, int]]


def _nobody(*_: object) -> None:
    pass


class Listening:
    """`sent` with each packet of a tick, then `hear` once in it: one frame and its flags, as `Hearing.hear`.

    `on_tone` is told each key that was heard as a tone, `on_filter_lost` that the filter failed and is out of use.
    """

    log = Logger()

    __slots__ = (
        "_codec", "_factory", "_filter", "_glimpsed", "_hear", "_heard", "_heard_before", "_meter", "_now", "_played_ms",
        "_sender", "_sent", "_sent_before", "_size", "_tape", "_tones", "on_filter_lost", "on_tone",
    )  # fmt: skip

    def __init__(self, hear: Hear, sender: Sender, codec: ICodec) -> None:
        self._hear, self._sender, self._codec = hear, sender, codec
        self._size = codec.rate * FRAME_MS // 500
        self._heard: list[bytes] = []
        self._heard_before: list[bytes] = []
        self._sent: list[bytes] = []
        self._sent_before: list[bytes] = []
        self._now = b""  # sent in this tick
        self._factory: IAudioFilterFactory | None = None
        self._filter: IAudioFilter | None = None
        self._tones: ToneDetector | None = None
        self._meter: EchoMeter | None = None
        self._played_ms = 0.0
        self._glimpsed = 0  # at how many ticks of this second
        self._tape: Tape | None = None
        self.on_tone: Callable[[str, int], None] = _nobody
        self.on_filter_lost: Callable[[str], None] = _nobody

    # ------------------------------------------------------------------ what is wanted

    def use_filter(self, factory: IAudioFilterFactory | None) -> None:
        self._factory, self._filter = factory, None
        if factory is not None:
            try:
                self._filter = factory.filter(self._codec.rate)
            except Exception as error:
                self._lose_filter(error)

    def detect_tones(self, wanted: bool) -> None:
        self._tones = ToneDetector(self._codec.rate) if wanted else None

    def measure_echo(self, wanted: bool) -> None:
        self._meter = EchoMeter() if wanted else None

    def record(self, tape: Tape) -> None:
        """From now on, until it or the leg is closed."""
        self._look()
        self._tape = tape

    def change(self, codec: ICodec) -> None:
        """Another codec from the next packet on."""
        self._look()
        self._sent_before, self._heard_before = [], []
        self._codec, self._size = codec, codec.rate * FRAME_MS // 500
        self.use_filter(self._factory)
        self.detect_tones(self._tones is not None)

    def close(self) -> None:
        """Ends the recording, and forgets whom to tell."""
        self._look()
        if self._tape is not None:
            self._tape.close()
            self._tape = None
        self.on_tone, self.on_filter_lost = _nobody, _nobody

    # ------------------------------------------------------------------ for whoever hears it

    @property
    def echo(self) -> EchoReturn | None:
        return self._meter.found if self._meter is not None else None

    def echo_dbfs(self) -> float:
        """How loud our own voice is in the frame heard last, as far as is known; a canceller has taken it out.

        To be asked when somebody seems to talk: where nothing is known it takes a look.
        """
        if self._meter is None or (self._filter is not None and self._filter.wants_played):
            return FLOOR_DBFS
        if self._meter.found is None:
            self._glimpse(self._meter)
        found = self._meter.found
        if found is None:
            return FLOOR_DBFS
        sent = self._sent_before + self._sent
        at = len(sent) - 1 - found.delay_ms // FRAME_MS
        played = max((dbfs(self._pcm(data)) for data in sent[max(0, at - 1) : at + 2]), default=FLOOR_DBFS)
        return max(FLOOR_DBFS, played - found.loss_db)

    def _glimpse(self, meter: EchoMeter) -> None:
        heard = (self._heard_before + self._heard)[-GLIMPSE_TICKS:]
        sent = (self._sent_before + self._sent)[-GLIMPSE_TICKS - DELAY_TICKS :]
        if abs(len(self._heard) - self._glimpsed) < GLIMPSE_EVERY or len(sent) < GLIMPSE_TICKS + DELAY_TICKS:
            return
        self._glimpsed = len(self._heard)
        line, _ = aligned(self._stretch(heard, sent))
        meter.glimpse(self._pcm(line), b"".join(heard), self._codec.rate)

    # ------------------------------------------------------------------ each tick

    def sent(self, packet: bytes) -> None:
        """One RTP packet that has left, not yet encrypted."""
        if packet[1] & 0x7F == self._sender.payload_type:
            self._now += self._sender.playback.plain if self._codec.stateful else packet[HEADER_BYTES:]

    def hear(self) -> tuple[bytes, int]:
        heard, flags = self._hear()
        sent, self._now = self._now, b""
        self._heard.append(heard)
        self._sent.append(sent)
        if self._tones is not None:
            for digit, ms in self._tones.hear(heard):
                self.on_tone(digit, ms)
        if self._filter is not None:
            heard = self._filtered(self._filter, heard, sent)
        if len(self._heard) >= TICKS:
            self._look()
        return heard, flags

    def _filtered(self, used: IAudioFilter, heard: bytes, sent: bytes) -> bytes:
        """A vendor's code: what goes wrong in it costs the filter, never a frame."""
        try:
            made = used.process(heard, self._pcm(sent).ljust(self._size, b"\0")[: self._size] if used.wants_played else b"")
            if len(made) != len(heard):
                raise ValueError(f"{len(made)} bytes for a frame of {len(heard)}")
        except Exception as error:
            self._lose_filter(error)
            return heard
        return made

    def _lose_filter(self, error: Exception) -> None:
        self.log.failure("a filter failed and is not used any more on this leg")
        self._filter = self._factory = None
        self.on_filter_lost(str(error) or type(error).__name__)

    # ------------------------------------------------------------------ each second

    def _look(self) -> None:
        """At what has been kept."""
        heard, sent = self._heard, self._sent
        self._heard, self._sent, self._heard_before, self._sent_before = [], [], heard, sent
        if not heard:
            return
        if self._tape is not None:
            self._tape.put(self._stretch(heard, sent))
            if not self._tape.running:
                self._tape = None
        if self._meter is not None:
            self._measure(self._meter, heard, sent)

    def _measure(self, meter: EchoMeter, heard: list[bytes], sent: list[bytes]) -> None:
        played_ms = self._sender.playback.played_ms
        if played_ms == self._played_ms:
            meter.pause()
        else:
            line, _ = aligned(self._stretch(heard, sent))
            meter.compare(self._pcm(line), b"".join(heard), self._codec.rate)
        self._played_ms = played_ms

    def _stretch(self, heard: list[bytes], sent: list[bytes]) -> Stretch:
        codec = self._codec
        if codec.stateful:
            return Stretch(codec.rate, heard, sent, self._size, b"\0\0", bytes)
        silence = codec.encode(b"\0\0")
        return Stretch(codec.rate, heard, sent, self._size // 2 * len(silence), silence, codec.decode)

    def _pcm(self, data: bytes) -> bytes:
        return data if self._codec.stateful else self._codec.decode(data)
