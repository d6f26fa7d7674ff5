"""The SIP messages of each call in progress, as they went over the wire; redacted when the call is over."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import attrs

from smartalex.sip.headers import Peer
from smartalex.sip.redaction import redact_all

MESSAGES = 200
OCTETS = 256 * 1024
"""The most that is kept of one call."""
WAITING_MESSAGES = 200
WAITING_OCTETS = 1024 * 1024
"""The most that is kept of what belongs to no call yet."""
LEVEL, SMALL = 1, (12, 5)
"""Of packing: the quickest, with a window of 4 KiB; the usual one costs more to make than a call to pack."""

_Seen = tuple[float, bool, Peer, bytes]
_at = itemgetter(0)


@attrs.frozen
class Traced:
    """One message without its secrets.  `at` is wall time (Unix seconds); `local` is our side, as the peer knows it."""

    at: float
    incoming: bool
    peer: Peer
    local: Peer
    data: bytes


@attrs.frozen
class Trace:
    """In the order they were seen; `dropped` more were not kept."""

    messages: tuple[Traced, ...] = ()
    dropped: int = 0

    def to_data(self) -> dict[str, Any]:
        """What a record keeps of it, packed: a line of JSON about the messages, then they themselves."""
        rows = json.dumps([_row(message) for message in self.messages], separators=(",", ":"))
        packer = zlib.compressobj(LEVEL, zlib.DEFLATED, *SMALL)
        packed = packer.compress(b"\n".join((rows.encode(), *(message.data for message in self.messages)))) + packer.flush()
        return {"messages": base64.b64encode(packed).decode(), "dropped": self.dropped}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Trace:
        """Raises ValueError for what `to_data` did not make."""
        try:
            rows, _, octets = zlib.decompress(base64.b64decode(data["messages"])).partition(b"\n")
            return cls(tuple(_traced(json.loads(rows), octets)), int(data["dropped"]))
        except (KeyError, TypeError, AttributeError, zlib.error) as error:
            raise ValueError(f"no trace: {error}") from None


def _row(message: Traced) -> list[Any]:
    direction = "in" if message.incoming else "out"
    peer = message.peer
    return [round(message.at, 6), direction, peer.transport, _spell(peer), _spell(message.local), len(message.data)]


def _traced(rows: list[list[Any]], octets: bytes) -> Iterator[Traced]:
    start = 0
    for at, direction, transport, peer, local, size in rows:
        yield Traced(at, direction == "in", _peer(transport, peer), _peer(transport, local), octets[start : start + size])
        start += size + 1


def _spell(peer: Peer) -> str:
    return f"{peer.host} {peer.port}"


def _peer(transport: str, text: str) -> Peer:
    host, _, port = text.rpartition(" ")
    return Peer(transport, host, int(port))


class _Open:
    """One Call-ID; `holders` calls have it in common."""

    __slots__ = ("dropped", "holders", "most", "octets", "seen")

    def __init__(self) -> None:
        self.seen: list[_Seen] = []
        self.most = 0
        self.octets = 0
        self.dropped = 0
        self.holders = 0

    def add(self, one: _Seen) -> None:
        octets = self.octets + len(one[3])
        if len(self.seen) >= MESSAGES or octets > self.most:
            self.dropped += 1
        else:
            self.seen.append(one)
            self.octets = octets


class TraceBook:
    """`wall` gives Unix seconds; `local(peer)` our host and port as this peer knows them.

    What comes before a call is known, its INVITE above all, waits in a short memory until `open` takes it over.
    """

    def __init__(self, wall: Callable[[], float], local: Callable[[Peer], tuple[str, int]]) -> None:
        self._wall = wall
        self._local = local
        self._open: dict[str, _Open] = {}
        self._waiting: dict[str, list[_Seen]] = {}
        self._waiting_messages = 0
        self._waiting_octets = 0

    def __len__(self) -> int:
        return len(self._open)

    def tap(self, call_id: str, incoming: bool, peer: Peer, data: bytes) -> None:
        """For TransactionLayer.tap."""
        opened = self._open.get(call_id)
        if opened is not None:
            opened.add((self._wall(), incoming, peer, data))
            return
        self._waiting.setdefault(call_id, []).append((self._wall(), incoming, peer, data))
        self._waiting_messages += 1
        self._waiting_octets += len(data)
        while self._waiting_messages > WAITING_MESSAGES or self._waiting_octets > WAITING_OCTETS:
            self._take(next(iter(self._waiting)))

    def open(self, call_id: str, octets: int = OCTETS) -> None:
        """From here on everything of this Call-ID is kept, up to so much; each `open` wants its `close` or `forget`."""
        opened = self._open.setdefault(call_id, _Open())
        opened.holders += 1
        opened.most = max(opened.most, octets)
        for one in self._take(call_id):
            opened.add(one)

    def close(self, *call_ids: str) -> Trace:
        """All that was kept of these, by time, redacted; nothing of a Call-ID that is not open."""
        closed = [opened for opened in map(self._released, call_ids) if opened is not None]
        seen = sorted((one for opened in closed for one in opened.seen), key=_at)
        locals_ = {peer: Peer(peer.transport, *self._local(peer)) for peer in {peer for _, _, peer, _ in seen}}
        clean = redact_all([one[3] for one in seen])
        messages = (Traced(one[0], one[1], one[2], locals_[one[2]], data) for one, data in zip(seen, clean, strict=True))
        return Trace(tuple(messages), sum(opened.dropped for opened in closed))

    def forget(self, call_id: str) -> None:
        """As `close`, without the work, for a trace nobody wants."""
        self._released(call_id)

    def _released(self, call_id: str) -> _Open | None:
        opened = self._open.get(call_id)
        if opened is not None:
            opened.holders -= 1
            if not opened.holders:
                del self._open[call_id]
        return opened

    def _take(self, call_id: str) -> list[_Seen]:
        taken = self._waiting.pop(call_id, [])
        self._waiting_messages -= len(taken)
        self._waiting_octets -= sum(len(one[3]) for one in taken)
        return taken
