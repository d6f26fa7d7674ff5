"""`smartalex providers`: what is installed."""

from __future__ import annotations

import json

import click

from smartalex.cli.options import json_option
from smartalex.cli.table import table
from smartalex.plugins import providers as installed


@click.command()
@json_option
def providers(as_json: bool) -> None:
    """What is installed: voice agents, recognisers, authenticators and so on, by seam."""
    found = sorted(installed(), key=lambda provider: (provider.seam, provider.name))
    if as_json:
        for provider in found:
            click.echo(json.dumps({"seam": provider.seam, "name": provider.name, "description": provider.description}))
    else:
        click.echo(table(("SEAM", "NAME", "WHAT IT IS"), [(p.seam, p.name, p.description) for p in found]))
