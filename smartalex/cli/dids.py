"""`smartalex dids`: which number leads to which agent, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import click

from smartalex.cli.agents import agent_named, new_id
from smartalex.cli.state import (
    columns,
    confirmed,
    json_option,
    opened,
    settle,
    show_json,
    state_options,
    unknown,
    yes_option,
)
from smartalex.cli.trunks import trunk_named
from smartalex.cli.values import Day, Hours, Number, TimeZone
from smartalex.store.state import State
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy

NOTICE = "notice"
"""The backend that says its first message and then takes a message."""


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.option("--trunk", metavar="NAME", help="Of this trunk only.")
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, trunk: str | None, as_json: bool) -> None:
    """List the numbers that are answered, or add, change and remove one.

    A call to a number that is not on its trunk's list is refused (404) and shown by: smartalex calls --refused

    \b
      smartalex dids add +27215550100 --trunk office --agent alex
      smartalex dids add '+2721555*' --trunk office --agent alex          # all that begin so, but for those that are listed
      smartalex dids add '*' --trunk office --agent alex                  # all others
    """
    if context.invoked_subcommand is None:
        show_all(state, config, trunk, as_json)


@command.command("list")
@click.option("--trunk", metavar="NAME", help="Of this trunk only.")
@state_options
@json_option
def listing(state: str | None, config: str | None, *, trunk: str | None, as_json: bool) -> None:
    """List the numbers, as the command alone does."""
    show_all(state, config, trunk, as_json)


def show_all(state: str | None, config: str | None, trunk: str | None, as_json: bool) -> None:
    tenancy = opened(state, config).repository.tenancy()
    rows = [described(did, tenancy) for did in (tenancy.routes_of(trunk_named(tenancy, trunk).id) if trunk else tenancy.dids)]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no numbers yet; add one with: smartalex dids add NUMBER --trunk NAME --agent NAME")
    else:
        for line in columns([("NUMBER", "TRUNK", "AGENT", "HOURS", "CLOSED"), *(_cells(row) for row in rows)]):
            click.echo(line)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    zone = f" ({row['timezone']})" if row["timezone"] else ""
    return (
        row["number"],
        row["trunk"],
        row["agent"],
        f"{row['hours']}{zone}" if row["hours"] else "always",
        row["closed_agent"] or "-",
    )


def described(did: Did, tenancy: Tenancy) -> dict[str, Any]:
    """A number as --json shows it."""
    closed = tenancy.agents.get(did.closed_agent_id)
    return {
        "number": did.number, "trunk": tenancy.trunks[did.trunk_id].name, "agent": tenancy.agents[did.agent_id].name,
        "hours": did.hours, "timezone": did.timezone, "holidays": list(did.holidays),
        "closed_agent": closed.name if closed else "",
    }  # fmt: skip


OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--closed-message",
        metavar="TEXT",
        help="What callers hear out of hours, before they may leave a message: makes an agent.",
    ),
    click.option("--closed-agent", metavar="NAME", help="The agent that answers out of hours."),
    click.option(
        "--holiday",
        "holidays",
        multiple=True,
        type=Day(),
        metavar="DAY",
        help="2026-12-25, or 12-25 for every year, instead of the workspace's holidays; repeatable.",
    ),
    click.option("--timezone", type=TimeZone(), metavar="ZONE", help='Of its hours (default "": the workspace\'s).'),
    click.option(
        "--hours",
        type=Hours(),
        metavar="HOURS",
        help='When the agent answers: "Mo-Fr 08:00-17:00; Sa 09:00-12:00; PH off", PH being holidays; "" for always.',
    ),
)
"""The last one is shown first."""


def hours_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `with_hours` reads."""
    for option in OPTIONS:
        command = option(command)
    return command


def with_hours(did: Did, given: dict[str, Any], here: State, tenancy: Tenancy) -> tuple[Did, Tenancy]:
    """The number as these options want it, and the tenancy with the agent that says a --closed-message."""
    if given["closed_message"] and given["closed_agent"]:
        raise click.UsageError("give either --closed-agent or --closed-message")
    said = {name: given[name] for name in ("hours", "timezone") if given[name] is not None}
    if given["holidays"]:
        said["holidays"] = tuple(sorted(set(given["holidays"])))
    workspace = tenancy.trunks[did.trunk_id].workspace_id
    if given["closed_agent"]:
        said["closed_agent_id"] = agent_named(tenancy, given["closed_agent"], workspace_id=workspace).id
    new = attrs.evolve(did, **said)
    if given["closed_message"]:
        closed = closing(tenancy.agents[did.agent_id], given["closed_message"], tenancy)
        here.repository.put_agent(closed)
        tenancy = attrs.evolve(tenancy, agents={**tenancy.agents, closed.id: closed})
        new = attrs.evolve(new, closed_agent_id=closed.id)
    if new.hours and not new.closed_agent_id:
        raise click.UsageError("who answers out of hours? say --closed-agent NAME or --closed-message TEXT")
    return new, tenancy


def closing(agent: Agent, message: str, tenancy: Tenancy) -> Agent:
    """The agent that says so in this one's voice: one that does so already, or a new one."""
    for other in tenancy.agents.values():
        said = other.backends == (NOTICE,) and other.first_message == message
        if said and (other.workspace_id, other.voice, other.language) == (agent.workspace_id, agent.voice, agent.language):
            return other
    names = {other.name.lower() for other in tenancy.agents.values() if other.workspace_id == agent.workspace_id}
    stem = f"{agent.name[:30]} closed"
    name = next(name for name in (stem, *(f"{stem} {n}" for n in range(2, len(names) + 3))) if name.lower() not in names)
    tools = ("take_message", "end_call")
    return Agent(
        new_id(name, tenancy.agents), agent.workspace_id, name, message, "", agent.voice, agent.language, (NOTICE,), tools=tools
    )


@command.command()
@click.argument("number", type=Number())
@click.option("--trunk", required=True, metavar="NAME", help="The trunk whose calls may dial it.")
@click.option("--agent", required=True, metavar="NAME", help="The agent that answers.")
@hours_options
@state_options
@json_option
def add(number: str, trunk: str, agent: str, *, state: str | None, config: str | None, as_json: bool, **given: Any) -> None:
    """Let calls of a trunk to NUMBER reach an agent; a number that is there already leads to this agent from now on.

    NUMBER is written as it stands in the INVITE's Request-URI; with a star at its end it stands for all numbers that
    begin so, and * alone for all others.  The longest that fits counts.

    \b
      smartalex dids add +27215550100 --trunk office --agent alex
      smartalex dids add '+2721555*' --trunk office --agent alex --hours "Mo-Fr 08:00-17:00" --closed-agent night
      smartalex dids add 100 --trunk office --agent alex --hours "Mo-Fr 08:00-17:00" --closed-message "We are closed."
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = trunk_named(tenancy, trunk)
    answering = agent_named(tenancy, agent, workspace_id=owner.workspace_id)
    before = tenancy.routes_of(owner.id).written(number)
    did = attrs.evolve(before, number=number, agent_id=answering.id) if before else Did(number, owner.id, answering.id)
    did, tenancy = with_hours(did, given, here, tenancy)
    here.repository.put_did(did)
    settle(here)
    was = f" (it was {tenancy.agents[before.agent_id].name})" if before and before.agent_id != did.agent_id else ""
    tell(did, tenancy, as_json, was)


@command.command("set")
@click.argument("number")
@click.option("--trunk", metavar="NAME", help="Needed when several trunks have it.")
@click.option("--agent", metavar="NAME", help="The agent that answers.")
@hours_options
@click.option("--no-holidays", is_flag=True, help="Those of the workspace again.")
@click.option("--always", is_flag=True, help="Forget its hours.")
@state_options
@json_option
def change(
    number: str, trunk: str | None, agent: str | None, no_holidays: bool, always: bool, *, state: str | None,
    config: str | None, as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Change when a number is answered, and by whom; what is not given stays.

    \b
      smartalex dids set +27215550100 --hours "Mo-Fr 08:00-18:00; PH off"
      smartalex dids set +27215550100 --always
    """
    if not any(value not in (None, False, ()) for value in (agent, no_holidays, always, *given.values())):
        raise click.UsageError("say what to change; see: smartalex dids set --help")
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    did = did_named(tenancy, number, trunk_named(tenancy, trunk) if trunk else None)
    if agent:
        owner = tenancy.trunks[did.trunk_id]
        did = attrs.evolve(did, agent_id=agent_named(tenancy, agent, workspace_id=owner.workspace_id).id)
    if no_holidays:
        did = attrs.evolve(did, holidays=())
    if always:
        did = attrs.evolve(did, hours="", timezone="", holidays=(), closed_agent_id="")
    did, tenancy = with_hours(did, given, here, tenancy)
    here.repository.put_did(did)
    settle(here)
    tell(did, tenancy, as_json)


@command.command()
@click.argument("number")
@click.option("--trunk", metavar="NAME", help="Needed when several trunks have it.")
@yes_option
@state_options
@json_option
def remove(number: str, *, trunk: str | None, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Take NUMBER off its trunk; calls to it are refused from now on.

    \b
      smartalex dids remove +27215550100 --yes
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    gone = did_named(tenancy, number, trunk_named(tenancy, trunk) if trunk else None)
    row = described(gone, tenancy)
    confirmed(f"take {row['number']} off trunk {row['trunk']}", yes)
    here.repository.remove_did(gone)
    settle(here)
    if as_json:
        show_json({"removed": row["number"], "trunk": row["trunk"]})
    else:
        click.echo(f"{row['number']} is taken off trunk {row['trunk']}")


def did_named(tenancy: Tenancy, number: str, owner: Trunk | None) -> Did:
    """The Did that is written so, else the error with near ones."""
    trunks = tenancy.routes if owner is None else {owner.id: tenancy.routes_of(owner.id)}
    found = [did for routes in trunks.values() if (did := routes.written(number)) is not None]
    if not found:
        known = (did.number for routes in trunks.values() for did in routes)
        raise unknown("number", number, set(known), "add one with: smartalex dids add NUMBER --trunk NAME --agent NAME")
    if len(found) > 1:
        names = ", ".join(sorted(tenancy.trunks[did.trunk_id].name for did in found))
        raise click.UsageError(f"several trunks have {number}: {names}; give --trunk NAME")
    return found[0]


def tell(did: Did, tenancy: Tenancy, as_json: bool, was: str = "") -> None:
    row = described(did, tenancy)
    if as_json:
        show_json(row)
        return
    beginning = did.number.removesuffix("*")
    name = did.number if beginning == did.number else f"every other number that begins with {beginning}"
    name = "every other number" if not beginning else name
    click.echo(f"{name} of trunk {row['trunk']} leads to {row['agent']}{was}")
    if did.hours:
        owner = tenancy.workspaces[tenancy.trunks[did.trunk_id].workspace_id]
        days = " ".join(did.holidays or owner.holidays) or "none"
        click.echo(f"  hours     {did.hours}, {did.timezone or owner.timezone}; holidays: {days}")
        click.echo(f"  otherwise {row['closed_agent']} answers")
