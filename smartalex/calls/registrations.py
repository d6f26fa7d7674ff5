"""Trunks that we register at like a desk phone: one registration each, kept alive, and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.machine import step
from smartalex.sip.asking import Outside
from smartalex.sip.digest import DigestClient, Secret
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Response
from smartalex.sip.registration import (
    FAILED_S,
    REFUSED_S,
    TABLE,
    Action,
    Answer,
    Identity,
    Input,
    State,
    back_off_s,
    read,
    refresh_s,
)
from smartalex.sip.ua import UserAgent
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk

LEAVE_S = 2.0
"""How long a registrar may take to let us go."""

SPREAD_S = 5.0
"""Within this time the registrations of a start begin."""

LOOK_S = 30.0
KEEP_S = 0.5
PING_S = 25.0

WHY = {"timeout": "no answer", "transport": "cannot be reached"}
LIMIT_S = 3600
"""The longest Retry-After that is honoured."""


@attrs.frozen
class Ground:
    """What registrations stand on: `wall` in Unix seconds, `keep_alive(peer, interval_s)` holds a NAT open (0 s: no more)."""

    reactor: Any
    agent: UserAgent
    wall: Callable[[], float]
    counters: ICounters
    keep_alive: Callable[[Peer, float], None] = lambda peer, interval_s: None


class Registration:
    """One trunk's.  `until` and `again_at` are Unix seconds, `peer` is the registrar that answered last.

    `changed` is called whenever what is shown has changed.
    """

    log = Logger()

    def __init__(self, trunk: Trunk, secret: Secret | None, ground: Ground, changed: Callable[[], None]) -> None:
        self.trunk = trunk
        self.secret = secret
        self.state = State.IDLE
        self.until = 0.0
        self.again_at: float | None = None
        self.why = ""
        self.path: tuple[str, ...] = ()
        self.service_route: tuple[str, ...] = ()
        self.ended: Deferred[None] = Deferred()
        self._ground = ground
        self._changed = changed
        self._who = Identity.of(trunk.register)
        us = NameAddr("", self._who.address)
        self._outside = Outside("REGISTER", self._who.registrar, us, us, contact_user=self._who.user)
        self._asks_s = trunk.register_expires_s
        self._raised = False
        self._failures = 0
        self._answer = Answer(Input.OK)
        self.peer: Peer | None = None
        self._contact = ""
        self._seen = ""
        self._timer: IDelayedCall | None = None
        self._told: object = None

    @property
    def registered(self) -> bool:
        return self.until > self._ground.wall()

    def shown(self) -> dict[str, Any]:
        until = self.until if self.registered else None
        return {"state": self.state.value, "until": until, "again_at": self.again_at, "detail": self.why}

    # ------------------------------------------------------------------ verbs

    def begin(self, after_s: float = 0.0) -> None:
        self._set_timer(after_s, Input.START)

    def anew(self) -> None:
        """Something has changed: register again at once."""
        self._input(Input.ANEW)

    def stop(self) -> Deferred[None]:
        """Unregister where we are registered; `ended` fires within LEAVE_S."""
        if self.state in (State.LEAVING, State.UNREGISTERING, State.ENDED):
            return self.ended
        self._stop_timer()
        self._input(Input.STOP)
        if not self.ended.called:
            self._set_timer(LEAVE_S, Input.GIVE_UP)
        return self.ended

    def look(self) -> None:
        """Register anew when the way to the registrar has changed, and with it the address we are reached at."""
        if self.state is State.REGISTERED and self.peer is not None and self._contact_at(self.peer) != self._contact:
            self.log.info("trunk {trunk} is reached by another address now", trunk=self.trunk.name)
            self.anew()

    # ------------------------------------------------------------------ the machine

    def _input(self, event: Input) -> None:
        row = step(TABLE, self.state, event)
        if row is None:
            return
        actions, self.state = row
        for action in actions:
            self._perform[action](self)
        if self.state not in (State.REGISTERING, State.HURRYING):
            self._tell()

    def _register(self) -> None:
        self._ask(self._asks_s)

    def _unregister(self) -> None:
        self.until = 0.0
        self._ask(0)

    def _refresh_later(self) -> None:
        answer = self._answer
        self._failures, self._raised, self.why = 0, False, ""
        self.until = self._ground.wall() + answer.seconds
        self.path, self.service_route = answer.path, answer.service_route
        self._wait(refresh_s(answer.seconds, self._ground.agent.chance()))

    def _back_off(self) -> None:
        self._failures, self._raised = self._failures + 1, False
        times, chance = REFUSED_S if self.state is State.REFUSED else FAILED_S, self._ground.agent.chance()
        after_s = self._answer.seconds
        self._wait(min(after_s, LIMIT_S) * (1 + 0.1 * chance) if after_s else back_off_s(self._failures, *times, chance))
        if self.state is State.REFUSED:
            self.until = 0.0

    def _wait(self, seconds: float) -> None:
        self.again_at = self._ground.wall() + seconds
        self._set_timer(seconds, Input.DUE)

    def _set_timer(self, seconds: float, event: Input) -> None:
        self._timer = self._ground.reactor.callLater(seconds, self._input, event)

    def _stop_timer(self) -> None:
        self.again_at = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _end(self) -> None:
        self._stop_timer()
        self.until = 0.0
        self.ended.callback(None)

    _perform: dict[Action, Callable[[Registration], None]] = {
        Action.REGISTER: _register, Action.UNREGISTER: _unregister, Action.REFRESH_LATER: _refresh_later,
        Action.BACK_OFF: _back_off, Action.STOP_TIMER: _stop_timer, Action.END: _end,
    }  # fmt: skip

    # ------------------------------------------------------------------ asking

    def _ask(self, seconds: int) -> None:
        agent, outside = self._ground.agent, self._outside
        self.again_at = None
        outside.headers = (*agent.capabilities, ("Supported", "path"), ("Expires", str(seconds)))
        user = self.trunk.register_user or self._who.address.user_text
        outside.digest = DigestClient(user, self.secret, agent.token) if self.secret is not None else None
        agent.ask(outside, (), partial(self._answered, seconds), self._failed)

    def _answered(self, asked_s: int, response: Response) -> None:
        self.peer = response.source
        self._contact = self._contact_at(self.peer) if self.peer is not None else ""
        contact = Uri.parse(self._contact) if self._contact else self._who.address
        self._answer = answer = read(response, contact, asked_s, raised=self._raised)
        if answer.input is Input.BRIEF:
            self._asks_s, self._raised = answer.seconds, True
        elif answer.input is not Input.OK:
            self._note(answer.why + (PASSWORD if response.status in (401, 407) else ""))
        elif asked_s:
            self._look_out(response)
        self._ground.counters.count("registration.answered", f"{response.status // 100}xx")
        self._input(answer.input)

    def _failed(self, why: str) -> None:
        self._answer = Answer(Input.FAILURE)
        self._note(WHY.get(why, why))
        self._ground.counters.count("registration.unanswered")
        self._input(Input.FAILURE)

    def _note(self, why: str) -> None:
        if self.state in (State.REGISTERING, State.HURRYING):
            self.why = why

    def _contact_at(self, peer: Peer) -> str:
        return self._ground.agent.contact_at(peer, self._who.user)

    def _look_out(self, response: Response) -> None:
        """Where the registrar saw us, if not where we said: there is a NAT, which forgets us if nothing is heard (RFC 3581)."""
        via = response.via
        seen = f"{via.received or via.host}:{via.rport or via.port or ''}"
        said = f"{via.host}:{via.port or ''}"
        if seen not in (self._seen, said):
            self.log.info(
                "the registrar of trunk {trunk} sees us as {seen}, we say {said}", trunk=self.trunk.name, seen=seen, said=said
            )
        self._seen = seen
        self._ping(PING_S if seen != said else 0.0)

    def _ping(self, interval_s: float) -> None:
        if self.peer is not None and self.peer.transport == "udp":
            self._ground.keep_alive(self.peer, interval_s)

    # ------------------------------------------------------------------ telling

    def _tell(self) -> None:
        told = self.state, self.why
        if told != self._told:
            self._told = told
            self._log()
        self._changed()

    def _log(self) -> None:
        said = {"trunk": self.trunk.name, "at": self.trunk.register, "why": self.why}
        if self.state is State.REGISTERED:
            self.log.info("trunk {trunk} is registered as {at}", **said)
        elif self.state in (State.WAITING, State.REFUSED):
            self.log.warn("trunk {trunk} cannot be registered as {at}: {why}", **said)
        elif self.state is State.ENDED:
            self.log.info("trunk {trunk} is not registered as {at} any more", **said)


PASSWORD = " (user or password)"


class Registrations:
    """All of them.  `keep` gets what is shown, by the name of the trunk, after each change."""

    log = Logger()

    def __init__(
        self, ground: Ground, keep: Callable[[dict[str, dict[str, Any]]], None], forget_routes: Callable[[], None]
    ) -> None:
        self.running: dict[str, Registration] = {}
        self._ground = ground
        self._keep = keep
        self._forget_routes = forget_routes
        self._leaving: set[Registration] = set()
        self._keeping: IDelayedCall | None = None
        self._round = LoopingCall(self._look)
        self._round.clock = ground.reactor

    def adopt(self, trunks: Iterable[Trunk], secrets: Mapping[str, Secret]) -> None:
        """The trunks, or their passwords, have changed: register, register anew, unregister."""
        if not self._round.running:
            self._round.start(LOOK_S, now=False)
        wanted = {trunk.id: trunk for trunk in trunks if trunk.active and trunk.register}
        for gone in self.running.keys() - wanted.keys():
            self._stop(self.running.pop(gone))
        new = [trunk for trunk in wanted.values() if not self._goes_on(trunk, secrets.get(trunk.id))]
        for trunk in new:
            self._start(trunk, secrets.get(trunk.id), 0.0 if len(new) == 1 else SPREAD_S * self._ground.agent.chance())
        self._changed()

    def stop(self) -> Deferred[Any]:
        """Unregister everywhere; fires within LEAVE_S."""
        if self._round.running:
            self._round.stop()
        for registration in self.running.values():
            self._stop(registration)
        self.running.clear()
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        return DeferredList([registration.ended for registration in self._leaving])

    def gauges(self) -> dict[str, dict[str, float]]:
        return {"trunk_registered": {one.trunk.name: float(one.registered) for one in self.running.values()}}

    def _goes_on(self, trunk: Trunk, secret: Secret | None) -> bool:
        """True where the registration that runs will do, with the new password at once."""
        running = self.running.get(trunk.id)
        if running is None or _settings(running.trunk) != _settings(trunk):
            return False
        changed, running.trunk, running.secret = running.secret != secret, trunk, secret
        if changed:
            running.anew()
        return True

    def _start(self, trunk: Trunk, secret: Secret | None, after_s: float) -> None:
        """Once the one before has left: its farewell would unbind us too, for both have the same Contact."""
        before = self.running.pop(trunk.id, None)
        try:
            registration = Registration(trunk, secret, self._ground, self._changed)
        except RemoteError as error:
            self.log.error("trunk {trunk} cannot register as {at}: {error}", trunk=trunk.name, at=trunk.register, error=error)
            return
        self.running[trunk.id] = registration
        left = self._stop(before) if before is not None else succeed(None)
        left.addCallback(lambda _: registration.begin(after_s) if self.running.get(trunk.id) is registration else None)

    def _stop(self, registration: Registration) -> Deferred[None]:
        self._leaving.add(registration)
        return registration.stop().addCallback(lambda _: self._left(registration))

    def _left(self, registration: Registration) -> None:
        self._leaving.discard(registration)
        if registration.peer is not None and all(one.peer != registration.peer for one in self.running.values()):
            self._ground.keep_alive(registration.peer, 0.0)

    def _look(self) -> None:
        self._forget_routes()
        for registration in self.running.values():
            registration.look()

    def _changed(self) -> None:
        if self._keeping is None and self._round.running:
            self._keeping = self._ground.reactor.callLater(KEEP_S, self._write)

    def _write(self) -> None:
        self._keeping = None
        self._keep({one.trunk.name: one.shown() for one in self.running.values()})


def _settings(trunk: Trunk) -> tuple[str, str, int]:
    return trunk.register, trunk.register_user, trunk.register_expires_s
