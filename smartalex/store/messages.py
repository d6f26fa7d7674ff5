"""Messages callers leave: a WAV that is sound after a crash at any byte, then its row, by way of the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from smartalex.interfaces import CallEvent, IMessageBox, IMessageWriter
from smartalex.media.wav import WavWriter
from smartalex.store.records import BESIDE

Defer = Callable[..., Deferred[Any]]
BLOCK = 16_000
"""Bytes gathered before they go to disk: one second."""


@implementer(IMessageBox)
class MessageBox:
    """`record` keeps the row, `defer` runs a function in the store's threads; `wall` gives Unix seconds."""

    def __init__(self, folder: Path, record: Callable[[CallEvent], None], defer: Defer, wall: Callable[[], float]) -> None:
        self.folder = folder
        self.record = record
        self.defer = defer
        self.wall = wall

    def open(self, call_id: str, caller: str) -> MessageWriter:
        return MessageWriter(self, call_id, caller)


@implementer(IMessageWriter)
class MessageWriter:
    """File work is done in threads, one piece after the other."""

    def __init__(self, box: MessageBox, call_id: str, caller: str) -> None:
        self._box = box
        self._call = call_id
        self._caller = caller
        self._path = box.folder / f"{call_id}.wav"
        self._wav: WavWriter | None = None
        self._block = bytearray()
        self._last: Deferred[Any] = succeed(None)

    def write(self, pcm: bytes) -> None:
        self._block += pcm
        if len(self._block) >= BLOCK:
            self._flush()

    def commit(self, duration_ms: int, for_id: str, for_name: str) -> Deferred[str]:
        self._flush()
        row: dict[str, Any] = dict(
            id=self._call, call=self._call, at=self._box.wall(), caller=self._caller, for_id=for_id, for_name=for_name
        )
        row |= dict(duration_ms=duration_ms, path=str(self._path))
        self._then(self._close)
        self._last.addCallback(lambda _: self._box.record(CallEvent(self._call, BESIDE, row["at"], "message", row)))
        return self._last.addCallback(lambda _: self._call)

    def abandon(self) -> None:
        self._block.clear()
        self._then(self._remove).addErrback(lambda _: None)

    def _flush(self) -> None:
        data = bytes(self._block)
        self._block.clear()
        self._then(self._append, data)

    def _then(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        """Run it after whatever was asked before; the first failure is what `commit` fails with."""
        return self._last.addCallback(lambda _: self._box.defer(function, *args))

    def _append(self, data: bytes) -> None:
        if self._wav is None:
            self._wav = WavWriter(self._path)
        self._wav.write(data)
        self._wav.sync()

    def _close(self) -> None:
        if self._wav is not None:
            self._wav.close()

    def _remove(self) -> None:
        if self._wav is not None:
            self._wav.close()
            self._path.unlink(missing_ok=True)
