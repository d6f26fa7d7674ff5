"""`smartalex messages`: what callers left."""

from __future__ import annotations

import click

from smartalex.cli.state import columns, json_option, opened, show_json, state_options
from smartalex.cli.story import when


@click.command()
@state_options
@json_option
def command(state: str | None, config: str | None, as_json: bool) -> None:
    """List the messages callers left, newest first, with their WAV files.

    \b
      smartalex messages
    """
    rows = opened(state, config).repository.records.messages()
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no messages")
    else:
        cells = [
            (
                when(row["at"]),
                row["caller"] or "-",
                row["for_name"] or "anybody",
                f"{row['duration_ms'] / 1000:.1f} s",
                row["path"],
            )
            for row in rows
        ]
        for line in columns([("LEFT", "CALLER", "FOR", "LASTS", "FILE"), *cells]):
            click.echo(line)
