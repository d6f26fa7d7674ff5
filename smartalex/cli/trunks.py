"""`smartalex trunks`: who may call."""

from __future__ import annotations

import click

from smartalex.cli.state import opened, state_options


@click.command()
@state_options
def command(state: str | None, config: str | None) -> None:
    """List the trunks."""
    tenancy = opened(state, config).repository.tenancy()
    for trunk in tenancy.trunks.values():
        dids = " ".join(did.number for did in tenancy.dids if did.trunk_id == trunk.id)
        by = trunk.username if trunk.auth == "digest" else " ".join(trunk.allowed_sources)
        status = "active" if trunk.active else "suspended"
        click.echo(f"{trunk.name:<12} {status:<10} {trunk.auth:<13} {by:<18} {trunk.pbx_domain:<24} {trunk.max_calls:>5} calls  DIDs {dids}")
