"""Whether each trunk's PBX, and each region, is there: an OPTIONS now and then, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any

import attrs
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from smartalex.calls.registrar import Way
from smartalex.interfaces import ICounters
from smartalex.sip.asking import Outside
from smartalex.sip.headers import NameAddr
from smartalex.sip.message import Response
from smartalex.sip.ua import UserAgent
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk

PORT = 5060
FAILURES_TO_DOWN = 2
WHY = {"timeout": "no answer", "transport": "cannot be reached"}


@attrs.define
class Health:
    """One PBX: `state` is 'unknown', 'up' or 'down'; `latency_s` of the last answer; `detail` says why it is down."""

    state: str = "unknown"
    latency_s: float | None = None
    detail: str = ""
    _failures: int = 0

    def answered(self, latency_s: float) -> bool:
        """True when that changes the state."""
        was, self.state, self.latency_s, self.detail, self._failures = self.state, "up", latency_s, "", 0
        return was != "up"

    def failed(self, why: str) -> bool:
        """True when that changes the state: one lost OPTIONS is no news."""
        self._failures += 1
        if self._failures < FAILURES_TO_DOWN:
            return False
        was, self.state, self.latency_s, self.detail = self.state, "down", None, why
        return was != "down"

    def shown(self) -> dict[str, Any]:
        latency = None if self.latency_s is None else round(self.latency_s * 1000, 1)
        return {"state": self.state, "latency_ms": latency, "detail": self.detail}


Targets = Mapping[str, tuple[Uri | None, Sequence[Way]]]
"""By name: the URI to ask, or else the ways to it, best first."""


class Probes:
    """Asks each of `targets()` every `interval_s`; `keep` gets everything known, by name, after each change.

    `what` they are is for the log, `kind` for counters and gauges.
    """

    log = Logger()
    what, kind = "", ""

    def __init__(
        self,
        reactor: Any,
        agent: UserAgent,
        targets: Callable[[], Targets],
        counters: ICounters,
        keep: Callable[[dict[str, dict[str, Any]]], None],
    ) -> None:
        self.known: dict[str, Health] = {}
        self._reactor = reactor
        self._agent = agent
        self._targets = targets
        self._counters = counters
        self._keep = keep
        self._round = LoopingCall(self.ask)
        self._round.clock = reactor

    def start(self, interval_s: float) -> None:
        self._round.start(interval_s)

    def stop(self) -> None:
        if self._round.running:
            self._round.stop()

    def ask(self) -> None:
        """One round."""
        asked = self._targets()
        self._forget(self.known.keys() - asked.keys())
        for name, (uri, ways) in asked.items():
            self.known.setdefault(name, Health())
            if uri is not None:
                self._look_up(name, uri)
            else:
                self._send(name, ways[0])

    def _forget(self, names: Set[str]) -> None:
        for gone in names:
            del self.known[gone]
        if names:
            self._changed()

    def _look_up(self, name: str, uri: Uri) -> None:
        self._agent.locate(uri).addCallbacks(
            lambda peers: self._send(name, Way(uri, peers[0])), lambda failure: self._failed(name, failure.getErrorMessage())
        ).addErrback(
            lambda failure: self.log.failure("asking {what} {name} for its options failed", failure, what=self.what, name=name)
        )

    def gauges(self) -> dict[str, dict[str, float]]:
        """By name; one that was never heard nor given up is left out."""
        up = {name: float(one.state == "up") for name, one in self.known.items() if one.state != "unknown"}
        latency = {name: round(one.latency_s, 4) for name, one in self.known.items() if one.latency_s is not None}
        return {f"{self.kind}_up": up, f"{self.kind}_latency_seconds": latency}

    def _send(self, name: str, way: Way) -> None:
        asked_at = self._reactor.seconds()
        us, them = NameAddr("", Uri.parse(self._agent.contact_at(way.peer, "smartalex"))), NameAddr("", way.uri)
        headers = (*way.route, ("Accept", "application/sdp"))
        self._agent.ask(
            Outside("OPTIONS", way.uri, us, them, headers, contact_user="smartalex"),
            (way.peer,),
            partial(self._answered, name, asked_at),
            lambda why: self._failed(name, WHY.get(why, why)),
        )

    def _answered(self, name: str, asked_at: float, response: Response) -> None:
        """Any answer is one, but 503: it is there and cannot serve (RFC 3261 21.5.4)."""
        if response.status == 503:
            self._failed(name, "answers 503 Service Unavailable")
        elif name in self.known and self.known[name].answered(self._reactor.seconds() - asked_at):
            self.log.info("{what} {name} is up", what=self.what, name=name)
            self._changed()

    def _failed(self, name: str, why: str) -> None:
        self._counters.count(f"{self.kind}.unanswered")
        if name in self.known and self.known[name].failed(why):
            self.log.warn("{what} {name} is down: {why}", what=self.what, name=name, why=why)
            self._changed()

    def _changed(self) -> None:
        self._keep({name: health.shown() for name, health in self.known.items()})


class TrunkHealth(Probes):
    """A trunk without a domain of its own is asked where it has registered from, if it has: `ways(trunk_id)`, best first."""

    what, kind = "the PBX of trunk", "trunk"

    def __init__(
        self,
        reactor: Any,
        agent: UserAgent,
        trunks: Callable[[], Iterable[Trunk]],
        counters: ICounters,
        keep: Callable[[dict[str, dict[str, Any]]], None],
    ) -> None:
        super().__init__(reactor, agent, self._of_trunks, counters, keep)
        self.ways: Callable[[str], Sequence[Way]] = lambda trunk_id: ()
        self._trunks = trunks

    def _of_trunks(self) -> Targets:
        active = [(trunk, self.ways(trunk.id)) for trunk in self._trunks() if trunk.active]
        return {
            trunk.name: (Uri.parse(f"sip:{trunk.pbx_domain}") if trunk.pbx_domain else None, ways)
            for trunk, ways in active
            if trunk.pbx_domain or ways
        }


class RegionHealth(Probes):
    """The nodes of the other regions.  Who has not answered by the next round has failed, however long SIP would wait."""

    what, kind = "region", "region"

    def __init__(
        self,
        reactor: Any,
        agent: UserAgent,
        nodes: Mapping[str, str],
        counters: ICounters,
        keep: Callable[[dict[str, dict[str, Any]]], None],
    ) -> None:
        """`nodes`: their SIP URIs by region."""
        targets: Targets = {name: (Uri.parse(uri), ()) for name, uri in nodes.items()}
        super().__init__(reactor, agent, lambda: targets, counters, keep)
        self._waiting: set[str] = set()

    def up(self, name: str) -> bool:
        """Until it is known to be down."""
        found = self.known.get(name)
        return found is None or found.state != "down"

    def ask(self) -> None:
        late, self._waiting = self._waiting, set(self._targets())
        for name in late:
            super()._failed(name, WHY["timeout"])
        super().ask()

    def _answered(self, name: str, asked_at: float, response: Response) -> None:
        super()._answered(name, asked_at, response)
        self._waiting.discard(name)

    def _failed(self, name: str, why: str) -> None:
        if name in self._waiting:
            self._waiting.discard(name)
            super()._failed(name, why)
