"""`smartalex secret`: credentials we issue."""

from __future__ import annotations

import click

from smartalex.cli.state import json_option, opened, settings, settle, show_json, state_options
from smartalex.cli.trunks import trunk_named


@click.group()
def command() -> None:
    """Rotate a trunk's password."""


@command.command()
@click.argument("trunk")
@state_options
@json_option
def rotate(trunk: str, state: str | None, config: str | None, as_json: bool) -> None:
    """Make a new password for TRUNK and show it once; the old one stops working within a second.

    \b
      smartalex secret rotate acme
    """
    here = opened(state, config)
    found = trunk_named(here.repository.tenancy(), trunk)
    if not found.digest:
        raise click.ClickException(
            f"trunk {found.name} has no password; give it one with: smartalex trunks set {found.name} --digest"
        )
    password = here.repository.rotate(found, settings(state, config).sip.realm)
    settle(here)
    if as_json:
        show_json({"trunk": found.name, "username": found.username, "password": password})
    else:
        click.echo(f"trunk {found.name}\n  username  {found.username}\n  password  {password}   (shown this once)")
