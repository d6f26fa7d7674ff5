"""A router that means well: it passes SIP on, and writes its own address into Contact and SDP on the way."""

from __future__ import annotations

import re
import select
import socket
from threading import Thread

ADDRESS = "127.0.0.9"


class Alg:
    """Datagrams to `address` go on to `upstream` (HOST:PORT), and what comes from there to whoever sent last."""

    def __init__(self, upstream: str) -> None:
        host, port = upstream.split(":")
        self._upstream = host, int(port)
        self._near, self._far = _bound(), _bound()
        self._wake, self._woken = socket.socketpair()
        self._client: tuple[str, int] | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{ADDRESS}:{self._near.getsockname()[1]}"

    def close(self) -> None:
        self._wake.send(b"x")
        self._thread.join(10)
        for one in (self._near, self._far, self._wake, self._woken):
            one.close()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._near, self._far, self._woken], [], [])
            if self._woken in ready:
                return
            if self._near in ready:
                data, self._client = self._near.recvfrom(65536)
                self._far.sendto(rewritten(data, self._far.getsockname(), outward=True), self._upstream)
            if self._far in ready:
                data, _ = self._far.recvfrom(65536)
                if self._client is not None:
                    self._near.sendto(rewritten(data, self._near.getsockname(), outward=False), self._client)


def rewritten(data: bytes, address: tuple[str, int], *, outward: bool) -> bytes:
    """Contact on the way out, SDP both ways.  The addresses here are all of one length, so that Content-Length still holds."""
    here = f"{address[0]}:{address[1]}".encode()
    if outward:
        data = re.sub(rb"(?m)^(Contact: .*?)127\.0\.0\.\d(:\d+)?", rb"\g<1>" + here, data)
    return re.sub(rb"(?m)^c=IN IP4 127\.0\.0\.\d", b"c=IN IP4 " + address[0].encode(), data)


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((ADDRESS, 0))
    return made
