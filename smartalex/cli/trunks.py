"""`smartalex trunks`: which PBXs may call, and as whom."""

from __future__ import annotations

import json

import attrs
import click

from smartalex.cli.options import json_option, opened, state_options
from smartalex.cli.table import table
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy

HEADINGS = ("TRUNK", "USERNAME", "PBX DOMAIN", "AUTH", "CODECS", "LIMIT", "NUMBERS")


@click.group(invoke_without_command=True)
@json_option
@state_options
@click.pass_context
def trunks(context: click.Context, as_json: bool, state: str | None, config: str | None) -> None:
    """The PBXs that may call."""
    if context.invoked_subcommand is None:
        show_list(as_json, state, config)


@trunks.command("list")
@json_option
@state_options
def list_command(as_json: bool, state: str | None, config: str | None) -> None:
    """With the numbers that lead in through them."""
    show_list(as_json, state, config)


def show_list(as_json: bool, state: str | None, config: str | None) -> None:
    with opened(state, config) as (_, found):
        tenancy = found.repository.tenancy()
    if as_json:
        for trunk in tenancy.trunks.values():
            click.echo(
                json.dumps(
                    {**attrs.asdict(trunk), "numbers": {d.number: d.agent_id for d in tenancy.dids if d.trunk_id == trunk.id}}
                )
            )
    elif tenancy.trunks:
        click.echo(table(HEADINGS, [line(trunk, tenancy) for trunk in tenancy.trunks.values()]))
    else:
        click.echo("no trunks")


def line(trunk: Trunk, tenancy: Tenancy) -> tuple[str, ...]:
    numbers = ", ".join(did.number for did in tenancy.dids if did.trunk_id == trunk.id)
    limit = f"{trunk.max_calls} calls" if trunk.active else "suspended"
    return (trunk.name, trunk.username or "-", trunk.pbx_domain, trunk.auth, " ".join(trunk.codecs), limit, numbers or "-")
