"""A workspace, and the immutable picture of all of them that admission works from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did, Routes, routed
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk


@attrs.frozen
class Workspace:
    """One customer; `max_calls` at a time over all its trunks, None where only those of trunk and service count."""

    id: str
    name: str
    directory: Directory
    max_calls: int | None = None


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
