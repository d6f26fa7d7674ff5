"""`smartalex agents`: who answers, and how."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

import attrs
import click

from smartalex import plugins
from smartalex.cli.state import (
    columns,
    confirmed,
    json_option,
    of_workspace,
    opened,
    settle,
    show_json,
    state_options,
    unknown,
    workspace_of,
    yes_option,
)
from smartalex.cli.values import Dialled
from smartalex.errors import ConfigurationError
from smartalex.tenants.agent import LONGEST_S, TOOLS, Agent
from smartalex.tenants.workspace import Tenancy

FIRST_LONGEST, INSTRUCTIONS_LONGEST = 1000, 100_000


class Backend(click.ParamType[str]):
    """A provider of IVoiceAgentFactory with its options."""

    name = "backend"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            plugins.find("IVoiceAgentFactory", value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return value


class Language(click.ParamType[str]):
    """A language tag (RFC 5646), as far as agents need one."""

    name = "tag"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
            self.fail(f"{value!r} is no language; write a tag such as en-US or af", param, ctx)
        return value


workspace_option = click.option("--workspace", metavar="NAME", help="Whose agent, where there are several workspaces.")


@click.group(invoke_without_command=True)
@state_options
@json_option
@of_workspace
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the agents, or add, change, show and remove one.

    \b
      smartalex agents add Bea --first-message "Hello, this is Bea at Acme." --voice en-gb
      smartalex dids add +27215550101 --trunk office --agent Bea
    """
    if context.invoked_subcommand is None:
        show_all(state, config, workspace, as_json)


@command.command("list")
@of_workspace
@state_options
@json_option
def listing(state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the agents, as the command alone does."""
    show_all(state, config, workspace, as_json)


def show_all(state: str | None, config: str | None, workspace: str | None, as_json: bool) -> None:
    tenancy = opened(state, config).repository.tenancy()
    owners = {workspace_of(tenancy, workspace).id} if workspace else set(tenancy.workspaces)
    rows = [described(agent, tenancy) for agent in tenancy.agents.values() if agent.workspace_id in owners]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no agents yet; make one with: smartalex agents add NAME --first-message TEXT")
    else:
        for line in columns([HEAD, *(_cells(row) for row in rows)]):
            click.echo(line)


HEAD = ("AGENT", "WORKSPACE", "BACKENDS", "VOICE", "LANGUAGE", "LONGEST CALL", "SILENCE", "FORWARDS TO", "MAY", "SAYS FIRST")


def described(agent: Agent, tenancy: Tenancy) -> dict[str, Any]:
    """An agent as --json shows it; limits of 0 and numbers of "" are those of the workspace."""
    row = attrs.asdict(agent, filter=attrs.filters.exclude("id", "workspace_id", "name"))
    return {"agent": agent.name, "workspace": tenancy.workspaces[agent.workspace_id].name, **row}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first = row["first_message"]
    return (
        row["agent"], row["workspace"], " ".join(row["backends"]) or "none", row["voice"], row["language"],
        f"{row['max_duration_s']} s" if row["max_duration_s"] else "(workspace)", f"{row['silence_timeout_s']} s",
        row["call_forwarding_number"] or "(workspace)", " ".join(row["tools"]) or "nothing",
        first if len(first) <= 40 else first[:37] + "...",
    )  # fmt: skip


text_file = click.Path(exists=True, dir_okay=False, path_type=Path)

OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--silence-timeout",
        type=click.IntRange(10, 600),
        metavar="S",
        help="Seconds in which a caller may say nothing in all (default 30).",
    ),
    click.option(
        "--max-duration",
        type=click.IntRange(0, LONGEST_S),
        metavar="S",
        help=f"The longest call in seconds, to {LONGEST_S}; 0 for the workspace's (default).",
    ),
    click.option(
        "--forward-to",
        type=Dialled(),
        metavar="NUMBER",
        help='Where callers go when the PBX cannot be reached; "" for the workspace\'s number.',
    ),
    click.option(
        "--tool",
        "tools",
        multiple=True,
        type=click.Choice(TOOLS),
        help="What it may do; repeatable (default: all). With --no-tools first, nothing else.",
    ),
    click.option(
        "--backend",
        "backends",
        multiple=True,
        type=Backend(),
        metavar="NAME[:KEY=VALUE]",
        help="Who speaks for it, the next one when that fails (default receptionist; see smartalex providers); repeatable.",
    ),
    click.option("--language", type=Language(), metavar="TAG", help="What it speaks (default en-US)."),
    click.option("--voice", metavar="VOICE", help="The voice, by the name its synthesizer knows (default en-us)."),
    click.option("--instructions-file", type=text_file, metavar="FILE", help="The instructions from a file."),
    click.option("--instructions", metavar="TEXT", help="What it is told about its work."),
    click.option("--first-message", metavar="TEXT", help="What callers hear first."),
)
"""The last one is shown first."""


def agent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `with_options` reads."""
    for option in OPTIONS:
        command = option(command)
    return command


FIELDS = {
    "first_message": "first_message", "voice": "voice", "language": "language", "forward_to": "call_forwarding_number",
    "max_duration": "max_duration_s", "silence_timeout": "silence_timeout_s",
}  # fmt: skip


def with_options(agent: Agent, given: dict[str, Any]) -> Agent:
    """The agent as these options want it; what is not given stays."""
    said = {field: given[option] for option, field in FIELDS.items() if given[option] is not None}
    if given["backends"]:
        said["backends"] = given["backends"]
    if given["tools"] or given["no_tools"]:
        said["tools"] = tuple(tool for tool in TOOLS if tool in given["tools"])
    instructions = _instructions(given)
    if instructions is not None:
        said["instructions"] = instructions
    new = attrs.evolve(agent, **said)
    if len(new.first_message) > FIRST_LONGEST:
        raise click.UsageError(f"--first-message: at most {FIRST_LONGEST} characters; what comes later belongs in --instructions")
    if len(new.instructions) > INSTRUCTIONS_LONGEST:
        raise click.UsageError(f"--instructions: at most {INSTRUCTIONS_LONGEST} characters")
    if 0 < new.max_duration_s < 10:
        raise click.UsageError("--max-duration: at least 10 seconds, or 0 for the workspace's limit")
    return new


def _instructions(given: dict[str, Any]) -> str | None:
    if given["instructions_file"] is None:
        return given["instructions"]
    if given["instructions"] is not None:
        raise click.UsageError("give either --instructions or --instructions-file")
    try:
        return str(given["instructions_file"].read_text(encoding="utf-8").strip())
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--instructions-file: {given['instructions_file']}: {error}; save it as UTF-8") from None


no_tools_option = click.option("--no-tools", is_flag=True, help="It may do nothing but talk, or what --tool allows.")


@command.command()
@click.argument("name")
@agent_options
@no_tools_option
@workspace_option
@state_options
@json_option
def add(name: str, *, workspace: str | None, state: str | None, config: str | None, as_json: bool, **given: Any) -> None:
    """Make an agent, for numbers to lead to.

    \b
      smartalex agents add Bea --first-message "Hello, this is Bea at Acme." --voice en-gb
      smartalex agents add Night --first-message "We are closed." --backend notice
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    owner = workspace_of(tenancy, workspace)
    check(name, owner.id, tenancy)
    made = with_options(Agent(new_id(name, tenancy.agents), owner.id, name.strip(), ""), given)
    if not made.first_message and not made.instructions:
        raise click.UsageError("an agent needs something to say: --first-message TEXT or --instructions TEXT")
    here.repository.put_agent(made)
    settle(here)
    tell(made, tenancy, as_json)
    if not as_json:
        click.echo(f"Next, a number for it: smartalex dids add NUMBER --trunk NAME --agent {made.name}")


@command.command("set")
@click.argument("name")
@click.option("--name", "renamed", metavar="NAME", help="Another name.")
@agent_options
@no_tools_option
@workspace_option
@state_options
@json_option
def change(
    name: str,
    *,
    renamed: str | None,
    workspace: str | None,
    state: str | None,
    config: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change an agent from the next call on; what is not given stays.

    \b
      smartalex agents set Alex --max-duration 900 --forward-to +27215550111
      smartalex agents set Alex --instructions-file alex.txt --tool transfer --tool take_message
    """
    if not any(value is not None and value not in (False, ()) for value in (renamed, *given.values())) and (
        given["max_duration"] is None
    ):
        raise click.UsageError("say what to change; see: smartalex agents set --help")
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    old = agent_named(tenancy, name, workspace)
    new = with_options(old, given)
    if renamed is not None:
        check(renamed, old.workspace_id, tenancy, old.id)
        new = attrs.evolve(new, name=renamed.strip())
    here.repository.put_agent(new)
    settle(here)
    tell(new, tenancy, as_json)


@command.command()
@click.argument("name")
@workspace_option
@state_options
@json_option
def show(name: str, *, workspace: str | None, state: str | None, config: str | None, as_json: bool) -> None:
    """Everything about an agent, and the numbers that lead to it.

    \b
      smartalex agents show Alex
    """
    tenancy = opened(state, config).repository.tenancy()
    agent = agent_named(tenancy, name, workspace)
    if as_json:
        show_json({**described(agent, tenancy), "dids": leading(agent, tenancy)})
        return
    tell(agent, tenancy, False)
    click.echo(f"  numbers   {' '.join(leading(agent, tenancy)) or 'none'}")
    if agent.instructions:
        click.echo("  instructions\n" + "\n".join(f"    {line}" for line in agent.instructions.splitlines()))


@command.command()
@click.argument("name")
@workspace_option
@yes_option
@state_options
@json_option
def remove(name: str, *, workspace: str | None, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Remove an agent that no number leads to.

    \b
      smartalex agents remove Bea --yes
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    gone = agent_named(tenancy, name, workspace)
    numbers = leading(gone, tenancy)
    if numbers:
        raise click.ClickException(f"{' '.join(numbers[:5])} lead to agent {gone.name}; let them lead elsewhere first")
    confirmed(f"remove agent {gone.name}", yes)
    here.repository.remove_agent(gone.id)
    settle(here)
    if as_json:
        show_json({"removed": gone.name})
    else:
        click.echo(f"agent {gone.name} is removed")


def tell(agent: Agent, tenancy: Tenancy, as_json: bool) -> None:
    if as_json:
        show_json(described(agent, tenancy))
        return
    owner = tenancy.workspaces[agent.workspace_id]
    now = owner.settled(agent)
    click.echo(f"agent {agent.name} of {owner.name}")
    click.echo(f"  says      {agent.first_message or '(its backend speaks first)'}")
    click.echo(
        f"  speaks    {agent.language}, voice {agent.voice}, by {', then '.join(agent.backends) or 'nobody: takes messages'}"
    )
    click.echo(f"  may       {', '.join(agent.tools) or 'only talk'}")
    click.echo(f"  limits    {now.max_duration_s} s a call, {agent.silence_timeout_s} s of silence")
    click.echo(f"  forwards  to {now.call_forwarding_number or 'nobody'} when the PBX cannot be reached")


def leading(agent: Agent, tenancy: Tenancy) -> list[str]:
    """The numbers that lead there, in their hours or out of them."""
    return [did.number for did in tenancy.dids if agent.id in (did.agent_id, did.closed_agent_id)]


def agent_named(tenancy: Tenancy, name: str, workspace: str | None = None, workspace_id: str | None = None) -> Agent:
    """The agent of this name or id, else the error with near names; `workspace_id` or the name `workspace` narrow it."""
    if workspace is not None:
        workspace_id = workspace_of(tenancy, workspace).id
    agents = [agent for agent in tenancy.agents.values() if workspace_id in (None, agent.workspace_id)]
    found = [agent for agent in agents if name.lower() == agent.name.lower()] or [a for a in agents if name.lower() == a.id]
    if len(found) > 1:
        owners = ", ".join(sorted(tenancy.workspaces[agent.workspace_id].name for agent in found))
        raise click.UsageError(f"several workspaces have an agent {name!r}: {owners}; give --workspace NAME")
    if not found:
        raise unknown("agent", name, (agent.name for agent in agents), "make one with: smartalex agents add NAME")
    return found[0]


def check(name: str, workspace_id: str, tenancy: Tenancy, but: str = "") -> None:
    if not name.isprintable() or not 0 < len(name.strip()) <= 40:
        raise click.UsageError(f"{name!r}: an agent's name has up to 40 printable characters")
    others: Iterable[Agent] = (a for a in tenancy.agents.values() if a.workspace_id == workspace_id and a.id != but)
    if name.strip().lower() in {other.name.lower() for other in others}:
        raise click.ClickException(f"there is an agent {name!r} already; change it with: smartalex agents set {name!r}")


def new_id(name: str, taken: Container[str]) -> str:
    """A word that nothing else of its kind is called by."""
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x"
    number = 1
    while (found := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return found
