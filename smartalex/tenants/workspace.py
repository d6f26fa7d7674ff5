"""A workspace, and the immutable picture of all of them that admission works from."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk


@attrs.frozen
class Workspace:
    """One customer; `max_calls` at a time over all its trunks, None where only those of trunk and service count."""

    id: str
    name: str
    directory: Directory
    max_calls: int | None = None


@attrs.frozen
class Tenancy:
    """Everything tenants own, read from the store at one revision; replaced as a whole, never changed."""

    revision: int
    workspaces: Mapping[str, Workspace]
    trunks: Mapping[str, Trunk]
    dids: tuple[Did, ...]
    agents: Mapping[str, Agent]
