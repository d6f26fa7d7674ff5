"""Asks the DNS as the platform does (RFC 3263), and remembers each question and its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import gatherResults

from smartalex.doctor.facts import Looked, Way
from smartalex.sip.location import Naptr, Srv, locate
from smartalex.sip.resolver import Lookups
from smartalex.sip.uri import Uri


async def look_up(
    reactor: Any, uri: Uri, by: str, supported: Sequence[str], random: Callable[[int], int], *, resolver: Any = None
) -> Way:
    """`resolver` is by default that of the system."""
    asking, lookups = locate(uri, supported, random), Lookups(reactor, resolver)
    looked: list[Looked] = []
    targets: tuple[Any, ...] = ()
    try:
        queries = next(asking)
        while True:
            answers = await gatherResults([lookups.ask(query) for query in queries], consumeErrors=True)
            pairs = zip(queries, answers, strict=True)
            looked += [Looked(q.kind, q.name, tuple(map(_spelt, a.records)), a.heard or bool(a.records)) for q, a in pairs]
            queries = asking.send([answer.records for answer in answers])
    except StopIteration as done:
        targets = done.value
    why = "" if targets else "there is no address for it" if looked else f"none of {', '.join(supported)} leads there"
    return Way(uri.host, by, tuple(looked), tuple(target.peer for target in targets), why)


def _spelt(record: Any) -> str:
    if isinstance(record, Naptr):
        return f"{record.order} {record.preference} {record.service} {record.replacement}"
    if isinstance(record, Srv):
        return f"{record.priority} {record.weight} {record.port} {record.target}"
    return str(record)
