"""Whether the database is there, and for how long what was last known of it may be believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.store.engine import upgrade, what_it_said
from smartalex.store.picture import Picture

CONFIRM_S = 60.0
REST = 10
"""So many times as long as taking a picture took is waited for before the next: where it takes long, changes are gathered."""


@attrs.define
class Contact:
    """Told by whoever looks for changes.  `now` gives monotonic seconds, `defer` runs a function in the store's threads.

    With a `picture` it is taken anew when what it shows has changed, and else confirmed once a minute.
    """

    lifetime_s: float
    now: Callable[[], float]
    defer: Callable[..., Deferred[Any]]
    engine: Engine
    picture: Picture | None = None
    down: bool = False
    _heard_at: float = attrs.field(default=attrs.Factory(lambda self: self.now(), takes_self=True))
    _confirmed_at: float = float("-inf")
    _taking: bool = False
    _not_before: float = float("-inf")
    _changed: bool = True
    _met: bool = True

    log = Logger()

    def meet(self) -> None:
        """In the store's threads, before anything is asked: a database that was away at the start may need migrations."""
        if not self._met:
            upgrade(self.engine)
            self._met = True

    def start_from_picture(self, age_s: float) -> None:
        """The database is away, and what we know is so old."""
        self.down, self._changed, self._met = True, False, False
        self._heard_at = self.now() - age_s

    @property
    def silent_s(self) -> float:
        """How long nothing was heard of it."""
        return self.now() - self._heard_at

    @property
    def lapsed(self) -> bool:
        """What we know is too old to let calls in by."""
        return self.down and self.silent_s > self.lifetime_s

    def heard(self, pause: Callable[[], None], *, changed: bool) -> None:
        """It answered; `changed` when something else than before."""
        if self.down:
            self.log.info("the database is there again after {seconds:.0f} s", seconds=self.silent_s)
        self.down, self._heard_at = False, self.now()
        self._changed = self._changed or changed
        if self.picture is None or self._taking:
            return
        if self._changed and self.now() >= self._not_before:
            self._changed = False
            self._run(self.picture.take, self.engine, pause)
        elif self.now() - self._confirmed_at > CONFIRM_S and not self._changed:
            self._run(self.picture.confirm)

    def missed(self) -> None:
        """It did not."""
        self.down = True

    def _run(self, function: Callable[..., None], *arguments: Any) -> None:
        self._taking = True
        self.defer(function, *arguments).addCallbacks(self._taken, self._not_taken, callbackArgs=(self.now(),))

    def _taken(self, _: Any, began: float) -> None:
        self._taking, self._confirmed_at = False, self.now()
        self._not_before = self.now() + REST * (self.now() - began)

    def _not_taken(self, failure: Failure) -> None:
        """Tried again with the next look; `missed` will have said why."""
        self._taking, self._changed = False, True
        if not self.down:
            self.log.warn("no picture of the configuration can be kept: {error}", error=what_it_said(failure.value))
