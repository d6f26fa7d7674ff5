"""Messages that callers leave: WAV files that are whole at any moment, and their rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import LocalError
from smartalex.interfaces import IMessageBox, IMessageWriter
from smartalex.media.wav import WavWriter, read_wav
from smartalex.store.repository import Message, Repository

UNFINISHED = ".part"
LEAST_RECOVERED_MS = 1000

InThread = Callable[..., Deferred[Any]]
"""f, *arguments -> Deferred of what f returns, called in a thread."""


@implementer(IMessageBox)
class MessageBox:
    """The folder of messages.  While one is being recorded its file is named .part; it gets its name when it is kept."""

    def __init__(self, folder: Path, repository: Repository, in_thread: InThread, wall: Callable[[], float] = time) -> None:
        self.folder = folder
        self.repository = repository
        self.in_thread = in_thread
        self.wall = wall

    def open(self, call_id: str, caller: str) -> MessageWriter:
        return MessageWriter(self, self._free_id(call_id), call_id, caller)

    def recover(self) -> int:
        """Blocking, at start: keep what was being recorded when an earlier process died; returns how many."""
        known = {message.file for message in self.repository.messages()}
        found = 0
        for path in sorted([*self.folder.glob("*" + UNFINISHED), *self.folder.glob("*.wav")]):
            found += path.name not in known and self._recover(path)
        return found

    def _recover(self, path: Path) -> bool:
        try:
            sound = read_wav(path)
        except (ValueError, OSError):
            sound = None
        duration_ms = len(sound.pcm) * 500 // sound.rate if sound else 0
        if duration_ms < LEAST_RECOVERED_MS:
            if path.suffix == UNFINISHED:
                path.unlink(missing_ok=True)
            return False
        call_id = path.stem.partition("-")[0]
        call = self.repository.call(call_id)
        self.keep(path, Message(path.stem, call_id, path.stat().st_mtime, (call and call.caller) or "", "", "", duration_ms, ""))
        return True

    def keep(self, path: Path, message: Message) -> str:
        """Blocking: name the file, then write its row; returns the message's id."""
        final = path.with_suffix(".wav")
        path.rename(final)
        self.repository.add_message(attrs.evolve(message, file=final.name))
        return message.id

    def _free_id(self, call_id: str) -> str:
        candidate, n = call_id, 1
        while any((self.folder / (candidate + suffix)).exists() for suffix in (UNFINISHED, ".wav")):
            n += 1
            candidate = f"{call_id}-{n}"
        return candidate


@implementer(IMessageWriter)
class MessageWriter:
    """A disk that is full or gone does not disturb the call: it shows when the message is to be kept."""

    __slots__ = ("_box", "_call_id", "_caller", "_id", "_path", "_trouble", "_wav")

    log = Logger()

    def __init__(self, box: MessageBox, message_id: str, call_id: str, caller: str) -> None:
        self._box = box
        self._id = message_id
        self._call_id = call_id
        self._caller = caller
        self._path = box.folder / (message_id + UNFINISHED)
        self._trouble = ""
        self._wav: WavWriter | None = None
        try:
            self._wav = WavWriter(self._path)
        except OSError as error:
            self._failed(error)

    def write(self, pcm: bytes) -> None:
        if self._wav is not None and not self._trouble:
            try:
                self._wav.write(pcm)
            except OSError as error:
                self._failed(error)

    def commit(self, duration_ms: int, for_id: str, for_name: str) -> Deferred[str]:
        wav = self._wav
        if wav is None or wav.data_bytes == 0:
            return fail(LocalError(f"the message could not be written: {self._trouble or 'nothing was said'}"))
        box = self._box
        message = Message(self._id, self._call_id, box.wall(), self._caller, for_id, for_name, duration_ms, "")
        return box.in_thread(self._store, wav, message)

    def abandon(self) -> None:
        if self._wav is not None:
            self._wav.close()
            self._path.unlink(missing_ok=True)

    def _store(self, wav: WavWriter, message: Message) -> str:
        wav.sync()
        wav.close()
        if self._trouble and wav.duration_ms < LEAST_RECOVERED_MS:
            raise LocalError(f"the message could not be written: {self._trouble}")
        return self._box.keep(self._path, message)

    def _failed(self, error: OSError) -> None:
        self._trouble = error.strerror or "disk trouble"
        self.log.error("message {message_id} cannot be written: {trouble}", message_id=self._id, trouble=self._trouble)
