"""What one leg plays: audio that waits to be sent, in packets of the codec.

Time is counted in samples and in packets that were asked for; no clock is read.
"""

from __future__ import annotations

from collections import deque
from weakref import WeakKeyDictionary

from smartalex.interfaces import ICodec
from smartalex.media.frame import Clip
from smartalex.media.resample import Resampler, resample

SLICE_MS = 200
"""So much audio is taken in at once: a burst of ten seconds holds nobody up."""

MOST_QUEUED_MS = 120_000
"""What is played beyond is dropped and counted; clips of ours are not."""

CUSHION_MS = 40
"""What has to be there before an item begins, or goes on after its queue ran dry, so that dribbles play without holes."""

PATIENCE_MS = 100
"""After so long without more, what there is of an item is played all the same."""

LONGEST_HOLE_MS = 5000
"""A longer one was a pause; the runtime gives a mute backend up before."""

_PAUSED, _GATHERING = 1, 2

_payloads: WeakKeyDictionary[Clip, dict[tuple[str, int], bytes]] = WeakKeyDictionary()
_packets: WeakKeyDictionary[Clip, dict[tuple[str, int, int], tuple[list[bytes], bytes]]] = WeakKeyDictionary()


class Playback:
    """Sans-IO: the verbs of IAudioOut, and `next` for each packet.

    A codec without state encodes what is queued, when it is queued.  One with state encodes each packet as it is sent: whatever
    was flushed, paused or looped, its encoder has gone the way of the peer's decoder; `plain` is what it was given last.
    """

    __slots__ = (
        "_begun_ms", "_blank", "_chunk", "_clip", "_codec", "_encodes_late", "_gap_ms", "_gate", "_held_ms", "_intake", "_loop",
        "_loop_at", "_ms", "_odd", "_open", "_partial", "_per_ms", "_played_ms", "_queue", "_resampler", "_taken", "_waited_ms",
        "dry_ms", "dry_times", "overflow_ms", "plain",
    )  # fmt: skip

    def __init__(self, codec: ICodec, packet_ms: int) -> None:
        self.dry_ms = self.dry_times = self.overflow_ms = 0
        self._queue: deque[bytes] = deque()
        self._intake: deque[tuple[int, memoryview]] = deque()  # (rate, PCM) to be taken in by and by; rate 0 ends a stream
        self._resampler: tuple[int, Resampler] | None = None
        self._partial = self._odd = self.plain = b""
        self._taken = 0
        self._played_ms = self._begun_ms = self._held_ms = 0.0
        self._gate = self._gap_ms = self._waited_ms = 0
        self._open = False
        self._clip: Clip | None = None
        self._loop = b""
        self._loop_at = 0
        self._use(codec, packet_ms)

    def _use(self, codec: ICodec, packet_ms: int) -> None:
        self._codec, self._ms = codec, packet_ms
        self._encodes_late = codec.stateful
        silence = bytes(codec.rate * packet_ms // 500)
        self._blank = silence if codec.stateful else codec.encode(silence)
        self._chunk = len(self._blank)
        self._per_ms = self._chunk / packet_ms

    def change(self, codec: ICodec, packet_ms: int) -> None:
        """Another codec, or other packets, from the next one on; what waits is played in it."""
        before, late = self._codec, self._encodes_late
        self._end_of_stream()
        waiting = b"".join(self._queue) + self._partial
        self._played_ms, self._taken = self.played_ms, 0
        self._queue.clear()
        self._partial = b""
        self._use(codec, packet_ms)
        if codec is before:
            self._append(waiting)
        elif waiting:
            self._intake.appendleft((before.rate, memoryview(waiting if late else before.decode(waiting))))
            self._take_in()
        if self._loop and self._clip is not None:
            self._loop, self._loop_at = _payload(self._clip, codec), 0

    # ------------------------------------------------------------------ the verbs of IAudioOut

    def play(self, pcm: bytes, rate: int = 0) -> None:
        rate = rate or self._codec.rate
        room = int((MOST_QUEUED_MS - self.queued_ms) * rate / 500) & ~1
        if len(pcm) > room:
            self.overflow_ms += (len(pcm) - max(0, room)) * 500 // rate
            pcm = pcm[: max(0, room)]
        self._accept(pcm, rate)

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        codec = self._codec
        if loop:
            self._clip, self._loop, self._loop_at = clip, _payload(clip, codec), 0
            return
        self._end()
        if self._intake:
            self._accept(clip.pcm, clip.rate)
        elif self._partial:
            self._append(_payload(clip, codec))
        else:
            packets, self._partial = _packets_of(clip, codec, self._chunk)
            self._queue.extend(packets)
        self._open_gate()

    def expect(self, more: bool) -> None:
        if more and not self._open:
            self._begun_ms = self.played_ms + self.queued_ms
            self._waited_ms = self._gap_ms = 0
            if not self._queue:
                self._gate |= _GATHERING
        elif not more:
            self._end()
            self._gap_ms = 0
            self._open_gate()
        self._open = more

    def flush(self) -> float:
        dropped = self.queued_ms
        self._queue.clear()
        self._intake.clear()
        self._partial = self._odd = self._loop = b""
        self._resampler = None
        self._held_ms = 0.0
        self._gate = self._gap_ms = 0
        self._open = False
        return dropped

    def pause(self) -> None:
        self._gate |= _PAUSED

    def resume(self) -> None:
        self._gate &= ~_PAUSED

    @property
    def played_ms(self) -> float:
        return self._played_ms + self._taken * self._ms

    @property
    def queued_ms(self) -> float:
        waiting = len(self._queue) * self._ms + len(self._partial) / self._per_ms + self._held_ms
        return waiting + sum(len(pcm) * 500 / rate for rate, pcm in self._intake if rate) if self._intake else waiting

    # ------------------------------------------------------------------ for each packet

    def next(self) -> bytes:
        """The payload of the next packet, silence where there is nothing to play."""
        if self._intake:
            self._take_in()
        if self._queue and not self._gate:
            self._taken += 1
            data = self._queue.popleft()
        elif self._loop and not self._gate and not self._open and not self._partial:
            at = self._loop_at
            data = self._loop[at : at + self._chunk]
            self._loop_at = at + self._chunk
            self._taken += 1
            if len(data) < self._chunk:
                data = self._seam(data)
        else:
            data = self._other()
        if self._encodes_late:
            self.plain = data
            return self._codec.encode(data)
        return data

    def silence(self) -> bytes:
        """A packet of it, while something else is said; what waits goes on waiting."""
        self.plain = self._blank
        return self._codec.encode(self._blank) if self._encodes_late else self._blank

    def _other(self) -> bytes:
        """No whole packet is to be played."""
        if self._gate & _PAUSED:
            return self._blank
        if not self._open:
            if self._resampler is not None:
                self._end_of_stream()
            return self._last() if self._partial or self._queue else self._blank
        self._waited_ms = self._waited_ms + self._ms if self._queue or self._partial else 0
        if self._waited_ms > PATIENCE_MS:
            self._open_gate()
            return self._last()
        self._gate |= _GATHERING
        if self.played_ms > self._begun_ms:
            self._gap_ms += self._ms
        return self._blank

    def _last(self) -> bytes:
        """What is left of what was queued, filled up with silence."""
        if self._queue:
            self._taken += 1
            return self._queue.popleft()
        part, self._partial = self._partial, b""
        self._played_ms += len(part) / self._per_ms
        return part + self._blank[len(part) :]

    def _seam(self, data: bytes) -> bytes:
        """The loop's end, and its beginning once more."""
        while len(data) < self._chunk:
            self._loop_at = self._chunk - len(data)
            data += self._loop[: self._loop_at]
        return data

    def _open_gate(self) -> None:
        """There is enough to go on; the hole before it counts if it was one."""
        self._gate &= ~_GATHERING
        self._waited_ms = 0
        if self._gap_ms:
            if self._gap_ms <= LONGEST_HOLE_MS:
                self.dry_ms += self._gap_ms
                self.dry_times += 1
            self._gap_ms = 0

    # ------------------------------------------------------------------ taking in

    def _accept(self, pcm: bytes, rate: int) -> None:
        """At once, if nothing waits to be taken in and it is little and needs no work."""
        if rate == self._codec.rate and not self._intake and len(pcm) * 500 <= rate * SLICE_MS:
            self._end_of_stream()
            self._add(pcm)
            return
        self._intake.append((rate, memoryview(pcm)))
        if len(self._intake) == 1:
            self._take_in()

    def _end(self) -> None:
        """Of what was played up to now; what follows does not continue it."""
        if self._intake:
            self._intake.append((0, memoryview(b"")))
        else:
            self._end_of_stream()

    def _take_in(self) -> None:
        """The next slice."""
        rate, pcm = self._intake[0]
        size = rate * SLICE_MS // 500 & ~1
        if len(pcm) > size:
            self._intake[0] = (rate, pcm[size:])
        else:
            self._intake.popleft()
        if rate in (0, self._codec.rate):
            self._end_of_stream()
        elif self._resampler is None or self._resampler[0] != rate:
            self._end_of_stream()
            self._resampler = rate, Resampler(rate, self._codec.rate)
        if self._resampler is None:
            self._add(bytes(pcm[:size]))
            return
        made = self._resampler[1].process(bytes(pcm[:size]))
        self._held_ms += min(len(pcm), size) * 500 / rate - len(made) * 500 / self._codec.rate
        self._add(made)

    def _end_of_stream(self) -> None:
        """What the resampler holds back has no more to wait for."""
        if self._resampler is not None:
            rest, self._resampler = self._resampler[1].finish(), None
            wanted = round(self._held_ms * self._codec.rate / 1000) * 2
            self._held_ms = 0.0
            self._add(rest[:wanted])

    def _add(self, pcm: bytes) -> None:
        """PCM of any length at the codec's rate."""
        if self._odd or len(pcm) & 1:
            pcm = self._odd + pcm
            whole = len(pcm) & ~1
            pcm, self._odd = pcm[:whole], pcm[whole:]
        self._append(pcm if self._encodes_late else self._codec.encode(pcm))

    def _append(self, data: bytes) -> None:
        """What is encoded already, or PCM where the codec encodes late."""
        queue, chunk = self._queue, self._chunk
        if self._partial:
            data = self._partial + data
        whole = len(data) - len(data) % chunk
        for start in range(0, whole, chunk):
            queue.append(data[start : start + chunk])
        self._partial = data[whole:]
        if self._gate & _GATHERING and len(queue) * self._ms >= CUSHION_MS:
            self._open_gate()


def _payload(clip: Clip, codec: ICodec) -> bytes:
    """The whole clip encoded, or, for a codec that encodes late, as PCM at its rate; made once."""
    known = _payloads.setdefault(clip, {})
    key = ("" if codec.stateful else codec.name, codec.rate)
    if key not in known:
        pcm = resample(clip.pcm[: len(clip.pcm) & ~1], clip.rate, codec.rate)
        known[key] = pcm if codec.stateful else codec.encode(pcm)
    return known[key]


def _packets_of(clip: Clip, codec: ICodec, chunk: int) -> tuple[list[bytes], bytes]:
    """The clip in packets, which all calls share, and what is left over."""
    known = _packets.setdefault(clip, {})
    key = ("" if codec.stateful else codec.name, codec.rate, chunk)
    if key not in known:
        data = _payload(clip, codec)
        whole = len(data) - len(data) % chunk
        known[key] = [data[start : start + chunk] for start in range(0, whole, chunk)], data[whole:]
    return known[key]
