"""A call's SIP messages as a ladder diagram, or whole, as text that is safe for any terminal (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from smartalex.sip.headers import Peer
from smartalex.sip.trace import Trace

WIDTH = 100
MARKS = "ABCDE"
"""Peers with a column of their own; any more share the last one."""

_MARGIN = 12
_CSEQ = re.compile(rb"^cseq\s*:\s*([0-9]{1,10})\s+([!-~]{1,32})", re.IGNORECASE | re.MULTILINE)
_SDP = re.compile(rb"^(?:content-type|c)\s*:[^\r\n]*application/sdp", re.IGNORECASE | re.MULTILINE)
_DIRECTION = re.compile(rb"^a=(sendonly|recvonly|inactive)\s*$", re.MULTILINE)
_STATUS = re.compile(rb"SIP/2\.0 ([0-9]{3})(?: ([^\r\n]*))?")
_METHOD = re.compile(rb"[^\s]{1,32}")


@attrs.frozen
class Pen:
    """What lines are drawn with."""

    life: str
    line: str
    right: str
    left: str


UNICODE = Pen("│", "─", "▶", "◀")
ASCII = Pen("|", "-", ">", "<")


def ladder(trace: Trace, pen: Pen = UNICODE) -> Iterator[str]:
    """Who is who, then a line for each message: seconds since the first one, its arrow, what it is."""
    if not trace.messages:
        yield from _rest(trace)
        return
    peers = list(dict.fromkeys(message.peer for message in trace.messages))
    marks = [*MARKS[: len(peers)]]
    yield from _legend(trace, peers, marks)
    marks.insert(1, "us")
    gap = max(10, 28 - 4 * len(marks))
    yield ""
    yield (f"{'seconds':>9}".ljust(_MARGIN) + "".join(mark.ljust(gap) for mark in marks)).rstrip()
    seen: set[tuple[bool, bytes]] = set()
    for message in trace.messages:
        column = min(peers.index(message.peer), len(MARKS) - 1)
        since = f"{message.at - trace.messages[0].at:9.3f}".ljust(_MARGIN)
        drawn = since + _rung(column + (column > 0), message.incoming, (len(marks), gap), pen) + "  "
        yield drawn + title(message.data, WIDTH - len(drawn), again=(message.incoming, message.data) in seen)
        seen.add((message.incoming, message.data))
    yield from _rest(trace)


def whole(trace: Trace) -> Iterator[str]:
    """Every line of every message; what cannot be printed is escaped."""
    for message in trace.messages:
        way = "from" if message.incoming else "to"
        since = message.at - trace.messages[0].at
        yield f"--- {since:.3f} s, {way} {address(message.peer)} by {message.peer.transport.upper()}"
        text = message.data.decode("utf-8", "backslashreplace").replace("\r\n", "\n").removesuffix("\n")
        yield from map(escaped, text.split("\n"))
        yield ""
    yield from _rest(trace)


def title(data: bytes, room: int, *, again: bool = False) -> str:
    """Method and CSeq of a request, status and what it answers of a response; in `room` characters at most."""
    cseq = _CSEQ.search(data)
    number, method = (cseq[1].decode(), cseq[2].decode()) if cseq else ("?", "?")
    ends = [", SDP"] if _SDP.search(data) else []
    if ends and (direction := _DIRECTION.search(data)):
        ends.append(f" {direction[1].decode()}")
    if again:
        ends.append(", again")
    status = _STATUS.match(data.lstrip())
    if status is None:
        named = _METHOD.match(data.lstrip())
        return cut(f"{escaped(_text(named[0] if named else b'?'))} {number}{''.join(ends)}", room)
    end = f" ({method} {number}){''.join(ends)}"
    return cut(cut(f"{status[1].decode()} {escaped(_text(status[2] or b''))}".rstrip(), max(3, room - len(end))) + end, room)


def address(peer: Peer) -> str:
    """host:port, with brackets around IPv6."""
    return escaped(f"[{peer.host}]:{peer.port}" if ":" in peer.host else f"{peer.host}:{peer.port}")


def escaped(text: str) -> str:
    """With nothing in it that a terminal would obey."""
    return "".join(c if c.isprintable() else " " if c == "\t" else c.encode("unicode_escape").decode() for c in text)


def cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 2)] + ".."


def _legend(trace: Trace, peers: Sequence[Peer], marks: Sequence[str]) -> Iterator[str]:
    ours = dict.fromkeys(address(message.local) for message in trace.messages)
    named = [f"{address(peer)} by {peer.transport.upper()}" for peer in peers]
    for mark, name in zip(marks[:-1], named, strict=False):
        yield cut(f"{mark:<4}{name}", WIDTH)
    yield cut(f"{marks[-1]:<4}{', '.join(named[len(marks) - 1 :])}", WIDTH)
    yield cut(f"{'us':<4}{', '.join(ours)}", WIDTH)


def _rung(column: int, incoming: bool, size: tuple[int, int], pen: Pen) -> str:
    """The lifelines, `size` in number and distance, with an arrow between ours, the second one, and this one."""
    number, gap = size
    cells = [pen.life if place % gap == 0 else " " for place in range((number - 1) * gap + 1)]
    start, end = sorted((column * gap, gap))
    cells[start + 1 : end] = pen.line * (end - start - 1)
    if incoming == (column == 0):
        cells[end - 1] = pen.right
    else:
        cells[start + 1] = pen.left
    return "".join(cells)


def _rest(trace: Trace) -> Iterator[str]:
    if trace.dropped:
        yield f"{trace.dropped} more not kept"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
