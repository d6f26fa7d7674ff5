"""A child process spoken to in frames: length, kind, stream, payload.  It is started again when it dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from struct import Struct
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

FRAME = Struct("!IBI")
LARGEST = 1 << 24
BACK_OFF_S = (0.0, 0.2, 1.0, 5.0)


def pack(kind: int, stream: int, payload: bytes = b"") -> bytes:
    return FRAME.pack(len(payload), kind, stream) + payload


class Unpacker:
    """Bytes in, (kind, stream, payload) out; raises ValueError for a frame over 16 MiB."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        self._buffer += data
        frames = []
        while len(self._buffer) >= FRAME.size:
            length, kind, stream = FRAME.unpack_from(self._buffer)
            if length > LARGEST:
                raise ValueError("frame too large")
            if len(self._buffer) < FRAME.size + length:
                break
            frames.append((kind, stream, bytes(self._buffer[FRAME.size : FRAME.size + length])))
            del self._buffer[: FRAME.size + length]
        return frames


class _Pipe(ProcessProtocol):
    def __init__(self, child: Child) -> None:
        self._child = child
        self._unpacker = Unpacker()

    def outReceived(self, data: bytes) -> None:
        try:
            frames = self._unpacker.feed(data)
        except ValueError:
            self._child.kill()
            return
        for frame in frames:
            self._child.received(*frame)

    def errReceived(self, data: bytes) -> None:
        self._child.log.warn("{module}: {text}", module=self._child.module, text=data.decode("utf-8", "replace")[-500:])

    def processEnded(self, reason: Failure) -> None:
        self._child.ended(self)


class Child:
    """`on_frame(kind, stream, payload)` for what it says, `on_death()` when it died unasked."""

    log = Logger()

    def __init__(
        self, reactor: Any, module: str, on_frame: Callable[[int, int, bytes], None], on_death: Callable[[], None]
    ) -> None:
        self.module = module
        self.received = on_frame
        self._reactor = reactor
        self._on_death = on_death
        self._process: Any = None
        self._pipe: _Pipe | None = None
        self._deaths = 0
        self._stopping = False
        self._gone: Deferred[None] = Deferred()
        self._again: IDelayedCall | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        self._again = None
        self._pipe = _Pipe(self)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        arguments = [sys.executable, "-m", self.module]
        self._process = self._reactor.spawnProcess(self._pipe, sys.executable, arguments, env=environment, path=None)

    def send(self, kind: int, stream: int, payload: bytes = b"") -> bool:
        """False when there is no child just now."""
        if self._process is None:
            return False
        self._process.write(pack(kind, stream, payload))
        return True

    def worked(self) -> None:
        """It did something useful: the next death is a first one again."""
        self._deaths = 0

    def kill(self) -> None:
        if self._process is not None:
            try:
                self._process.signalProcess("KILL")
            except Exception:
                self.log.debug("{module} was gone already", module=self.module)

    def stop(self) -> Deferred[None]:
        """Fires when the child is gone; it is not started again."""
        self._stopping = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._process is None:
            return succeed(None)
        self.kill()
        return self._gone

    def ended(self, pipe: _Pipe) -> None:
        if pipe is not self._pipe:
            return
        self._process = None
        if self._stopping:
            self._gone.callback(None)
            return
        wait = BACK_OFF_S[min(self._deaths, len(BACK_OFF_S) - 1)]
        self._deaths += 1
        self.log.warn("{module} died; starting it again in {wait} s", module=self.module, wait=wait)
        if wait:
            self._again = self._reactor.callLater(wait, self.start)
        else:
            self.start()
        self._on_death()
