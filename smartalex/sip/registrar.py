"""The registrar: REGISTERs of those who may, kept as bindings and answered with them (RFC 3261 10.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.bindings import Binding, Limits, Register, updated
from smartalex.sip.layer import ServerTransaction
from smartalex.sip.message import Request, Response, response_to
from smartalex.sip.ua import UserAgent

OPTIONS = ("outbound", "path")
"""Option tags that a REGISTER may require."""


class Policy(Protocol):
    def whose(self, request: Request) -> str:
        """The key under which the bindings of this REGISTER are kept; raises RemoteError when it may not have any."""
        ...

    def bound(self, key: str, before: tuple[Binding, ...], after: tuple[Binding, ...]) -> None:
        """They were changed, or refreshed."""


class Registrar:
    """`wall` is in Unix seconds; `bindings` may hold some that have run out, `of` does not."""

    def __init__(
        self, agent: UserAgent, policy: Policy, wall: Callable[[], float], counters: ICounters, limits: Limits | None = None
    ) -> None:
        self.bindings: dict[str, tuple[Binding, ...]] = {}
        self._agent = agent
        self._policy = policy
        self._wall = wall
        self._counters = counters
        self._limits = limits or Limits()
        agent.handlers["REGISTER"] = self._asked
        agent.extensions["REGISTER"] = frozenset(OPTIONS)

    def of(self, key: str) -> tuple[Binding, ...]:
        """Those that are alive, the one refreshed last at the end."""
        now = self._wall()
        return tuple(binding for binding in self.bindings.get(key, ()) if binding.expires_at > now)

    def prune(self) -> list[str]:
        """Forget what has run out; the keys that it leaves with less."""
        shorter = [key for key, bindings in self.bindings.items() if len(self.of(key)) < len(bindings)]
        for key in shorter:
            self._keep(key, self.of(key))
        return shorter

    def forget(self, key: str) -> None:
        self.bindings.pop(key, None)

    def _asked(self, transaction: ServerTransaction, request: Request) -> None:
        try:
            self._register(transaction, request)
        except RemoteError as error:
            self._counters.count("register.challenged" if error.status == 401 else "register.refused", str(error.status))
            raise
        self._counters.count("register.accepted")

    def _register(self, transaction: ServerTransaction, request: Request) -> None:
        key = self._policy.whose(request)
        register = Register.of(request, self._limits)
        before = self.of(key)
        after = updated(before, register, request.source or transaction.peer, self._wall(), self._limits)
        if after != before:
            self._keep(key, after)
            self._policy.bound(key, before, after)
        transaction.respond(self._accepted(request, register, after))

    def _keep(self, key: str, bindings: tuple[Binding, ...]) -> None:
        if bindings:
            self.bindings[key] = bindings
        else:
            self.forget(key)

    def _accepted(self, request: Request, register: Register, bindings: tuple[Binding, ...]) -> Response:
        now = self._wall()
        headers = [("Contact", binding.shown(now)) for binding in bindings]
        headers += [("Path", value) for value in register.path]
        headers += [("Require", "outbound")] if register.outbound else []
        headers.append(("Supported", ", ".join(OPTIONS)))
        answer = response_to(request, 200, to_tag=self._agent.token(), headers=headers)
        answer.headers.remove("Record-Route")  # it means nothing here (RFC 3261 10.3)
        return answer
