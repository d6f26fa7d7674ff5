"""`smartalex messages`: what callers left."""

from __future__ import annotations

import time

import click

from smartalex.cli.state import opened, state_options


@click.command()
@state_options
def command(state: str | None, config: str | None) -> None:
    """List messages, newest first, with their WAV files."""
    rows = opened(state, config).repository.messages()
    if not rows:
        click.echo("no messages")
    for row in rows:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["at"]))
        click.echo(
            f"{at}  {row['caller'] or '-':<16} for {row['for_name'] or 'anybody':<18} {row['duration_ms'] / 1000:>6.1f} s  {row['path']}"
        )
