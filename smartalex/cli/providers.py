"""`smartalex providers`: what plugins are installed."""

from __future__ import annotations

import click

from smartalex.plugins import providers


@click.command()
def command() -> None:
    """List the installed plugins by the seam they fill."""
    for provider in sorted(providers(), key=lambda p: (p.seam, p.name)):
        click.echo(f"{provider.seam:<22} {provider.name:<16} {provider.description}")
