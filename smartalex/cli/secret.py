"""`smartalex secret`: SIP credentials, shown once."""

from __future__ import annotations

import json
from time import sleep

import click

from smartalex.cli.options import json_option, opened, state_options
from smartalex.errors import LocalError
from smartalex.store.credentials import rotate as issue_anew
from smartalex.store.state import running_pid

NOTICED_S = 1.0
"""A running service looks for changes twice a second."""


@click.group()
def secret() -> None:
    """Issue new SIP credentials."""


@secret.command()
@click.argument("trunk")
@json_option
@state_options
def rotate(trunk: str, as_json: bool, state: str | None, config: str | None) -> None:
    """A new password for a trunk, shown now and never again; the old one is void from now on."""
    with opened(state, config) as (loaded, found):
        try:
            issued = issue_anew(found.repository, found.vault, loaded.sip.realm, trunk)
        except LookupError:
            known = ", ".join(t.name for t in found.repository.tenancy().trunks.values()) or "none"
            raise LocalError(f"there is no trunk {trunk}; there are: {known}") from None
        if running_pid(found.folder) is not None:
            sleep(NOTICED_S)
    password = issued.password.reveal()
    if as_json:
        click.echo(json.dumps({"trunk": issued.trunk, "username": issued.username, "password": password}))
    else:
        click.echo(f"trunk     {issued.trunk}\nusername  {issued.username}\npassword  {password}")
        click.echo("\nType these into the PBX now: the password is kept nowhere.", err=True)
