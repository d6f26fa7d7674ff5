"""`smartalex dids`: which number leads to which agent."""

from __future__ import annotations

import click

from smartalex.cli.state import columns, json_option, opened, settle, show_json, state_options, unknown
from smartalex.cli.trunks import trunk_named
from smartalex.cli.values import Number
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.workspace import Tenancy


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, as_json: bool) -> None:
    """List the numbers that are answered, or add and remove one.

    A call to a number that is not on its trunk's list is refused (404) and shown by: smartalex calls --refused

    \b
      smartalex dids add +27215550100 --trunk office --agent alex
    """
    if context.invoked_subcommand is not None:
        return
    tenancy = opened(state, config).repository.tenancy()
    rows = [_described(did, tenancy) for did in tenancy.dids]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no numbers yet; add one with: smartalex dids add NUMBER --trunk NAME --agent NAME")
    else:
        for line in columns([("NUMBER", "TRUNK", "AGENT"), *(tuple(row.values()) for row in rows)]):
            click.echo(line)


@command.command()
@click.argument("number", type=Number())
@click.option("--trunk", required=True, metavar="NAME", help="The trunk whose calls may dial it.")
@click.option("--agent", required=True, metavar="NAME", help="The agent that answers.")
@state_options
@json_option
def add(number: str, trunk: str, agent: str, *, state: str | None, config: str | None, as_json: bool) -> None:
    """Let calls of a trunk to NUMBER reach an agent; a number that is there already leads to this agent from now on.

    NUMBER is written as it stands in the INVITE's Request-URI.

    \b
      smartalex dids add +27215550100 --trunk office --agent alex
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = trunk_named(tenancy, trunk)
    did = Did(number, owner.id, _agent_named(tenancy, agent, owner.workspace_id).id)
    before = tenancy.routes_of(owner.id).written(number)
    here.repository.put_did(did)
    settle(here)
    if as_json:
        show_json(_described(did, tenancy))
        return
    row = _described(did, tenancy)
    was = f" (it was {_described(before, tenancy)['agent']})" if before and before.agent_id != did.agent_id else ""
    click.echo(f"{row['number']} of trunk {row['trunk']} leads to {row['agent']}{was}")


@command.command()
@click.argument("number")
@click.option("--trunk", metavar="NAME", help="Needed when several trunks have it.")
@state_options
@json_option
def remove(number: str, *, trunk: str | None, state: str | None, config: str | None, as_json: bool) -> None:
    """Take NUMBER off its trunk; calls to it are refused from now on.

    \b
      smartalex dids remove +27215550100
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = trunk_named(tenancy, trunk) if trunk else None
    mine = [did for did in tenancy.dids if owner is None or did.trunk_id == owner.id]
    found = [did for did in mine if did.number.lower() == number.lower()]
    if not found:
        raise unknown(
            "number", number, {did.number for did in mine}, "add one with: smartalex dids add NUMBER --trunk NAME --agent NAME"
        )
    if len(found) > 1:
        trunks = ", ".join(sorted(tenancy.trunks[did.trunk_id].name for did in found))
        raise click.UsageError(f"several trunks have {number}: {trunks}; give --trunk NAME")
    here.repository.remove_did(found[0])
    settle(here)
    row = _described(found[0], tenancy)
    if as_json:
        show_json({"removed": row["number"], "trunk": row["trunk"]})
    else:
        click.echo(f"{row['number']} is taken off trunk {row['trunk']}")


def _described(did: Did, tenancy: Tenancy) -> dict[str, str]:
    return {"number": did.number, "trunk": tenancy.trunks[did.trunk_id].name, "agent": tenancy.agents[did.agent_id].name}


def _agent_named(tenancy: Tenancy, name: str, workspace_id: str) -> Agent:
    agents = [agent for agent in tenancy.agents.values() if agent.workspace_id == workspace_id]
    for agent in agents:
        if name.lower() in (agent.name.lower(), agent.id.lower()):
            return agent
    raise unknown("agent", name, (agent.name for agent in agents), "agents belong to workspaces")
