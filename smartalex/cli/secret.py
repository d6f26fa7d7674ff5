"""`smartalex secret`: credentials we issue, and the key that seals them."""

from __future__ import annotations

import re
import time
from typing import Any, cast

import click

from smartalex.cli.state import json_option, opened, settings, settle, show_json, state_options
from smartalex.cli.trunks import trunk_named
from smartalex.errors import SmartAlexError
from smartalex.store import audit
from smartalex.store.engine import transaction
from smartalex.store.vault import Vault

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_S = 30 * 86_400


class Duration(click.ParamType[int]):
    """Seconds, written "90s", "30m", "24h" or "7d"."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"(\d{1,7})([smhd])", str(value))
        seconds = int(found[1]) * UNITS_S[found[2]] if found else 0
        if not 0 < seconds <= LONGEST_S:
            self.fail(f"{value!r} is no time of up to 30 days; write for example 24h, 30m or 7d", param, ctx)
        return seconds


@click.group()
def command() -> None:
    """Rotate a trunk's password, or the key that all secrets are sealed with."""


@command.command()
@click.argument("trunk")
@click.option("--overlap", type=Duration(), metavar="24h", help="The old password works for so long, too.")
@click.option("--now", "end", is_flag=True, help="Make no password; what is left of an earlier overlap ends.")
@state_options
@json_option
def rotate(trunk: str, *, overlap: int | None, end: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Make a new password for TRUNK and show it once; the old one stops working within a second, or after --overlap.

    \b
      smartalex secret rotate acme
      smartalex secret rotate acme --overlap 24h     then change it in the PBX, and:
      smartalex secret rotate acme --now
    """
    if overlap and end:
        raise click.UsageError("--overlap begins one, --now ends it; give one of them")
    here = opened(state, config)
    found = trunk_named(here.repository.tenancy(), trunk)
    if not found.digest:
        raise click.ClickException(
            f"trunk {found.name} has no password; give it one with: smartalex trunks set {found.name} --digest"
        )
    if end:
        ended = here.repository.end_overlap(found)
        settle(here)
        told = "has one password from now on" if ended else "had only one password"
        show_json({"trunk": found.name, "ended": ended}) if as_json else click.echo(f"trunk {found.name} {told}")
        return
    until = time.time() + overlap if overlap else 0.0
    password = here.repository.rotate(found, settings(state, config).sip.realm, until=until)
    settle(here)
    if as_json:
        until_too = {"old_password_until": until} if until else {}
        show_json({"trunk": found.name, "username": found.username, "password": password, **until_too})
        return
    click.echo(f"trunk {found.name}\n  username  {found.username}\n  password  {password}   (shown this once)")
    if until:
        click.echo(f"the old one works until {time.strftime('%Y-%m-%d %H:%M', time.localtime(until))} too, or until --now")


@command.command()
@state_options
@json_option
def rekey(state: str | None, config: str | None, *, as_json: bool) -> None:
    """Wrap the key of every secret with a new master key, while the platform runs; what was interrupted is gone on with.

    A key file is replaced, and kept as FILE.previous.  Of the keys in SMARTALEX_VAULT_KEY the first one wraps: restart the
    platform with "NEW,OLD", rekey with the same, leave OLD out at the next start.  At HashiCorp Vault it gets a new version.

    \b
      smartalex secret rekey
    """
    here = opened(state, config)
    vault = cast(Vault, here.repository.vault)
    try:
        count = vault.rekey()
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
    with transaction(here.repository.engine) as connection:
        audit.write(connection, here.repository.author, [("vault", vault.master.id, "rekeyed", {"secrets": count})])
    if as_json:
        show_json({"secrets": count, "key": vault.master.id})
    else:
        click.echo(f"{count} secrets are under {vault.master.id} now")
