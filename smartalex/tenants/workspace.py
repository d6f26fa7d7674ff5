"""A workspace, and the immutable picture of all of them that admission works from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from smartalex.tenants import hours
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did, Routes, dates, routed
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk


@attrs.frozen
class Workspace:
    """One customer; `max_calls` at a time over all its trunks, None where only those of trunk and service count.

    `max_duration_s` and `call_forwarding_number` are for agents with none of their own, `timezone` and `holidays`
    ("2026-12-25", or "12-25" for every year) for DIDs with hours, and for the directory.
    """

    id: str
    name: str
    directory: Directory
    max_calls: int | None = None
    max_duration_s: int = 300
    call_forwarding_number: str = ""
    timezone: str = "UTC"
    holidays: tuple[str, ...] = attrs.field(default=(), converter=dates)

    def open_at(self, did: Did, now: float) -> bool:
        """Whether the hours of this DID are open at `now` (Unix seconds)."""
        return not did.hours or hours.open_at(did.hours, did.timezone or self.timezone, did.holidays or self.holidays, now)

    def available(self, extension: Extension, now: float) -> bool:
        """Whether callers may be put through at `now` (Unix seconds)."""
        return hours.open_at(extension.availability, self.timezone, self.holidays, now)

    def settled(self, agent: Agent) -> Agent:
        """The agent with what it leaves to its workspace."""
        if agent.max_duration_s and (agent.call_forwarding_number or not self.call_forwarding_number):
            return agent
        return attrs.evolve(
            agent,
            max_duration_s=agent.max_duration_s or self.max_duration_s,
            call_forwarding_number=agent.call_forwarding_number or self.call_forwarding_number,
        )


NO_ROUTES = Routes()


@attrs.frozen
class Tenancy:
    """Everything tenants own, read from the store at one revision; replaced as a whole, never changed.

    By id each, `routes` by the id of the trunk (Dids are taken too): nothing that a call needs is searched for.
    """

    revision: int
    workspaces: Mapping[str, Workspace]
    trunks: Mapping[str, Trunk]
    routes: Mapping[str, Routes] = attrs.field(converter=routed)
    agents: Mapping[str, Agent]

    @property
    def dids(self) -> Iterator[Did]:
        """All of them, trunk by trunk."""
        return (did for routes in self.routes.values() for did in routes)

    def routes_of(self, trunk_id: str) -> Routes:
        return self.routes.get(trunk_id, NO_ROUTES)
