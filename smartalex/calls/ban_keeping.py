"""Bans kept: what is new goes to the store, what others or the operator changed there comes from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall

from smartalex.calls.bans import Ban, Bans

LOOK_S = 0.5


class Book(Protocol):
    def rows(self) -> list[dict[str, Any]]: ...

    def mark(self) -> tuple[int, float]: ...

    def put(self, row: Mapping[str, Any]) -> None: ...


class BanKeeping:
    """Looks every LOOK_S; `defer` runs a function in a thread of the store's.  Without a store bans hold all the same."""

    def __init__(self, bans: Bans, book: Book, defer: Callable[..., Deferred[Any]], clock: Any) -> None:
        self._bans, self._book, self._defer = bans, book, defer
        self._unsaved: dict[str, Ban] = {}
        self._mark: tuple[int, float] | None = None
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        bans.on_ban = self._note

    def load(self) -> None:
        """At once, on this thread: before anything is listened to."""
        self._adopt(self._exchange({}, None))

    def start(self) -> None:
        self._looking.start(LOOK_S, now=False)

    def look(self) -> Deferred[Any]:
        looked = self._defer(self._exchange, dict(self._unsaved), self._mark)
        return looked.addCallback(self._adopt).addErrback(lambda failure: None)  # the next look tries again

    def stop(self) -> Deferred[Any]:
        """Fires when what could be kept is."""
        if self._looking.running:
            self._looking.stop()
        return self.look() if self._unsaved else succeed(None)

    def _note(self, ban: Ban) -> None:
        self._unsaved[ban.network] = ban

    def _exchange(
        self, unsaved: dict[str, Ban], known: tuple[int, float] | None
    ) -> tuple[dict[str, Ban], tuple[int, float], list[Ban] | None]:
        """In a thread: what was saved, the new mark, and the bans if they are others than before."""
        for ban in unsaved.values():
            self._book.put(attrs.asdict(ban))
        mark = self._book.mark()
        return unsaved, mark, [Ban(**row) for row in self._book.rows()] if mark != known else None

    def _adopt(self, found: tuple[dict[str, Ban], tuple[int, float], list[Ban] | None]) -> None:
        saved, mark, bans = found
        for network, ban in saved.items():
            if self._unsaved.get(network) is ban:
                del self._unsaved[network]
        if bans is not None:
            self._bans.adopt([*bans, *self._unsaved.values()])
            self._mark = mark
