"""`smartalex export`: what tenants own, as one file."""

from __future__ import annotations

from pathlib import Path

import click

from smartalex.cli import document
from smartalex.cli.state import json_option, opened, show_json, state_options


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to (default: shown).")
@state_options
@json_option
def command(*, output: Path | None, state: str | None, config: str | None, as_json: bool) -> None:
    """Write workspaces, agents, trunks, DIDs and directories as one TOML file, for `smartalex apply`.

    Passwords are not in it; trunks that are there when it is applied keep theirs.
    """
    tenancy = opened(state, config).repository.tenancy()
    text = document.write(tenancy)
    if as_json:
        show_json(document.tree(tenancy))
    elif output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"written to {output}")
