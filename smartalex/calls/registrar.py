"""PBXs that register to us: whose REGISTER it is, where each trunk can be reached because of it, and bindings that survive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.calls.admission import Admission, Refused
from smartalex.errors import RemoteError
from smartalex.interfaces import AuthAttempt, ICounters
from smartalex.sip.bindings import Binding
from smartalex.sip.dialog import is_address
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import Refusal
from smartalex.sip.message import Request
from smartalex.sip.registrar import Registrar
from smartalex.sip.ua import UserAgent
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk

KEEP_S = 1.0
PRUNE_S = 15.0
PORTS = {"tcp": 5060, "tls": 5061}

Row = dict[str, Any]
Keep = Callable[[Mapping[str, list[Row]]], Deferred[Any]]
"""Replaces what is stored of these trunks."""


@attrs.frozen
class Clocks:
    """Unix seconds, and the monotonic ones that nonces are dated by."""

    wall: Callable[[], float]
    now: Callable[[], float]


@attrs.frozen
class Way:
    """How a registered contact is reached: the Request-URI, the peer, and the Route headers."""

    uri: Uri
    peer: Peer
    route: tuple[tuple[str, str], ...] = ()


class TrunkBindings:
    """`keep` is called with what changed, at most once in KEEP_S; `authenticated` with the address of each who may register."""

    log = Logger()

    def __init__(  # noqa: PLR0917 (the service names them all)
        self, reactor: Any, agent: UserAgent, admission: Admission, clocks: Clocks, counters: ICounters, keep: Keep
    ) -> None:
        self.authenticated: Callable[[str], None] = lambda host: None
        self._reactor = reactor
        self._agent = agent
        self._admission = admission
        self._clocks = clocks
        self._keep = keep
        self._registrar = Registrar(agent, self, clocks.wall, counters)
        self._changed: set[str] = set()
        self._keeping: IDelayedCall | None = None
        self._written: Deferred[Any] = succeed(None)
        self._pruning = LoopingCall(self._prune)
        self._pruning.clock = reactor
        self._place()

    # ------------------------------------------------------------------ life

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """What was kept; what cannot be read is dropped."""
        kept: dict[str, list[Binding]] = {}
        for row in rows:
            try:
                kept.setdefault(row["trunk"], []).append(_binding(row))
            except (RemoteError, ValueError) as error:
                self.log.warn("a binding of trunk {trunk} is lost: {error}", trunk=row["trunk"], error=error)
        self._registrar.bindings.update((trunk, tuple(bindings)) for trunk, bindings in kept.items())
        self._place()

    def start(self) -> None:
        self._pruning.start(PRUNE_S)

    def adopt(self) -> None:
        """The trunks have changed: those that are gone have no bindings."""
        for gone in self._registrar.bindings.keys() - self._admission.tenancy.trunks.keys():
            self._registrar.forget(gone)
        self._place()

    def stop(self) -> Deferred[Any]:
        """Fires when everything is kept."""
        if self._pruning.running:
            self._pruning.stop()
        if self._keeping is not None:
            self._keeping.cancel()
            self._write()
        return self._written

    # ------------------------------------------------------------------ who can be reached, and where

    def bindings(self, trunk_id: str) -> tuple[Binding, ...]:
        """Best first: by q, then the one that was refreshed last."""
        return tuple(sorted(reversed(self._registrar.of(trunk_id)), key=lambda binding: -binding.q))

    def ways(self, trunk_id: str) -> tuple[Way, ...]:
        """To the PBX of this trunk, best first; contacts whose connection is gone and that have no address are left out."""
        ways = ((binding, self._peer(binding)) for binding in self.bindings(trunk_id))
        return tuple(
            Way(binding.uri, peer, tuple(("Route", value) for value in binding.path))
            for binding, peer in ways
            if peer is not None
        )

    def peers(self, trunk_id: str) -> tuple[Peer, ...]:
        return tuple(way.peer for way in self.ways(trunk_id))

    def at(self, peer: Peer) -> tuple[str, ...]:
        """The trunks whose PBX has registered from just there, over the same connection; behind a proxy it could be anybody."""
        found = self._placed.get(peer, ())
        return tuple(key for key in found if any(one.peer == peer and not one.path for one in self._registrar.of(key)))

    def _place(self) -> None:
        self._placed: dict[Peer, tuple[str, ...]] = {}
        for key, bindings in self._registrar.bindings.items():
            self._add(key, bindings)

    def _add(self, key: str, bindings: Iterable[Binding]) -> None:
        for binding in bindings:
            known = self._placed.get(binding.peer, ())
            if key not in known:
                self._placed[binding.peer] = (*known, key)

    def gauges(self) -> dict[str, dict[str, float]]:
        trunks = self._admission.tenancy.trunks
        known = {trunks[key].name: float(len(self._registrar.of(key))) for key in self._registrar.bindings if key in trunks}
        return {"trunk_contacts": known}

    def _peer(self, binding: Binding) -> Peer | None:
        """Where its REGISTER came from, for a NAT lets nothing else in; over a stream only as long as that is up."""
        peer = binding.peer
        if peer.transport == "udp" or self._agent.connected(peer):
            return peer
        uri = NameAddr.parse(binding.path[0]).uri if binding.path else binding.uri
        if peer.transport not in PORTS or not is_address(uri.host):
            return None
        return Peer(peer.transport, uri.host.strip("[]"), uri.port or PORTS[peer.transport])

    # ------------------------------------------------------------------ the registrar's policy

    def whose(self, request: Request) -> str:
        """The trunk's id.  What may be registered is its username or its name; of any other nobody learns whether it exists."""
        if not self._admission.open:
            raise Refusal(503, ("Retry-After", "30"))
        source = request.source
        assert source is not None
        attempt = AuthAttempt(
            "REGISTER", request.uri, source.host, source.transport, tuple(request.headers.get_all("Authorization")),
            self._clocks.now(), port=source.port, header=request.headers.get,
        )  # fmt: skip
        verdict = self._admission.verdict(attempt)
        if isinstance(verdict, Refused):
            raise Refusal(verdict.status, ("Retry-After", str(verdict.retry_after_s)))
        if verdict.challenges:
            raise Refusal(401, *(("WWW-Authenticate", challenge) for challenge in verdict.challenges))
        known = self._admission.tenancy.trunks
        trunks = [known[key] for key in (verdict.trunk_id or "", *verdict.others) if key in known]
        may = [trunk for trunk in trunks if trunk.active and self._certified(trunk, source)]
        if not may:
            raise Refusal(403)
        self.authenticated(source.host)
        user = request.to.uri.user_text.lower()
        named = [trunk for trunk in may if user in (trunk.username.lower(), trunk.name.lower())]
        if request.to.uri.scheme not in ("sip", "sips") or not named or not user:
            raise Refusal(404)
        return named[0].id

    def _certified(self, trunk: Trunk, source: Peer) -> bool:
        return not trunk.client_certificate or trunk.client_certificate.lower() in self._agent.certificate_names(source)

    def bound(self, key: str, before: tuple[Binding, ...], after: tuple[Binding, ...]) -> None:
        if len(before) != len(after):
            self._tell(key, len(after))
        self._add(key, after)
        self._note(key)

    # ------------------------------------------------------------------ keeping

    def _prune(self) -> None:
        shorter = self._registrar.prune()
        if shorter or len(self._placed) > 2 * sum(map(len, self._registrar.bindings.values())):
            self._place()
        for key in shorter:
            self._tell(key, len(self._registrar.of(key)))
            self._note(key)

    def _tell(self, key: str, count: int) -> None:
        trunk = self._admission.tenancy.trunks.get(key)
        name = trunk.name if trunk else key
        self.log.info("trunk {name}: contacts that its PBX has registered: {count}", name=name, count=count)

    def _note(self, key: str) -> None:
        self._changed.add(key)
        if self._keeping is None:
            self._keeping = self._reactor.callLater(KEEP_S, self._write)

    def _write(self) -> None:
        """One after the other, so that what is older never comes last."""
        self._keeping = None
        changed, self._changed = self._changed & self._admission.tenancy.trunks.keys(), set()
        rows = {key: [_row(key, binding) for binding in self._registrar.of(key)] for key in changed}
        self._written.addCallback(lambda _: self._keep(rows)).addErrback(self._not_written, changed)

    def _not_written(self, failure: Failure, changed: set[str]) -> None:
        self.log.error("bindings are not kept over a restart: {why}", why=failure.getErrorMessage())
        if self._pruning.running:
            for key in changed:
                self._note(key)


def _row(trunk: str, binding: Binding) -> Row:
    """As the store has it; the flow is part of `contact`, for two flows may share a URI."""
    peer = binding.peer
    return {
        "trunk": trunk, "contact": str(NameAddr("", binding.uri, binding.flow)), "path": list(binding.path),
        "params": [list(param) for param in binding.params], "source": f"{peer.transport} {peer.host} {peer.port}",
        "call_id": binding.call_id, "cseq": binding.cseq, "expires_at": binding.expires_at,
    }  # fmt: skip


def _binding(row: Mapping[str, Any]) -> Binding:
    """Raises RemoteError or ValueError for what was not written by us."""
    transport, host, port = row["source"].split(" ")
    params = tuple((name, value) for name, value in row["params"])
    uri = NameAddr.parse(row["contact"]).uri
    peer = Peer(transport, host, int(port))
    return Binding(uri, params, tuple(row["path"]), peer, row["call_id"], row["cseq"], row["expires_at"])
