"""`smartalex secret`: credentials we issue."""

from __future__ import annotations

import json
import time

import click

from smartalex.cli.state import opened, state_options
from smartalex.config import load
from smartalex.store.state import running


@click.group()
def command() -> None:
    """Rotate a trunk's password."""


@command.command()
@click.argument("trunk")
@state_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def rotate(trunk: str, state: str | None, config: str | None, as_json: bool) -> None:
    """Make a new password for TRUNK and show it once; the old one stops working."""
    here = opened(state, config)
    found = here.repository.trunk_named(trunk)
    if found is None:
        raise click.ClickException(f"there is no trunk {trunk!r}; list them with: smartalex trunks")
    password = here.repository.rotate(found, load(config).sip.realm)
    if running(here.folder):
        time.sleep(1.0)  # the service looks for changes twice a second
    if as_json:
        click.echo(json.dumps({"trunk": trunk, "username": found.username, "password": password}))
    else:
        click.echo(f"trunk {trunk}\n  username  {found.username}\n  password  {password}   (shown this once)")
