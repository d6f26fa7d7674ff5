"""Recordings of calls: what was heard and what was sent, tick by tick, put together and written by a thread of their own.

The media plane hands over references to what it has anyway, a second at a time; all else is done by the thread.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.interfaces import IRecording, IRecordingSink
from smartalex.media.resample import Resampler
from smartalex.media.wav import WavWriter

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.13 on it is the package audioop-lts
    from audioop import add, tostereo

MOST_WAITING = 30
"""Stretches of one call that may wait for the disk; with more the recording has failed."""

STOP_S = 10.0
MOST_AHEAD = 5
"""Ticks that packets may reach beyond the tick they left in."""

# ---------------------------------------------------------------- putting together


@attrs.frozen
class Stretch:
    """Some ticks of a leg: `heard` has a frame of PCM for each, `sent` what left in it: nothing, a packet or more.

    What was sent has `units` bytes a tick, `silence` is the shortest piece of nothing, and `decode` makes PCM at `rate` of it.
    """

    rate: int
    heard: list[bytes]
    sent: list[bytes]
    units: int
    silence: bytes
    decode: Callable[[bytes], bytes]


def aligned(stretch: Stretch, before: bytes = b"") -> tuple[bytes, bytes]:
    """What was sent, as long as the ticks are and each packet in its place; and what reaches beyond, to be `before` next time.

    Packets longer or shorter than a tick follow each other without a gap, as their timestamps do.
    """
    units, silence = stretch.units, stretch.silence
    if not before and all(len(data) == units for data in stretch.sent):
        return b"".join(stretch.sent), b""
    line = bytearray(before)
    for n, data in enumerate(stretch.sent):
        if data:
            gap = n * units - len(line)
            if gap >= units:
                line += silence * (gap // len(silence))
            line += data
    whole = len(stretch.sent) * units
    line += silence * ((whole - len(line)) // len(silence))
    return bytes(line[:whole]), bytes(line[whole : whole + MOST_AHEAD * units])


class Tape:
    """One call's recording, as the media plane sees it.  `on_opened` and `on_closed` are called on the reactor's thread."""

    __slots__ = ("_ahead", "_open", "_recorder", "_recording", "_resamplers", "_samples", "_taken", "_written", "on_closed",
                 "on_opened", "rate", "running")  # fmt: skip

    def __init__(self, recorder: Recorder, sink: IRecordingSink, call_id: str, rate: int) -> None:
        self._recorder = recorder
        self._open: Callable[[], IRecording] = lambda: sink.open(call_id, rate)
        self.rate = rate
        self.running = True
        self.on_opened: Callable[[str], None] = lambda name: None
        self.on_closed: Callable[[float, str], None] = lambda seconds, error: None
        self._taken = self._written = 0
        self._recording: IRecording | None = None
        self._ahead = b""
        self._resamplers: tuple[int, Resampler, Resampler] | None = None
        self._samples = 0

    # ------------------------------------------------------------------ on the reactor's thread

    def put(self, stretch: Stretch) -> None:
        """More of it; returns at once."""
        if not self.running:
            return
        self._taken += 1
        if self._taken - self._written > MOST_WAITING:
            self.running = False
            self._recorder.do(lambda: self._end("the disk is too slow"))
        else:
            self._recorder.do(lambda: self._write(stretch))

    def close(self) -> None:
        """Idempotent; what was put before is written."""
        if self.running:
            self.running = False
            self._recorder.do(lambda: self._end(""))

    # ------------------------------------------------------------------ in the recorder's thread

    def _write(self, stretch: Stretch) -> None:
        self._written += 1
        if self._open is _ended:
            return
        try:
            if self._recording is None:
                self._recording = recording = self._open()
                self._recorder.tell(lambda: self.on_opened(recording.name))
            self._recording.write(self._stereo(stretch))
        except Exception as error:  # a sink's fault, or its disk's
            self.running = False
            self._end(str(error) or type(error).__name__)

    def _stereo(self, stretch: Stretch) -> bytes:
        sent, self._ahead = aligned(stretch, self._ahead)
        left, right = self._at_rate(b"".join(stretch.heard), stretch.decode(sent), stretch.rate)
        self._samples += len(left) // 2
        return add(tostereo(left, 2, 1, 0), tostereo(right, 2, 0, 1), 2)

    def _at_rate(self, left: bytes, right: bytes, rate: int) -> tuple[bytes, bytes]:
        """The recording keeps its rate when the call changes its own."""
        if rate == self.rate:
            self._resamplers = None
            return left, right
        if self._resamplers is None or self._resamplers[0] != rate:
            self._resamplers = rate, Resampler(rate, self.rate), Resampler(rate, self.rate)
        return self._resamplers[1].process(left), self._resamplers[2].process(right)

    def _end(self, error: str) -> None:
        if self._open is _ended:
            return
        self._open = _ended
        try:
            if self._recording is not None:
                self._recording.close()
        except Exception as fault:
            error = error or str(fault) or type(fault).__name__
        self._recording = None
        seconds = round(self._samples / self.rate, 2)
        self._recorder.tell(lambda: self.on_closed(seconds, error))


def _ended() -> IRecording:
    raise OSError("the recording has ended")


class Recorder:
    """The thread, which runs from the first recording on.  `call_from_thread` gets things done on the reactor's."""

    log = Logger()

    def __init__(self, call_from_thread: Callable[[Callable[[], None]], object]) -> None:
        self.tell = call_from_thread
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None

    def record(self, sink: IRecordingSink, call_id: str, rate: int) -> Tape:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="recordings", daemon=True)
            self._thread.start()
        return Tape(self, sink, call_id, rate)

    def stop(self) -> None:
        """Returns when all that was put is written, or the disk has had its time."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(STOP_S)
            self._thread = None

    def do(self, piece: Callable[[], None]) -> None:
        self._queue.put(piece)

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            try:
                piece()
            except Exception:
                self.log.failure("a recording failed")


# ---------------------------------------------------------------- WAV


@implementer(IRecordingSink)
class WavSink:
    """A file for each call in `folder`, which is made where it is missing; readable by its owner alone."""

    def __init__(self, folder: str = "") -> None:
        if not folder:
            raise ValueError("write where to, as in wav:folder=/srv/recordings")
        self._folder = Path(folder)

    def open(self, call_id: str, rate: int) -> WavRecording:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{call_id}.wav"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        return WavRecording(path, rate)


@implementer(IRecording)
class WavRecording:
    __slots__ = ("_writer", "name")

    def __init__(self, path: Path, rate: int) -> None:
        self.name = str(path)
        self._writer = WavWriter(path, rate, channels=2)

    def write(self, stereo: bytes) -> None:
        self._writer.write(stereo)

    def close(self) -> None:
        self._writer.close()
